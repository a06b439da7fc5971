"""Profiles: what is kept, and how everybody learns of it."""

from typing import Any

import pytest

from tests.reducer import fold, store_of
from tests.world import Person, World

FULL = {
    "name": "Roberta",
    "username": "Bob.The-Builder",
    "avatar_url": "https://pictures.example/bob.png",
    "phone": "+41 44 123-45.67",
    "timezone": "Europe/Zurich",
    "language": "pt_br",
    "theme": "dark",
    "notification_preferences": {"mail": {"mentions": True}, "quiet": ["22:00", "07:00"]},
    "dashboard_preferences": {"widgets": [1, 2, {"x": None}]},
}
KEPT = {**FULL, "username": "bob.the-builder", "phone": "+41441234567", "language": "pt-BR"}


async def put(person: Person, **changes: Any) -> Any:
    return await person.rest("PUT", "/auth/me", json=changes)


async def test_a_profile_is_kept(world: World) -> None:
    bob = world.person("bob")
    fresh = (await bob.rest("GET", "/auth/me")).data.user
    assert (fresh.username, fresh.timezone, fresh.language, fresh.theme) == (None, "UTC", "en", "auto")
    assert (fresh.notification_preferences, fresh.dashboard_preferences) == ({}, {})
    reply = await put(bob, **FULL)
    assert reply.success, reply
    assert {name: reply.data.user[name] for name in KEPT} == KEPT
    assert (await bob.rest("GET", "/auth/me")).data.user == reply.data.user
    reply = await put(bob, theme="light", phone=None, username=None)
    expected = {**KEPT, "theme": "light", "phone": None, "username": None}
    assert {name: reply.data.user[name] for name in KEPT} == expected


async def test_a_username_is_somebody_s_only(world: World) -> None:
    bob, admin = world.person("bob"), world.person("admin")
    assert (await put(bob, username="builder")).success
    taken = await put(admin, username="BUILDER")
    assert (taken.status, taken.error.field_errors) == (409, {"username": ["is taken"]})
    assert (await put(bob, username="builder")).success, "one may say it again"
    assert (await put(bob, username=None)).success
    assert (await put(admin, username="Builder")).data.user.username == "builder"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", ""), ("name", None), ("name", "x" * 201), ("username", "ab"), ("username", "-ab"),
        ("username", "bøb"), ("username", "x" * 31), ("avatar_url", "http://x.example/a"), ("avatar_url", "x"),
        ("avatar_url", "javascript:alert(1)"), ("avatar_url", "https://"), ("avatar_url", "https://u:p@x.example/"),
        ("avatar_url", "https://[x"), ("avatar_url", 'https://x.example/"onload='), ("phone", "044 123 45 67"),
        ("phone", "+0123456789"), ("phone", "+1" + "2" * 15), ("timezone", "Europe/Nowhere"),
        ("timezone", "../../etc/passwd"), ("timezone", None), ("language", "english"), ("language", "e"),
        ("language", "de-"), ("theme", "blue"), ("theme", None), ("notification_preferences", []),
        ("notification_preferences", None), ("dashboard_preferences", {"x": "y" * 17_000}), ("surprise", 1),
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_refused(shared: World, name: str, value: Any) -> None:
    reply = await put(shared.people[0] if shared.people else shared.person("bob"), **{name: value})
    assert (reply.status, list(reply.error.field_errors)) == (422, [name])


@pytest.mark.parametrize("value", ["de", "de-CH", "zh-Hant-TW", "es-419", "sl-rozaj-biske", "DE-latn-1996"])
async def test_languages(shared: World, value: str) -> None:
    person = shared.people[0] if shared.people else shared.person("bob")
    assert (await put(person, language=value)).data.user.language.lower() == value.lower()


async def test_nested_preferences_do_no_harm(shared: World) -> None:
    deep: Any = {}
    for _ in range(300):
        deep = {"x": deep}
    person = shared.people[0] if shared.people else shared.person("bob")
    assert (await put(person, dashboard_preferences=deep)).status == 422


async def test_everybody_hears_of_a_new_name(world: World) -> None:
    """In every room of every tenant: old snapshot and events make the new snapshot."""
    mallory = await world.person("mallory").connect()
    assert (await mallory.send("member.add", email="bob@acme.example", role="member")).success
    rival = mallory.tokens.tenant.id
    bob, alice = await world.person("bob").connect(), await world.person("alice").connect()
    elsewhere = world.person("bob")
    elsewhere.tokens = (await bob.rest("POST", f"/tenants/{rival}/switch")).data
    await elsewhere.connect()
    project = await mallory.send("project.create", name="Shared", member_ids=[world.user_ids["bob"]])
    room = f"project:{project.data.project.id}"
    mine = f"user:{world.user_ids['bob']}"
    watched = [(alice, world.tenant), (alice, world.project), (bob, mine), (mallory, f"tenant:{rival}"),
               (mallory, room), (elsewhere, mine)]  # fmt: skip
    old = [await person.snapshot(name) for person, name in watched]
    reply = await put(bob, name="Roberta", avatar_url="https://pictures.example/b.png", theme="dark")
    assert reply.success, reply
    for (person, name), before in zip(watched, old, strict=True):
        fresh = await person.snapshot(name)
        asked = await person.rest("GET", f"/rooms/{name}/events", params={"since": before.seq})
        assert asked.data.events, name
        assert fold(store_of(before.snapshot), asked.data.events) == store_of(fresh.snapshot), name
        assert "Roberta" in str(fresh.snapshot)
    heard = await alice.hears("member.updated")
    assert (heard.data.member.name, heard.data.was.name) == ("Roberta", "Bob")
    told = await bob.hears("profile.updated")
    assert (told.data.user.theme, told.data.was.theme) == ("dark", "auto")
    assert (await elsewhere.hears("profile.updated")).data.user.name == "Roberta"
    assert (await mallory.hears("member.updated")).data.member.avatar_url.endswith("b.png")


async def test_how_one_likes_things_is_nobody_else_s_business(world: World) -> None:
    bob, alice = await world.person("bob").connect(), await world.person("alice").connect()
    second = await world.person("bob").connect()
    await alice.join(world.project)
    before = (await alice.snapshot(world.tenant)).seq
    assert (await put(bob, theme="dark", phone="+41441234567")).success
    for window in (bob, second):
        heard = await window.hears("profile.updated")
        assert (heard.data.user.theme, heard.data.was) == ("dark", {"theme": "auto", "phone": None})
    await alice.hears_nothing("member.updated")
    assert (await alice.snapshot(world.tenant)).seq == before
    assert "+4144" not in str(await alice.snapshot(world.tenant))


async def test_a_tenant_that_was_not_told_is_told_at_the_next_sign_in(world: World) -> None:
    bob, alice = world.person("bob"), await world.person("alice").connect()
    await put(bob, name="Roberta")
    await alice.hears("member.updated")
    async with world.sql() as db:  # as if the node had died before it could tell
        await db.execute("UPDATE users SET name = 'Robert' WHERE email = 'bob@acme.example'")
        await db.execute("UPDATE profiles SET version = version + 1")
    renewed = await world.request("POST", "/auth/refresh", json={"refresh_token": bob.tokens.refresh_token})
    assert renewed.success
    assert (await alice.hears("member.updated")).data.member.name == "Robert"
    again = await world.request("POST", "/auth/refresh", json={"refresh_token": renewed.data.refresh_token})
    assert again.success
    await alice.hears_nothing("member.updated")


async def test_without_a_tenant_there_is_nobody_to_tell(world: World) -> None:
    account = {"email": "newcomer@new.example", "password": "correct horse", "name": "Newcomer"}
    reply = await world.request("POST", "/auth/register", json=account)
    signed_in = {"Authorization": f"Bearer {reply.data.access_token}"}
    changed = await world.request("PUT", "/auth/me", json={"name": "Nino"}, headers=signed_in)
    assert changed.data.user.name == "Nino"
    alice = await world.person("alice").connect()
    added = await alice.send("member.add", email=account["email"], role="member")
    assert added.data.member.name == "Nino"


async def test_commands_for_inside_cannot_be_sent(world: World) -> None:
    bob = await world.person("bob").connect()
    for name in ("profile.update", "profile.follow"):
        assert (await bob.send(name, room=world.tenant)).error.code == "UNKNOWN_COMMAND"
