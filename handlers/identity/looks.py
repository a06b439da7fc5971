"""How a tenant looks to its people: product name, logo, colours, its own address, and who its mails come from."""

import re
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import AfterValidator, StringConstraints

from handlers.identity.colours import readable_on
from handlers.identity.people import from_json
from handlers.registry import Entity, Text
from storage.postgres import Row

PRODUCT: Final = "Atrium"
"""What everything is called that has no name of its own."""
HEADER: Final = ("#ffffff", "#4b5365")
PRIMARY: Final = ("#2f5bea", "#ffffff")
"""Ground and text where a tenant has chosen no colours."""

_LABEL: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_UNSPOKEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def _shown(value: str) -> str:
    if _UNSPOKEN.search(value):
        raise ValueError("must not contain control characters")
    return value


def _sender(value: str) -> str:
    if re.search(r"[@<>\"\\]", value):
        raise ValueError("must be a name, not an address")
    return value


def as_host(value: str) -> str:
    """A host name as it stands in the DNS: in lower case, and in ASCII."""
    try:
        folded = value.strip().rstrip(".").lower().encode("idna").decode()
    except UnicodeError:
        raise ValueError("must be a host name such as work.example.com") from None
    labels = folded.split(".")
    if len(folded) > 253 or len(labels) < 2 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise ValueError("must be a host name such as work.example.com")
    return folded


ShownName = Annotated[
    Text, StringConstraints(strip_whitespace=True, min_length=1, max_length=60), AfterValidator(_shown)
]
SenderName = Annotated[ShownName, AfterValidator(_sender)]
Domain = Annotated[Text, StringConstraints(max_length=300), AfterValidator(as_host)]


class Looks(Entity):
    """What anybody may see, before sign-in too."""

    product_name: str | None = None
    primary_color: str | None = None
    primary_text_color: str | None = None
    header_color: str | None = None
    header_text_color: str | None = None
    logo_url: str | None = None


class Branding(Looks):
    """All of it, for the tenant's own people. A colour is a ground, and its text colour is what is read on it."""

    custom_domain: str | None = None
    sender_name: str | None = None
    reply_to: str | None = None

    @classmethod
    def of(cls, row: Row) -> "Branding":
        """From a row of a tenant; every field is said, so that events and snapshots say the same."""
        stored: Any = from_json(row["branding"])
        held = {name: stored.get(name) for name in cls.model_fields}
        for ground in ("primary", "header"):
            if colour := held[f"{ground}_color"]:
                held[f"{ground}_text_color"] = held[f"{ground}_text_color"] or readable_on(colour)
        held["custom_domain"] = row["custom_domain"]
        held["logo_url"] = logo_path(row["id"], row["logo_hash"])
        return cls(**held)


def logo_path(tenant_id: UUID, logo_hash: str | None) -> str | None:
    """Where a logo is served, below the address of the server; another picture has another address."""
    return f"/branding/{tenant_id}/logo-{logo_hash}.png" if logo_hash else None
