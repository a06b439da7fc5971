"""The checker is worth something: each kind of corruption is found, and a sound history is not."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
import pytest

from tests.chaos.checker import Applied, Facts, History, LogEvent, Record, State, check

ROOM: Final = "project:r"
USERS: Final = {"a": "user-a", "b": "user-b", "m": "user-m"}
CANARIES: Final = {"acme": "acme-canary", "rival": "rival-canary"}


def _task(number: int) -> dict[str, Any]:
    return {"id": f"t{number}", "title": f"acme-canary {number}"}


def _event(seq: int) -> dict[str, Any]:
    return {
        "room": ROOM, "seq": seq, "at": "…", "actor": {"id": "user-a"}, "command_id": f"c{seq}",
        "data": {"task": _task(seq)},
    }  # fmt: skip


@dataclass
class Run:
    history: History
    facts: Facts

    def found(self) -> list[str]:
        return check(self.history, self.facts)

    def at(self, kind: str, client: str = "", seq: int = 0) -> int:
        """Index of the first such record."""
        return next(
            index
            for index, record in enumerate(self.history.records)
            if record.kind == kind and client in ("", record.client) and seq in (0, record.seq)
        )

    def change(self, index: int, **changes: Any) -> None:
        self.history.records[index] = replace(self.history.records[index], **changes)

    def insert(self, index: int, record: Record) -> None:
        self.history.records.insert(index, record)


@pytest.fixture
def run() -> Run:
    """Four tasks by a, heard by b, who is away for the third; m of the other tenant is refused at the door."""
    history = History()

    def add(client: str, kind: str, **more: Any) -> None:
        history.add(client, "rival" if client == "m" else "acme", kind, **more)

    def hear(client: str, seq: int, kind: str = "event") -> None:
        event = _event(seq)
        text = orjson.dumps(event).decode() if kind == "event" else ""
        add(client, kind, room=ROOM, seq=seq, command_id=f"c{seq}", data=event, text=text)

    for client in ("a", "b"):
        add(client, "joined", room=ROOM, seq=0, epoch="e", code="snapshot")
    for seq in range(1, 5):
        add("a", "send", room=ROOM, command_id=f"c{seq}", code="task.create")
        hear("a", seq)
        if seq == 3:
            add("b", "cut")
        elif seq == 4:
            add("b", "joined", room=ROOM, seq=3, epoch="e", code="events")
            hear("b", 3, "replayed")
        if seq != 3:
            hear("b", seq)
        add("a", "ack", room=ROOM, seq=seq, command_id=f"c{seq}", code="first", data={"task": _task(seq)})
    add("a", "send", room=ROOM, command_id="c2", code="task.create")
    add("a", "ack", room=ROOM, seq=2, command_id="c2", code="duplicate", data={"task": _task(2)})
    add("a", "send", room=ROOM, command_id="c9", code="task.move")
    add("a", "refused", room=ROOM, command_id="c9", code="NOT_FOUND")
    add("m", "trespassed", room=ROOM, code="NOT_FOUND")
    store = {"tasks": {f"t{seq}": _task(seq) for seq in range(1, 5)}}
    facts = Facts(
        log={ROOM: [LogEvent(seq, "task.created", "user-a", f"c{seq}", _event(seq)["data"]) for seq in range(1, 5)]},
        bounds={ROOM: (0, 4)},
        applied={("user-a", f"c{seq}"): Applied(ROOM, seq, {"task": _task(seq)}) for seq in range(1, 5)},
        early={ROOM: {"seq": 0, "snapshot": {"tasks": []}}},
        fresh={ROOM: {"seq": 4, "snapshot": {"tasks": list(store["tasks"].values())}}},
        states=[State(client, ROOM, 4, deepcopy(store)) for client in ("a", "b")],
        actors=USERS,
        canaries=CANARIES,
        output="nothing to say",
    )  # fmt: skip
    return Run(history, facts)


def test_a_sound_history_is_sound(run: Run) -> None:
    assert run.found() == []


def _acked_and_lost(run: Run) -> None:
    """The last command is nowhere in the database, as if its commit had been undone, and its number with it."""
    del run.facts.log[ROOM][-1], run.facts.applied["user-a", "c4"]
    run.facts.bounds[ROOM] = (0, 3)


def _acked_elsewhere(run: Run) -> None:
    run.change(run.at("ack", seq=3), seq=2)


def _acked_in_two_ways(run: Run) -> None:
    run.change(run.at("ack", seq=2), data={"task": _task(3)})


def _acked_as_new_twice(run: Run) -> None:
    for index, record in enumerate(run.history.records):
        if record.code == "duplicate":
            run.change(index, code="first")


def _applied_twice(run: Run) -> None:
    run.facts.log[ROOM].append(LogEvent(5, "task.created", "user-a", "c1", _event(1)["data"]))
    run.facts.bounds[ROOM] = (0, 5)


def _refused_and_applied(run: Run) -> None:
    run.facts.applied["user-a", "c9"] = Applied(ROOM, 4, {})


def _a_fault_of_the_server(run: Run) -> None:
    run.change(run.at("refused"), code="INTERNAL")


def _a_hole_in_the_log(run: Run) -> None:
    del run.facts.log[ROOM][1]


def _sent_by_nobody(run: Run) -> None:
    run.history.records = [
        record for record in run.history.records if record.command_id != "c4" or record.kind != "send"
    ]


def _a_repeated_event(run: Run) -> None:
    index = run.at("event", "b", 2)
    run.insert(index, run.history.records[index])


def _a_hole(run: Run) -> None:
    del run.history.records[run.at("event", "b", 1)]


def _a_hole_at_the_boundary(run: Run) -> None:
    """The reply of the join promised 3 and did not hold it."""
    del run.history.records[run.at("replayed", "b")]


def _out_of_order(run: Run) -> None:
    one, other = run.at("event", "a", 2), run.at("event", "a", 3)
    records = run.history.records
    records[one], records[other] = records[other], records[one]


def _heard_after_leaving(run: Run) -> None:
    run.insert(run.at("event", "a", 4), Record(0, "a", "acme", "left", room=ROOM))


def _told_current_and_was_not(run: Run) -> None:
    run.change(run.at("joined", "b", 3), code="current")


def _another_event_than_the_log(run: Run) -> None:
    index = run.at("event", "b", 2)
    run.change(index, data=_event(2) | {"data": {"task": {"id": "t2", "title": "something else"}}})


def _a_copy_that_differs(run: Run) -> None:
    run.facts.states[1].store["tasks"]["t3"]["title"] = "as it was"


def _a_copy_that_is_behind(run: Run) -> None:
    run.facts.states[1].seq = 3


def _tables_that_differ_from_the_log(run: Run) -> None:
    run.facts.fresh[ROOM]["snapshot"]["tasks"].pop()
    for state in run.facts.states:
        del state.store["tasks"]["t4"]


def _a_foreign_word(run: Run) -> None:
    run.history.add("m", "rival", "told", text='{"title": "acme-canary 3"}')


def _a_foreign_word_in_a_replay(run: Run) -> None:
    run.change(run.at("replayed", "b"), tenant="rival")


def _let_in(run: Run) -> None:
    run.change(run.at("trespassed"), code="let in")


def _a_stranger_learns_that_it_exists(run: Run) -> None:
    run.change(run.at("trespassed"), code="FORBIDDEN")


def _texts_in_the_output(run: Run) -> None:
    run.facts.output = '{"event": "oops", "title": "rival-canary 1"}'


CORRUPTIONS: Final[dict[Callable[[Run], None], str]] = {
    _acked_and_lost: "is not in the database",
    _acked_elsewhere: "where it is not",
    _acked_in_two_ways: "in two ways",
    _acked_as_new_twice: "as new 2 times",
    _applied_twice: "applied more than once",
    _refused_and_applied: "applied all the same",
    _a_fault_of_the_server: "met a fault of the server",
    _a_hole_in_the_log: "its numbers are not 1 to 4",
    _sent_by_nobody: "nobody has sent c4",
    _a_repeated_event: "heard 2 after 2",
    _a_hole: "heard 2 after 0",
    _a_hole_at_the_boundary: "heard 4 after 2",
    _out_of_order: "heard 3 after 1",
    _heard_after_leaving: "heard 4 without being in the room",
    _told_current_and_was_not: "was told it has everything at 3",
    _another_event_than_the_log: "is not what the log says",
    _a_copy_that_differs: "its copy is not the fresh snapshot",
    _a_copy_that_is_behind: "ends at 3, the head is 4",
    _tables_that_differ_from_the_log: "the log replayed is not the fresh snapshot",
    _a_foreign_word: "m of rival heard of acme",
    _a_foreign_word_in_a_replay: "b of rival heard of acme",
    _let_in: "was answered let in",
    _a_stranger_learns_that_it_exists: "was answered FORBIDDEN",
    _texts_in_the_output: "the server's output holds texts of rival",
}


@pytest.mark.parametrize("corrupt", CORRUPTIONS, ids=lambda corrupt: corrupt.__name__.strip("_"))
def test_a_corruption_is_found(run: Run, corrupt: Callable[[Run], None]) -> None:
    corrupt(run)
    assert any(CORRUPTIONS[corrupt] in finding for finding in run.found()), run.found()
