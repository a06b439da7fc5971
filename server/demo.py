"""The demo world: tenant acme with alice, bob, carol and gus, mallory next door, and an agency's board."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson
import structlog

from handlers.context import Principal
from handlers.identity.founding import found_tenant
from handlers.identity.members import ADMIT
from handlers.identity.passwords import Passwords
from handlers.identity.tenants import Tenant
from handlers.registry import SPECS, Spec
from server.node import Node
from storage.ids import new_id
from storage.rooms import RoomKey

log = structlog.get_logger(__name__)

PASSWORD: Final = "atrium-demo"  # noqa: S105  # printed on the page that offers the demo
PEOPLE: Final = (("alice", "owner"), ("bob", "member"), ("carol", "client"), ("gus", "guest"))
ACCOUNTS: Final = [
    {"email": f"{name}@acme.example", "name": name.capitalize(), "role": role, "password": PASSWORD}
    for name, role in PEOPLE
]

CARDS: Final = (
    # column, title, priority, type, assignees, due in days, estimate in hours
    ("To do", "Collect the open questions from the kick-off", "medium", "task", ("bob",), 2, 3),
    ("To do", "Write the copy for the pricing page", "high", "task", ("alice",), 5, 8),
    ("To do", "Check contrast and keyboard use of the new theme", "medium", "task", (), None, 5),
    ("To do", "Plan the photo shoot", "low", "task", ("bob",), 12, 4),
    ("To do", "Opening hours are wrong on the contact page", "urgent", "bug", ("alice",), 1, 1),
    ("In progress", "Design the landing page", "high", "feature", ("bob", "alice"), 3, 16),
    ("In progress", "Move the blog to the new templates", "medium", "task", ("bob",), 6, 12),
    ("In progress", "Newsletter sign-up with double opt-in", "high", "story", ("alice",), 4, 10),
    ("On hold", "Translate the case studies", "low", "task", (), 20, 20),
    ("On hold", "Map of all branches", "medium", "feature", ("bob",), None, 14),
    ("Done", "Agree on goals and budget", "high", "milestone", ("alice",), -7, 0),
    ("Done", "Interview five customers", "medium", "task", ("bob",), -4, 10),
    ("Done", "Choose a typeface", "low", "task", ("alice",), -2, 2),
)
WAITS: Final = (
    # who waits, for what, hours in between
    ("Design the landing page", "Choose a typeface", 0),
    ("Design the landing page", "Collect the open questions from the kick-off", 0),
    ("Write the copy for the pricing page", "Design the landing page", 4),
    ("Move the blog to the new templates", "Design the landing page", 0),
    ("Check contrast and keyboard use of the new theme", "Move the blog to the new templates", 0),
    ("Translate the case studies", "Write the copy for the pricing page", 24),
)


async def load(node: Node) -> bool:
    """Make the demo world where it does not exist yet; False when it does."""
    passwords = node.passwords
    async with node.db.transaction(None) as session:
        if await session.maybe("user_by_email", email=ACCOUNTS[0]["email"]):
            return False
    people = {name: await _account(node, passwords, name, "acme") for name, _ in PEOPLE}
    acme = await found_tenant(node.db, people["alice"], "Acme")
    mallory = await _account(node, passwords, "mallory", "rival")
    rival = await found_tenant(node.db, mallory, "Rival")
    alice = _principal(people["alice"], "Alice", acme)
    for name, role in PEOPLE[1:]:
        expires = datetime.now(UTC) + timedelta(days=365) if role == "guest" else None
        await _send(node, alice, ADMIT, email=f"{name}@acme.example", role=role, expires_at=expires)
    await _agency(node, alice, people)
    await _send(node, _principal(mallory, "Mallory", rival), "project.create", name="Rival plans")
    log.info("demo.loaded", tenant=acme.slug)
    return True


async def _agency(node: Node, alice: Principal, people: dict[str, UUID]) -> None:
    website = await _send(
        node, alice, "project.create", name="Website relaunch", key="WEB",
        description="A new site for the spring season.", member_ids=[people[name] for name in ("bob", "carol", "gus")],
    )  # fmt: skip
    project_id = UUID(website["project"]["id"])
    columns = await _columns(node, alice, project_id)
    cards = {}
    for column, title, priority, kind, assignees, due, hours in CARDS:
        made = await _send(
            node, alice, "task.create", title=title, column_id=columns[column], priority=priority, type=kind,
            assignee_ids=[people[name] for name in assignees], estimate_minutes=hours * 60,
            due_at=datetime.now(UTC) + timedelta(days=due) if due is not None else None,
        )  # fmt: skip
        cards[title] = made["task"]["id"]
    for title, other, hours in WAITS:
        await _send(
            node,
            alice,
            "dependency.add",
            task_id=cards[title],
            depends_on_id=cards[other],
            lag_minutes=hours * 60,
        )
    await _send(node, alice, "column.set_limit", column_id=columns["In progress"], limit=4)
    program = await _send(node, alice, "project.create", name="Spring season", key="SEA", type="program")
    inside = {"parent_id": program["project"]["id"]}
    await _send(
        node, alice, "project.update", project_id=project_id, start_on=_day(-14), end_on=_day(45), **inside
    )
    campaign = await _send(
        node, alice, "project.create", name="Spring campaign", member_ids=[people["bob"]], **inside
    )
    await _plan(node, alice, people, project_id, UUID(campaign["project"]["id"]))
    spring = await _columns(node, alice, UUID(campaign["project"]["id"]))
    for title in ("Brief the agency", "Book the billboards", "Draft three slogans"):
        await _send(node, alice, "task.create", title=title, column_id=spring["To do"])


async def _plan(node: Node, alice: Principal, people: dict[str, UUID], website: UUID, campaign: UUID) -> None:
    """What an agency plans with: a budget, who works how much on what, a template, and something that is over."""
    await _send(
        node, alice, "budget.set", project_id=website, minutes=160 * 60, amount=16_000_00, currency="EUR",
        hourly_rate=100_00,
    )  # fmt: skip
    for project_id, name, hours in ((website, "bob", 28), (website, "alice", 10), (campaign, "bob", 18)):
        await _send(
            node, alice, "allocation.add", project_id=project_id, user_id=people[name],
            minutes_per_week=hours * 60, start_on=_day(-14), end_on=_day(45),
        )  # fmt: skip
    await _send(node, alice, "template.save", project_id=website, name="Website", key="TPL")
    old = await _send(node, alice, "project.create", name="Christmas cards", key="XMAS", status="completed")
    await _send(node, alice, "project.archive", project_id=old["project"]["id"])


def _day(days: int) -> date:
    return datetime.now(UTC).date() + timedelta(days=days)


async def _account(node: Node, passwords: Passwords, name: str, domain: str) -> UUID:
    async with node.db.transaction(None) as session:
        row = await session.one(
            "create_user", id=uuid5(NAMESPACE_URL, f"https://{domain}.example/{name}"),
            email=f"{name}@{domain}.example", name=name.capitalize(), password_hash=await passwords.hash(PASSWORD),
        )  # fmt: skip
    return UUID(str(row["id"]))


def _principal(user_id: UUID, name: str, tenant: Tenant) -> Principal:
    return Principal(
        user_id=user_id, name=name, email="", tenant_id=tenant.id, tenant_name=tenant.name, tenant_slug=tenant.slug,
        role="owner", session_id=new_id(), expires_at=float("inf"),
    )  # fmt: skip


async def _columns(node: Node, alice: Principal, project_id: UUID) -> dict[str, UUID]:
    async with node.db.transaction(alice.tenant_id) as session:
        return {row["name"]: row["id"] for row in await session.many("columns_of", project_id=project_id)}


async def _send(node: Node, principal: Principal, name: str | Spec, /, **fields: Any) -> Any:
    """A command as a client would send it."""
    spec = SPECS[name] if isinstance(name, str) else name
    payload = spec.payload.model_validate({key: value for key, value in fields.items() if value is not None})
    room: RoomKey = await node.dispatcher.locator.room(spec, payload, principal, None)
    result = await node.dispatcher.submit(spec, payload, principal, room)
    return orjson.loads(result.data)
