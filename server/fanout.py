"""Ready frames to many sockets: the inner loop of everything that rooms are about."""

import errno
import os
import threading
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from server.ring import ENTRIES, Ring, UnavailableError

FEW: Final = 4
"""Sockets up to which a system call for each is as cheap as one for all (count)."""


class Outlet(Protocol):
    """A connection that frames are written to."""

    transport: Any
    """An asyncio transport; None while there is no WebSocket to write to."""

    @property
    def descriptor(self) -> int: ...


_threads = threading.local()
"""The ring of each thread that runs an event loop: a ring belongs to one thread."""

_changes = 0
"""How often an outlet may have ceased to be ready (count)."""


def changed() -> None:
    """Hear that something was left to a WebSocket's transport to write, or that it is going: crowds look anew."""
    global _changes  # noqa: PLW0603  # of all sockets of the process
    _changes += 1


class Crowd:
    """Outlets that get the same frames again and again. While nothing has changed since all of them were ready, they
    are not looked at one by one: that costs more than all the rest that is done here for a delivery.

    Their descriptors stay true as long: a socket is closed only after its protocol has heard `connection_lost`.
    """

    __slots__ = ("_laid", "_seen", "outlets")

    def __init__(self, outlets: Sequence[Outlet]) -> None:
        self.outlets = outlets
        self._laid: list[tuple[Sequence[Outlet], array[int]]] = []
        self._seen = -1

    def write(self, frames: bytes, hard_limit: int) -> list[Any]:
        """As `fan_out`."""
        ring = _ring() if len(self.outlets) > FEW else None
        if ring is None or (self._seen != _changes and not self._look()):
            return fan_out(self.outlets, frames, hard_limit)
        for outlets, descriptors in self._laid:
            _send(ring, outlets, descriptors, frames)
        return []

    def _look(self) -> bool:
        if not _all_ready(self.outlets):
            return False
        self._seen, self._laid = _changes, list(_batches(self.outlets))
        return True


def fan_out(outlets: Sequence[Outlet], frames: bytes, hard_limit: int) -> list[Any]:
    """Write the same ready frames to many sockets; returns those that took none of it: they have more than
    `hard_limit` bytes unsent, or no WebSocket to write to.

    Where nothing is waiting, the bytes go to the kernel from here, and not by way of the transport, which would queue
    them and come back at the end of the turn. What the kernel does not take at once is the transport's. A descriptor
    is used only while its transport is open: only this thread closes it.
    """
    left, ready = [], []
    for outlet in outlets:
        transport = outlet.transport
        if transport is None:
            left.append(outlet)
        elif not transport.is_closing():
            unsent = transport.get_write_buffer_size()
            if unsent == 0:
                ready.append(outlet)
            elif unsent > hard_limit:
                left.append(outlet)
            else:
                transport.write(frames)
                changed()
    if len(ready) > FEW and (ring := _ring()) is not None:
        for some, descriptors in _batches(ready):
            _send(ring, some, descriptors, frames)
    else:
        for outlet in ready:
            write_now(outlet, frames)
    return left


def _all_ready(outlets: Sequence[Outlet]) -> bool:
    """Whether all of them are open and have nothing waiting: the usual case, found out quickly."""
    for outlet in outlets:
        transport = outlet.transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size():
            return False
    return True


def write(outlet: Outlet, frames: bytes) -> None:
    """Write to one socket, behind what is waiting; what is sent to one that is gone is lost."""
    transport = outlet.transport
    if transport is None or transport.is_closing():
        return
    if transport.get_write_buffer_size():
        transport.write(frames)
        changed()
    else:
        write_now(outlet, frames)


def write_now(outlet: Outlet, frames: bytes) -> None:
    """Write to one open socket that has nothing waiting."""
    try:
        sent = os.write(outlet.descriptor, frames)
    except BlockingIOError:
        sent = 0
    except OSError:
        return  # the peer has gone; the reading side will notice and close
    if sent < len(frames):
        outlet.transport.write(frames[sent:])
        changed()


def by_ring() -> bool:
    """Whether this thread's fan-out goes through io_uring."""
    return _ring() is not None


def use_ring(wanted: bool) -> None:
    """Say whether this thread may use io_uring."""
    if not wanted:
        _threads.ring = None
    elif getattr(_threads, "ring", None) is None:
        _threads.__dict__.pop("ring", None)


def _ring() -> Ring | None:
    try:
        ring: Ring | None = _threads.ring
    except AttributeError:
        try:
            ring = Ring()
        except UnavailableError:
            ring = None
        _threads.ring = ring
    return ring


def _batches(outlets: Sequence[Outlet]) -> Iterator[tuple[Sequence[Outlet], "array[int]"]]:
    """As many as one call of the ring carries, with their descriptors."""
    for at in range(0, len(outlets), ENTRIES):
        some = outlets[at : at + ENTRIES]
        yield some, array("i", [outlet.descriptor for outlet in some])


def _send(ring: Ring, outlets: Sequence[Outlet], descriptors: "array[int]", frames: bytes) -> None:
    try:
        odd = ring.send(descriptors, frames)
    except OSError:
        for outlet in outlets:
            write_now(outlet, frames)
        return
    for place, result in odd.items():
        sent = 0 if result == -errno.EAGAIN else result
        if sent >= 0:  # otherwise the peer has gone; the reading side will notice and close
            outlets[place].transport.write(frames[sent:])
            changed()
