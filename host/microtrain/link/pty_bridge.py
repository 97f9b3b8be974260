"""Runs an emulator, whose standard input and output are a board's serial line, behind a pty:

    python3 pty_bridge.py FOLDER COMMAND...

Prints the path of the pty, then becomes COMMAND, run in FOLDER. A process beside it carries the
bytes, drops what comes while no host has the port open, as a USB serial port does, and ends the
emulator (SIGTERM) when the standard input of this program closes. It ends with the emulator.
A program of its own, started by path: it needs nothing but Python.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import tty

# How often to look whether a host has opened the port.
PORT_POLL_S = 0.01
BLOCK = 4096


def is_open(master: int) -> bool:
    """Whether a host has the port open."""
    poller = select.poll()
    poller.register(master, select.POLLIN)
    return not any(event & select.POLLHUP for _, event in poller.poll(0))


def serve(master: int, to_board: int, from_board: int) -> None:
    """Carry bytes both ways until standard input or the board ends."""
    stdin = sys.stdin.fileno()
    for fd in (master, to_board):
        os.set_blocking(fd, False)
    inward = outward = b""
    while True:
        opened = is_open(master)
        if not opened:
            outward = b""
        # A side is read only when the other has taken what it sent: that is the flow control.
        readers = [stdin, *([] if outward else [from_board])]
        readers += [master] if opened and not inward else []
        writers = [master] if outward else []
        writers += [to_board] if inward else []
        patience = None if opened else PORT_POLL_S
        readable, writable, _ = select.select(readers, writers, [], patience)
        if stdin in readable and not os.read(stdin, BLOCK):
            return
        if from_board in readable:
            outward = os.read(from_board, BLOCK)
            if not outward:
                return
        try:
            if master in readable:
                inward = os.read(master, BLOCK)
            if master in writable:
                outward = outward[os.write(master, outward) :]
        except OSError:
            # The host closed the port in between.
            time.sleep(PORT_POLL_S)
        if to_board in writable:
            try:
                inward = inward[os.write(to_board, inward) :]
            except BrokenPipeError:
                return


def bridge(master: int, to_board: int, from_board: int, board: int) -> None:
    """What the process beside the emulator does; `board` is the emulator's process."""
    # Nothing else that this process has inherited shall outlive the emulator.
    keep = sorted((master, to_board, from_board))
    for low, high in zip((2, *keep), (*keep, os.sysconf("SC_OPEN_MAX")), strict=True):
        os.closerange(low + 1, high)
    serve(master, to_board, from_board)
    if os.getppid() == board:
        os.kill(board, signal.SIGTERM)


def main() -> None:
    folder, *command = sys.argv[1:]
    master, slave = os.openpty()
    tty.setraw(slave)
    port = os.ttyname(slave)
    os.close(slave)
    board_input, to_board = os.pipe()
    from_board, board_output = os.pipe()
    board = os.getpid()
    print(port, flush=True)
    if os.fork() == 0:
        os.close(board_input)
        os.close(board_output)
        try:
            bridge(master, to_board, from_board, board)
        finally:
            os._exit(0)
    os.dup2(board_input, 0)
    os.dup2(board_output, 1)
    os.chdir(folder)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
