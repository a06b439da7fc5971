"""Sessions: where one is signed in, and how to end that."""

import re
from typing import Final
from uuid import UUID

from pydantic import Field

from handlers.context import Edge
from handlers.errors import NotFound
from handlers.identity.entry import Method
from handlers.identity.people import Done, Nothing
from handlers.identity.signin import end_sessions, raise_rights
from handlers.registry import Entity, Payload, Reply, Timestamp, endpoint
from storage.postgres import Row

MAX_SESSIONS: Final = 100
"""The list shows the sessions that were used last (count)."""

# The first that fits, for a browser also says what it is made from.
PROGRAMS: Final = (
    ("Edge", r"Edg(?:e|A|iOS)?/(\d+)"), ("Opera", r"OPR/(\d+)"), ("Samsung Internet", r"SamsungBrowser/(\d+)"),
    ("Firefox", r"(?:Firefox|FxiOS)/(\d+)"), ("Chrome", r"(?:Chrome|CriOS)/(\d+)"),
    ("Safari", r"Version/(\d+)[\d.]* (?:Mobile/\S+ )?Safari"),
)  # fmt: skip
SYSTEMS: Final = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows NT"),
    ("macOS", "Mac OS X|Macintosh"), ("ChromeOS", "CrOS"), ("Linux", "Linux|X11"),
)  # fmt: skip


class SignIn(Entity):
    """One session: one sign-in on one device."""

    id: UUID
    method: Method = Field(description="What it was opened with.")
    second_factor_at: Timestamp | None = Field(
        description="When a second factor was last given in it; null where none was."
    )
    device: str = Field(description="Such as `Firefox 145 on Windows`.")
    user_agent: str
    address: str = Field(description="The network address that it was last used from.")
    created_at: Timestamp
    last_used_at: Timestamp = Field(description="When its tokens were last renewed.")
    expires_at: Timestamp
    current: bool = Field(description="Whether it is the one that asks.")


class SignIns(Reply):
    """The sessions that were used last, 100 at most."""

    sessions: list[SignIn]


class EndSession(Payload):
    session_id: UUID


@endpoint("auth.list_sessions", rest="GET /auth/sessions", bound=True)
async def list_sessions(edge: Edge, ask: Nothing) -> SignIns:
    """Where one is signed in, the last used first."""
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        rows = await session.many(
            "sessions_of", user_id=account.user_id, bound_to=account.bound_to, max_sessions=MAX_SESSIONS
        )
    return SignIns(sessions=[_sign_in(row, account.session_id) for row in rows])


@endpoint("auth.end_session", rest="DELETE /auth/sessions/{session_id}", bound=True)
async def end_session(edge: Edge, cmd: EndSession) -> Done:
    """Sign out one of one's sessions: its tokens end, and its sockets are closed at once."""
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        if not await session.maybe(
            "revoke_own_session", cmd, user_id=account.user_id, bound_to=account.bound_to, reason="revoked"
        ):
            raise NotFound("There is no such session")
        changes = await raise_rights(session, account.user_id)
    edge.rights_changed(changes)
    return Done()


@endpoint("auth.end_other_sessions", rest="DELETE /auth/sessions")
async def end_other_sessions(edge: Edge, cmd: Nothing) -> Done:
    """Sign out everywhere else."""
    account = edge.signed_in()
    async with edge.db.transaction(None) as session:
        changes = await end_sessions(session, account.user_id, "revoked", but=account.session_id)
    edge.rights_changed(changes)
    return Done()


def device(user_agent: str) -> str:
    """`Mozilla/5.0 (Windows NT 10.0; …) Gecko/20100101 Firefox/145.0` -> `Firefox 145 on Windows`."""
    found = ((name, re.search(pattern, user_agent)) for name, pattern in PROGRAMS)
    program = next((f"{name} {match[1]}" for name, match in found if match), "")
    system = next((name for name, pattern in SYSTEMS if re.search(pattern, user_agent)), "")
    if program and system:
        return f"{program} on {system}"
    other = re.match(r"[\w .+-]{1,40}(?:/[\d.]{1,20})?", user_agent)
    return program or system or (other[0].strip() if other else "") or "unknown"


def _sign_in(row: Row, current: UUID) -> SignIn:
    return SignIn(**dict(row), device=device(row["user_agent"]), current=row["id"] == current)
