"""Providers of identity: those that the instance trusts, and those of tenants, in one shape."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from handlers.access import Role
from handlers.identity.vault import Vault
from storage.issuers import InstanceIssuer, SecondFactor, VerifiedClaim
from storage.postgres import Database, Row, Session
from storage.settings import Settings

CLIENT_SECRET: Final = "oidc client secret"  # noqa: S105  # a use
"""What the vault seals the client secret of a tenant's provider for."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider as a sign-in needs it."""

    key: str
    """Stands in addresses: the name of one of the instance, the id of one of a tenant."""
    name: str
    issuer: str
    client_id: str
    client_secret: str | None
    scopes: str
    second_factor: SecondFactor
    email_verified_claim: VerifiedClaim
    tenant_id: UUID | None = None
    """The tenant that it belongs to; None for one of the instance."""
    domains: frozenset[str] = frozenset()
    """The proven domains that one of a tenant speaks for."""
    jit_role: Role | None = None
    """What members are made just in time."""
    sign_up: bool = True
    """Whether somebody without an account gets one."""

    @property
    def namespace(self) -> str:
        """What identities are kept under: never the same for a provider of the instance and one of a tenant."""
        return self.key if self.tenant_id else self.issuer

    @property
    def trusted(self) -> bool:
        """Whether the operator of the instance has chosen its address."""
        return self.tenant_id is None

    @property
    def plain(self) -> bool:
        """Whether that address, as the operator typed it, goes without https."""
        return self.trusted and self.issuer.startswith("http:")


async def find_provider(db: Database, settings: Settings, vault: Vault, key: str) -> Provider | None:
    """The provider of this name or id."""
    for issuer in settings.oidc_issuers:
        if issuer.name == key:
            return of_instance(issuer)
    try:
        sso_id = UUID(key)
    except ValueError:
        return None
    async with db.transaction(None) as session:
        tenant_id: UUID | None = await session.value("sso_tenant_of", sso_id=sso_id)
    if tenant_id is None:
        return None
    async with db.transaction(tenant_id) as session:
        row = await session.maybe("sso_issuer", sso_id=sso_id)
        return await _of_tenant(session, vault, row) if row else None


async def find_by_namespace(
    db: Database, settings: Settings, vault: Vault, namespace: str
) -> Provider | None:
    """The provider that an identity was made by."""
    for issuer in settings.oidc_issuers:
        if issuer.issuer == namespace:
            return of_instance(issuer)
    return await find_provider(db, settings, vault, namespace)


def of_instance(issuer: InstanceIssuer) -> Provider:
    secret = issuer.client_secret
    return Provider(
        key=issuer.name,
        name=issuer.label or issuer.name,
        issuer=issuer.issuer,
        client_id=issuer.client_id,
        client_secret=secret.get_secret_value() if secret else None,
        scopes=issuer.scopes,
        second_factor=issuer.second_factor,
        email_verified_claim=issuer.email_verified_claim,
        sign_up=issuer.sign_up,
    )


async def _of_tenant(session: Session, vault: Vault, row: Row) -> Provider:
    domains = await session.many("domains_of_issuer", sso_id=row["id"])
    sealed = row["client_secret"]
    return Provider(
        key=str(row["id"]),
        name=row["name"],
        issuer=row["issuer"],
        client_id=row["client_id"],
        client_secret=vault.open(CLIENT_SECRET, row["id"], sealed).decode() if sealed else None,
        scopes=row["scopes"],
        second_factor=row["second_factor"],
        email_verified_claim=row["email_verified_claim"],
        tenant_id=row["tenant_id"],
        domains=frozenset(found["domain"] for found in domains),
        jit_role=row["jit_role"],
        sign_up=row["jit_role"] is not None,
    )
