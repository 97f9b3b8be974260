# The board's end of the link to a host: frames over the serial line. Specification:
# host/README.md.

import gc
import io
import json
import sys
import time

import _microtrain
import micropython

PROTOCOL = 1
DATA, ACK, HELLO, WELCOME, BYE = 0xF8, 0xF9, 0xFA, 0xFB, 0xFC
REQUEST, ANSWER, BYTES, EVENT, SAMPLES = range(5)  # channels
NONE = 0xFFFF
GONE_MS = 10_000  # a host that says nothing for that long has gone
FIRST_MS, LONGEST_MS = 250, 1000  # until a message is sent again: before a round trip is known
SHORTEST_MS = 20
ACK_EVERY = 4  # messages
SPIN_MS = 5  # how long an idle board polls without a pause; a virtual one waits in the system
# From how many free bytes of heap on a board has which block, window and keep: large blocks cost
# less time, but every byte is one that training lacks.
SIZES = (
    (3 << 19, 16384, 16, 32768), (1 << 20, 8192, 16, 32768), (160 << 10, 2048, 4, 4096),
    (0, 1024, 4, 4096),
)  # fmt: skip

current = None  # the Link of the host that is attached, or was


class Gone(OSError):
    """The host has gone, or began anew, in the middle of something."""


class Link:
    """Messages to and from one host, each once and in order.

    block: bytes of payload. window: messages under way, and kept where one before is missing; a
    power of two. keep: bytes of events, at most, for a host that comes back.
    `handle` is called with each request, a dict; what it returns is the answer.
    """

    def __init__(self, block, window, keep):
        self.largest = _largest()
        self.block, self.window = block, window
        self.codec = _microtrain.Link(sys.stdin.buffer, block)
        self.frame = bytearray(block + block // 254 + 16)
        self.view = memoryview(self.frame)
        self.slots = [memoryview(bytearray(block)) for _ in range(window)]
        self.lengths, self.channels, self.sent = [0] * window, [0] * window, [0] * window
        self.write = sys.stdout.buffer.write
        self.attached = False
        self.session = None
        self.run = None  # what the host is told that runs
        self.control = None  # takes the requests that come in a run
        self.take = None  # takes bytes that come in a run
        self.generation = 0  # of the samples that a host sends (microtrain.remote)
        self.events, self.event = [], 0  # kept ones; the next one's number
        self.kept, self.keep = 0, keep  # bytes of them
        self.left = False  # the host said BYE
        self.heard = time.ticks_ms()
        self._forget()

    def _forget(self):
        # Both directions begin at message 0.
        self.base = self.next = self.expected = self.transmission = self.seen = 0
        self.unacknowledged, self.stash = 0, {}
        self.piece = b""  # of a request whose rest is to come
        self.missing = False
        self.rto = FIRST_MS
        self.timed = None  # transmission whose round trip is being measured, and when it was sent
        self.progress = time.ticks_ms()

    # ---- frames ----

    def _send(self, kind, channel=255, sequence=NONE, transmission=NONE, payload=b""):
        n = self.codec.encode(self.frame, kind, channel, sequence, transmission, payload)
        self.write(self.view[:n])

    def _transmit(self, sequence):
        i = sequence % self.window
        self.transmission = self.sent[i] = (self.transmission + 1) & 0xFFFF
        if self.timed is None:
            self.timed = self.transmission, time.ticks_ms()
        if self.attached:
            self._send(
                DATA, self.channels[i], sequence, self.transmission,
                self.slots[i][: self.lengths[i]],
            )  # fmt: skip

    def _acknowledge(self):
        bits = 0
        for sequence in self.stash:
            bits |= 1 << ((sequence - self.expected - 1) & 31)
        self._send(ACK, payload=(
            self.expected | self.seen << 16).to_bytes(4, "little") + bits.to_bytes(4, "little")
        )  # fmt: skip
        self.unacknowledged = 0

    def _acknowledged(self, payload):
        # The host's ACK.
        if len(payload) < 8:
            self._acknowledge()  # it asks for one
            return
        word = int.from_bytes(payload[:4], "little")
        expected, seen, bits = word & 0xFFFF, word >> 16, int.from_bytes(payload[4:8], "little")
        in_flight = (self.next - self.base) & 0xFFFF
        done = (expected - self.base) & 0xFFFF
        if done > in_flight:
            return
        now = time.ticks_ms()
        if self.timed and not (seen - self.timed[0]) & 0x8000:
            trip = time.ticks_diff(now, self.timed[1])
            self.rto = min(LONGEST_MS, max(SHORTEST_MS, 3 * trip))
            self.timed = None
        if done:
            self.base, self.progress = expected, now
        for i in range(in_flight - done):
            sequence = (expected + i) & 0xFFFF
            if i and bits >> (i - 1) & 1:
                continue
            if (seen - self.sent[sequence % self.window] - 1) & 0x8000:
                continue  # it may still be on its way
            self._transmit(sequence)

    # ---- messages out ----

    def slot(self):
        """Buffer for the next message, whose length and channel commit() gets."""
        while self.attached and (self.next - self.base) & 0xFFFF >= self.window:
            self.wait()
        if not self.attached:
            raise Gone
        return self.slots[self.next % self.window]

    def commit(self, channel, length):
        i = self.next % self.window
        self.channels[i], self.lengths[i] = channel, length
        if self.base == self.next:
            self.progress = time.ticks_ms()
        self.next = (self.next + 1) & 0xFFFF
        self._transmit((self.next - 1) & 0xFFFF)

    def send(self, channel, data):
        """One message of at most `block` bytes. Waits for room. Raises Gone."""
        self.slot()[: len(data)] = data
        self.commit(channel, len(data))

    def send_bytes(self, data):
        """As many messages of bytes as it takes."""
        view = memoryview(bytes(data))
        for at in range(0, len(view), self.block):
            self.send(BYTES, view[at : at + self.block])

    def answer(self, value):
        self._pieces(ANSWER, b"", memoryview(json.dumps(value).encode()))

    def emit(self, event):
        """An event of a run: the host gets it now, or when it comes back, if it is among the last
        `keep` bytes."""
        self.emit_text(json.dumps(event))

    def emit_text(self, text):
        """emit() of a dict that is JSON already."""
        text = self.event.to_bytes(4, "little") + text.encode()
        self.event += 1
        self.events.append(text)
        self.kept += len(text)
        while self.kept > self.keep and len(self.events) > 1:
            self.kept -= len(self.events.pop(0))
        if self.attached:
            try:
                self._event(text)
            except Gone:
                pass

    def _event(self, text):
        number = text[:4]
        self._pieces(EVENT, number, memoryview(text)[4:])

    def _pieces(self, channel, head, text):
        # One message, or as many as it takes: all but the last begin with "+" after the head.
        size = self.block - len(head) - 1
        while len(text) > size:
            self.send(channel, head + b"+" + bytes(text[:size]))
            text = text[size:]
        self.send(channel, head + bytes(text))

    def send_events(self, first):
        """The kept events from number `first` on; returns their first and the next number."""
        oldest = self.event - len(self.events)
        first = max(first, oldest)
        for text in self.events[first - oldest :]:
            self._event(text)
        return {"first": first, "next": self.event}

    # ---- messages in ----

    def message(self, idle=True):
        """Channel of the next message, whose bytes are `payload` until the next call; None: none
        has come. idle: then say what has arrived; without it something is about to."""
        codec = self.codec
        while True:
            if self.stash and self.expected in self.stash:
                channel, self.payload = self.stash.pop(self.expected)
                if self._next(channel):
                    return channel
                continue
            kind = codec.receive()
            if not kind:
                if idle:
                    self._idle()
                return None
            if kind == HELLO:
                self._hello(bytes(codec.payload))
            elif self.attached:
                self.heard = time.ticks_ms()
                if kind == DATA:
                    self.unacknowledged += 1
                    self.seen = codec.transmission
                    ahead = (codec.sequence - self.expected) & 0xFFFF
                    if ahead == 0:
                        self.payload, channel = codec.payload, codec.channel
                        if self._next(channel):
                            return channel
                    elif ahead <= self.window:
                        if len(self.stash) < self.window:
                            self.stash[codec.sequence] = codec.channel, bytes(codec.payload)
                        if not self.missing:
                            self.missing = True
                            self._acknowledge()
                elif kind == ACK:
                    self._acknowledged(codec.payload)
                elif kind == BYE:
                    self._send(BYE)
                    self.left = True
                    if self.run and self.run["ended"]:
                        self.run = None
                    self._detach()

    def _next(self, channel):
        # `payload` is the message whose turn it is; whether it is whole.
        self.expected = (self.expected + 1) & 0xFFFF
        self.missing = False
        if self.unacknowledged >= ACK_EVERY:
            self._acknowledge()
        if channel == REQUEST:
            if self.payload[0] == 43:  # "+": more follows
                self.piece += bytes(self.payload[1:])
                return False
            self.payload, self.piece = self.piece + bytes(self.payload), b""
        return True

    def _idle(self):
        if not self.attached:
            return
        if self.unacknowledged:
            self._acknowledge()
        now = time.ticks_ms()
        if self.base != self.next and time.ticks_diff(now, self.progress) > self.rto:
            self.rto, self.progress, self.timed = min(LONGEST_MS, 2 * self.rto), now, None
            self._transmit(self.base)
        if time.ticks_diff(now, self.heard) > GONE_MS:
            self._detach()

    def poll(self):
        """Between two samples, and while waiting: whatever has come."""
        while True:
            channel = self.message()
            if channel is None:
                return
            if channel == REQUEST and self.control:
                self.control(json.loads(self.payload))
            elif channel == BYTES and self.take:
                self.take(self.payload)

    def wait(self):
        """poll() when something has come, or after a while."""
        self.codec.wait(SPIN_MS)
        self.poll()

    # ---- the host comes and goes ----

    def _hello(self, payload):
        try:
            _, low, high, session, _ = payload.decode().split()
            fits = int(low) <= PROTOCOL <= int(high)
        except ValueError:
            return
        if not self.attached:
            micropython.kbd_intr(-1)
        self.heard = time.ticks_ms()
        resumed = session == self.session
        if not resumed:
            self._forget()
            self.session = session
        self.attached, self.left = fits, False
        self._send(WELCOME, payload=json.dumps(self._welcome(session, resumed, fits)).encode())
        if not fits:
            micropython.kbd_intr(3)
        elif resumed:
            for i in range((self.next - self.base) & 0xFFFF):
                self._transmit((self.base + i) & 0xFFFF)

    def _welcome(self, session, resumed, fits):
        from microtrain import __version__

        return {
            "protocol": PROTOCOL if fits else 0, "session": session, "resumed": resumed,
            "block": self.block, "window": self.window, "platform": sys.platform,
            "machine": getattr(sys.implementation, "_machine", ""),
            "micropython": sys.version.split("; ")[-1], "version": __version__,
            "abi": _microtrain.ABI, "image_format": _microtrain.FORMAT, "free": gc.mem_free(),
            "largest": self.largest, "rom": _rom_bytes(), "run": self.run,
        }  # fmt: skip

    def _detach(self):
        # A host that comes back begins anew: it asks for the events that it has missed.
        self.attached, self.session = False, None
        micropython.kbd_intr(3)

    def serve(self):
        """Do what the host asks for, until it says BYE or has gone with nothing under way."""
        self.heard = time.ticks_ms()
        while True:
            channel = self.message()
            if channel == REQUEST:
                self.request(json.loads(self.payload))
            elif channel is None:
                quiet = time.ticks_diff(time.ticks_ms(), self.heard)
                if not self.attached and not self.run and (self.left or quiet > GONE_MS):
                    return
                self.codec.wait(SPIN_MS)
                if quiet > SPIN_MS:
                    time.sleep_ms(1)

    def bytes(self):
        """The next message of bytes, valid until the next call. Raises Gone, OSError."""
        session, idle = self.session, False
        while True:
            channel = self.message(idle)
            if channel == BYTES:
                return self.payload
            if channel == REQUEST:
                raise OSError("aborted by the host")
            if self.session != session or not self.attached:
                raise Gone
            idle = not self.codec.wait(SPIN_MS)

    def request(self, request):
        try:
            answer = self.handle(request) or {}
        except Gone:
            return
        except Exception as error:
            answer = failure(error)
        try:
            self.answer(answer)
        except Gone:
            pass


def failure(error):
    """What an answer or event says of an exception."""
    text = io.StringIO()
    sys.print_exception(error, text)
    return {"error": "%s: %s" % (type(error).__name__, error), "traceback": text.getvalue()}


def _largest():
    # Bytes of the largest block that the heap has, to a sixteenth.
    low, high = 0, gc.mem_free()
    while high - low > max(1024, high // 16):
        middle = (low + high) // 2
        try:
            bytearray(middle)
            low = middle
        except MemoryError:
            high = middle
    return low


def _rom_bytes():
    try:
        import vfs

        rom = vfs.rom_ioctl(2, 0)
        return rom.ioctl(4, 0) * rom.ioctl(5, 0) if hasattr(rom, "ioctl") else len(rom)
    except (ImportError, AttributeError, OSError, TypeError):
        return 0


def resume():
    """For main.py: go on with the training that a reset ended, if there is one. A host may attach;
    without it the interrupt character ends it."""
    from microtrain import run

    if run.is_unfinished():
        serve({"do": "call", "version": run.VERSION, "function": "resume", "options": {}})


def serve(request=None):
    """What the host starts through the raw REPL. request: done first, without a host."""
    global current
    from microtrain.requests import Requests

    gc.collect()
    free = gc.mem_free()
    current = Link(*next(size for least, *size in SIZES if free >= least))
    current.handle = Requests(current).handle
    try:
        if request:
            current.request(request)
        else:
            micropython.kbd_intr(-1)
        current.serve()
    finally:
        micropython.kbd_intr(3)
        current = None
