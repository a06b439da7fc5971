"""What /metrics shows: every figure is explained, and moves when it should."""

import asyncio
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families as families

from server.describe import VERSION
from server.figures import Figures
from server.metrics import REGISTRY
from server.tallies import Spreads, Tallies
from tests.world import Board, Person, World, until


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
        if metric.name.startswith("process_"):
            continue  # of every program that Prometheus knows
        assert metric.name.startswith("atrium_")
        assert len(metric.documentation) > 20, metric.name
        assert metric.documentation.endswith("."), metric.name


async def test_nobody_is_a_figure_too(world: World) -> None:
    figures = await _figures(world)
    assert {labels for name, labels in figures if name == "atrium_connections"} == {("json",), ("msgpack",)}


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


async def test_groups_and_transactions_are_measured(world: World, alice: Person) -> None:
    before = await _figures(world)
    moves = [
        await alice.post("task.move", {"task_id": Board.of(world).first, "column_id": Board.of(world).doing})
        for _ in range(7)
    ]
    await asyncio.gather(*moves)
    after = await _figures(world)
    assert after["atrium_group_commands_sum", ()] - before["atrium_group_commands_sum", ()] == 7
    groups = after["atrium_group_commands_count", ()] - before["atrium_group_commands_count", ()]
    assert (
        after["atrium_transaction_seconds_count", ()] - before["atrium_transaction_seconds_count", ()]
        == groups
    )
    assert 1 <= groups <= 7
    assert after["atrium_transaction_seconds_sum", ()] > before["atrium_transaction_seconds_sum", ()]
    assert after["atrium_pool_waiting", ()] == 0


async def test_it_says_what_runs_and_what_the_process_takes(world: World) -> None:
    reply = await world.request("GET", "/metrics")
    [build] = next(f for f in families(reply.text) if f.name == "atrium_build").samples
    assert build.labels["version"] == VERSION
    assert build.labels["fan_out"] in {"io_uring", "write"}
    figures = await _figures(world)
    assert figures["process_resident_memory_bytes", ()] > 1 << 20
    assert figures["process_open_fds", ()] > 5


async def test_one_worker_answers_for_all(tmp_path: Path) -> None:
    """Another process tells its own; a third is there no more, and holds up nobody."""
    figures = Figures(lambda: None)
    assert b"worker=" not in await figures.text()
    said = (
        b"# HELP atrium_rooms Rooms.\n# TYPE atrium_rooms gauge\natrium_rooms 41\n"
        b"# HELP atrium_commands_total Commands.\n# TYPE atrium_commands_total counter\n"
        b'atrium_commands_total{name="x"} 7\n'
    )

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    (tmp_path / "figures-3.sock").touch()
    other = await asyncio.start_unix_server(tell, tmp_path / "figures-2.sock")

    async def die(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said[:-2])
        writer.close()

    dying = await asyncio.start_unix_server(die, tmp_path / "figures-4.sock")
    await figures.open(tmp_path, 1)
    try:
        text = (await figures.text()).decode()
    finally:
        await figures.close()
        other.close()
        dying.close()
    found = {family.name: family for family in families(text)}
    assert text.count("# TYPE atrium_rooms gauge") == 1
    workers = {sample.labels["worker"]: sample.value for sample in found["atrium_rooms"].samples}
    assert workers["2"] == 41
    assert workers.keys() == {"1", "2"}
    assert {sample.labels["worker"] for sample in found["process_open_fds"].samples} == {"1"}
    [told] = [sample for sample in found["atrium_commands"].samples if sample.labels.get("name") == "x"]
    assert (told.name, told.value, told.labels["worker"]) == ("atrium_commands_total", 7, "2")
    assert not (tmp_path / "figures-1.sock").exists()


async def test_a_loop_that_is_held_up_shows(world: World) -> None:
    await until(lambda: world.node.lag._late)
    time.sleep(0.6)  # what is to be noticed
    await until(lambda: world.node.lag.worst > 0.3)
    assert (await _figures(world))["atrium_loop_lag_seconds", ()] > 0.3


def test_plain_numbers_are_told_as_the_library_tells_its_own() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    bounds, random = (0.001, 0.5, 1, 2.5, 10), Random(7)
    spread = Spreads("spread", "How large.", ["kind"], buckets=bounds, registry=ours)
    histogram = Histogram("spread", "How large.", ["kind"], buckets=bounds, registry=theirs)
    tally = Tallies("tally", "How often.", ["name", "outcome"], ours)
    counter = Counter("tally", "How often.", ["name", "outcome"], registry=theirs)
    for value in (*bounds, 0, 11, *(random.expovariate(1) for _ in range(500))):
        kind = random.choice("ab")
        spread.labels(kind).observe(value)
        histogram.labels(kind).observe(value)
        for one in (tally, counter):
            one.labels("x", "ok").inc()
            one.labels("y", "ok").inc(3)
    for registry in (ours, theirs):
        assert registry.get_sample_value("tally_total", {"name": "y", "outcome": "ok"}) == 507 * 3
    assert _told(ours) == _told(theirs)
    with pytest.raises(ValueError, match="name, outcome"):
        tally.labels("x")


def _told(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return sorted(line for line in lines if "_created" not in line)
