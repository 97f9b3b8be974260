"""A host's session with the board's `microtrain.link`. Specification: host/README.md."""

from __future__ import annotations

import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from microtrain.errors import BoardReset, DeviceError, DeviceTimeout, RemoteError
from microtrain.link.frame import PAYLOAD_MAX, Channel, Frame, Kind, Splitter
from microtrain.link.line import Line
from microtrain.link.port_errors import why_lost
from microtrain.link.window import Window

PROTOCOL = 1
# A HELLO goes again that often; a board answers between two samples of training.
HELLO_S = 0.2
JOIN_S = 10.0
# A board that shows its prompt, and so runs no link, gets that long all the same.
PROMPT_S = 0.5
# How a line ends that is a prompt: of the REPL, of the raw REPL after code, and after PROBE.
PROMPTS = (b">>> ", b"\x04>", b">")
# A board at its prompt shows it again after that; one that is linked drops it as damage.
PROBE = b"\r\x01"
# How long a lost port may stay away.
AWAY_S = 20.0
PING_S = 1.0  # a host with nothing to say pings that often
SILENT_S = 5.0  # a host that was silent for so long begins with HELLO
QUIET_S = 10.0  # a board that was
ANSWER_S = 30.0  # how long a board may work on a request
HASH_BYTES_PER_S = 50_000
BYE_S = 1.0
PROMPT_BYTES = frozenset(b"\x01\x02\x03\x04\x05")
BACKLOG = 4  # messages prepared ahead of the window

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""


def hash_timeout(size: int) -> float:
    """Return how long, in seconds, a board may take to read and hash `size` bytes."""
    return ANSWER_S + size / HASH_BYTES_PER_S


@dataclass(frozen=True)
class Board:
    """What a board says of itself when it joins.

    block, window: bytes of a message, and messages under way. free, largest: bytes of its heap,
    and of the heap's largest block. rom: bytes of ROMFS, 0: none. run: None, or what it runs:
    function, event (number of its first event), ended.
    """

    protocol: int
    session: str
    resumed: bool
    block: int
    window: int
    platform: str
    machine: str
    micropython: str
    version: str
    abi: int
    image_format: int
    free: int
    largest: int
    rom: int
    run: dict[str, Any] | None

    @classmethod
    def of(cls, payload: bytes) -> Board:
        """From the payload of WELCOME; what this version does not know is left out."""
        given = json.loads(payload)
        return cls(**{name: given[name] for name in cls.__dataclass_fields__})


def _for_a_prompt(kind: Kind, text: str) -> bytes:
    """A frame that may reach a board at its prompt, for which it must mean nothing."""
    for nonce in range(1 << 10):
        frame = Frame(kind, f"{text} {nonce}".encode()).encode()
        if not PROMPT_BYTES & set(frame):
            return frame
    raise AssertionError("no nonce")


PING = _for_a_prompt(Kind.ACK, "?")
BYE = _for_a_prompt(Kind.BYE, "bye")


class Session:
    """Messages to and from a board, over a line that may be lost and come back.

    name: the port, for messages. on_text: gets what the board's code prints.
    block: bytes of a message, at most, where the line wants small ones. window: messages under
    way, at most. ending, on_notice: see Device. away: seconds that a lost port may stay away.

    `on_samples` gets the indices of samples that the board asks for. Raises DeviceError,
    DeviceTimeout, RemoteError; BoardReset where the board no longer knows of the session.
    """

    def __init__(
        self,
        name: str,
        line: Line,
        *,
        on_text: Callable[[str], object],
        block: int = PAYLOAD_MAX,
        window: int = 32,
        ending: Callable[[], str] | None = None,
        on_notice: Callable[[str], object] = lambda text: None,
        away: float = AWAY_S,
    ) -> None:
        self.name, self.line = name, line
        self._on_notice, self._away = on_notice, away
        self._ending = ending
        self.block, self._most = block, window
        self._splitter = Splitter(on_text)
        self._window = Window(1)
        self._id = secrets.token_hex(4)
        self._answers: deque[dict[str, Any]] = deque()
        self._pieces: dict[int, bytes] = {}
        self._bytes: deque[bytes] = deque()
        self._events: deque[dict[str, Any]] = deque()
        self.on_samples: Callable[[bytes], object] | None = None
        self.next_event = 0
        self._idle = True
        self._sent = self._heard = time.monotonic()
        self._welcome: Board | None = None
        self._left = False

    @property
    def joined(self) -> bool:
        """Whether the board has answered."""
        return self._welcome is not None

    @property
    def tail(self) -> bytes:
        """What has come since the last frame or line."""
        return self._splitter.tail()

    # ---- joining ----

    def join(self, timeout: float = JOIN_S) -> Board:
        """Say HELLO until the board answers. Raises BoardReset where it does not."""
        before = self._welcome
        self._welcome = None
        hello = self._hello()
        deadline, again = time.monotonic() + timeout, 0.0
        prompt = False
        while self._welcome is None:
            now = time.monotonic()
            if now > deadline:
                raise BoardReset(
                    f"{self.name}: the board does not answer: it "
                    + ("is at its prompt" if prompt else "was reset, or runs something else")
                )
            if now >= again and not self.line.unsent:
                self.line.write(PROBE + hello)
                self._sent, again = now, now + HELLO_S
            self._receive(self._exchange(min(HELLO_S, deadline - now)))
            if not prompt and (self.tail == PROMPTS[2] or self.tail.endswith(PROMPTS[:2])):
                prompt, deadline = True, min(deadline, time.monotonic() + PROMPT_S)
        board: Board = self._welcome
        if board.protocol != PROTOCOL:
            raise DeviceError(
                f"{self.name}: the firmware (microtrain {board.version}) speaks another link "
                f"protocol than this program ({PROTOCOL}): flash the firmware of this version"
            )
        if not board.resumed:
            if before is not None:
                raise BoardReset(f"{self.name}: the board has forgotten this session")
            self.block = min(self.block, board.block)
            self._window = Window(min(self._most, board.window))
        else:
            self._window.again()
        return board

    def _hello(self) -> bytes:
        return _for_a_prompt(Kind.HELLO, f"microtrain {PROTOCOL} {PROTOCOL} {self._id}")

    def _exchange(self, timeout: float) -> bytes:
        try:
            return self.line.exchange(timeout)
        except OSError:
            self._return()
            return b""

    def _return(self) -> None:
        """The port was lost: open it again."""
        ended = bool(self._ending and self._ending())
        if not ended and self._away:
            self._on_notice(f"{self.name} was lost: waiting {self._away:g} s for it to come back")
        try:
            self.line.reopen(0 if ended else self._away)
        except OSError as error:
            reason = self._ending() if self._ending else ""
            raise DeviceError(reason or why_lost(self.name, error)) from error

    # ---- the pump ----

    def pump(self, timeout: float) -> None:
        """Send and receive; returns after at most `timeout` seconds, or when something came."""
        now = time.monotonic()
        if now - self._sent > SILENT_S or now - self._heard > QUIET_S:
            self.join()
            now = self._heard = time.monotonic()
        for frame in self._window.outgoing(now, idle=self._idle):
            self.line.write(frame.encode())
            self._sent = now
        if now - self._sent > PING_S and not self.line.unsent:
            self.line.write(PING)
            self._sent = now
        until = self._window.next_timeout(now)
        wait = min(timeout, PING_S, PING_S if until is None else until)
        if self._idle is False:
            wait = 0.0  # an ACK is due if nothing more has come
        try:
            data = self.line.exchange(wait)
        except OSError:
            self._return()
            self.join()
            return
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        self._idle = not data
        if data:
            self._heard = time.monotonic()
        for frame in self._splitter.feed(data):
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.DATA:
            for channel, payload in self._window.received(frame):
                self._message(channel, payload)
        elif frame.kind == Kind.ACK:
            self._window.acknowledged(frame.payload, time.monotonic())
        elif frame.kind == Kind.WELCOME:
            try:
                board = Board.of(frame.payload)
            except (ValueError, KeyError):
                return
            if board.session == self._id:
                self._welcome = board
        elif frame.kind == Kind.BYE:
            self._left = True

    def _message(self, channel: int, payload: bytes) -> None:
        if channel == Channel.BYTES:
            self._bytes.append(payload)
        elif channel == Channel.SAMPLES:
            if self.on_samples is not None:
                self.on_samples(payload)
        elif channel == Channel.ANSWER:
            if whole := self._whole(channel, payload):
                self._answers.append(json.loads(whole))
        elif channel == Channel.EVENT:
            number = int.from_bytes(payload[:4], "little")
            if (whole := self._whole(channel, payload[4:])) and number >= self.next_event:
                self.next_event = number + 1
                self._events.append(json.loads(whole))

    def _whole(self, channel: int, piece: bytes) -> bytes:
        """The text that ends with this piece, b"" where more follows."""
        if piece.startswith(b"+"):
            self._pieces[channel] = self._pieces.get(channel, b"") + piece[1:]
            return b""
        return self._pieces.pop(channel, b"") + piece

    # ---- requests ----

    def post(self, do: str, **arguments: Any) -> None:
        """Send a request, without waiting for its answer."""
        text = json.dumps({"do": do} | arguments, separators=(",", ":")).encode()
        size = self.block - 1
        while len(text) > size:
            self._window.send(Channel.REQUEST, b"+" + text[:size])
            text = text[size:]
        self._window.send(Channel.REQUEST, text)

    def request(self, do: str, *, timeout: float = ANSWER_S, **arguments: Any) -> dict[str, Any]:
        """Send a request and return its answer. Raises RemoteError where the board raised."""
        self._answers.clear()
        self._bytes.clear()
        self.post(do, **arguments)
        return self.answer(timeout)

    def answer(self, timeout: float = ANSWER_S) -> dict[str, Any]:
        """Wait for the answer to the last request. Raises RemoteError."""
        deadline = time.monotonic() + timeout
        while not self._answers:
            if time.monotonic() > deadline:
                raise DeviceTimeout(f"{self.name}: no answer within {timeout:g} s")
            self.pump(PING_S)
        found = self._answers.popleft()
        raise_failure(found)
        return found

    def send_bytes(self, view: memoryview, progress: Progress | None, start: int) -> None:
        """Send `view` and wait until all has arrived, or an answer comes. start: bytes that were
        there before, which count as progress; its end is for the caller to report."""
        at, done, total = 0, 0, start + len(view)
        while (at < len(view) or self._window.unconfirmed) and not self._answers:
            while at < len(view) and self._window.backlog < BACKLOG:
                part = bytes(view[at : at + self.block])
                self._window.send(Channel.BYTES, part)
                at += len(part)
            self.pump(PING_S)
            arrived = start + max(done, at - self._window.unconfirmed * self.block)
            if progress is not None and start + done < arrived < total:
                progress(arrived, total)
            done = arrived - start

    def receive_bytes(self, timeout: float = ANSWER_S) -> bytes:
        """The next message of bytes. Raises RemoteError, DeviceTimeout."""
        deadline = time.monotonic() + timeout
        while not self._bytes:
            if self._answers:
                raise_failure(self._answers.popleft())
                raise DeviceError(f"{self.name}: the board ended without all bytes")
            if time.monotonic() > deadline:
                raise DeviceTimeout(f"{self.name}: no data within {timeout:g} s")
            self.pump(PING_S)
        return self._bytes.popleft()

    def drain_bytes(self) -> Iterator[bytes]:
        """The messages of bytes that have come."""
        while self._bytes:
            yield self._bytes.popleft()

    def drain_events(self) -> Iterator[dict[str, Any]]:
        """The events that have come."""
        while self._events:
            yield self._events.popleft()

    def post_bytes(self, data: bytes) -> None:
        """Send a message of bytes, without waiting for its arrival."""
        self._window.send(Channel.BYTES, data)

    def flush(self, timeout: float = ANSWER_S) -> None:
        """Wait until all that was sent has arrived. Raises DeviceTimeout."""
        deadline = time.monotonic() + timeout
        while self._window.unconfirmed:
            if time.monotonic() > deadline:
                raise DeviceTimeout(f"{self.name}: no acknowledgement within {timeout:g} s")
            self.pump(PING_S)

    # ---- leaving ----

    def leave(self, *, to_prompt: bool = True) -> None:
        """Say BYE; a run that is under way goes on. to_prompt: wait until the board is at its raw
        REPL's prompt, which is the end of its answer to what started the link. Never raises
        DeviceError."""
        deadline, again = time.monotonic() + BYE_S, 0.0
        try:
            while (now := time.monotonic()) < deadline:
                if self._left and (not to_prompt or self.tail.endswith(PROMPTS[1])):
                    return
                if now >= again and not self._left:
                    self.line.write(BYE)
                    again = now + HELLO_S
                self._receive(self.line.exchange(HELLO_S))
        except OSError:
            pass


def raise_failure(answer: Mapping[str, Any]) -> None:
    """Raise RemoteError where an answer or event says that the board's code raised."""
    if "error" in answer:
        raise RemoteError(answer["error"], answer.get("traceback", ""))


