"""A serial port in front of a board's that loses, damages, repeats, reorders and delays frames,
and goes away and comes back: a program of its own.

    python3 proxy.py BOARD_PORT LINK '{"seed": 1, "drop": 0.01, ...}'

LINK becomes a symbolic link to the port that a host opens. Bytes outside frames pass as they are,
so that a session can begin. Prints "ready", and at the end, when its standard input closes, what
it did as JSON.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import select
import sys
import time
import tty
from dataclasses import asdict, dataclass, field
from pathlib import Path

from microtrain.link.frame import Kind, decode

BLOCK = 1 << 16


@dataclass
class Faults:
    """Shares of the frames in each direction. disconnect_every: bytes to the board between two
    times that the port goes away, `disconnections` in all, each for `away` seconds."""

    seed: int = 1
    drop: float = 0.0
    damage: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    disconnections: int = 0
    disconnect_every: int = 0
    away: float = 0.01


@dataclass
class Counts:
    """What was done; bytes that came."""

    frames: int = 0
    dropped: int = 0
    damaged: int = 0
    repeated: int = 0
    reordered: int = 0
    delayed: int = 0
    disconnected: int = 0
    to_board: int = 0
    from_board: int = 0


@dataclass
class Direction:
    """Bytes one way: `pending` have come and are no whole piece, `out` can be written; `late` are
    pieces with the time at which they may go."""

    pending: bytes = b""
    out: bytearray = field(default_factory=bytearray)
    late: list[tuple[float, int, bytes]] = field(default_factory=list)
    held: bytes = b""


class Proxy:
    """Carries bytes between `board` and the host's port, with faults."""

    def __init__(self, board: str, link: Path, faults: Faults) -> None:
        self.faults, self.counts = faults, Counts()
        self.random = random.Random(faults.seed)
        self.board = os.open(board, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.board)
        self.link = link
        self.inward, self.outward = Direction(), Direction()
        self.serial = 0
        self.next_cut = faults.disconnect_every
        self.open_port()

    def open_port(self) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        part = self.link.with_name(self.link.name + ".new")
        part.symlink_to(os.ttyname(self.slave))
        part.replace(self.link)

    def cut(self) -> None:
        """The cable is pulled: whatever is on its way is lost."""
        self.counts.disconnected += 1
        self.link.unlink()
        os.close(self.master)
        os.close(self.slave)
        time.sleep(self.faults.away)
        self.inward, self.outward = Direction(), Direction()
        self.open_port()

    def pass_on(self, way: Direction, data: bytes) -> None:
        """Take what came; put into way.out what may go."""
        *pieces, rest = (way.pending + data).split(b"\0")
        for piece in pieces:
            frame = decode(piece) if len(piece) > 12 else None
            if frame is None or frame.kind in (Kind.HELLO, Kind.WELCOME):
                way.out += piece + b"\0"
            else:
                self.frame(way, piece)
        # What cannot be the beginning of a frame goes at once: the raw REPL has no delimiters.
        if len(rest) < 2 or rest[1] < Kind.DATA:
            way.out += rest
            rest = b""
        way.pending = rest

    def frame(self, way: Direction, piece: bytes) -> None:
        draw, counts, faults = self.random.random, self.counts, self.faults
        counts.frames += 1
        data = b"\0" + piece + b"\0"
        if draw() < faults.drop:
            counts.dropped += 1
            return
        if draw() < faults.damage:
            counts.damaged += 1
            broken = bytearray(data)
            broken[self.random.randrange(1, len(broken) - 1)] ^= self.random.randrange(1, 256)
            data = bytes(broken)
        if draw() < faults.repeat:
            counts.repeated += 1
            data += data
        if draw() < faults.delay:
            counts.delayed += 1
            self.serial += 1
            heapq.heappush(way.late, (time.monotonic() + 0.05 * draw(), self.serial, data))
            return
        if draw() < faults.reorder and not way.held:
            counts.reordered += 1
            way.held = data
            return
        way.out += data + way.held
        way.held = b""

    def run(self) -> None:
        while True:
            for way in (self.inward, self.outward):
                while way.late and way.late[0][0] <= time.monotonic():
                    way.out += heapq.heappop(way.late)[2]
            readers = [sys.stdin.fileno()]
            readers += [] if len(self.inward.out) > BLOCK else [self.master]
            readers += [] if len(self.outward.out) > BLOCK else [self.board]
            writers = [self.board] if self.inward.out else []
            writers += [self.master] if self.outward.out else []
            readable, writable, _ = select.select(readers, writers, [], 0.01)
            if sys.stdin.fileno() in readable and not os.read(sys.stdin.fileno(), 1):
                return
            if self.master in readable:
                data = os.read(self.master, BLOCK)
                self.counts.to_board += len(data)
                self.pass_on(self.inward, data)
            if self.board in readable:
                data = os.read(self.board, BLOCK)
                self.counts.from_board += len(data)
                self.pass_on(self.outward, data)
            if self.board in writable:
                del self.inward.out[: os.write(self.board, self.inward.out[:BLOCK])]
            if self.master in writable:
                del self.outward.out[: os.write(self.master, self.outward.out[:BLOCK])]
            if (
                self.counts.disconnected < self.faults.disconnections
                and self.counts.to_board >= self.next_cut
            ):
                self.next_cut += self.faults.disconnect_every
                self.cut()


def main() -> None:
    board, link, faults = sys.argv[1:]
    proxy = Proxy(board, Path(link), Faults(**json.loads(faults)))
    print("ready", flush=True)
    proxy.run()
    print(json.dumps(asdict(proxy.counts)), flush=True)


if __name__ == "__main__":
    main()
