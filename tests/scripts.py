"""Random scripts of commands against a real server, for what must hold whatever people do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.world import Cluster, Person, World, fresh_world


def play(
    cluster: Cluster,
    script: Callable[..., Awaitable[None]],
    *strategies: st.SearchStrategy[Any],
    examples: int,
    prepare: Callable[[World, Person], Awaitable[object]] | None = None,
) -> None:
    """Play `script(world, alice, …)` with so many examples, all in one world; while they are made up nothing runs."""
    with asyncio.Runner() as runner:
        stack = fresh_world(cluster)
        world = runner.run(stack.__aenter__())
        try:
            alice = runner.run(world.person("alice").connect())
            if prepare is not None:
                runner.run(_wait(prepare(world, alice)))

            @settings(
                max_examples=examples, deadline=None, derandomize=True, database=None,
                phases=[Phase.generate],  # an example is short enough; making it shorter takes minutes
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(st.tuples(*strategies))
            def compare(drawn: tuple[Any, ...]) -> None:
                runner.run(_wait(script(world, alice, *drawn)))

            compare()
        finally:
            runner.run(stack.__aexit__(None, None, None))


async def _wait(done: Awaitable[object]) -> None:
    await done
