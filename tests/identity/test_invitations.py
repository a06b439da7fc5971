"""Invitations: by mail or link, once, in time, for the right person, and worth what their sender is worth."""

import asyncio
import re
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.identity.mailbox import Mailbox, html_of, text_of, token_in
from tests.world import NO_DIRECTORY, Person, World

NEWCOMER = "newcomer@new.example"
ACCOUNT = {"name": "Newcomer", "password": "correct horse"}


@pytest.fixture
async def posted(worlds: Callable[..., Any], mailbox: Mailbox) -> World:
    """A world that sends by the mail server, as the default has it: nobody is known who was not here."""
    world: World = await worlds(smtp_url=mailbox.url, mail_pause=0, **NO_DIRECTORY)
    return world


@pytest.fixture
async def alice(posted: World) -> Person:
    person = await posted.person("alice").connect()
    await person.join(posted.project)
    person.forget()
    return person


async def invite(person: Person, email: str | None = NEWCOMER, **more: Any) -> Any:
    reply = await person.call("invitation.create", {"email": email, **more} if email else more)
    assert reply.success, reply
    return reply.data


async def look(world: World, token: str) -> Any:
    return await world.request("POST", "/invitations/look", json={"token": token})


async def register(world: World, token: str, **more: Any) -> Any:
    return await world.request("POST", "/invitations/register", json={"token": token, **ACCOUNT, **more})


async def decline(world: World, token: str) -> Any:
    return await world.request("POST", "/invitations/decline", json={"token": token})


async def accept(person: Person, token: str) -> Any:
    return await person.rest("POST", "/invitations/accept", json={"token": token})


def link_token(data: Any) -> str:
    found = re.fullmatch(r"http://127\.0\.0\.1:8080/#/invitation\?token=([\w-]{43})", data.link)
    assert found, data.link
    return found[1]


async def statuses(person: Person) -> dict[str | None, str]:
    reply = await person.send("invitation.list")
    return {invitation.email: invitation.status for invitation in reply.data.invitations}


def is_over(reply: Any) -> bool:
    return reply.status == 422 and list(reply.error.field_errors) == ["token"]


# By mail.


async def test_the_mail(posted: World, mailbox: Mailbox, alice: Person) -> None:
    data = await invite(alice, message="See you <b>there</b>\nsoon")
    assert data.link is None, "the link is for the owner of the address alone"
    mail = await mailbox.gets(NEWCOMER)
    assert mail["From"] == "Acme <atrium@localhost>"
    assert mail["Subject"] == "Alice invites you to Acme"
    assert "role member" in text_of(mail)
    assert "> See you <b>there</b>\n> soon" in text_of(mail)
    assert "See you &lt;b&gt;there" in html_of(mail)
    assert "http://127.0.0.1:8080/#/invitation?token=" in text_of(mail)
    offer = await look(posted, token_in(mail))
    assert offer.data.pop("branding").product_name is None
    assert {**offer.data, "valid_until": None} == {
        "tenant": "Acme", "role": "member", "inviter": "Alice", "email": NEWCOMER, "expires_at": None, "name": "",
        "valid_until": None,
    }  # fmt: skip
    valid = datetime.fromisoformat(offer.data.valid_until) - datetime.now(UTC)
    assert timedelta(days=6.9) < valid < timedelta(days=7)


async def test_somebody_new_registers_and_is_in(posted: World, mailbox: Mailbox, alice: Person) -> None:
    bob = await posted.person("bob").connect()
    await bob.join(posted.project)
    await invite(alice, role="viewer", projects=[{"project_id": posted.project_id, "role": "member"}])
    assert "newcomer" not in str(bob.journal), "whoever is invited is told to nobody"
    assert (await bob.hears("invitation.changed")).data == {"tenant": {"id": posted.tenant_id}}
    token = token_in(await mailbox.gets(NEWCOMER))
    reply = await register(posted, token)
    assert reply.status == 201
    assert (reply.data.user.email, reply.data.tenant.slug, reply.data.verify_email) == (
        NEWCOMER,
        "acme",
        False,
    )
    added = await bob.hears("member.added")
    assert (added.data.member.id, added.data.member.role) == (reply.data.user.id, "viewer")
    assert added.actor.name == "Alice"
    taking_part = await bob.hears("project.member_added")
    member = taking_part.data.member
    assert (member.id, member.name, member.role) == (reply.data.user.id, "Newcomer", "member")
    newcomer = posted.person("newcomer")
    newcomer.tokens = reply.data
    await newcomer.connect()
    assert "task.edit" in (await newcomer.join(posted.project)).permissions
    await mailbox.gets_nothing()
    me = await newcomer.rest("GET", "/auth/me")
    assert me.data.user.email_verified is True, "the mail has proven the address"
    async with posted.sql() as db:
        invited_by = await db.fetchval(
            "SELECT invited_by FROM members WHERE user_id = $1", reply.data.user.id
        )
    assert str(invited_by) == posted.user_ids["alice"]
    assert is_over(await register(posted, token))
    assert is_over(await look(posted, token))
    assert await statuses(alice) == {NEWCOMER: "accepted"}


async def test_somebody_who_has_an_account_signs_in_and_accepts(
    posted: World, mailbox: Mailbox, alice: Person
) -> None:
    await invite(alice, "mallory@rival.example", role="viewer")
    token = token_in(await mailbox.gets("mallory@rival.example"))
    taken = await register(posted, token)
    assert (taken.status, list(taken.error.field_errors)) == (409, ["email"])
    bob = posted.person("bob")
    other = await accept(bob, token)
    assert (other.status, other.error.details) == (403, {"reason": "another_address"})
    mallory = posted.person("mallory")
    reply = await accept(mallory, token)
    assert (reply.data.tenant.id, reply.data.user.email) == (posted.tenant_id, "mallory@rival.example")
    again = await accept(mallory, token)
    assert again.data.tenant.id == posted.tenant_id, "a repeated call is answered like the first"
    mallory.tokens = reply.data
    await mallory.connect()
    assert (await mallory.join(posted.project)).permissions == [
        "presence.share",
        "project.view",
        "tenant.view",
    ]
    me = await mallory.rest("GET", "/auth/me")
    assert me.data.user.email_verified is True
    assert {membership.slug for membership in me.data.memberships} == {"acme", "rival"}


async def test_declining(posted: World, mailbox: Mailbox, alice: Person) -> None:
    await invite(alice)
    alice.forget()
    token = token_in(await mailbox.gets(NEWCOMER))
    assert (await decline(posted, token)).success
    await alice.hears("invitation.changed")
    assert is_over(await decline(posted, token))
    assert is_over(await register(posted, token))
    assert await statuses(alice) == {NEWCOMER: "declined"}
    await invite(alice)
    assert (await register(posted, token_in(await mailbox.gets(NEWCOMER)))).success


async def test_sending_again_ends_the_link_before(posted: World, mailbox: Mailbox, alice: Person) -> None:
    invitation = (await invite(alice)).invitation
    first = token_in(await mailbox.gets(NEWCOMER))
    admin = await posted.person("admin").connect()
    again = await admin.send("invitation.resend", invitation_id=invitation.id)
    assert again.data.invitation.invited_by == posted.user_ids["admin"]
    mail = await mailbox.gets(NEWCOMER)
    assert mail["Subject"] == "Admin invites you to Acme"
    assert is_over(await look(posted, first))
    assert (await register(posted, token_in(mail))).success
    late = await alice.send("invitation.resend", invitation_id=invitation.id)
    assert (late.error.code, late.error.details) == ("CONFLICT", {"status": "accepted"})


async def test_withdrawing(posted: World, mailbox: Mailbox, alice: Person) -> None:
    invitation = (await invite(alice)).invitation
    token = token_in(await mailbox.gets(NEWCOMER))
    revoked = await alice.send("invitation.revoke", invitation_id=invitation.id)
    assert revoked.data.invitation.status == "revoked"
    assert is_over(await look(posted, token))
    assert is_over(await register(posted, token))
    assert (await alice.send("invitation.revoke", invitation_id=invitation.id)).error.code == "CONFLICT"


async def test_a_mail_that_waits_when_the_invitation_is_withdrawn_is_not_sent(
    worlds: Callable[..., Any], mailbox: Mailbox
) -> None:
    world = await worlds(smtp_url=mailbox.url, mail_retry=0.3, mail_poll=0.05)
    mailbox.refusals = ["451 busy"]
    alice = world.person("alice")
    invitation = (await invite(alice)).invitation
    while not mailbox.tries:
        await asyncio.sleep(0.01)
    assert (await alice.send("invitation.revoke", invitation_id=invitation.id)).success
    await mailbox.gets_nothing(0.8)


async def test_an_invitation_runs_out(posted: World, mailbox: Mailbox, alice: Person) -> None:
    await invite(alice)
    token = token_in(await mailbox.gets(NEWCOMER))
    async with posted.sql() as db:
        await db.execute("UPDATE invitations SET expires_at = now()")
    for reply in (await look(posted, token), await register(posted, token), await decline(posted, token)):
        assert is_over(reply)
    assert await statuses(alice) == {NEWCOMER: "expired"}
    await invite(alice)
    assert (await register(posted, token_in(await mailbox.gets(NEWCOMER)))).success


async def test_a_mail_that_is_refused_shows(posted: World, mailbox: Mailbox, alice: Person) -> None:
    mailbox.refusals = ["550 no such person"]
    await invite(alice)
    while (await statuses(alice))[NEWCOMER] == "pending":
        await asyncio.sleep(0.02)
    assert await statuses(alice) == {NEWCOMER: "undelivered"}


# By link.


async def test_a_link_lets_in_as_many_as_it_says(posted: World, mailbox: Mailbox, alice: Person) -> None:
    token = link_token(await invite(alice, None, max_uses=2))
    assert (await look(posted, token)).data.email is None
    nobody = await register(posted, token)
    assert (nobody.status, list(nobody.error.field_errors)) == (422, ["email"])
    taken = await register(posted, token, email="bob@acme.example")
    assert (taken.status, list(taken.error.field_errors)) == (409, ["email"])
    assert (await decline(posted, token)).status == 409
    first = await register(posted, token, email=NEWCOMER)
    assert first.data.tenant.slug == "acme"
    assert "Confirm" in (await mailbox.gets(NEWCOMER))["Subject"], "a link proves no address"
    assert (await accept(posted.person("mallory"), token)).data.tenant.slug == "acme"
    assert is_over(await register(posted, token, email="latecomer@new.example"))
    assert await statuses(alice) == {None: "accepted"}


async def test_a_link_is_shown_once(posted: World, alice: Person) -> None:
    command_id = "0199c0de-0000-7000-8000-0000000000aa"
    first = await alice.call("invitation.create", {"command_id": command_id})
    again = await alice.call("invitation.create", {"command_id": command_id})
    assert again.meta.duplicate
    assert (again.data.invitation, again.data.link) == (first.data.invitation, None)
    fresh = await alice.send("invitation.resend", invitation_id=first.data.invitation.id)
    assert is_over(await look(posted, link_token(first.data)))
    assert (await look(posted, link_token(fresh.data))).success


async def test_where_addresses_are_verified_a_link_waits_for_that(
    worlds: Callable[..., Any], mailbox: Mailbox
) -> None:
    world = await worlds(smtp_url=mailbox.url, mail_pause=0, require_verified_email=True, **NO_DIRECTORY)
    token = link_token(await invite(world.person("alice"), None))
    replies = [await register(world, token, email=email) for email in (NEWCOMER, "bob@acme.example")]
    assert replies[0].data == replies[1].data, "it is not told who has an account"
    assert (replies[0].data.verify_email, replies[0].data.access_token) == (True, None)
    proof = token_in(await mailbox.gets(NEWCOMER))
    assert (await world.request("POST", "/auth/verify-email", json={"token": proof})).success
    newcomer = Person(world, NEWCOMER)
    newcomer.tokens = (
        await world.request("POST", "/auth/login", json={"email": NEWCOMER, "password": ACCOUNT["password"]})
    ).data
    assert (await accept(newcomer, token)).data.tenant.slug == "acme"


@pytest.mark.parametrize("by_mail", [True, False])
async def test_fifty_at_once_and_one_comes_in(
    posted: World, mailbox: Mailbox, alice: Person, by_mail: bool
) -> None:
    data = await invite(alice, NEWCOMER if by_mail else None)
    token = token_in(await mailbox.gets(NEWCOMER)) if by_mail else link_token(data)
    emails = [{} if by_mail else {"email": f"n{n}@new.example"} for n in range(50)]
    replies = await asyncio.gather(*(register(posted, token, **email) for email in emails))
    assert sorted(reply.status for reply in replies if reply.success) == [201]
    assert {reply.status for reply in replies if not reply.success} <= {409, 422}
    async with posted.sql() as db:
        assert await db.fetchval("SELECT count(*) FROM users") == len(posted.user_ids) + 1
        assert await db.fetchval("SELECT uses FROM invitations") == 1
        assert await db.fetchval("SELECT count(*) FROM members WHERE invited_by IS NOT NULL") == 9


# Who may.


async def test_nobody_invites_above_his_own_role(posted: World) -> None:
    manager = await posted.person("manager").connect()
    for role in ("owner", "admin"):
        assert (await manager.send("invitation.create", email=NEWCOMER, role=role)).error.code == "FORBIDDEN"
    part = {"project_id": posted.project_id, "role": "owner"}
    refused = await manager.send("invitation.create", email=NEWCOMER, projects=[part])
    assert refused.error.code == "FORBIDDEN"
    alice = await posted.person("alice").connect()
    invitation = (await invite(alice, role="admin")).invitation
    for name in ("invitation.resend", "invitation.revoke"):
        assert (await manager.send(name, invitation_id=invitation.id)).error.code == "FORBIDDEN"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"role": "guest"}, "expires_at"),
        ({"expires_at": "2026-01-01T00:00:00Z"}, "expires_at"),
        ({"email": "nobody"}, "email"),
        ({"max_uses": 2}, "payload"),
        ({"email": None, "max_uses": 0}, "max_uses"),
        ({"message": "x" * 1001}, "message"),
        ({"projects": [{"project_id": "x"}]}, "projects.0.project_id"),
    ],
)
async def test_what_cannot_be_is_refused(shared: World, more: dict[str, Any], field: str) -> None:
    reply = await shared.person("alice").call("invitation.create", {"email": NEWCOMER, **more})
    assert reply.error.code == "VALIDATION_ERROR"
    assert list(reply.error.field_errors) == [field]


async def test_who_is_here_is_not_invited(posted: World, alice: Person) -> None:
    reply = await alice.send("invitation.create", email="Bob@Acme.example")
    assert reply.error.field_errors == {"email": ["is a member already"]}
    async with posted.sql() as db:
        await db.execute("UPDATE members SET status = 'suspended' WHERE user_id = $1", posted.user_ids["bob"])
    reply = await alice.send("invitation.create", email="bob@acme.example")
    assert "can be activated" in reply.error.field_errors.email[0]
    await invite(alice)
    reply = await alice.send("invitation.create", email=NEWCOMER)
    assert reply.error.field_errors == {"email": ["is invited already"]}


async def test_who_was_removed_or_whose_time_ran_out_may_come_back(
    posted: World, mailbox: Mailbox, alice: Person
) -> None:
    await alice.send("member.remove", user_id=posted.user_ids["bob"])
    async with posted.sql() as db:
        await db.execute("UPDATE members SET expires_at = now() WHERE role = 'guest'")
    for name in ("bob", "gus"):
        await invite(alice, f"{name}@acme.example", role="viewer")
        token = token_in(await mailbox.gets(f"{name}@acme.example"))
        person = posted.person(name)
        person.tokens = (await accept(person, token)).data
        await person.connect()
        assert (await person.join(posted.tenant)).permissions == [
            "presence.share",
            "project.view",
            "tenant.view",
        ]


async def test_who_was_put_out_of_use_does_not_come_back_by_an_old_link(posted: World, alice: Person) -> None:
    token = link_token(await invite(alice, None))
    bob = posted.person("bob")
    await bob.sign_in()
    assert (await accept(bob, token)).error.code == "CONFLICT", "she is here"
    async with posted.sql() as db:
        await db.execute("UPDATE members SET status = 'suspended' WHERE user_id = $1", posted.user_ids["bob"])
    refused = await accept(bob, token)
    assert "can be activated" in refused.error.message
    assert (await look(posted, token)).success, "it is not used up by that"


@pytest.mark.parametrize(
    "fate", ["removed", "demoted", "denied", "suspended tenant", "expired", "deactivated"]
)
async def test_an_invitation_is_worth_what_its_sender_is_worth(
    posted: World, mailbox: Mailbox, alice: Person, fate: str
) -> None:
    manager = await posted.person("manager").connect()
    await invite(manager, role="manager")
    token = token_in(await mailbox.gets(NEWCOMER))
    assert (await look(posted, token)).success
    user_id = posted.user_ids["manager"]
    async with posted.sql() as db:
        of = f"WHERE user_id = '{user_id}'"
        match fate:
            case "removed":
                assert (await alice.send("member.remove", user_id=user_id)).success
            case "demoted":
                assert (await alice.send("member.update", user_id=user_id, role="member")).success
            case "denied":
                await db.execute(f"UPDATE members SET denied = '{{member.invite}}' {of}")
            case "expired":
                await db.execute(f"UPDATE members SET expires_at = now() {of}")
            case "deactivated":
                await db.execute(f"UPDATE users SET status = 'inactive' WHERE id = '{user_id}'")
            case _:
                await db.execute("UPDATE tenants SET status = 'suspended' WHERE slug = 'acme'")
    for reply in (await look(posted, token), await register(posted, token), await decline(posted, token)):
        assert is_over(reply)
    async with posted.sql() as db:
        assert await db.fetchval("SELECT count(*) FROM users WHERE email = $1", NEWCOMER) == 0
    if fate != "suspended tenant":
        assert await statuses(alice) == {NEWCOMER: "ended"}
        again = await alice.send("invitation.list", status="ended", limit=1)
        (ended,) = again.data.invitations
        assert (
            await alice.send("invitation.resend", invitation_id=ended.id)
        ).data.invitation.status == "pending"
        assert (await register(posted, token_in(await mailbox.gets(NEWCOMER)))).success


async def test_a_smaller_inviter_gives_no_bigger_role(posted: World, mailbox: Mailbox, alice: Person) -> None:
    admin = await posted.person("admin").connect()
    await invite(admin, role="admin")
    await invite(admin, "latecomer@new.example", role="viewer")
    await alice.send("member.update", user_id=posted.user_ids["admin"], role="manager")
    mails = {
        str(m["To"]): token_in(m)
        for m in [await mailbox.gets(NEWCOMER), await mailbox.gets("latecomer@new.example")]
    }
    assert is_over(await register(posted, mails[NEWCOMER]))
    assert (await register(posted, mails["latecomer@new.example"])).success


async def test_a_project_that_is_not_the_inviter_s_any_more_is_left_out(
    posted: World, mailbox: Mailbox, alice: Person
) -> None:
    other = (await alice.send("project.create", name="Bathroom")).data.project.id
    await invite(alice, projects=[{"project_id": posted.project_id}, {"project_id": other}])
    assert (await alice.send("project.delete", project_id=other)).success
    reply = await register(posted, token_in(await mailbox.gets(NEWCOMER)))
    assert reply.success
    async with posted.sql() as db:
        rows = await db.fetch("SELECT project_id FROM project_members WHERE user_id = $1", reply.data.user.id)
    assert [str(row["project_id"]) for row in rows] == [posted.project_id]


async def test_it_looks_like_the_tenant(posted: World, mailbox: Mailbox, alice: Person) -> None:
    looks = {"product_name": "Acme Work", "sender_name": "Acme People", "primary_color": "#123456"}
    assert (await alice.call("tenant.update_branding", looks)).success
    await invite(alice)
    mail = await mailbox.gets(NEWCOMER)
    assert mail["From"] == "Acme People <atrium@localhost>"
    branding = (await look(posted, token_in(mail))).data.branding
    assert (branding.product_name, branding.primary_color) == ("Acme Work", "#123456")
    assert "sender_name" not in branding, "that is for its own people"


# What nobody learns.


async def test_adding_needs_somebody_who_is_known_here(posted: World, alice: Person) -> None:
    replies = [
        await alice.send("member.add", email=email)
        for email in ("mallory@rival.example", "nobody@new.example")
    ]
    assert replies[0].error == replies[1].error
    assert replies[0].error.code == "NOT_FOUND"
    await alice.send("member.remove", user_id=posted.user_ids["bob"])
    assert (await alice.send("member.add", email="bob@acme.example", role="viewer")).success


@pytest.mark.parametrize("relation", ["child", "sibling", "asked"])
async def test_people_of_the_same_organization_are_known(posted: World, alice: Person, relation: str) -> None:
    async with posted.sql() as db:
        parent = "(SELECT id FROM tenants WHERE slug = 'acme')"
        if relation == "sibling":
            await db.execute(
                "INSERT INTO tenants (id, slug, name, created_by, updated_by) "
                "SELECT gen_random_uuid(), 'above', 'Above', id, id FROM users LIMIT 1"
            )
            parent = "(SELECT id FROM tenants WHERE slug = 'above')"
            await db.execute(f"UPDATE tenants SET parent_id = {parent} WHERE slug = 'acme'")
        column = "asked_parent_id" if relation == "asked" else "parent_id"
        await db.execute(f"UPDATE tenants SET {column} = {parent} WHERE slug = 'rival'")
    reply = await alice.send("member.add", email="mallory@rival.example", role="viewer")
    assert reply.success == (relation != "asked"), "both have to agree"


async def test_inviting_does_not_tell_who_has_an_account(posted: World, alice: Person) -> None:
    """The same words, and the same time: medians of 40 in turns."""
    times: dict[bool, list[float]] = {True: [], False: []}
    async with posted.sql() as db:
        await db.execute(
            "INSERT INTO users (id, email, name) SELECT gen_random_uuid(), 'has' || n || '@new.example', 'x' "
            "FROM generate_series(0, 39) AS n"
        )
    bodies = set()
    for number in range(40):
        for has in (True, False):
            email = f"{'has' if has else 'not'}{number}@new.example"
            started = time.perf_counter()
            reply = await alice.send("invitation.create", email=email)
            times[has].append(time.perf_counter() - started)
            invitation = reply.data.invitation
            bodies.add(str({**invitation, "id": 0, "email": 0, "created_at": 0, "valid_until": 0}))
    assert len(bodies) == 1
    with_account, without = statistics.median(times[True]), statistics.median(times[False])
    assert abs(with_account - without) < 0.35 * max(with_account, without)


async def test_a_dump_holds_nothing_usable(posted: World, mailbox: Mailbox, alice: Person) -> None:
    tokens = [link_token(await invite(alice, None))]
    again = await alice.send("invitation.resend", invitation_id=(await invite(alice, None)).invitation.id)
    tokens.append(link_token(again.data))
    await invite(alice)
    tokens.append(token_in(await mailbox.gets(NEWCOMER)))
    async with posted.sql() as db:
        names = [
            row["tablename"] for row in await db.fetch("SELECT * FROM pg_tables WHERE schemaname = 'public'")
        ]
        dump = "\n".join(
            [row[0] for name in names for row in await db.fetch(f"SELECT t::text FROM {name} AS t")]
        )
    assert NEWCOMER in dump
    for token in tokens:
        assert token not in dump
        assert (await look(posted, token)).success


async def test_names_of_strangers_do_no_harm_in_a_mail(
    posted: World, mailbox: Mailbox, alice: Person
) -> None:
    await alice.rest("PUT", "/auth/me", json={"name": "Alice\r\nBcc: x@evil.example\r\n\r\n<b>evil</b>"})
    await alice.send("tenant.update", name='Acme\r\nX-Evil: "1" <a@evil.example>')
    await invite(alice)
    mail = await mailbox.gets(NEWCOMER)
    assert mail["Bcc"] is None
    assert mail["X-Evil"] is None
    assert mail["From"].addresses[0].addr_spec == "atrium@localhost"
    assert "<b>evil" not in html_of(mail)


# Lists.


async def test_the_list_comes_in_pages_and_by_status(posted: World, alice: Person) -> None:
    ids = [(await invite(alice, f"n{n}@new.example")).invitation.id for n in range(5)]
    await alice.send("invitation.revoke", invitation_id=ids[2])
    first = await alice.send("invitation.list", limit=2)
    assert [i.id for i in first.data.invitations] == ids[4:2:-1]
    more = await alice.send("invitation.list", limit=100, cursor=first.meta.pagination.next)
    assert [i.id for i in more.data.invitations] == ids[2::-1]
    assert more.meta.pagination.next is None
    revoked = await alice.send("invitation.list", status="revoked")
    assert [i.id for i in revoked.data.invitations] == [ids[2]]


async def test_old_invitations_are_forgotten(posted: World, alice: Person) -> None:
    invitation = (await invite(alice)).invitation
    await invite(alice, "latecomer@new.example")
    await alice.send("invitation.revoke", invitation_id=invitation.id)
    await posted.node.maintenance.once()
    assert len(await statuses(alice)) == 2
    async with posted.sql() as db:
        await db.execute("UPDATE invitations SET closed_at = closed_at - interval '91 days'")
    await posted.node.maintenance.once()
    assert await statuses(alice) == {"latecomer@new.example": "pending"}
    await posted.node.maintenance.once(datetime.now(UTC) + timedelta(days=100))
    assert await statuses(alice) == {}


async def test_no_client_lets_anybody_in(posted: World, alice: Person) -> None:
    for name in ("member.admit", "member.join"):
        reply = await alice.call(name, {"email": NEWCOMER, "role": "owner"})
        assert reply.error.code == "UNKNOWN_COMMAND"
