"""Invitations: people come into a tenant by a mail to their address, or by a link.

The token of an invitation by mail is made when the mail is written, and nobody but its reader ever sees it: so whoever
brings it back owns the address. The token of a link is shown once, in the reply to whoever asked for it.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from handlers.access import ROLES, Rights, Role, above, permissions_of, rights
from handlers.context import Tx
from handlers.entry import read_rights
from handlers.errors import Conflict, Forbidden, NotFound, ValidationFailed, constraint
from handlers.identity import mails
from handlers.identity.looks import Branding
from handlers.identity.mails import Queued, Values
from handlers.identity.members import ALREADY, require_end
from handlers.identity.people import Email
from handlers.identity.tokens import new_token
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
    Text,
    Timestamp,
    When,
    command,
    query,
)
from storage.ids import new_id
from storage.postgres import Row, Session
from storage.rooms import RoomKey
from storage.settings import Settings

constraint("invitations_pending_key", "email", "is invited already")

Status = Literal["pending", "undelivered", "accepted", "declined", "revoked", "expired", "ended"]
"""`undelivered`: the mail server refused the mail. `ended`: whoever invited may not invite like that any more."""

MAX_USES: Final = 1000
"""The most people that one link lets in (count)."""
LAST: Final = UUID(int=2**128 - 1)

Message = Annotated[Text, StringConstraints(strip_whitespace=True, max_length=1000)]


def _parsed(value: object) -> object:
    return orjson.loads(value) if isinstance(value, str) else value


class Part(Entity):
    """A project that an invitation leads into."""

    project_id: UUID
    role: Role | None = Field(None, description="Role inside this project; null: the one in the tenant.")


class Invitation(Entity):
    """An invitation, as those see it who may invite."""

    id: UUID
    email: str | None = Field(description="Null: a link, for whoever has it.")
    name: str = Field(description="Who is invited, as the inviter calls her; or what the link is for.")
    role: Role
    expires_at: Timestamp | None = Field(description="When the membership that comes of it ends.")
    projects: Annotated[list[Part], BeforeValidator(_parsed)]
    message: str
    status: Status
    invited_by: UUID
    invited_by_name: str | None
    uses: int
    max_uses: int
    accepted_by: UUID | None = Field(description="Who came by it last.")
    created_at: Timestamp
    valid_until: Timestamp


class TenantTouched(Entity):
    """Nothing of the tenant itself has changed."""

    id: UUID


class InvitationChanged(Event, name="invitation.changed"):
    """Invitations were sent, answered or withdrawn; who may see them asks `invitation.list` again."""

    tenant: TenantTouched


def _no_project_twice(parts: list["Participation"]) -> list["Participation"]:
    if len({part.project_id for part in parts}) < len(parts):
        raise ValueError("names a project twice")
    return parts


class Participation(Payload):
    """A project to take part in."""

    project_id: UUID
    role: Role | None = Field(None, description="Role inside this project. Unset: the role in the tenant.")


class CreateInvitation(Payload):
    email: Email | None = Field(None, description="Whom to send it to. Unset: a link comes in the reply.")
    name: Annotated[Text, StringConstraints(strip_whitespace=True, max_length=200)] = Field(
        "", description="Who is invited, as a proposal for her account; or what the link is for."
    )
    role: Role = "member"
    expires_at: When | None = Field(
        None, description="When the membership that comes of it ends; a guest must have it."
    )
    projects: Annotated[list[Participation], Field(max_length=100), AfterValidator(_no_project_twice)] = (
        Field(
            [],
            description="Projects that the newcomer takes part in from the start; needs project.share there.",
        )
    )
    message: Message = Field("", description="A few words for the mail.")
    max_uses: int = Field(1, ge=1, le=MAX_USES, description="How many people a link lets in.")

    @model_validator(mode="after")
    def once_by_mail(self) -> "CreateInvitation":
        if self.email is not None and self.max_uses > 1:
            raise ValueError("an invitation to an address lets one person in")
        return self


class OneInvitation(Payload):
    invitation_id: UUID


class ListInvitations(Paging):
    status: Status | None = Field(None, description="Only those of this status.")


class InvitationReply(Reply):
    invitation: Invitation
    link: str | None = Field(
        None,
        description="Of an invitation without an address: shown in this one reply and never again, "
        "not even when the command is repeated.",
    )


class InvitationList(Reply):
    invitations: list[Invitation]


Changed = Outcome[InvitationChanged, InvitationReply]


@command(
    "invitation.create", needs="member.invite", rest="POST /tenants/{tenant_id}/invitations", room="tenant", status=201
)  # fmt: skip
async def create(tx: Tx, cmd: CreateInvitation) -> Changed:
    """Invite somebody by mail, or make a link. It is good for the time of `ATRIUM_INVITATION_TTL`.

    An invitation to an address can be accepted by the owner of that address only, once; the answer does not tell
    whether there is an account. Nobody invites above his own role. What is checked now is checked again when it is
    accepted.
    """
    check_membership(tx, cmd.role, cmd.expires_at)
    for part in cmd.projects:
        await _check_part(tx, part)
    if cmd.email is not None:
        (known,) = await tx.many("known_addresses", emails=[cmd.email])
        if why := refusal(known):
            raise Conflict(f"This address {why}", field_errors={"email": [why]})
    parts = [part.model_dump(mode="json") for part in cmd.projects]
    (invitation_id,) = await send(
        tx,
        [Invitee(cmd.email, cmd.role, cmd.expires_at, parts, cmd.name)],
        message=cmd.message,
        max_uses=cmd.max_uses,
    )
    return await _changed(tx, invitation_id, link=cmd.email is None)


@query("invitation.list", needs="member.invite", rest="GET /tenants/{tenant_id}/invitations", room="tenant")
async def list_invitations(tx: Tx, ask: ListInvitations) -> Page[InvitationList]:
    """Invitations, the newest first; those that are over are kept for `ATRIUM_INVITATION_RETENTION` days."""
    place = decode_cursor(ask.cursor, UUID) or (LAST,)
    rows = await _rows(tx, before_id=place[0], only_id=None, status=ask.status, max_rows=ask.limit + 1)
    more = encode_cursor(rows[ask.limit - 1]["id"]) if len(rows) > ask.limit else None
    found = [Invitation.of(row) for row in rows[: ask.limit]]
    return Page(InvitationList(invitations=found), Pagination(limit=ask.limit, next=more))


@command(
    "invitation.resend",
    needs="member.invite",
    rest="POST /tenants/{tenant_id}/invitations/{invitation_id}/resend",
    room="tenant",
)
async def resend(tx: Tx, cmd: OneInvitation) -> Changed:
    """Send a pending invitation again, in one's own name and good for the whole time; links sent before end."""
    row = await _pending(tx, cmd)
    check_membership(tx, row["role"], row["member_until"])
    await tx.exec("end_invitation_tokens", cmd)
    mail_id = new_id() if row["email"] else None
    fresh = await tx.one("renew_invitation", cmd, mail_id=mail_id, valid_until=_valid_until(tx))
    if mail_id is not None:
        await _queue(tx, [mail_id], [row["email"]], [cmd.invitation_id], fresh["round"])
    return await _changed(tx, cmd.invitation_id, link=mail_id is None)


@command(
    "invitation.revoke",
    needs="member.invite",
    rest="DELETE /tenants/{tenant_id}/invitations/{invitation_id}",
    room="tenant",
)
async def revoke(tx: Tx, cmd: OneInvitation) -> Changed:
    """Withdraw a pending invitation; its links open nothing any more."""
    row = await _pending(tx, cmd)
    tx.may_give(row["role"])
    await tx.exec("end_invitation_tokens", cmd)
    await tx.maybe("close_invitation", cmd, state="revoked")
    return await _changed(tx, cmd.invitation_id)


@dataclass(frozen=True, slots=True)
class Invitee:
    """Who is invited to what; `projects` as the table keeps them."""

    email: str | None
    role: Role
    expires_at: datetime | None
    projects: Sequence[dict[str, Any]] = ()
    name: str = ""


async def send(tx: Tx, invitees: list[Invitee], *, message: str = "", max_uses: int = 1) -> list[UUID]:
    """Write invitations down and queue their mails; returns their ids."""
    ids = [new_id() for _ in invitees]
    mail_ids = [new_id() if invitee.email else None for invitee in invitees]
    emails = [invitee.email for invitee in invitees]
    await tx.exec("close_lapsed_invitations", emails=[email for email in emails if email])
    await tx.many(
        "create_invitations",
        ids=ids,
        emails=emails,
        roles=[invitee.role for invitee in invitees],
        member_untils=[invitee.expires_at for invitee in invitees],
        projects=[orjson.dumps(invitee.projects).decode() for invitee in invitees],
        mail_ids=mail_ids,
        names=[invitee.name for invitee in invitees],
        message=message,
        max_uses=max_uses,
        valid_until=_valid_until(tx),
    )
    mailed = [number for number, mail_id in enumerate(mail_ids) if mail_id]
    if mailed:
        await _queue(
            tx, [mail_ids[n] for n in mailed], [emails[n] for n in mailed], [ids[n] for n in mailed], 1
        )
    return ids


def check_membership(tx: Tx, role: Role, expires_at: datetime | None) -> None:
    """Refuse a membership that the caller may not give, or that is over before it begins."""
    tx.may_give(role)
    require_end(role, expires_at)
    if expires_at is not None and expires_at <= tx.now:
        raise ValidationFailed.field("expires_at", "must lie in the future")


def refusal(known: Row) -> str | None:
    """Why an address cannot be invited, by what the tenant knows of it; None where it can."""
    if known["live"]:
        return ALREADY
    if known["status"] in ("suspended", "pending"):
        return "has a membership that is out of use: it can be activated"
    if known["invitation_id"] is not None and not known["lapsed"]:
        return "is invited already"
    return None


def may_invite(found: Rights | None, role: Role) -> bool:
    """Whether somebody with these rights may invite somebody to this role."""
    return found is not None and found.allow("member.invite") and _gives(found, role)


def touched(tx: Tx) -> InvitationChanged:
    return InvitationChanged(tenant=TenantTouched(id=tx.room.tenant_id))


async def may_share(tx: Tx, project_id: UUID, role: Role | None) -> bool:
    """Whether the caller may let somebody take part in a project in this role."""
    try:
        found = await read_rights(tx.session, RoomKey(tx.room.tenant_id, "project", project_id), tx.actor)
    except NotFound:
        return False
    return "project.share" in found.to_give and (role is None or _gives(found, role))


def _gives(found: Rights, role: Role) -> bool:
    """Nobody gives a role above his own, nor what he does not have."""
    return not above(role, found.own_role) and permissions_of(role) <= found.to_give


async def _check_part(tx: Tx, part: Participation) -> None:
    if await tx.maybe("project", project_id=part.project_id) is None:
        raise NotFound("There is no such project")
    if not await may_share(tx, part.project_id, part.role):
        raise Forbidden("This project is not yours to share", details={"permission": "project.share"})


async def _pending(tx: Tx, cmd: OneInvitation) -> Row:
    row = await tx.maybe("invitation", cmd)
    if row is None:
        raise NotFound("There is no such invitation")
    if row["state"] != "pending":
        raise Conflict(f"This invitation is {row['state']}", details={"status": row["state"]})
    return row


async def _changed(tx: Tx, invitation_id: UUID, *, link: bool = False) -> Changed:
    (row,) = await _rows(tx, before_id=LAST, only_id=invitation_id, status=None, max_rows=1)
    reply = InvitationReply(invitation=Invitation.of(row))
    once = None
    if link:
        token, token_hash = new_token()
        await tx.exec("add_invitation_token", token_hash=token_hash, invitation_id=invitation_id)
        once = reply.model_copy(update={"link": _link(tx.settings, token)})
    return Outcome([touched(tx)], reply, once)


async def _rows(tx: Tx, **which: Any) -> list[Row]:
    """Invitations with their status, for which it counts who may still invite to what."""
    may: list[tuple[UUID, Role]] = []
    for row in await tx.many("inviters"):
        actor = await tx.maybe("actor_rights", actor_id=row["invited_by"], room_id=tx.room.tenant_id)
        found = rights(actor, "tenant", tx.room.tenant_id) if actor else None
        may += [(row["invited_by"], role) for role in ROLES if may_invite(found, role)]
    return await tx.many(
        "invitations_of", inviters=[user_id for user_id, _ in may], roles=[role for _, role in may], **which
    )


async def _queue(
    tx: Tx, mail_ids: Sequence[UUID | None], emails: Sequence[str | None], ids: list[UUID], round_: int
) -> None:
    await tx.exec("queue_invitations", mail_ids=mail_ids, emails=emails, ids=ids, round=round_)
    tx.session.values["mails_queued"] = True


def _valid_until(tx: Tx) -> datetime:
    return tx.now + timedelta(seconds=tx.settings.invitation_ttl)


def _link(settings: Settings, token: str) -> str:
    return f"{settings.public_url}/#/invitation?token={token}"


@mails.letter("invitation")
async def write(session: Session, settings: Settings, queued: Queued) -> Values | None:
    """The mail, with a token of its own; None where the invitation is over or was sent again."""
    about = {"invitation_id": UUID(queued.data["invitation_id"]), "round": queued.data["round"]}
    row = await session.maybe("invitation_to_mail", **about)
    if row is None:
        return None
    token, token_hash = new_token()
    await session.exec("add_invitation_token", token_hash=token_hash, **about)
    tenant = in_a_line(row["tenant_name"])
    return {
        "link": _link(settings, token),
        "tenant": tenant,
        "inviter": in_a_line(row["inviter_name"]),
        "role": row["role"],
        "message": row["message"],
        "until": row["expires_at"].astimezone(UTC).strftime("%d %B %Y, %H:%M UTC"),
        "sender_name": Branding.of(row).sender_name or tenant,
    }


def in_a_line(name: str) -> str:
    """A name as it may stand in a subject: one line, nothing invisible, not too long."""
    plain = "".join(" " if unicodedata.category(char).startswith("C") else char for char in name)
    return " ".join(plain.split())[:80] or "Somebody"
