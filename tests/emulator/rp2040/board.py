"""Runs an emulated RP2040 board behind a pty: the counterpart of the virtual board's program.

Prints the path of its serial port, then serves it until standard input closes. Output that comes
while no host has the port open is dropped, as a USB serial port does.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import time
import tty
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parents[2] / "build" / "emulator" / "rp2040" / "node_modules" / "rp2040js"
# How often to look whether a host has opened the port.
PORT_POLL_S = 0.01
BLOCK = 4096


def is_open(master: int) -> bool:
    """Whether a host has the port open."""
    poller = select.poll()
    poller.register(master, select.POLLIN)
    return not any(event & select.POLLHUP for _, event in poller.poll(0))


def serve(master: int, board: subprocess.Popen[bytes]) -> int:
    """Carry bytes both ways until standard input or the board ends; returns an exit code."""
    assert board.stdin is not None and board.stdout is not None
    to_board, from_board = board.stdin.fileno(), board.stdout.fileno()
    for fd in (master, to_board):
        os.set_blocking(fd, False)
    inward = outward = b""
    while True:
        opened = is_open(master)
        if not opened:
            outward = b""
        # A side is read only when the other has taken what it sent: that is the flow control.
        readers = [sys.stdin.fileno(), *([] if outward else [from_board])]
        readers += [master] if opened and not inward else []
        writers = [master] if outward else []
        writers += [to_board] if inward else []
        patience = None if opened else PORT_POLL_S
        readable, writable, _ = select.select(readers, writers, [], patience)
        if sys.stdin.fileno() in readable and not os.read(sys.stdin.fileno(), BLOCK):
            return 0
        if from_board in readable:
            outward = os.read(from_board, BLOCK)
            if not outward:
                return board.wait() or 1
        try:
            if master in readable:
                inward = os.read(master, BLOCK)
            if master in writable:
                outward = outward[os.write(master, outward) :]
        except OSError:
            # The host closed the port in between.
            time.sleep(PORT_POLL_S)
        if to_board in writable:
            inward = inward[os.write(to_board, inward) :]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--firmware", type=Path, required=True, help="UF2 file to flash and run")
    parser.add_argument("--flash", type=Path, required=True, help="image of the flash chip")
    arguments = parser.parse_args()
    if not LIBRARY.is_dir():
        print(f"no rp2040js at {LIBRARY}: run `boards/setup.sh emulator`", file=sys.stderr)
        return 2
    master, slave = os.openpty()
    tty.setraw(slave)
    port = os.ttyname(slave)
    os.close(slave)
    board = subprocess.Popen(
        [
            "node", str(HERE / "emulate.mjs"), str(LIBRARY),
            str(arguments.firmware), str(arguments.flash),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # It shares the lock on the folder of the flash image that this program was given.
        close_fds=False,
    )  # fmt: skip
    try:
        print(port, flush=True)
        return serve(master, board)
    finally:
        board.kill()
        board.wait()


if __name__ == "__main__":
    sys.exit(main())
