"""Tenants: founding them, what they say of themselves, how they work, and what they do first."""

import asyncio
from typing import Any

import pytest

from handlers.identity.custom_fields import CustomField
from handlers.identity.founding import slug_of
from tests.world import Person, World


async def tell(world: World, path: str = "", *, name: str = "alice", **body: Any) -> Any:
    return await world.person(name).rest("PUT", f"/tenants/{world.tenant_id}{path}", json=body)


async def test_a_tenant_is_founded_with_all_that_is_said_of_it(world: World) -> None:
    body = {
        "name": "Café Zürich", "description": "Coffee", "email": "Hello@Cafe.example", "phone": "+41 44 123 45 67",
        "address": "Limmatquai 1\n8001 Zürich", "metadata": {"crm": 7},
    }  # fmt: skip
    mallory = world.person("mallory")
    made = await mallory.rest("POST", "/tenants", json=body)
    assert (made.status, made.data.tenant.slug) == (201, "cafe-zurich")
    headers = {"Authorization": f"Bearer {made.data.access_token}"}
    tenant = (await world.request("GET", f"/tenants/{made.data.tenant.id}", headers=headers)).data.tenant
    assert {name: tenant[name] for name in body} == {
        **body, "email": "hello@cafe.example", "phone": "+41441234567",
    }  # fmt: skip
    snapshot = await world.request("GET", f"/rooms/tenant:{tenant.id}/snapshot", headers=headers)
    (founder,) = snapshot.data.snapshot.members
    assert (founder.name, founder.role) == ("Mallory", "owner")
    given = await mallory.rest("POST", "/tenants", json={"name": "Second", "slug": "cafe-zurich"})
    assert (given.status, given.error.field_errors) == (409, {"slug": ["is taken"]})
    derived = await mallory.rest("POST", "/tenants", json={"name": "Cafe Zurich"})
    assert derived.data.tenant.slug.startswith("cafe-zurich-"), "a derived one gives way"


async def test_an_account_founds_so_many_tenants_also_all_at_once(worlds: Any) -> None:
    world: World = await worlds(tenants_per_account=4)
    mallory = world.person("mallory")
    await mallory.sign_in()
    replies = await asyncio.gather(
        *(mallory.rest("POST", "/tenants", json={"name": f"T {n}"}) for n in range(8))
    )
    assert sorted(reply.status for reply in replies) == [201, 201, 201, 402, 402, 402, 402, 402]
    refused = next(reply for reply in replies if not reply.success)
    assert (refused.error.code, refused.error.details) == ("QUOTA_EXCEEDED", {"limit": 4})


async def test_where_nobody_founds_tenants_people_can_still_register(worlds: Any) -> None:
    world: World = await worlds(tenants_per_account=0)
    account = {"email": "newcomer@new.example", "password": "a long password", "name": "Newcomer"}
    refused = await world.request("POST", "/auth/register", json={**account, "tenant_name": "Mine"})
    assert refused.error.code == "QUOTA_EXCEEDED"
    assert (await world.request("POST", "/auth/register", json=account)).success


@pytest.mark.parametrize("slug", ["a", "-ab", "ab-", "a--b", "a b", "ä-b", "admin", "x" * 61, "a/b", ""])
async def test_slugs_that_are_none(shared: World, slug: str) -> None:
    refused = await tell(shared, slug=slug)
    assert list(refused.error.field_errors) == ["slug"]


def test_slugs_are_made_from_names() -> None:
    names = ("Café Zürich", "  A & B  ", "!!!", "x", "Admin", "z" * 99)
    assert [slug_of(name) for name in names] == [
        "cafe-zurich", "a-b", "a-tenant", "x-tenant", "admin-tenant", "z" * 60,
    ]  # fmt: skip


async def test_a_former_slug_stays_the_tenants_own(world: World) -> None:
    assert (await tell(world, slug="rival")).error.field_errors == {"slug": ["is taken"]}
    await tell(world, "/branding", product_name="Acme Works")
    for slug in ("acme-1", "acme-2", "acme-3", "acme-4", "acme-5", "acme-6"):
        assert (await tell(world, slug=slug)).data.tenant.slug == slug
    mallory = world.person("mallory")
    taken = await mallory.rest("POST", "/tenants", json={"name": "x", "slug": "acme-1"})
    assert taken.error.field_errors == {"slug": ["is taken"]}
    found = await world.request("GET", "/branding", params={"slug": "acme-1"})
    assert found.data.branding.product_name == "Acme Works"
    assert (await mallory.rest("POST", "/tenants", json={"name": "x", "slug": "acme"})).success, (
        "the sixth goes"
    )
    assert (await tell(world, slug="acme-1")).success, "one may take one's own back"


async def test_fields_are_changed_one_by_one(world: World, alice: Person, bob: Person) -> None:
    first = await alice.send("tenant.update", description="We make everything", phone="+41441234567")
    assert first.data.was == {"description": "", "phone": None}
    heard = await bob.hears("tenant.updated")
    assert heard.data == first.data
    second = await alice.send("tenant.update", phone=None, name="Acme Limited")
    assert (second.data.tenant.phone, second.data.tenant.description) == (None, "We make everything")
    assert (await alice.send("tenant.update", name=None)).error.field_errors.name
    assert (await alice.send("tenant.update", metadata={"x": "y" * 20_000})).error.field_errors.metadata


FIELDS: dict[str, Any] = {
    "timezone": "Europe/Zurich", "date_format": "DD.MM.YYYY", "currency": "chf", "language": "de-ch",
    "holidays": [
        {"on": "2026-12-25", "name": "Christmas", "yearly": True}, {"on": "2026-08-01", "name": "National day"},
    ],
    "working_hours": {"monday": [{"start": "13:00", "end": "24:00"}, {"start": "08:00", "end": "12:00"}]},
    "custom_fields": [
        {"key": "size", "name": "Size", "type": "select", "applies_to": "task", "options": ["S", "M"]},
        {"key": "size", "name": "Size", "type": "number", "applies_to": "project", "required": True},
    ],
}  # fmt: skip


async def test_settings_are_kept_part_by_part(world: World) -> None:
    fresh = (await world.person("bob").rest("GET", f"/tenants/{world.tenant_id}")).data.tenant.settings
    assert (fresh.timezone, fresh.currency, fresh.holidays) == ("UTC", "EUR", [])
    assert fresh.working_hours.friday == [{"start": "09:00", "end": "17:00"}]
    assert fresh.working_hours.saturday == []
    told = (await tell(world, "/settings", **FIELDS)).data
    settings = told.tenant.settings
    assert (settings.currency, settings.language) == ("CHF", "de-CH")
    assert [day.on for day in settings.holidays] == ["2026-08-01", "2026-12-25"], "in their order"
    assert [interval.start for interval in settings.working_hours.monday] == ["08:00", "13:00"]
    assert settings.working_hours.tuesday == [], "hours are replaced as a whole"
    assert set(told.was.settings) == set(FIELDS)
    again = (await tell(world, "/settings", currency="EUR")).data
    assert again.was == {"settings": {"currency": "CHF"}}
    assert again.tenant.settings == {**settings, "currency": "EUR"}
    signed_in = await world.person("carol").sign_in()
    assert signed_in.tenant.settings == again.tenant.settings, "whoever signs in knows them"
    assert "metadata" not in signed_in.tenant
    assert (await world.person("alice").snapshot(world.tenant)).snapshot.tenants == [again.tenant]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timezone", "Mars/Olympus"), ("timezone", None), ("date_format", "YY-M-D"), ("currency", "XXX"),
        ("language", "Deutsch!"), ("holidays", [{"on": "2026-02-30", "name": "x"}]),
        ("holidays", [{"on": "2026-01-01", "name": "x"}] * 2), ("holidays", [{"on": "0999-01-01", "name": "x"}]),
        ("working_hours", {"monday": [{"start": "09:00", "end": "09:00"}]}),
        ("working_hours", {"monday": [{"start": "9:00", "end": "17:00"}]}),
        ("working_hours", {"monday": [{"start": "22:00", "end": "25:00"}]}),
        ("working_hours", {"monday": [{"start": "08:00", "end": "12:00"}, {"start": "11:00", "end": "13:00"}]}),
        ("working_hours", {"funday": []}),
        ("custom_fields", [{"key": "Size", "name": "x", "type": "text", "applies_to": "task"}]),
        ("custom_fields", [{"key": "a", "name": "x", "type": "colour", "applies_to": "task"}]),
        ("custom_fields", [{"key": "a", "name": "x", "type": "select", "applies_to": "task"}]),
        ("custom_fields", [{"key": "a", "name": "x", "type": "text", "applies_to": "task", "options": ["y"]}]),
        ("custom_fields", [
            {"key": "a", "name": "x", "type": "select", "applies_to": "task", "options": ["y", "Y"]},
        ]),
        ("custom_fields", [{"key": "a", "name": "x", "type": "text", "applies_to": "task"}] * 2),
        ("custom_fields", [
            {"key": f"a{n}", "name": "x", "type": "text", "applies_to": "task"} for n in range(101)
        ]),
    ],
)  # fmt: skip
async def test_settings_that_mean_nothing(shared: World, field: str, value: object) -> None:
    body: dict[str, Any] = {field: value}
    refused = await tell(shared, "/settings", **body)
    assert refused.error.code == "VALIDATION_ERROR"
    assert all(name.startswith(field) for name in refused.error.field_errors), refused.error


async def test_a_custom_field_keeps_its_type(world: World) -> None:
    await tell(world, "/settings", custom_fields=FIELDS["custom_fields"])
    changed = [{**field, "type": "text", "options": []} for field in FIELDS["custom_fields"]]
    refused = await tell(world, "/settings", custom_fields=changed)
    assert refused.error.field_errors.custom_fields == [
        "size keeps its type: take another key for another type"
    ]
    assert (await tell(world, "/settings", custom_fields=[])).success, "it may go"
    assert (await tell(world, "/settings", custom_fields=changed)).success


def test_a_definition_is_whole() -> None:
    field = CustomField(key="due", name=" Due ", type="date", applies_to="task")
    assert field.model_dump() == {
        "key": "due", "name": "Due", "type": "date", "applies_to": "task", "options": [], "required": False,
        "currency": None, "formula": None,
    }  # fmt: skip


async def test_first_steps_are_seen_and_not_ticked_off(world: World) -> None:
    mallory = await world.person("mallory").connect()
    tenant_id = mallory.tokens.tenant.id
    path = f"/tenants/{tenant_id}/onboarding"

    async def done() -> dict[str, bool]:
        steps = (await mallory.rest("GET", path)).data.onboarding.steps
        return {step.key: step.done for step in steps}

    assert await done() == {
        "profile": False, "settings": False, "branding": False, "invite": False, "project": True, "task": False,
    }  # fmt: skip
    await mallory.send("tenant.update", description="We are the other ones")
    await mallory.send("tenant.update_settings", currency="USD")
    await mallory.send("tenant.update_branding", product_name="Rival")
    async with world.sql() as db:
        project = await db.fetchval("SELECT id FROM projects WHERE tenant_id = $1", tenant_id)
    await mallory.send("task.create", room=f"project:{project}", title="First")
    assert [key for key, is_done in (await done()).items() if not is_done] == ["invite"]
    reply = await mallory.send("tenant.dismiss_step", step="invite")
    assert reply.data.tenant.dismissed_steps == ["invite"]
    onboarding = (await mallory.snapshot(f"tenant:{tenant_id}")).snapshot.onboarding
    assert onboarding.finished
    await mallory.send("tenant.dismiss_step", step="invite", dismissed=False)
    assert not (await mallory.snapshot(f"tenant:{tenant_id}")).snapshot.onboarding.finished
