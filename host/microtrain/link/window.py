"""Messages over a line that loses, damages, repeats and reorders frames: each once, in order.

Sans-IO: it is given frames and the time, and gives frames to send. Specification: host/README.md.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from microtrain.link.frame import Frame, Kind

FIRST_S, LONGEST_S, SHORTEST_S = 0.25, 1.0, 0.02  # until a message is sent again
ACK_EVERY = 4  # messages, at most: a sender whose window is small would wait for the answer
SPAN = 1 << 16
_ACK = struct.Struct("<HHI")


@dataclass(slots=True)
class _Sent:
    channel: int
    payload: bytes
    transmission: int = 0


def _newer(a: int, b: int) -> bool:
    """Whether transmission number `a` comes after `b`."""
    return 0 < (a - b) % SPAN < SPAN // 2


class Window:
    """Both directions of one session.

    size: messages that may be under way to the other side. `transmissions` counts DATA frames
    sent, `repeats` those sent again.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._ack_every = max(1, min(ACK_EVERY, size // 4))
        self._waiting: deque[_Sent] = deque()
        self._flight: deque[_Sent] = deque()
        self._base = 0  # sequence number of the first of _flight
        self._resend: deque[int] = deque()
        self._transmission = 0
        self._progress = 0.0
        self._rto = FIRST_S
        self._timed: tuple[int, float] | None = None
        self._expected = 0
        self._seen = 0
        self._unacknowledged = 0
        self._urgent = False
        self._ahead: dict[int, Frame] = {}
        self.transmissions = self.repeats = 0

    def send(self, channel: int, payload: bytes) -> None:
        """Have `payload` delivered."""
        self._waiting.append(_Sent(channel, payload))

    @property
    def backlog(self) -> int:
        """Messages that have not been sent for the first time."""
        return len(self._waiting)

    @property
    def unconfirmed(self) -> int:
        """Messages whose arrival is not known."""
        return len(self._waiting) + len(self._flight)

    def again(self) -> None:
        """The line was lost and is back: whatever was under way goes again."""
        self._resend = deque(range(len(self._flight)))
        self._timed = None

    # ---- out ----

    def outgoing(self, now: float, *, idle: bool) -> Iterator[Frame]:
        """Frames to send now. idle: nothing more has come in. now: seconds."""
        if self._flight and not self._resend and now - self._progress > self._rto:
            self._rto, self._progress, self._timed = min(LONGEST_S, 2 * self._rto), now, None
            self._resend.append(0)
        while self._resend:
            index = self._resend.popleft()
            if index < len(self._flight):
                self.repeats += 1
                yield self._transmit(index, now)
        while self._waiting and len(self._flight) < self.size:
            if not self._flight:
                self._progress = now
            self._flight.append(self._waiting.popleft())
            yield self._transmit(len(self._flight) - 1, now)
        due = 1 if idle else self._ack_every
        if self._urgent or self._unacknowledged >= due:
            yield self.ack()

    def ack(self) -> Frame:
        """What has arrived."""
        bits = 0
        for sequence in self._ahead:
            bits |= 1 << (sequence - self._expected - 1) % SPAN
        self._unacknowledged, self._urgent = 0, False
        return Frame(Kind.ACK, _ACK.pack(self._expected, self._seen, bits))

    def _transmit(self, index: int, now: float) -> Frame:
        sent = self._flight[index]
        self._transmission = sent.transmission = (self._transmission + 1) % SPAN
        self.transmissions += 1
        if self._timed is None:
            self._timed = sent.transmission, now
        return Frame(
            Kind.DATA, sent.payload, sent.channel, (self._base + index) % SPAN, sent.transmission
        )

    def next_timeout(self, now: float) -> float | None:
        """Seconds until outgoing() has something to send, None: not without an event."""
        if not self._flight:
            return None
        return max(0.0, self._progress + self._rto - now)

    # ---- in ----

    def acknowledged(self, payload: bytes, now: float) -> None:
        """Take an ACK; one that does not fit is ignored."""
        if len(payload) != _ACK.size:
            return
        expected, seen, bits = _ACK.unpack(payload)
        done = (expected - self._base) % SPAN
        if done > len(self._flight):
            return
        if self._timed and not _newer(self._timed[0], seen):
            self._rto = min(LONGEST_S, max(SHORTEST_S, 3 * (now - self._timed[1])))
            self._timed = None
        for _ in range(done):
            self._flight.popleft()
        if done:
            self._base, self._progress = expected, now
            self._resend = deque(i - done for i in self._resend if i >= done)
        for i, sent in enumerate(self._flight):
            missing = i == 0 or not bits >> (i - 1) & 1
            if missing and _newer(seen, sent.transmission) and i not in self._resend:
                self._resend.append(i)

    def received(self, frame: Frame) -> Iterator[tuple[int, bytes]]:
        """Take a DATA frame; yield the messages, channel and payload, whose turn it is now."""
        self._unacknowledged += 1
        self._seen = frame.transmission
        ahead = (frame.sequence - self._expected) % SPAN
        if 0 < ahead <= 32:
            if not self._ahead:
                self._urgent = True
            self._ahead[frame.sequence] = frame
        if ahead:
            return
        found: Frame | None = frame
        while found is not None:
            self._expected = (self._expected + 1) % SPAN
            yield found.channel, found.payload
            found = self._ahead.pop(self._expected, None)
