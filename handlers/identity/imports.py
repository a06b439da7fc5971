"""Imports: many people at once, from a table.

The command writes the table down and answers. A worker of some node then goes through the rows in portions, each one
command of the tenant's room that runs as whoever began it: so its rights are those of the moment, the room is never
held for long, and a portion counts once, whatever happens to the node (see server/importer.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Final, Literal
from uuid import UUID

from pydantic import Field, PrivateAttr, model_validator

from handlers.access import Role
from handlers.context import Tx
from handlers.errors import Conflict, Forbidden, NotFound, Unauthorized, ValidationFailed, constraint
from handlers.identity import import_rows
from handlers.identity.import_rows import Flaw, Row
from handlers.identity.invitations import (
    Invitee,
    Message,
    may_share,
    refusal,
    send,
    touched,
)
from handlers.identity.members import admit
from handlers.paging import decode_cursor, encode_cursor
from handlers.registry import (
    Entity,
    Event,
    Outcome,
    Page,
    Pagination,
    Paging,
    Payload,
    Reply,
    Spec,
    Text,
    Timestamp,
    command,
    query,
)
from handlers.work.projects.members import ProjectMember, ProjectMemberAdded
from storage.ids import new_id
from storage.postgres import Row as Record
from storage.rooms import RoomKey

constraint("member_imports_running_key", "csv", "Another import of this tenant is under way")

State = Literal["running", "done", "cancelled", "failed"]
Mode = Literal["invite", "add"]


class Job(Entity):
    """An import, and how far it has come."""

    id: UUID
    mode: Mode
    dry_run: bool
    state: State
    total: int = Field(description="Rows in the table.")
    done: int = Field(description="Rows that are dealt with, for better or worse.")
    invited: int = Field(description="Rows that became an invitation, or would.")
    added: int = Field(description="Rows that became a member at once, or would.")
    failed: int = Field(description="Rows with errors; `import.get` lists them.")
    problem: str | None = Field(description="Why the import as a whole has failed.")
    created_by: UUID
    created_at: Timestamp
    finished_at: Timestamp | None


class JobProgress(Job):
    """The same, in the room of whoever began it: it leaves the list of what is under way when it is over."""

    removed: Literal[True] | None = None


class ImportProgress(Event, name="import.progress"):
    """An import that one began has come further, or is over."""

    job: JobProgress


class RowError(Entity):
    """What is wrong with one cell."""

    line: int = Field(description="Of the file; the first line is 1.")
    field: str = Field(description="The column, or `row`.")
    message: str
    value: str = Field(description="What stands there, cut to 100 characters.")


class Import(Payload):
    csv: Text = Field(
        description="The table: RFC 4180, separated by comma, semicolon or tab. Columns `email`, and if wanted `name`, "
        "`role`, `expires_at` and `projects` (keys); others are passed over. ATRIUM_IMPORT_ROWS rows at most."
    )
    dry_run: bool = Field(
        False, description="Check everything, report what would happen, and change nothing."
    )
    mode: Mode = Field(
        "invite",
        description="`add` lets people in at once who are known here, as member.add does, and invites the rest.",
    )
    role: Role = Field("member", description="For rows without a role.")
    message: Message = Field("", description="A few words for the mails.")
    _total: int = PrivateAttr(default=0)

    @model_validator(mode="after")
    def readable(self) -> "Import":
        self._total = import_rows.count(self.csv)
        return self

    @property
    def total(self) -> int:
        return self._total


class OneImport(Payload):
    import_id: UUID


class GetImport(Paging):
    import_id: UUID


class Portion(Payload):
    """The rows of an import from one on."""

    import_id: UUID
    first: int


class JobReply(Reply):
    job: Job


class ImportReport(Reply):
    """An import and the errors of its rows, by line."""

    job: Job
    errors: list[RowError]


Told = Outcome[ImportProgress, JobReply]


@command(
    "member.import",
    needs="member.export",
    rest="POST /tenants/{tenant_id}/members/import",
    room="tenant",
    status=202,
)
async def begin(tx: Tx, cmd: Import) -> Told:
    """Invite many people from a table, row by row; one import at a time.

    The reply comes at once. `import.progress` in one's own room tells how far it is, `import.get` what was wrong with
    which row. Rows with errors are left out, the others count. Needs `member.invite` too.
    """
    tx.require("member.invite")
    tx.may_give(cmd.role)
    if cmd.total > tx.settings.import_rows:
        raise ValidationFailed.field(
            "csv", f"has more than {tx.settings.import_rows} rows: cut it into pieces"
        )
    tx.changes = {"rows": cmd.total, "dry_run": cmd.dry_run, "mode": cmd.mode, "role": cmd.role}
    if await tx.value("running_import") is not None:
        raise Conflict("Another import of this tenant is under way")
    state: State = "running" if cmd.total else "done"
    scopes = sorted(tx.actor.scopes) if tx.actor.scopes is not None else None
    key_id = tx.actor.session_id if tx.actor.key_name is not None else None
    row = await tx.one(
        "create_member_import",
        cmd,
        import_id=new_id(),
        file=cmd.csv if cmd.total else "",
        state=state,
        scopes=scopes,
        key_id=key_id,
    )
    return _told(tx, row)


@query(
    "import.get", needs="member.export", rest="GET /tenants/{tenant_id}/imports/{import_id}", room="tenant"
)
async def get(tx: Tx, ask: GetImport) -> Page[ImportReport]:
    """An import, how far it has come, and the errors of its rows."""
    job = await _import(tx, ask.import_id)
    place = decode_cursor(ask.cursor, int, str) or (0, "")
    rows = await tx.many(
        "import_errors", ask, after_line=place[0], after_field=place[1], max_rows=ask.limit + 1
    )
    last = rows[ask.limit - 1] if len(rows) > ask.limit else None
    more = encode_cursor(last["line"], last["field"]) if last else None
    report = ImportReport(job=Job.of(job), errors=[RowError.of(row) for row in rows[: ask.limit]])
    return Page(report, Pagination(limit=ask.limit, next=more))


@command(
    "import.cancel",
    needs="member.export",
    rest="DELETE /tenants/{tenant_id}/imports/{import_id}",
    room="tenant",
)
async def cancel(tx: Tx, cmd: OneImport) -> Told:
    """Stop an import; what it has done so far stays done."""
    row = await _import(tx, cmd.import_id)
    stopped = await tx.maybe("end_import", cmd, state="cancelled", problem=None)
    if stopped is None:
        raise Conflict(f"This import is {row['state']}", details={"state": row["state"]})
    return _told(tx, stopped)


async def running(tx: Tx) -> list[Job]:
    """The imports that somebody has under way."""
    return [Job.of(row) for row in await tx.many("imports_of")]


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of some rows; those with errors are in neither list."""

    added: list[tuple[Row, Record]]
    invited: list[Row]
    projects: dict[str, UUID]


def portion(import_id: UUID, first: int, rows: Sequence[Row], lease: timedelta) -> tuple[Spec, Portion]:
    """The command that deals with the next rows; no client can send it."""
    return replace(PORTION, handler=partial(carry_on, rows=rows, lease=lease)), Portion(
        import_id=import_id, first=first
    )


async def carry_on(
    tx: Tx, cmd: Portion, *, rows: Sequence[Row], lease: timedelta
) -> Outcome[Event, JobReply]:
    """Deal with the next rows of an import, each for itself."""
    tx.require("member.invite")
    job = await tx.maybe("import_to_run", import_id=cmd.import_id)
    if job is None or job["done"] != cmd.first:
        raise Conflict("This import has been stopped, or is another node's now")
    if job["key_ended"]:
        raise Unauthorized("The API key that began it has ended")
    # The same rows come again when a transaction has to be tried again.
    rows = [replace(row, flaws=list(row.flaws)) for row in rows]
    plan = await _plan(tx, job, rows)
    events = await _carry_out(tx, job, plan) if not job["dry_run"] else []
    await _note_flaws(tx, cmd.import_id, [flaw for row in rows for flaw in _by_field(row)])
    counts = {
        "invited": len(plan.invited),
        "added": len(plan.added),
        "failed": sum(bool(row.flaws) for row in rows),
    }
    fresh = await tx.one("advance_import", cmd, rows=len(rows), lease=lease, **counts)
    tx.changes = {"import_id": cmd.import_id, "first": cmd.first, "rows": len(rows), **counts}
    return Outcome([*events, _progress(tx, fresh)], JobReply(job=Job.of(fresh)))


async def _plan(tx: Tx, job: Record, rows: list[Row]) -> Plan:
    """Check the rows against the tenant, and say what becomes of those that are sound."""
    _check_roles(tx, rows)
    projects = await _check_projects(tx, rows)
    emails = [row.email for row in rows if row.email]
    known = {row["email"]: row for row in await tx.many("known_addresses", emails=emails)}
    for row in rows:
        if row.email and (why := refusal(known[row.email])):
            row.wrong("email", why, row.email)
    sound = [row for row in rows if not row.flaws]
    people: dict[str, Record] = {}
    if job["mode"] == "add":
        found = await tx.many(
            "known_people", emails=[row.email for row in sound], open_directory=tx.settings.open_directory
        )
        people = {person["email"]: person for person in found}
    return Plan(
        added=[(row, people[row.email]) for row in sound if row.email in people],
        invited=[row for row in sound if row.email not in people],
        projects=projects,
    )


async def _carry_out(tx: Tx, job: Record, plan: Plan) -> list[Event]:
    events: list[Event] = []
    if plan.invited:
        invitees = [
            Invitee(row.email, row.role, row.expires_at, _parts(plan, row), row.name) for row in plan.invited
        ]
        await send(tx, invitees, message=job["message"])
        events.append(touched(tx))
    if plan.added:
        await tx.many("lock_rooms", room_ids=list(plan.projects.values()))
        for row, person in plan.added:
            events += await admit(tx, person, row.role, row.expires_at)
            events += [await _take_part(tx, person["id"], plan.projects[key]) for key in row.projects]
        await tx.rights_changed()
    return events


async def _take_part(tx: Tx, user_id: UUID, project_id: UUID) -> ProjectMemberAdded:
    member = await tx.one("set_project_member", user_id=user_id, project_id=project_id, role=None)
    event = ProjectMemberAdded(member=ProjectMember.of(member))
    return event.to(RoomKey(tx.room.tenant_id, "project", project_id))


def _check_roles(tx: Tx, rows: list[Row]) -> None:
    refused: set[Role] = set()
    for role in {row.role for row in rows}:
        try:
            tx.may_give(role)
        except Forbidden:
            refused.add(role)
    for row in rows:
        if row.role in refused:
            row.wrong("role", "is not yours to give", row.role)


async def _check_projects(tx: Tx, rows: list[Row]) -> dict[str, UUID]:
    keys = {key for row in rows for key in row.projects}
    found = (
        {row["key"]: row["id"] for row in await tx.many("projects_by_key", keys=list(keys))} if keys else {}
    )
    shared = {key: project_id for key, project_id in found.items() if await may_share(tx, project_id, None)}
    for row in rows:
        if strange := [key for key in row.projects if key not in shared]:
            row.wrong("projects", "is no project of yours to share", strange[0])
    return shared


async def _note_flaws(tx: Tx, import_id: UUID, flaws: list[Flaw]) -> None:
    if flaws:
        await tx.exec(
            "add_import_errors",
            import_id=import_id,
            lines=[flaw.line for flaw in flaws],
            fields=[flaw.field for flaw in flaws],
            messages=[flaw.message for flaw in flaws],
            of_values=[flaw.value for flaw in flaws],
        )


def _by_field(row: Row) -> list[Flaw]:
    """One flaw for each cell, with all that is wrong with it."""
    cells: dict[str, Flaw] = {}
    for flaw in row.flaws:
        before = cells.get(flaw.field)
        cells[flaw.field] = replace(before, message=f"{before.message}; {flaw.message}") if before else flaw
    return list(cells.values())


def _parts(plan: Plan, row: Row) -> list[dict[str, str | None]]:
    return [{"project_id": str(plan.projects[key]), "role": None} for key in row.projects]


def _progress(tx: Tx, row: Record) -> ImportProgress:
    over = {} if row["state"] == "running" else {"removed": True}
    event = ImportProgress(job=JobProgress(**dict(row), **over))
    return event.to(RoomKey(tx.room.tenant_id, "user", row["created_by"]))


def _told(tx: Tx, row: Record) -> Told:
    return Outcome([_progress(tx, row)], JobReply(job=Job.of(row)))


async def _import(tx: Tx, import_id: UUID) -> Record:
    row = await tx.maybe("member_import", import_id=import_id)
    if row is None:
        raise NotFound("There is no such import")
    return row


PORTION: Final = Spec(
    kind="command", name="import.portion", payload=Portion, returns=None, handler=carry_on, needs="member.export", doc="", room="tenant",
)  # fmt: skip
"""A command that no client can send: the worker runs it."""
