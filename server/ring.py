"""One buffer to many sockets in one system call, by io_uring, where the kernel lets us.

A fan-out writes the same bytes to every member of a room. With `write` that is a system call for each, and the calls
are most of what a delivery costs. Here the requests are laid into memory that we share with the kernel, all of them
carried out by one call, and their results read from memory again. Nothing is left under way between two calls: every
request is marked "do not wait", so that a socket whose buffer is full answers EAGAIN at once.

The layout of the shared memory is that of io_uring(7) and io_uring_setup(2); the numbers are those of the kernel's
include/uapi/linux/io_uring.h. See docs/decisions/0020-fan-out-by-io-uring.md for what it saves and what it costs.
"""

import ctypes
import errno
import mmap
import os
import struct
import sys
from array import array
from typing import Final

ENTRIES: Final = 512
"""Requests that one call carries (count); a larger room takes several calls."""

SETUP, ENTER = 425, 426
"""System call numbers; the same on every architecture that has had io_uring from its beginning."""
SUBMIT_ALL, SINGLE_ISSUER, DEFER_TASKRUN = 1 << 7, 1 << 12, 1 << 13
GETEVENTS: Final = 1
SEND: Final = 26
SQ_OFFSET, CQ_OFFSET, SQES_OFFSET = 0, 0x8000000, 0x10000000
SQE, CQE = 64, 16
"""Size of a request, and of a result (bytes)."""
BUFFER: Final = 65536
"""What is not longer is sent from one place, so that requests need not be told another each time (bytes)."""
FLAGS: Final = 0x40 | 0x4000
"""MSG_DONTWAIT and MSG_NOSIGNAL."""


class UnavailableError(OSError):
    """The kernel, or what guards it, has no io_uring for us."""


class _Parameters(ctypes.Structure):
    """`struct io_uring_params`, with its offsets as plain numbers: head, tail, mask, entries and so on."""

    _fields_ = [
        ("sq_entries", ctypes.c_uint32),
        ("cq_entries", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("others", ctypes.c_uint32 * 7),
        ("sq", ctypes.c_uint32 * 10),
        ("cq", ctypes.c_uint32 * 10),
    ]


class Ring:
    """An io_uring of one thread, for sending alone."""

    def __init__(self) -> None:
        if sys.platform != "linux" or sys.byteorder != "little":
            raise UnavailableError(errno.ENOSYS, "io_uring is used on Linux, little-endian")
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        parameters = _Parameters(flags=SUBMIT_ALL | SINGLE_ISSUER | DEFER_TASKRUN)
        self._descriptor = self._call(SETUP, ENTRIES, ctypes.byref(parameters))
        if self._descriptor < 0:
            raise UnavailableError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            self._map(parameters)
        except OSError as error:
            os.close(self._descriptor)
            raise UnavailableError(error.errno, error.strerror) from error
        for at in range(ENTRIES):
            struct.pack_into("<B27xIQ", self._sqes, at * SQE, SEND, FLAGS, at)

    def _map(self, parameters: _Parameters) -> None:
        _, sq_tail, sq_mask, _, _, _, sq_array, *_ = parameters.sq
        cq_head, cq_tail, cq_mask, _, _, cqes, *_ = parameters.cq
        sq = self._memory(sq_array + 4 * parameters.sq_entries, SQ_OFFSET).cast("I")
        cq = self._memory(cqes + CQE * parameters.cq_entries, CQ_OFFSET)
        self._sqes = self._memory(SQE * parameters.sq_entries, SQES_OFFSET)
        self._sq, self._cq = sq, cq.cast("I")
        self._sq_tail, self._cq_head, self._cq_tail = sq_tail // 4, cq_head // 4, cq_tail // 4
        self._sq_mask, self._cq_mask = sq[sq_mask // 4], self._cq[cq_mask // 4]
        # One field of all requests: numbers with a stride.
        self._sockets = self._sqes.cast("i")[1 :: SQE // 4]
        self._lengths = self._sqes.cast("I")[6 :: SQE // 4]
        self._addresses = self._sqes.cast("Q")[2 :: SQE // 8]
        self._results = cq[cqes : cqes + CQE * parameters.cq_entries]
        self._order = sq[sq_array // 4 : sq_array // 4 + parameters.sq_entries]
        """Which request stands at each place of the queue."""
        self._numbers = memoryview(array("I", range(parameters.sq_entries)))
        self._buffer = ctypes.create_string_buffer(BUFFER)
        self._bytes, self._address = memoryview(self._buffer).cast("B"), ctypes.addressof(self._buffer)
        self._laid: tuple[array[int], int, int] | None = None
        """The descriptors, the address and the length that the requests hold already."""

    def _memory(self, size: int, offset: int) -> memoryview:
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        return memoryview(mmap.mmap(self._descriptor, size, mmap.MAP_SHARED, protection, offset=offset))

    def close(self) -> None:
        os.close(self._descriptor)

    def send(self, descriptors: "array[int]", data: bytes) -> dict[int, int]:
        """Send the same bytes to at most ENTRIES sockets, without waiting for any.

        Returns what went otherwise than whole, by place in `descriptors`: the number of bytes taken, or the errno
        as a negative number. Raises OSError when the kernel took none of it, and then nothing was sent.
        """
        count = len(descriptors)
        self._lay(descriptors, data, count)
        taken = self._submit(count)
        found = self._read(taken, len(data))
        if taken < count:
            found |= dict.fromkeys(range(taken, count), -errno.EAGAIN)
        return found

    def _lay(self, descriptors: "array[int]", data: bytes, count: int) -> None:
        """Write what differs from call to call into the first so many requests, and these into the queue."""
        length = len(data)
        if length <= BUFFER:
            self._bytes[:length] = data
            address = self._address
        else:
            address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
        if self._laid is None or self._laid[0] is not descriptors or self._laid[1:] != (address, length):
            self._sockets[:count] = memoryview(descriptors)
            self._addresses[:count] = array("Q", (address,)) * count
            self._lengths[:count] = array("I", (length,)) * count
            self._laid = descriptors, address, length
        start = self._sq[self._sq_tail] & self._sq_mask
        first = min(count, len(self._order) - start)
        self._order[start : start + first] = self._numbers[:first]
        self._order[: count - first] = self._numbers[first:count]

    def _submit(self, count: int) -> int:
        """Have the kernel carry out the requests; returns how many it took."""
        tail = self._sq[self._sq_tail]
        self._sq[self._sq_tail] = (tail + count) & 0xFFFFFFFF
        try:
            taken = self._enter(count, count)
        except OSError:
            self._sq[self._sq_tail] = tail
            raise
        if taken < count:  # what is left must not be sent by a later call, when its bytes may be gone
            self._sq[self._sq_tail] = (tail + taken) & 0xFFFFFFFF
        return taken

    def _enter(self, submit: int, complete: int) -> int:
        while True:
            taken: int = self._call(ENTER, self._descriptor, submit, complete, GETEVENTS, None, 0)
            if taken >= 0:
                return taken
            number = ctypes.get_errno()
            if number != errno.EINTR:
                raise OSError(number, os.strerror(number))

    def _read(self, count: int, length: int) -> dict[int, int]:
        """The results of so many requests: those that did not take all of the bytes."""
        head = self._cq[self._cq_head]
        while (self._cq[self._cq_tail] - head) & 0xFFFFFFFF < count:  # a signal came in between
            self._enter(0, count)
        start = (head & self._cq_mask) * CQE
        end = start + count * CQE
        raw = bytes(self._results[start:end])
        if end > len(self._results):
            raw += bytes(self._results[: end - len(self._results)])
        self._cq[self._cq_head] = (head + count) & 0xFFFFFFFF
        whole = struct.pack("<i", length)
        if all(raw[8 + byte :: CQE] == whole[byte : byte + 1] * count for byte in range(4)):
            return {}
        results = ((place, result) for place, result, _ in struct.iter_unpack("<QiI", raw))
        return {place: result for place, result in results if result != length}
