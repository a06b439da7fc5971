"""What /metrics shows: every figure is explained, and moves when it should."""

import time
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as families

from server.metrics import REGISTRY
from tests.world import Board, World, until


async def _figures(world: World) -> dict[tuple[str, tuple[str, ...]], float]:
    reply = await world.request("GET", "/metrics")
    assert reply.status == 200
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families(reply.text)
        for sample in family.samples
    }


def test_every_figure_says_what_it_is() -> None:
    for metric in REGISTRY.collect():
        assert metric.name.startswith("atrium_")
        assert len(metric.documentation) > 20, metric.name
        assert metric.documentation.endswith("."), metric.name


async def test_rooms_members_and_joins(world: World) -> None:
    before = await _figures(world)
    alice = await world.person("alice").connect()
    await alice.join(world.project)
    seq = (
        await alice.send("task.move", task_id=Board.of(world).first, column_id=Board.of(world).doing)
    ).meta.seq
    await alice.hears("task.moved", seq=seq)
    figures = await _figures(world)
    assert figures["atrium_rooms", ()] == 3  # the tenant's, her own, the project's
    assert figures["atrium_room_members", ("live",)] == 3
    assert figures["atrium_room_members", ("joining",)] == 0
    assert figures["atrium_unsent_bytes", ("slowest",)] == 0

    def grown(*key: Any) -> float:
        return figures.get(key, 0) - before.get(key, 0)

    assert grown("atrium_joins_total", ("snapshot",)) == 1
    assert grown("atrium_joins_total", ("current",)) == 2
    assert grown("atrium_deliveries_total", ()) == 1


async def test_a_loop_that_is_held_up_shows(world: World) -> None:
    await until(lambda: world.node.lag._late)
    time.sleep(0.6)  # what is to be noticed
    await until(lambda: world.node.lag.worst > 0.3)
    assert (await _figures(world))["atrium_loop_lag_seconds", ()] > 0.3
