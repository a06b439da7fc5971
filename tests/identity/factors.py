"""Steps that tests of second factors share."""

import asyncio
import time
from typing import Any

import pyotp

from server.demo import PASSWORD
from tests.identity.authenticator import Authenticator
from tests.world import Person, World

STEP = 30


def code_of(secret: str, steps: int = 0) -> str:
    """The code of an app now, or some steps from now."""
    return pyotp.TOTP(secret).at(int(time.time()) + STEP * steps)


def wrong(secret: str) -> str:
    """A code that is not good now."""
    near = {code_of(secret, step) for step in range(-2, 3)}
    return next(
        code for code in ("000000", "111111", "222222", "333333", "444444", "555555") if code not in near
    )


async def enable(person: Person) -> tuple[str, list[str]]:
    """Give somebody an authenticator app: its secret, and the recovery codes."""
    offered = await person.rest("POST", "/auth/totp")
    assert offered.success, offered
    # The step before: so that the tests that follow have those of now and of the next step left.
    if (left := STEP - time.time() % STEP) < 2:
        await asyncio.sleep(left)
    confirmed = await person.rest(
        "POST", "/auth/totp/confirm", json={"code": code_of(offered.data.secret, -1)}
    )
    assert confirmed.success, confirmed
    return offered.data.secret, confirmed.data.recovery_codes


async def add_passkey(person: Person, device: Authenticator | None = None, **more: Any) -> Authenticator:
    """Give somebody a passkey."""
    device = device or Authenticator()
    options = await person.rest("POST", "/auth/passkeys/begin")
    assert options.success, options
    made = await person.rest(
        "POST", "/auth/passkeys", json={"passkey": device.create(options.data.options), **more}
    )
    assert made.status == 201, made
    return device


async def first_half(world: World, name: str = "alice", **more: Any) -> Any:
    """The password is right: what is asked for next."""
    domain = "rival" if name == "mallory" else "acme"
    reply = await world.request(
        "POST",
        "/auth/login",
        json={"email": f"{name}@{domain}.example", "password": PASSWORD, **more},
    )
    assert reply.success, reply
    return reply.data.second_factor


async def second_half(world: World, token: str, **given: Any) -> Any:
    return await world.request("POST", "/auth/second-factor", json={"token": token, **given})


async def begin(world: World, **given: Any) -> Any:
    reply = await world.request("POST", "/auth/passkey/begin", json=given)
    assert reply.success, reply
    return reply.data.options


async def finish(world: World, passkey: Any, **more: Any) -> Any:
    return await world.request("POST", "/auth/passkey/finish", json={"passkey": passkey, **more})


async def age_proof(world: World) -> None:
    """All sessions were proven long ago."""
    async with world.sql() as db:
        await db.execute("UPDATE sessions SET proven_at = now() - interval '1 hour'")


def bearer(tokens: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.access_token}"}
