"""Files to a board and from it, over the virtual board's serial port."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from random_bytes import every_byte

from microtrain.errors import RemoteError
from microtrain.link import Device, VirtualBoard

MEGABYTE = 1 << 20


def test_push_and_pull_a_megabyte_of_every_byte(
    board: VirtualBoard, device: Device, tmp_path: Path
) -> None:
    data = every_byte(MEGABYTE + 123, seed=1)
    source, back = tmp_path / "source.bin", tmp_path / "back.bin"
    source.write_bytes(data)
    steps: list[tuple[int, int]] = []
    digest = device.push(source, "/model.mtm", lambda *step: steps.append(step))
    assert steps[-1] == (len(data), len(data)) and steps == sorted(set(steps))
    assert (board.folder / "model.mtm").read_bytes() == data
    assert device.pull("/model.mtm", back) == digest
    assert back.read_bytes() == data
    assert sorted(path.name for path in board.folder.iterdir()) == ["model.mtm"]


@pytest.mark.parametrize("size", [0, 1, 191, 192, 193, 3072, 8192, 8193, 16384, 16385])
def test_push_and_pull_of_edge_sizes(device: Device, size: int) -> None:
    for block in (192, 8192, 16384):
        device.session.block = block
        data = b"\x03" * (size // 2) + b"\x04" * (size - size // 2)
        device.write("edge.bin", data)
        assert device.read("edge.bin") == data


def test_push_replaces_only_when_complete_and_goes_on(board: VirtualBoard, device: Device) -> None:
    old, new = b"old", every_byte(3_000_000, seed=2)
    device.write("/file", old)

    def stop_half_way(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        device.write("/file", new, stop_half_way)
    assert device.read("/file") == old
    part = board.folder / f"file.{hashlib.sha256(new).hexdigest()[:8]}.part"
    assert sorted(path.name for path in board.folder.iterdir()) == ["file", part.name]
    here = part.stat().st_size
    assert len(new) // 3 < here < len(new)
    steps: list[int] = []
    device.write("/file", new, lambda done, total: steps.append(done))
    assert min(steps) > here
    assert device.read("/file") == new
    assert [path.name for path in board.folder.iterdir()] == ["file"]


def test_pull_goes_on_where_it_was_cut(
    board: VirtualBoard, device: Device, tmp_path: Path
) -> None:
    content, local = every_byte(3_000_000, seed=5), tmp_path / "copies" / "copy"
    local.parent.mkdir()
    device.write("/file", content)
    local.write_bytes(b"old")

    def stop_half_way(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    def pull() -> list[int]:
        steps: list[int] = []
        assert device.pull("/file", local, lambda done, _: steps.append(done)) == (
            hashlib.sha256((board.folder / "file").read_bytes()).hexdigest()
        )
        assert local.read_bytes() == (board.folder / "file").read_bytes()
        assert [path.name for path in local.parent.iterdir()] == ["copy"]
        return steps

    def cut() -> int:
        with pytest.raises(KeyboardInterrupt):
            device.pull("/file", local, stop_half_way)
        [part] = local.parent.glob("copy.????????.part")
        assert content.startswith(part.read_bytes())
        return part.stat().st_size

    here = cut()
    assert local.read_bytes() == b"old" and here > len(content) // 2
    assert min(pull()) > here
    # Another file by then, or a shorter one: all of it comes.
    for changed in (b"\0" + content[1:], content[:1000], b""):
        device.write("/file", content)
        cut()
        device.write("/file", changed)
        assert min(pull(), default=0) <= device.session.block
    with pytest.raises(RemoteError, match="ENOENT"):
        device.pull("/missing", local)
    assert [path.name for path in local.parent.iterdir()] == ["copy"]


def test_what_another_transfer_left_is_removed(board: VirtualBoard, device: Device) -> None:
    (board.folder / "file.01234567.part").write_bytes(b"of other content")
    (board.folder / "file.part").write_bytes(b"not of the link")
    device.write("/file", b"new")
    assert sorted(path.name for path in board.folder.iterdir()) == ["file", "file.part"]


def test_damaged_part_changes_nothing(board: VirtualBoard, device: Device) -> None:
    new = every_byte(100_000, seed=4)
    device.write("/file", b"old")
    part = board.folder / f"file.{hashlib.sha256(new).hexdigest()[:8]}.part"
    part.write_bytes(b"damaged on the flash" * 100)
    with pytest.raises(RemoteError, match=r"/file: OSError: SHA-256 of what arrived is wrong"):
        device.write("/file", new)
    assert [path.name for path in board.folder.iterdir()] == ["file"]
    assert device.read("/file") == b"old"
    device.write("/file", new)
    assert device.read("/file") == new


def test_file_errors_name_the_file(device: Device) -> None:
    with pytest.raises(RemoteError, match=r"/no/such/folder/x: OSError: .*ENOENT"):
        device.write("/no/such/folder/x", every_byte(20_000, seed=3))
    with pytest.raises(RemoteError, match=r"missing: OSError: .*ENOENT"):
        device.read("missing")
    assert device.eval("1") == 1
