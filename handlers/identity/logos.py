"""Logos of tenants: drawn anew from what is uploaded, and served at an address that changes with the picture."""

import base64
import binascii
from hashlib import blake2b
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field, StringConstraints

from handlers.context import Edge, Tx
from handlers.entry import read_rights
from handlers.errors import Forbidden, NotFound, PayloadTooLarge, ValidationFailed
from handlers.identity.pictures import BadPicture, redraw
from handlers.identity.tenant_status import insider
from handlers.identity.tenants import OneTenant, TenantDetails, TenantReply, TenantUpdated
from handlers.registry import Payload, Spec, Text, command, endpoint
from storage.postgres import Database
from storage.rooms import RoomKey

LONGEST_SIDE: Final = 1024
"""A larger logo is made smaller (pixels)."""
MANAGE: Final = "tenant.manage"


class UploadLogo(Payload):
    tenant_id: UUID
    image: Annotated[Text, StringConstraints(min_length=1)] = Field(
        description="PNG, JPEG or WebP in Base64; ATRIUM_LOGO_MAX_BYTES and ATRIUM_LOGO_MAX_PIXELS at most."
    )


class SetLogo(Payload):
    """A logo that has been drawn already."""

    hash: str
    width: int
    height: int
    png: bytes = Field(exclude=True)


@endpoint("tenant.upload_logo", rest="PUT /tenants/{tenant_id}/logo", bound=True)
async def upload(edge: Edge, cmd: UploadLogo) -> TenantReply:
    """Give the tenant a logo. It is drawn anew as PNG, at most 1024 pixels wide and high, without metadata."""
    principal = await insider(edge, cmd.tenant_id)
    edge.about(tenant_id=cmd.tenant_id, resource=f"tenant:{cmd.tenant_id}", changes={})
    room = RoomKey(cmd.tenant_id, "tenant", cmd.tenant_id)
    async with edge.db.transaction(cmd.tenant_id) as session:
        if not (await read_rights(session, room, principal)).allow(MANAGE):  # before any work is done for him
            raise Forbidden(f"This needs the permission {MANAGE}", details={"permission": MANAGE})
    settings = edge.settings
    data = _decoded(cmd.image, settings.logo_max_bytes)
    try:
        picture = await redraw(data, max_pixels=settings.logo_max_pixels, longest_side=LONGEST_SIDE)
    except BadPicture as error:
        raise ValidationFailed.field("image", str(error)) from None
    digest = blake2b(picture.png, digest_size=16).hexdigest()
    logo = SetLogo(hash=digest, width=picture.width, height=picture.height, png=picture.png)
    await edge.submit(SET, logo, principal)
    async with edge.db.transaction(cmd.tenant_id) as session:
        return TenantReply(tenant=TenantDetails.of(await session.one("tenant")))


@command(
    "tenant.remove_logo", needs=MANAGE, rest="DELETE /tenants/{tenant_id}/logo", room="tenant", versioned=True
)
async def remove(tx: Tx, cmd: OneTenant) -> TenantUpdated:
    """Take the logo away, from its address too."""
    before = await tx.one("tenant")
    tx.check_version(before, TenantDetails)
    if before["logo_hash"] is None:
        raise NotFound("This tenant has no logo")
    return TenantUpdated.between(before, await tx.one("remove_logo"))


async def keep(tx: Tx, cmd: SetLogo) -> TenantUpdated:
    """The command behind an upload."""
    before = await tx.one("tenant")
    return TenantUpdated.between(before, await tx.one("save_logo", cmd))


async def read_logo(db: Database, tenant_id: UUID, logo_hash: str) -> bytes | None:
    """The PNG of a tenant that is in use."""
    async with db.transaction(tenant_id) as session:
        png: bytes | None = await session.value("logo", hash=logo_hash)
    return png


def _decoded(image: str, max_bytes: int) -> bytes:
    if len(image) > max_bytes * 4 // 3 + 4:
        raise PayloadTooLarge(f"A logo may have {max_bytes} bytes")
    try:
        return base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError):
        raise ValidationFailed.field("image", "must be Base64") from None


SET: Final = Spec(
    kind="command", name="tenant.set_logo", payload=SetLogo, returns=None, handler=keep, doc="", room="tenant",
    needs=MANAGE,
)  # fmt: skip
"""A command that no client can send."""
