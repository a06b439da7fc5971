"""What waits for Redis is bounded in number and in bytes; the newest is kept, in its order."""

from storage.backlog import Backlog


def _taken(backlog: Backlog) -> list[bytes]:
    return [backlog.take()[1] for _ in range(len(backlog))]


def test_what_is_put_in_comes_out_in_its_order() -> None:
    backlog = Backlog(10, 1000)
    backlog.put("room", b"one")
    backlog.put("another", b"two")
    assert [backlog.take(), backlog.take(), len(backlog)] == [("room", b"one"), ("another", b"two"), 0]


def test_of_too_many_the_oldest_are_dropped() -> None:
    backlog = Backlog(3, 1000)
    for number in range(10):
        backlog.put("room", b"%d" % number)
    assert _taken(backlog) == [b"7", b"8", b"9"]


def test_of_too_large_ones_the_oldest_are_dropped() -> None:
    backlog = Backlog(1000, 10)
    for message in (b"aaaa", b"bbbb", b"cc", b"ddd"):
        backlog.put("room", message)
    assert _taken(backlog) == [b"bbbb", b"cc", b"ddd"]


def test_what_was_taken_counts_no_more() -> None:
    backlog = Backlog(1000, 10)
    for _ in range(100):
        backlog.put("room", b"x" * 9)
        assert _taken(backlog) == [b"x" * 9]


def test_one_that_is_larger_than_all_may_be_is_dropped() -> None:
    backlog = Backlog(1000, 10)
    backlog.put("room", b"before")
    backlog.put("room", b"x" * 11)
    assert len(backlog) == 0
    backlog.put("room", b"after")
    assert _taken(backlog) == [b"after"]
