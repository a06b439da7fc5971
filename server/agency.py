"""What the demo tenant works on: the projects of a small agency, as they look in the middle of a season.

Every line is a command that a client could have sent, as the person who would send it, so that rooms, history and
activity look as they do after some weeks of work.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

from storage.rooms import RoomKey

Send = Callable[..., Awaitable[Any]]
"""`await send("bob", "task.create", room=None, **fields)` gives the reply's data."""

ZONE: Final = "Europe/Berlin"

WEBSITE: Final = (
    # column, title, priority, type, assignees, due in days, hours, labels, tags
    ("To do", "Collect the open questions from the kick-off", "medium", "task", ("bob",), 2, 3, ("Client",), ()),
    ("To do", "Write the copy for the pricing page", "high", "task", ("alice",), 5, 8, ("Copy",), ("pricing",)),
    ("To do", "Check contrast and keyboard use of the new theme", "medium", "task", (), None, 5, ("Design",), ("a11y",)),
    ("To do", "Plan the photo shoot", "low", "task", ("bob",), 12, 4, ("Client", "Design"), ()),
    ("To do", "Opening hours are wrong on the contact page", "urgent", "bug", ("alice",), 1, 1, ("Copy",), ("live",)),
    ("In progress", "Design the landing page", "high", "feature", ("bob", "alice"), 3, 16, ("Design",), ("hero",)),
    ("In progress", "Move the blog to the new templates", "medium", "task", ("bob",), 6, 12, ("Code",), ()),
    ("In progress", "Newsletter sign-up with double opt-in", "high", "story", ("alice",), 4, 10, ("Code",), ("mail",)),
    ("On hold", "Translate the case studies", "low", "task", (), 20, 20, ("Copy",), ()),
    ("On hold", "Map of all branches", "medium", "feature", ("bob",), None, 14, ("Code",), ()),
    ("Done", "Agree on goals and budget", "high", "milestone", ("alice",), -7, 0, ("Client",), ()),
    ("Done", "Interview five customers", "medium", "task", ("bob",), -4, 10, ("Client",), ("research",)),
    ("Done", "Choose a typeface", "low", "task", ("alice",), -2, 2, ("Design",), ()),
)  # fmt: skip
LABELS: Final = (("Design", "#7c4dff"), ("Copy", "#0a8f6a"), ("Code", "#2f6fed"), ("Client", "#d9730d"))
WAITS: Final = (
    # who waits, for what, hours in between
    ("Design the landing page", "Choose a typeface", 0),
    ("Design the landing page", "Collect the open questions from the kick-off", 0),
    ("Write the copy for the pricing page", "Design the landing page", 4),
    ("Move the blog to the new templates", "Design the landing page", 0),
    ("Check contrast and keyboard use of the new theme", "Move the blog to the new templates", 0),
    ("Translate the case studies", "Write the copy for the pricing page", 24),
)
CHECKLIST: Final = (
    "Hero with one clear offer",
    "Three proofs",
    "Prices in one table",
    "Footer with the imprint",
)
TALK: Final = (
    # task, who, what
    ("Design the landing page", "bob", "First draft is up, prices are still **open**: one table, or cards?"),
    ("Design the landing page", "carol", "We like the second hero. Please keep the photo with the bridge."),
    ("Design the landing page", "alice", "One table then, yearly first. I take the prices."),
    ("Opening hours are wrong on the contact page", "carol", "It says we close at 17:00 on Saturdays, which is *very* wrong."),
    ("Map of all branches", "bob", "Waiting for the list of addresses."),
)  # fmt: skip

APP: Final = (
    # title, type, priority, hours; the first are in the sprint that runs
    ("Tour player keeps its place", "bug", "high", 4),
    ("Audio for the harbour hall", "feature", "high", 12),
    ("Tickets in the wallet", "story", "medium", 16),
    ("Large type follows the device", "task", "medium", 5),
    ("Map of the quay works offline", "feature", "medium", 10),
    ("Crash on old tablets at the entrance", "bug", "urgent", 6),
    ("Children's trail, eleven stops", "epic", "medium", 40),
    ("Search for exhibits", "story", "medium", 14),
    ("Opening hours from the museum's calendar", "task", "low", 6),
    ("Feedback after a tour", "story", "low", 8),
    ("Plain-language texts", "task", "medium", 12),
    ("Beacon batteries report themselves", "feature", "low", 9),
)
IN_SPRINT: Final = 6
SERVICE: Final = (
    # title, days until due, rule
    ("Back-up check of all sites", 3, "FREQ=WEEKLY;BYDAY=MO"),
    ("Invoice the hosting", 9, "FREQ=MONTHLY;BYMONTHDAY=1"),
    ("Review access rights with each client", 30, "FREQ=MONTHLY;INTERVAL=3"),
)


@dataclass(slots=True)
class Agency:
    """One telling of the story."""

    send: Send
    tenant_id: UUID
    people: dict[str, UUID]

    async def tell(self) -> None:
        season = await self._project("alice", name="Spring season", key="SEA", type="program")
        client = await self.send(
            "alice", "unit.create", kind="client", name="Harbour Museum", colour="#1f7a8c"
        )
        website = await self._project(
            "alice", name="Website relaunch", key="WEB", description="A new site for the spring season.",
            parent_id=season, start_on=_day(-14), end_on=_day(45), progress_by="estimate",
            member_ids=[self.people[name] for name in ("bob", "carol", "gus")],
        )  # fmt: skip
        cards = await self._website(website)
        await self._talk(cards)
        campaign = await self._project(
            "alice", name="Spring campaign", parent_id=season, start_on=_day(-3), end_on=_day(30),
            member_ids=[self.people["bob"]],
        )  # fmt: skip
        columns = await self._columns(campaign)
        for title in ("Brief the agency", "Book the billboards", "Draft three slogans"):
            await self.send("alice", "task.create", title=title, column_id=columns["To do"])
        app = await self._project(
            "alice", name="Harbour Museum app", key="MUS", unit_id=client["unit"]["id"],
            description="An audio guide for visitors.", start_on=_day(-40), end_on=_day(80), owner_id=self.people["bob"],
            member_ids=[self.people["bob"]],
        )  # fmt: skip
        await self._app(app)
        await self._service()
        await self._plan(website, campaign, app)
        await self.send("alice", "template.save", project_id=website, name="Website", key="TPL")
        old = await self._project("alice", name="Christmas cards", key="XMAS", status="completed")
        await self.send("alice", "project.archive", project_id=old)

    async def _project(self, who: str, **fields: Any) -> UUID:
        made = await self.send(who, "project.create", **fields)
        return UUID(made["project"]["id"])

    async def _columns(self, project_id: UUID) -> dict[str, str]:
        found = await self.send("alice", "room.snapshot", room=self._room(project_id))
        return {column["name"]: column["id"] for column in found["snapshot"]["columns"]}

    def _room(self, project_id: UUID) -> RoomKey:
        return RoomKey(self.tenant_id, "project", project_id)

    async def _website(self, project_id: UUID) -> dict[str, str]:
        room, columns = self._room(project_id), await self._columns(project_id)
        labels = {}
        for name, colour in LABELS:
            made = await self.send("alice", "label.create", room=room, name=name, colour=colour)
            labels[name] = made["label"]["id"]
        await self.send(
            "alice", "field.create", project_id=project_id, key="page", name="Page", type="select",
            options=["Home", "Pricing", "Blog", "Contact"],
        )  # fmt: skip
        cards: dict[str, str] = {}
        for column, title, priority, kind, assignees, due, hours, marks, tags in WEBSITE:
            made = await self.send(
                "alice", "task.create", title=title, column_id=columns[column], priority=priority, type=kind,
                assignee_ids=[self.people[name] for name in assignees], estimate_minutes=hours * 60,
                due_at=_evening(due) if due is not None else None, time_zone=ZONE, all_day=due is not None,
                label_ids=[labels[mark] for mark in marks], tags=list(tags),
            )  # fmt: skip
            cards[title] = made["task"]["id"]
        for title, other, hours in WAITS:
            await self.send(
                "alice", "dependency.add", task_id=cards[title], depends_on_id=cards[other], lag_minutes=hours * 60
            )  # fmt: skip
        await self.send("alice", "column.set_limit", column_id=columns["In progress"], limit=4)
        await self._details(project_id, cards, columns)
        return cards

    async def _details(self, project_id: UUID, cards: dict[str, str], columns: dict[str, str]) -> None:
        """What makes a board more than cards: a checklist, an approval, a reminder, a view, a rule."""
        landing = cards["Design the landing page"]
        made = await self.send(
            "bob", "checklist.create", task_id=landing, name="On the page", items=list(CHECKLIST)
        )
        first = made["checklist_items"][0]["id"]
        await self.send("bob", "checklist.tick", task_id=landing, item_id=first)
        for title, page in (
            ("Write the copy for the pricing page", "Pricing"),
            ("Map of all branches", "Contact"),
        ):
            await self.send("alice", "task.update", task_id=cards[title], changes={"fields": {"page": page}})
        await self.send(
            "alice", "task.request_approval", task_id=landing, approver_ids=[self.people["carol"]],
            note="The draft as of today.",
        )  # fmt: skip
        await self.send("bob", "reminder.add", task_id=landing, before_minutes=24 * 60)
        await self.send(
            "alice", "view.create", project_id=project_id, name="Due this week", shared=True, layout="list",
            filter={"and": [{"field": "open", "op": "eq", "value": True},
                            {"field": "due_at", "op": "lt", "value": {"days": 7}}]},
            sort=[{"field": "due_at"}],
        )  # fmt: skip
        await self.send(
            "alice", "rule.create", room=self._room(project_id), name="Urgent bugs go to Alice",
            when={"on": "task.created"},
            condition={"and": [{"field": "type", "op": "eq", "value": "bug"},
                            {"field": "priority", "op": "eq", "value": "urgent"}]},
            then=[{"do": "assign", "user_ids": [str(self.people["alice"])]}],
        )  # fmt: skip

    async def _talk(self, cards: dict[str, str]) -> None:
        last: dict[str, str] = {}
        for title, who, body in TALK:
            made = await self.send(
                who, "comment.add", task_id=cards[title], body=body, parent_id=last.get(title)
            )
            last.setdefault(title, made["comment"]["id"])
        draft = last["Design the landing page"]
        for who in ("alice", "carol"):
            await self.send(
                who, "comment.react", task_id=cards["Design the landing page"], comment_id=draft, emoji="\U0001f44d"
            )  # fmt: skip

    async def _app(self, project_id: UUID) -> None:
        """A project that works in sprints: one that is over, one that runs, and a backlog."""
        columns = await self._columns(project_id)
        tasks = []
        for title, kind, priority, hours in APP:
            made = await self.send(
                "alice", "task.create", title=title, column_id=columns["To do"], type=kind, priority=priority,
                estimate_minutes=hours * 60, assignee_ids=[self.people["bob"]] if hours < 10 else [],
            )  # fmt: skip
            tasks.append(made["task"]["id"])
        story = await self.send(
            "alice", "task.create", title="Trail", column_id=columns["To do"], type="epic"
        )
        for stop in ("The crane", "The fish hall", "The lighthouse"):
            await self.send(
                "alice", "task.create", title=f"Stop: {stop}", column_id=columns["To do"],
                parent_id=story["task"]["id"],
            )  # fmt: skip
        sprint = await self.send(
            "alice", "sprint.create", project_id=project_id, name="Sprint 4", goal="The tour works without a signal",
            start_on=_day(-5), end_on=_day(9), capacity_minutes=60 * 60,
        )  # fmt: skip
        sprint_id = sprint["sprint"]["id"]
        await self.send(
            "alice",
            "sprint.add_tasks",
            project_id=project_id,
            sprint_id=sprint_id,
            task_ids=tasks[:IN_SPRINT],
        )
        await self.send("alice", "sprint.start", project_id=project_id, sprint_id=sprint_id)
        await self.send("alice", "sprint.create", project_id=project_id, name="Sprint 5")
        await self.send("bob", "task.move", task_id=tasks[0], column_id=columns["Done"])
        await self.send("bob", "task.move", task_id=tasks[5], column_id=columns["In progress"])

    async def _service(self) -> None:
        """What comes back every week and month."""
        project_id = await self._project(
            "alice", name="Client service", key="SRV", description="Care for what is live.",
            member_ids=[self.people["bob"]],
        )  # fmt: skip
        columns = await self._columns(project_id)
        for title, due, rule in SERVICE:
            made = await self.send(
                "alice", "task.create", title=title, column_id=columns["To do"], due_at=_evening(due), time_zone=ZONE,
                all_day=True, assignee_ids=[self.people["bob"]],
            )  # fmt: skip
            await self.send(
                "alice", "task.set_recurrence", task_id=made["task"]["id"], rule=rule, time_zone=ZONE
            )

    async def _plan(self, website: UUID, campaign: UUID, app: UUID) -> None:
        """Money, hours, and who works how much on what: Bob is planned for more than he has."""
        await self.send(
            "alice", "budget.set", project_id=website, minutes=160 * 60, amount=16_000_00, currency="EUR",
            hourly_rate=100_00,
        )  # fmt: skip
        for project_id, name, hours in (
            (website, "bob", 24),
            (website, "alice", 10),
            (campaign, "bob", 8),
            (app, "bob", 16),
        ):
            await self.send(
                "alice", "allocation.add", project_id=project_id, user_id=self.people[name],
                minutes_per_week=hours * 60, start_on=_day(-14), end_on=_day(45),
            )  # fmt: skip


def _day(days: int) -> date:
    return datetime.now(UTC).date() + timedelta(days=days)


def _evening(days: int) -> datetime:
    return datetime.combine(_day(days), time(18), UTC)
