"""Where two parts of identity and access meet: no way around a rule of the one through the other."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from server.demo import PASSWORD
from tests.identity.authenticator import Authenticator
from tests.identity.factors import add_passkey, begin, finish
from tests.identity.mailbox import Mailbox, mail_server, token_in
from tests.identity.test_accounts import NEW, NEWCOMER, forgot, login, reset
from tests.identity.test_invitations import accept, invite, link_token
from tests.world import NO_DIRECTORY, Person, World

PROVIDER = {"name": "Their own", "issuer": "https://id.example.com", "client_id": "atrium"}


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with mail_server() as box:
        yield box


@pytest.fixture
async def posted(worlds: Callable[..., Any], mailbox: Mailbox) -> World:
    world: World = await worlds(smtp_url=mailbox.url, mail_pause=0, **NO_DIRECTORY)
    return world


async def change(person: Person, name: str, **fields: Any) -> None:
    """Somebody who manages members changes one."""
    user_id = person.world.user_ids[name]
    reply = await person.rest("PUT", f"/tenants/{person.world.tenant_id}/members/{user_id}", json=fields)
    assert reply.success, reply


# A second factor that a tenant insists on.


async def test_a_tenant_that_asks_for_a_second_factor_asks_at_every_door(world: World) -> None:
    alice, admin, mallory = (world.person(name) for name in ("alice", "admin", "mallory"))
    own, rival_id = f"/tenants/{world.tenant_id}", (await mallory.sign_in()).tenant.id
    await mallory.rest("POST", f"/tenants/{rival_id}/parent", json={"slug": "acme"})
    assert (await admin.rest("POST", f"{own}/children/{rival_id}", json={})).success
    async with world.sql() as db:
        await db.execute("UPDATE tenants SET require_second_factor = true WHERE slug = 'acme'")
    doors = [
        (alice, "POST", f"{own}/deactivate", {}),
        (alice, "DELETE", own, {"slug": "acme"}),
        (admin, "PUT", f"{own}/logo", {"image": "aGVsbG8="}),
        (admin, "GET", f"{own}/children/{rival_id}/snapshot", None),
        (admin, "DELETE", f"{own}/children/{rival_id}", {}),
        (admin, "POST", f"/tenants/{rival_id}/suspend", {}),
    ]
    for person, method, path, body in doors:
        reply = await person.rest(method, path, json=body)
        assert reply.status == 403, (method, path, reply)
        assert reply.error.details == {"reason": "second_factor_required"}, (method, path, reply)
    await add_passkey(admin)
    assert (await admin.rest("GET", f"{own}/children/{rival_id}/snapshot")).success


# An account that somebody made with the address of another.


async def test_a_passkey_of_whoever_took_an_address_first_ends_when_its_owner_comes(
    posted: World, mailbox: Mailbox
) -> None:
    made = await posted.request("POST", "/auth/register", json=NEWCOMER)
    assert made.status == 201, made
    stranger = posted.person("newcomer")
    stranger.tokens = made.data
    device = await add_passkey(stranger, Authenticator())
    opened = await finish(posted, device.get(await begin(posted)))
    assert opened.data.user.email == NEWCOMER["email"], opened
    await forgot(posted, NEWCOMER["email"])
    token = token_in(await mailbox.gets(NEWCOMER["email"], "password"))
    assert (await reset(posted, token)).success
    refused = await finish(posted, device.get(await begin(posted)))
    assert refused.status == 401, refused
    owner = await login(posted, NEWCOMER["email"], NEW)
    assert owner.data.access_token, "and nobody asks the owner for a factor of the other"


async def test_the_passkeys_of_a_proven_account_outlive_a_new_password(
    posted: World, mailbox: Mailbox
) -> None:
    async with posted.sql() as db:
        await db.execute("UPDATE users SET email_verified_at = now()")
    device = await add_passkey(posted.person("alice"))
    await forgot(posted)
    assert (await reset(posted, token_in(await mailbox.gets("alice@acme.example", "password")))).success
    assert (await finish(posted, device.get(await begin(posted)))).success


# Who was put out.


async def test_who_was_removed_reads_nothing_of_the_tenant_with_the_token_left(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    assert (await bob.rest("GET", "/auth/me")).data.tenant.slug == "acme"
    gone = await alice.rest("DELETE", f"/tenants/{world.tenant_id}/members/{world.user_ids['bob']}", json={})
    assert gone.success, gone
    me = (await bob.rest("GET", "/auth/me")).data
    assert (me.tenant, me.memberships) == (None, [])


async def test_a_link_for_many_brings_nobody_back_who_was_removed(posted: World) -> None:
    alice = await posted.person("alice").connect()
    token = link_token(await invite(alice, None, max_uses=10))
    bob = posted.person("bob")
    await bob.sign_in()
    assert (await alice.send("member.remove", user_id=posted.user_ids["bob"])).success
    refused = await accept(bob, token)
    assert (refused.status, refused.error.details) == (403, {"reason": "removed"}), refused
    again = await posted.request("POST", "/auth/login", json={"email": bob.email, "password": PASSWORD})
    assert again.data.tenant is None


async def test_who_comes_back_after_her_time_gets_none_of_her_former_projects_back(world: World) -> None:
    alice, gus = world.person("alice"), await world.person("gus").connect()
    assert (await gus.rest("GET", f"/projects/{world.project_id}")).success
    async with world.sql() as db:
        await db.execute("UPDATE members SET expires_at = now() WHERE role = 'guest'")
    manager = await world.person("admin").connect()
    await manager.join(world.project)
    again = await alice.rest(
        "POST", f"/tenants/{world.tenant_id}/members", json={"email": gus.email, "role": "client"}
    )
    assert (again.status, again.data.member.role) == (201, "client"), again
    gone = await manager.hears("project.member_removed")
    assert gone.data.member.id == world.user_ids["gus"]
    back = world.person("gus")
    assert (await back.rest("GET", f"/projects/{world.project_id}")).status == 404
    assert (await back.rest("GET", f"/tenants/{world.tenant_id}/projects")).data.projects == []


# Nobody gives what he does not have.


async def test_who_could_make_no_admin_does_not_decide_who_vouches_for_admins(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    await change(alice, "bob", role="viewer", allowed=["security.manage"])
    path = f"/tenants/{world.tenant_id}/sso"
    refused = await bob.rest("POST", path, json={**PROVIDER, "jit_role": "viewer"})
    assert refused.error.code == "FORBIDDEN", refused
    made = await alice.rest("POST", path, json={**PROVIDER, "jit_role": "viewer"})
    assert made.status == 201, made
    turned = await bob.rest("PUT", f"{path}/{made.data.issuer.id}", json={"client_id": "evil"})
    assert turned.error.code == "FORBIDDEN", turned
    added = await bob.rest("POST", f"/tenants/{world.tenant_id}/sso-domains", json={"domain": "acme.example"})
    proof = f"/tenants/{world.tenant_id}/sso-domains/{added.data.domain.id}/verify"
    assert (await bob.rest("POST", proof, json={"code": "x" * 43})).error.code == "FORBIDDEN"
    await change(alice, "bob", role="admin")
    assert (await bob.rest("PUT", f"{path}/{made.data.issuer.id}", json={"jit_role": None})).success


async def test_a_key_of_the_tenant_opens_no_project_that_its_maker_may_not_share(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    secret = await alice.rest(
        "POST", f"/tenants/{world.tenant_id}/projects", json={"name": "Board of directors"}
    )
    await change(alice, "bob", allowed=["security.manage"], denied=["tenant.view"])
    project_id = secret.data.project.id
    assert (await bob.rest("GET", f"/projects/{project_id}")).status == 404
    wanted = {"name": "Spy", "role": "client", "scopes": ["project.view"], "project_ids": [project_id]}
    keys = f"/tenants/{world.tenant_id}/api-keys"
    refused = await bob.rest("POST", keys, json=wanted)
    assert refused.error.code == "FORBIDDEN", refused
    assert (await alice.rest("POST", keys, json=wanted)).status == 201


# What an organization may do in its tenants.


async def test_an_organization_puts_no_tenant_back_that_its_owner_has_put_out_of_use(world: World) -> None:
    alice, mallory = world.person("alice"), world.person("mallory")
    rival = f"/tenants/{(await mallory.sign_in()).tenant.id}"
    await mallory.rest("POST", f"{rival}/parent", json={"slug": "acme"})
    children = f"/tenants/{world.tenant_id}/children"
    assert (await alice.rest("POST", f"{children}/{rival.rpartition('/')[2]}", json={})).success
    assert (await mallory.rest("POST", f"{rival}/deactivate", json={})).success
    assert (await alice.rest("POST", f"{rival}/activate", json={})).status in (403, 404)
    assert (await mallory.rest("POST", f"{rival}/activate", json={})).data.tenant.status == "active"


async def test_a_role_of_ones_own_in_a_project_counts_for_the_scopes_of_a_key(world: World) -> None:
    alice, bob = world.person("alice"), world.person("bob")
    await bob.sign_in()
    body = {"name": "Script", "scopes": ["project.edit"]}
    assert (await bob.rest("POST", f"/users/{bob.id}/api-keys", json=body)).error.code == "FORBIDDEN"
    part = await alice.rest("PUT", f"/projects/{world.project_id}/members/{bob.id}", json={"role": "manager"})
    assert part.success, part
    made = await bob.rest("POST", f"/users/{bob.id}/api-keys", json=body)
    assert made.data.api_key.scopes == ["project.edit"], made


async def test_nobody_lifts_what_is_denied_to_himself(world: World) -> None:
    """His role in the tenant does not give it, but one in a project would."""
    alice, bob = world.person("alice"), world.person("bob")
    role = await alice.rest(
        "POST",
        f"/tenants/{world.tenant_id}/roles",
        json={
            "name": "Lead",
            "base": "member",
            "allowed": ["member.manage", "role.manage"],
            "denied": ["board.edit"],
        },
    )
    assert role.status == 201, role
    await change(alice, "bob", role_id=role.data.role.id, denied=["project.delete"])
    own = f"/tenants/{world.tenant_id}/members/{world.user_ids['bob']}"
    refused = await bob.rest("PUT", own, json={"denied": []})
    assert refused.error.details == {"permissions": ["project.delete"]}, refused
    path = f"/tenants/{world.tenant_id}/roles/{role.data.role.id}"
    refused = await bob.rest("PUT", path, json={"denied": []})
    assert refused.error.details == {"permissions": ["board.edit"]}, refused
    await change(alice, "bob", denied=[])
