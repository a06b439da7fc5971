"""Profiles: what people say of themselves and how they like things.

A person exists once, and her name is shown in every tenant that she works for. A change is written together with
its events in the tenant of the caller's token; then every other tenant is told in its own transaction. Each tenant
notes which version it was told of. One that could not be told at once shows the new name in fresh snapshots already,
and its rooms hear of it when the person next signs in or renews her token.
"""

from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from pydantic import Field

from handlers.access import Role
from handlers.context import Edge, Principal, Tx
from handlers.errors import AtriumError, ValidationFailed, constraint
from handlers.identity.members import Member, MemberUpdated, MemberWas
from handlers.identity.people import (
    AvatarUrl,
    Language,
    Phone,
    Preferences,
    Profile,
    Theme,
    Timezone,
    Username,
)
from handlers.registry import Entity, Event, Name, Payload, Reply, Spec, endpoint
from storage.postgres import Row, Session
from storage.rooms import RoomKey

log = structlog.get_logger(__name__)

constraint("profiles_username_key", "username", "is taken")

CLEARABLE: Final = frozenset({"username", "avatar_url", "phone"})
"""What one may do without: null takes it away."""


class ProfileWas(Entity):
    """The values that changed fields had before."""

    name: str | None = None
    username: str | None = None
    avatar_url: str | None = None
    phone: str | None = None
    timezone: str | None = None
    language: str | None = None
    theme: Theme | None = None
    notification_preferences: dict[str, Any] | None = None
    dashboard_preferences: dict[str, Any] | None = None


class ProfileUpdated(Event, name="profile.updated"):
    """One's own profile changed, in this window or in another; it comes to one's own room only."""

    user: Profile
    was: ProfileWas


class ProjectMemberName(Entity):
    id: UUID
    name: str


class ProjectMemberRenamed(Event, name="project.member_renamed"):
    """Somebody who takes part in the project goes by another name."""

    member: ProjectMemberName


class UpdateProfile(Payload):
    """Fields that are left out stay as they are; null takes username, picture and phone away."""

    name: Name | None = Field(None, description="How others see one, in every tenant.")
    username: Username | None = Field(None, description="Unique on this server; upper case is folded.")
    avatar_url: AvatarUrl | None = Field(None, description="A picture, from https://.")
    phone: Phone | None = Field(None, description="E.164: +41441234567.")
    timezone: Timezone | None = Field(None, description="IANA name: Europe/Zurich.")
    language: Language | None = Field(None, description="BCP 47 tag: de, pt-BR.")
    theme: Theme | None = None
    notification_preferences: Preferences | None = Field(
        None, description="An object that clients agree on, replaced as a whole; 16 KiB at most."
    )
    dashboard_preferences: Preferences | None = Field(None, description="The same, for the dashboard.")


class Follow(Payload):
    """Tell a tenant of its member's profile as it is now."""

    shown: bool = True
    """Whether what others see may have changed."""


class ProfileReply(Reply):
    user: Profile


@endpoint("auth.update_profile", rest="PUT /auth/me", bound=True)
async def update(edge: Edge, cmd: UpdateProfile) -> ProfileReply:
    """Change one's own profile.

    One's other windows get `profile.updated`. Where name or picture change, every tenant one works for gets
    `member.updated`, and its projects `project.member_renamed`.
    """
    account = edge.signed_in()
    nulls = [n for n in cmd.model_fields_set - CLEARABLE if getattr(cmd, n) is None]
    if nulls:
        raise ValidationFailed.field(nulls[0], "must not be null: leave it out")
    async with edge.db.transaction(None) as session:
        tenants = {row["tenant_id"]: row for row in await session.many("memberships", user_id=account.user_id)
                   if row["tenant_status"] == "active"}  # fmt: skip
    here = tenants.get(account.tenant_id) if account.tenant_id else None
    if here is not None:
        await edge.submit(WRITE, cmd, _principal(edge, account.user_id, here))
    else:
        async with edge.db.transaction(None) as session:
            await _write(session, account.user_id, cmd)
    await follow_everywhere(edge, account.user_id, shown=not cmd.model_fields_set.isdisjoint(SHOWN))
    async with edge.db.transaction(None) as session:
        return ProfileReply(user=Profile.of(await session.one("profile", user_id=account.user_id)))


SHOWN: Final = frozenset({"name", "avatar_url"})
"""What others see of a profile."""


async def follow_everywhere(edge: Edge, user_id: UUID, *, shown: bool = True) -> None:
    """Tell every tenant that has not been told of the last change; one that cannot be told now is told later."""
    async with edge.db.transaction(None) as session:
        rows = await session.many("profile_followers", user_id=user_id)
    for row in rows:
        try:
            await edge.submit(FOLLOW, Follow(shown=shown), _principal(edge, user_id, row))
        except AtriumError as error:
            log.warning("profile.not_told", tenant=str(row["tenant_id"]), error=error.code)


async def write_here(tx: Tx, cmd: UpdateProfile) -> list[Event]:
    """Change the profile and tell the tenant at once."""
    before, after = await _write(tx.session, tx.actor.user_id, cmd)
    was = {name: before[name] for name in ProfileWas.model_fields if before[name] != after[name]}
    return await _tell(tx, ProfileWas.model_validate(_parsed(was)), shown=not SHOWN.isdisjoint(was))


async def follow(tx: Tx, cmd: Follow) -> list[Event]:
    """Tell the tenant of a change that was written elsewhere."""
    return await _tell(tx, ProfileWas(), shown=cmd.shown)


async def _write(session: Session, user_id: UUID, cmd: UpdateProfile) -> tuple[Row, Row]:
    await session.one("lock_user", user_id=user_id)
    before = await session.one("profile", user_id=user_id)
    changed = cmd.model_dump(include=set(cmd.model_fields_set))
    for name in ("notification_preferences", "dashboard_preferences"):
        if name in changed:
            changed[name] = orjson.dumps(changed[name]).decode()
    if "name" in changed:
        await session.exec("rename_user", user_id=user_id, name=changed["name"])
    await session.exec("save_profile", user_id=user_id, **{**_columns(before), **changed})
    return before, await session.one("profile", user_id=user_id)


def _columns(profile: Row) -> dict[str, Any]:
    return {name: profile[name] for name in ProfileWas.model_fields}


def _parsed(was: dict[str, Any]) -> dict[str, Any]:
    return {
        name: orjson.loads(value) if name.endswith("_preferences") else value for name, value in was.items()
    }


async def _tell(tx: Tx, was: ProfileWas, *, shown: bool) -> list[Event]:
    user_id, tenant_id = tx.actor.user_id, tx.room.tenant_id
    member = await tx.maybe("follow_profile", user_id=user_id)
    profile = Profile.of(await tx.one("profile", user_id=user_id))
    events: list[Event] = []
    if member is not None and shown:
        changed = was.model_dump(include=set(SHOWN & was.model_fields_set))
        events.append(MemberUpdated(member=Member.of(member), was=MemberWas(**changed)))
        renamed = ProjectMemberRenamed(member=ProjectMemberName(id=user_id, name=profile.name))
        rows = await tx.many("projects_of_member", user_id=user_id)
        events.extend(
            renamed.model_copy().to(RoomKey(tenant_id, "project", row["project_id"])) for row in rows
        )
    events.append(ProfileUpdated(user=profile, was=was).to(RoomKey(tenant_id, "user", user_id)))
    return events


def _principal(edge: Edge, user_id: UUID, tenant: Row) -> Principal:
    """The person in one of her tenants; her rights there are read with the command, as always."""
    role: Role = tenant["role"]
    account = edge.account
    session_id = account.session_id if account else edge.facts.get("session_id")
    return Principal(
        user_id=user_id, name="", email="", tenant_id=tenant["tenant_id"], tenant_name=tenant["name"],
        tenant_slug=tenant["slug"], role=role, session_id=session_id or user_id,
        expires_at=float("inf"), origin=edge.origin,
        impersonator_id=account.impersonator_id if account else None,
    )  # fmt: skip


WRITE: Final = Spec(
    kind="command", name="profile.update", payload=UpdateProfile, returns=None, handler=write_here, doc="", room="tenant"
)  # fmt: skip
FOLLOW: Final = Spec(
    kind="command", name="profile.follow", payload=Follow, returns=None, handler=follow, doc="", room="tenant"
)  # fmt: skip
"""Commands that no client can send: they are run by what stands above."""
