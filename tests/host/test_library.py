"""The package as a library: boards from asyncio, what user code prints, what a board says of
itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import microtrain
from microtrain.errors import RemoteError
from microtrain.run.board import VERSION, Follower


def test_boards_from_asyncio(tmp_path: Path) -> None:
    async def push(number: int) -> bytes:
        with microtrain.open_device(folder=tmp_path / f"board{number}") as device:
            (tmp_path / f"{number}.bin").write_bytes(bytes([number]) * 100_000)
            steps: list[int] = []
            await asyncio.to_thread(
                device.push, tmp_path / f"{number}.bin", "/x", lambda done, _: steps.append(done)
            )
            assert steps == sorted(steps) and steps[-1] == 100_000
            return await asyncio.to_thread(device.read, "/x")

    async def all_of_them() -> list[bytes]:
        return await asyncio.gather(*map(push, range(3)))

    assert asyncio.run(all_of_them()) == [bytes([number]) * 100_000 for number in range(3)]


def test_prints_of_user_code_reach_the_host(tmp_path: Path) -> None:
    """Between frames, while the link is up."""
    with microtrain.open_device(folder=tmp_path) as device:
        printed: list[str] = []
        device.on_text = printed.append
        code = "def plan(options):\n    print('größe', 3)\n    print('zwei\\n' * 2, end='')\n"
        device.write("/user.py", code.encode())
        device.exec("import user\nfrom microtrain import run\nrun.plan = user.plan")
        session = device.session
        session.request("call", version=VERSION, function="plan", options={})
        while not list(session.drain_events()):
            session.pump(0.1)
        assert "".join(printed) == "größe 3\nzwei\nzwei\n"
        device.write("/after.txt", b"works")


def test_what_a_board_says_of_itself(tmp_path: Path) -> None:
    with microtrain.open_device(folder=tmp_path, heap=4 << 20) as device:
        assert device.session.joined and device.board is not None
        board = device.board
        assert (board.protocol, board.platform, board.version) == (1, "linux", "0.1.0")
        assert "virtual board" in board.machine and board.micropython.startswith("MicroPython v")
        assert 3 << 20 < board.largest <= 4 << 20 and board.free <= 4 << 20
        assert board.rom > 0 and board.run is None


def test_errors_of_requests(tmp_path: Path) -> None:
    with microtrain.open_device(folder=tmp_path) as device:
        with pytest.raises(RemoteError, match=r"AttributeError.*do_no_such"):
            device.session.request("no_such")
        with pytest.raises(RemoteError, match="KeyError: path"):
            device.session.request("sha256")
        assert device.session.request("sha256", path="/none") == {"sha256": None}
        device.session.request("call", version=3, function="plan", options={})
        with pytest.raises(RemoteError, match=f"version {VERSION}, the host program's 3"):
            Follower(device.session, print).to_the_end()
