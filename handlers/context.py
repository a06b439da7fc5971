"""What a handler is given: who asks, in which room, and a transaction to do it in."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypedDict
from uuid import UUID

from typing_extensions import Unpack

from handlers import evidence
from handlers.access import Rights, Role, above, permissions_of
from handlers.errors import Forbidden, Unauthorized, VersionConflict
from handlers.identity.oidc.client import OidcClient
from handlers.identity.passwords import Passwords
from handlers.identity.tokens import Tokens
from handlers.identity.vault import Vault
from handlers.registry import Entity, Payload, Spec
from storage.postgres import Database, Row, Session
from storage.rooms import RoomKey, timestamp
from storage.settings import Settings


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call comes from: the address of the client, and what program it says it is."""

    address: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in person in one tenant. Rights are not kept here: they are read with every command."""

    user_id: UUID
    name: str
    email: str
    tenant_id: UUID
    tenant_name: str
    tenant_slug: str
    role: Role
    session_id: UUID
    expires_at: float
    """When the token expires (seconds since the epoch)."""
    member_until: datetime | None = None
    """When the membership ends by itself, by the clock of Postgres."""
    clock_ahead: float = 0.0
    """How far that clock was ahead of this node's when this was read (seconds)."""
    rights_seq: int = 0
    """The tenant's number of changes of rights when this was read."""
    scopes: frozenset[str] | None = None
    """The permissions that the credential is limited to; None where it is not."""
    key_name: str | None = None
    """The name of the API key whose id `session_id` is; None for a session."""
    origin: Origin = Origin()
    impersonator_id: UUID | None = None
    """The platform administrator who acts as this person."""
    authority: Rights | None = None
    """Rights that an endpoint has established itself: for who acts upon a tenant without being a member of it, or
    while it is out of use. They stand in place of those of a membership."""


@dataclass(slots=True)
class Tx:
    """One command or query on its way through one transaction.

    `one`, `maybe`, `many`, `value` and `exec` run a named statement. Its parameters are taken from the
    keywords, then from the context (`tenant_id`, `room_id`, `project_id`, `actor_id`, `now`), then from the
    payload given as second argument.
    """

    session: Session
    room: RoomKey
    actor: Principal
    rights: Rights
    now: datetime
    settings: Settings
    command_id: UUID | None = None
    expected_version: int | None = None
    vault: Vault | None = None
    """Seals secrets that have to be read again; queries have no use for it."""
    values: dict[str, Any] = field(default_factory=dict)
    window: int = 500
    """Tasks per column that a snapshot holds where the caller names no number."""
    place: Any = None
    """Where this page of an export begins: what the page before gave as `next`."""
    head: int = 0
    """The number of the room's last event before this command; for one of several that are carried out together, before
    the first of them."""
    ahead: list[Row] | None = None
    """What was read for this command when its room was opened; None where nothing was, or where it may be old."""
    resource: str = ""
    """What the audit log calls the thing that this command is about; empty for what payload and events tell."""
    changes: Mapping[str, Any] | None = None
    """The fields that the audit log shows; None for those of the payload. Secrets in it are hidden by their names."""

    def __post_init__(self) -> None:
        self.now = self.now.astimezone(UTC)
        self.values.update(
            tenant_id=self.room.tenant_id, room_id=self.room.id, actor_id=self.actor.user_id, now=self.now
        )
        if self.room.kind == "project":
            self.values["project_id"] = self.room.id

    async def one(self, statement: str, payload: object = None, /, **params: Any) -> Row:
        return await self.session.one(statement, payload, **{**self.values, **params})

    async def maybe(self, statement: str, payload: object = None, /, **params: Any) -> Row | None:
        return await self.session.maybe(statement, payload, **{**self.values, **params})

    async def many(self, statement: str, payload: object = None, /, **params: Any) -> list[Row]:
        return await self.session.many(statement, payload, **{**self.values, **params})

    async def value(self, statement: str, payload: object = None, /, **params: Any) -> Any:
        return await self.session.value(statement, payload, **{**self.values, **params})

    async def exec(self, statement: str, payload: object = None, /, **params: Any) -> None:
        await self.session.exec(statement, payload, **{**self.values, **params})

    def defer(self, statement: str, payload: object = None, /, **params: Any) -> None:
        """Run a statement together with the commit, or before the next one that is run."""
        self.session.defer(statement, payload, **{**self.values, **params})

    async def rights_changed(self) -> None:
        """Say that this command changes who may do what: every node checks its sockets before it goes on."""
        self.session.values["rights_seq"] = await self.value("raise_rights")

    def seal(self, use: str, owner: UUID, secret: str) -> bytes:
        """A secret as it may be stored: for this use by this owner only."""
        if self.vault is None:
            raise RuntimeError("only commands seal secrets")
        return self.vault.seal(use, owner, secret.encode())

    def require(self, permission: str) -> None:
        if not self.rights.allow(permission):
            raise Forbidden(f"This needs the permission {permission}", details={"permission": permission})

    def may_give(
        self,
        role: Role,
        allowed: Iterable[str] | None = None,
        denied: Iterable[str] | None = None,
        *,
        before: frozenset[str] = frozenset(),
    ) -> None:
        """Nobody gives a role above his own, nor a permission that he does not have.

        `allowed` and `denied` are the permissions beside the role, `before` what the person may do already.
        """
        if above(role, self.rights.own_role):
            raise Forbidden(f"Only somebody who is {role} can make another", details={"role": role})
        given = permissions_of(role, tuple(allowed or ()), tuple(denied or ())) - before
        if missing := sorted(given - self.rights.to_give):
            raise Forbidden(
                "Nobody gives a permission that he does not have", details={"permissions": missing}
            )

    def may_change(
        self, role: Role, allowed: Iterable[str] | None = None, denied: Iterable[str] | None = None
    ) -> None:
        """Nobody changes the rights of somebody whose role is above his own, or who may do what he may not."""
        if above(role, self.rights.own_role):
            raise Forbidden(f"Only somebody who is {role} can change another", details={"role": role})
        more = sorted(permissions_of(role, tuple(allowed or ()), tuple(denied or ())) - self.rights.own)
        if more:
            raise Forbidden("This person may do more than you", details={"permissions": more})

    def may_lift(self, user_id: UUID, before: Iterable[str] | None, after: Iterable[str] | None) -> None:
        """Nobody lifts what is denied to himself: it counts in projects too, where his role may be another."""
        if user_id == self.actor.user_id and (lifted := sorted({*(before or ())} - {*(after or ())})):
            raise Forbidden("Nobody lifts what is denied to himself", details={"permissions": lifted})

    def check_version(self, current: Row, entity: type[Entity]) -> None:
        """Refuse to overwrite what the caller has not seen; the room lock makes the comparison safe."""
        if self.expected_version is None or current["version"] == self.expected_version:
            return
        row = dict(current)
        raise VersionConflict(
            f"Version {self.expected_version} is old: it is at version {row['version']}",
            details={
                "current": entity.of(current).model_dump(mode="json", exclude_unset=True),
                "changed_by": {
                    "id": row["updated_by"],
                    "name": row["updated_by_name"],
                    "at": timestamp(row["updated_at"]),
                },
            },
        )


@dataclass(frozen=True, slots=True)
class Account:
    """A signed-in person, in a tenant or in none yet."""

    user_id: UUID
    session_id: UUID
    tenant_id: UUID | None
    bound_to: UUID | None = None
    """The only tenant that this session may work in: a provider of that tenant has opened it."""
    impersonator_id: UUID | None = None
    """The platform administrator who acts as this person."""


class About(TypedDict, total=False):
    """What the audit log says of one call of an endpoint, beyond who calls what from where; see `Edge.about`."""

    tenant_id: UUID | None
    person: UUID | None
    actor_id: UUID | None
    session_id: UUID | None
    resource: str
    changes: Mapping[str, Any] | None
    was: Mapping[str, Any] | None


@dataclass(slots=True)
class Edge:
    """What an endpoint is given: the services of the server, and who calls from where."""

    db: Database
    settings: Settings
    passwords: Passwords
    tokens: Tokens
    account: Account | None
    origin: Origin
    rights_changed: Callable[[dict[UUID, int]], None]
    """Tells every node that the rights of a person have changed in these tenants, up to these numbers."""
    submit: Callable[[Spec, Payload, Principal], Awaitable[Any]]
    """Runs a command in the room of a principal's tenant, or in his own, for what an endpoint changes there."""
    wake_outbox: Callable[[], None]
    """Says that mails were queued, so that they leave at once; without it they leave a little later."""
    oidc: OidcClient
    vault: Vault
    inspect: Callable[[Mapping[str, Any]], Awaitable[list[Any]]]
    """Asks every node about its rooms and connections; see `server.inspection`."""
    from_page: bool = False
    """Whether a script of an allowed origin calls: no other site can send such a request in a browser."""
    cookie: str | None = None
    """The refresh token that came as a cookie; it counts only after `require_page`."""
    cookies: Mapping[str, str] = field(default_factory=dict)
    """All that came."""
    new_cookies: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Name -> value and life (seconds) of cookies to set, HttpOnly and SameSite=Lax; a life of 0 removes one."""
    new_cookie: str | None = None
    """The refresh token to set as a cookie; empty to remove it, None to leave it alone."""
    call: str = ""
    """The endpoint's name: the action of its audit entry."""
    payload: Payload | None = None
    facts: About = field(default_factory=About)
    noted: str | None = None
    """The outcome that the audit log has of this call already."""

    def signed_in(self) -> Account:
        if self.account is None:
            raise Unauthorized("Sign in first")
        return self.account

    def require_page(self) -> None:
        """Refuse to use or set a cookie for a request that another site may have caused (CSRF)."""
        if not self.from_page:
            raise Forbidden(
                "Cookies are for pages: send the header X-Requested-With, from an allowed Origin",
                details={"header": "X-Requested-With"},
            )

    def about(self, **facts: Unpack[About]) -> None:
        """Say what the audit entry of this call will tell; it is written even when the handler fails after this.

        `tenant_id`: the tenant whose log gets it (`evidence.INSTANCE` for the instance's). `person`: every tenant
        that this person belongs to gets it instead. With neither: the tenant of the token, or where it names none
        every tenant of the caller, or the instance. `actor_id`, `session_id`: where nobody is signed in yet.
        `resource`: such as `session:<id>`. `changes`, `was`: fields and their values; unset: the payload, without
        its secrets. Fields with secret names are hidden.
        """
        self.facts.update(facts)

    async def note(self, session: Session, *, outcome: str = evidence.OK, **facts: Unpack[About]) -> None:
        """Write the audit entry of this call now, in the transaction of the fact that it tells of; see `about`.

        An endpoint that does not is noted when it ends, before its answer goes out.
        """
        self.about(**facts)
        self.noted = outcome
        known, account = self.facts, self.account
        tenant_id, person = known.get("tenant_id"), known.get("person")
        if tenant_id is None and person is None and account is not None:
            tenant_id, person = account.tenant_id, account.user_id
        changes, was = known.get("changes"), known.get("was")
        if changes is None and self.payload is not None:
            changed: str | None = evidence.changes(
                self.payload, self.payload.model_dump_json(exclude_unset=True)
            )
        else:
            changed = evidence.bounded(changes) if changes else None
        await evidence.record(
            session, tenant_id=tenant_id, person=person, action=self.call, outcome=outcome,
            actor_id=known.get("actor_id") or (account.user_id if account else None),
            impersonator_id=account.impersonator_id if account else None,
            session_id=known.get("session_id") or (account.session_id if account else None),
            resource=known.get("resource", ""), address=self.origin.address, user_agent=self.origin.user_agent,
            changes=changed, was=evidence.bounded(was) if was else None,
        )  # fmt: skip
