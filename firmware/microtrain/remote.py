# A data set that stays on the host, which sends each sample as it is needed. Specification:
# host/README.md.

import io
import struct
import time
from array import array

from microtrain.dataset import CLASS_LABELS, VECTOR_LABELS, Dataset
from microtrain.link import SAMPLES, Gone

AHEAD = 8  # messages kept until they are needed


class Source(io.IOBase):
    # The bytes of the sample that the data set stands at, as a stream.

    def __init__(self, data):
        self.data = data

    def readinto(self, buffer):
        n = min(len(buffer), self.data.left)
        self.data.take(memoryview(buffer)[:n])
        self.data.left -= n
        return n


class Remote(Dataset):
    """Samples of a host that is linked. about: number (of the data set, on the host), samples,
    shape, scale, zero_point, kind, length (numbers in a vector label), top_label, name.

    prefetch(order, start) says what comes next: the host sends ahead, 8 messages at most. Where
    the host has gone, a sample that is not here yet is waited for until it is back.
    """

    def __init__(self, link, about):
        self.link, self.number, self._count = link, about["number"], about["samples"]
        self.path, self.shape = "host:" + about["name"], tuple(about["shape"])
        self.scale, self.zero_point, self.kind = about["scale"], about["zero_point"], about["kind"]
        self.size = self.shape[0] * self.shape[1] * self.shape[2]
        self._top_label = about["top_label"]
        self._meta = b""
        label = 2 if self.kind == CLASS_LABELS else 0
        if self.kind == VECTOR_LABELS:
            label = 4 * about["length"]
        self._label, self._record = bytearray(label), label + self.size
        self._ring = memoryview(bytearray(AHEAD * link.block))
        self._session = None
        self._order, self._next = (), 0  # order[next] is the sample that comes next
        self.left = 0  # bytes of the sample before it that have not been read
        self._stream = Source(self)

    @property
    def top_label(self):
        return self._top_label

    def prefetch(self, order, start):
        if order is not self._order or start != self._next:
            self._order, self._next, self.left = order, start, 0
            self._restart(0)

    def _restart(self, skip):
        # The host begins anew, with order[next], of which `skip` bytes are not needed.
        link = self.link
        link.generation = (link.generation + 1) & 255
        self._session, self._generation = link.session, link.generation
        self._begin = self._fill = self._taken = self._allowed = 0
        self._first = self._asked = self._next
        link.take = self._receive
        self._ask()
        self._skip(skip)

    def _ask(self):
        # Tells the host how many bytes it may have sent by then, and of which samples.
        self._allowed = self._taken + len(self._ring)
        needed = self._first + self._allowed // self._record + 1
        end = min(needed, len(self._order), self._asked + (self.link.block - 8) // 4)
        message = bytearray(8 + 4 * max(0, end - self._asked))
        struct.pack_into("<BBHI", message, 0, self.number, self._generation, 0, self._allowed)
        for at in range(8, len(message), 4):
            struct.pack_into("<I", message, at, self._order[self._asked])
            self._asked += 1
        try:
            self.link.send(SAMPLES, message)
        except Gone:
            pass  # _wait() asks again when it is back

    def _receive(self, payload):
        # A message: its generation, then bytes of the stream.
        if payload[0] != self._generation:
            return
        n, ring = len(payload) - 1, self._ring
        end = (self._begin + self._fill) % len(ring)
        first = min(n, len(ring) - end)
        ring[end : end + first] = payload[1 : 1 + first]
        if n > first:
            ring[: n - first] = payload[1 + first :]
        self._fill += n

    def take(self, buffer):
        """Fill `buffer` from the stream."""
        ring, done = self._ring, 0
        while done < len(buffer):
            n = min(len(buffer) - done, self._fill, len(ring) - self._begin)
            if not n:
                self._wait()
                continue
            buffer[done : done + n] = ring[self._begin : self._begin + n]
            self._begin = (self._begin + n) % len(ring)
            self._fill -= n
            self._taken += n
            done += n
        if self._allowed - self._taken < len(ring) // 2:
            self._ask()

    def _wait(self):
        link = self.link
        while not self._fill:
            link.wait()
            if not link.attached:
                time.sleep_ms(1)
            elif link.session != self._session:  # the host is back
                used = self._record - self.left if self.left else 0
                self._next -= bool(used)
                self._restart(used)
                self._next += bool(used)

    def _skip(self, n):
        block = memoryview(bytearray(min(n, 256)))
        while n:
            part = block[: min(n, 256)]
            self.take(part)
            n -= len(part)

    def seek(self, i):
        if not 0 <= i < self._count:
            raise IndexError("sample %d of %d" % (i, self._count))
        if self._next >= len(self._order) or self._order[self._next] != i:
            self.prefetch((i,), 0)
        if self.left:
            self._skip(self.left)
        self._next += 1
        begin, n = self._begin, self._record
        if self.kind == CLASS_LABELS and n <= self._fill and begin + n <= len(self._ring):
            # All of it lies here in one piece, which stays until the next poll().
            ring, end = self._ring, begin + n
            self.source = ring[begin + 2 : end]
            self._fill -= n
            self._taken += n
            self._begin = end if end < len(ring) else 0
            if self._allowed - self._taken < len(ring) // 2:
                self._ask()
            return ring[begin] | ring[begin + 1] << 8
        self.source = self._stream
        self.left = n
        self.take(self._label)
        self.left = self.size
        if self.kind == CLASS_LABELS:
            return self._label[0] | self._label[1] << 8
        if self.kind == VECTOR_LABELS:
            return array("f", self._label)
        return None

    def read(self, i, buffer):
        label = self.seek(i)
        if self.source is self._stream:
            self.source.readinto(buffer)
        else:
            buffer[:] = self.source
        return label

    def close(self):
        self.link.take = None
