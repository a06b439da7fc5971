"""Why a connection heard an event, or did not: by the steps that it took."""

from uuid import UUID

import pytest

from server.trail import LONGEST, Trail, explain
from storage.rooms import RoomKey

ROOM = RoomKey(UUID(int=1), "project", UUID(int=2))
OTHER = RoomKey(UUID(int=1), "project", UUID(int=3))


def _trail(*steps: tuple[str, int, int]) -> Trail:
    trail = Trail()
    for what, after, upto in steps:
        trail.add(ROOM, what, after, upto)
    return trail


@pytest.mark.parametrize(
    ("steps", "event", "position", "heard", "reason"),
    [
        ([("snapshot", 0, 10)], 7, 12, True, "snapshot"),
        ([("snapshot", 0, 10)], 11, 12, True, "live"),
        ([("snapshot", 0, 10)], 13, 12, None, "behind"),
        ([("events", 5, 10)], 7, 12, True, "missed_events"),
        ([("events", 5, 10)], 4, 12, True, "known"),
        ([("current", 10, 10)], 10, 12, True, "known"),
        ([("snapshot", 0, 10), ("left", 15, 15)], 12, 20, True, "live"),
        ([("snapshot", 0, 10), ("left", 15, 15)], 16, 20, False, "not_there"),
        ([("snapshot", 0, 10), ("revoked", 15, 15)], 16, 20, False, "not_there"),
        ([("snapshot", 0, 10), ("resync", 15, 15)], 16, 20, False, "resync"),
        ([("snapshot", 0, 10), ("resync", 15, 15), ("events", 15, 18)], 18, 20, True, "missed_events"),
        ([("snapshot", 0, 10), ("resync", 15, 15), ("events", 15, 18)], 19, 20, True, "live"),
        ([], 3, 20, False, "never_joined"),
    ],
)
def test_it_says_why(
    steps: list[tuple[str, int, int]], event: int, position: int, heard: bool | None, reason: str
) -> None:
    verdict = explain(_trail(*steps), ROOM, event, position)
    assert (verdict.heard, verdict.reason) == (heard, reason)


def test_rooms_do_not_mix() -> None:
    trail = _trail(("snapshot", 0, 10))
    assert explain(trail, OTHER, 5, 10).reason == "never_joined"


def test_it_is_bounded_and_says_what_it_has_forgotten() -> None:
    trail = _trail(*[("snapshot", 0, 10)] * LONGEST)
    assert not trail.cut
    for _ in range(LONGEST):
        trail.add(OTHER, "left", 3, 3)
    assert len(trail.steps) == LONGEST
    assert explain(trail, ROOM, 5, 10).reason == "forgotten"
