"""Somebody who runs the server, and belongs to no tenant."""

from typing import Any

from server.demo import PASSWORD
from tests.world import Person, World


class Operator(Person):
    """Signs in with the account that `operator` makes."""

    async def act(self, method: str, path: str, **body: Any) -> Any:
        """A call below /platform, with a reason."""
        more = {"json": {"reason": "a ticket", **body}} if method != "GET" else {"params": body}
        return await self.rest(method, f"/platform{path}", **more)

    async def impersonate(self, user_id: str, tenant_id: str) -> Any:
        reply = await self.act("POST", f"/users/{user_id}/impersonate", tenant_id=tenant_id)
        assert reply.status == 201, reply
        return reply.data


async def operator(world: World, name: str = "operator") -> Operator:
    """A new account with the flag."""
    email = f"{name}@new.example"
    account = {"email": email, "password": PASSWORD, "name": name.capitalize()}
    made = await world.request("POST", "/auth/register", json=account)
    assert made.success, made
    async with world.sql() as db:
        await db.execute("UPDATE users SET platform_admin = true WHERE email = $1", email)
    person = Operator(world, email)
    await person.sign_in()
    return person
