"""Files in a board's ROMFS, through `Rom` and `microtrain push`."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_net
from command_line import run_cli
from shared import shared

from microtrain import image
from microtrain.errors import DeviceError, RemoteError
from microtrain.importers.mcunet import import_mcunet
from microtrain.link import Device, VirtualBoard
from microtrain.link.emulated import EmulatedRP2040
from microtrain.link.rom import Rom
from microtrain.link.virtual import firmware_path

BLOCK = 4096
AREA = 256 << 10


def make_area(path: Path, size: int = AREA) -> Path:
    """Blank flash."""
    path.write_bytes(b"\xff" * size)
    return path


@pytest.fixture
def board(tmp_path: Path) -> Iterator[VirtualBoard]:
    rom = make_area(tmp_path / "rom.img")
    with VirtualBoard(tmp_path / "board", heap=4 << 20, rom=rom) as board:
        yield board


def some(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def open_rom(device: Device) -> Rom:
    rom = Rom.of(device)
    assert rom is not None
    return rom


def content(device: Device) -> dict[str, bytes]:
    return {f.path: device.read(f"/rom/{f.path}") for f in open_rom(device).files}


def flash(tmp_path: Path) -> bytes:
    return (tmp_path / "rom.img").read_bytes()


def test_files_are_added_replaced_and_kept(device: Device, tmp_path: Path) -> None:
    expected: dict[str, bytes] = {}
    for i, size in enumerate([0, 1, BLOCK, BLOCK + 1, 50_000]):
        expected[f"file{i}"] = some(size, i)
        digest = open_rom(device).put(f"file{i}", expected[f"file{i}"])
        assert digest == hashlib.sha256(expected[f"file{i}"]).hexdigest()
        assert content(device) == expected
    before = {file.path: file for file in open_rom(device).files}
    expected["file3"] = some(7000, 9)
    open_rom(device).put("file3", expected["file3"])
    assert content(device) == expected
    # The others did not move, and all begin at blocks.
    for file in open_rom(device).files:
        assert file.offset % BLOCK == 0
        assert file.path == "file3" or file == before[file.path]
    # Survives a power cut.
    with VirtualBoard(rom=tmp_path / "rom.img") as other, Device(other.port) as again:
        assert content(again) == expected


def test_what_is_there_is_not_written_again(device: Device, tmp_path: Path) -> None:
    rom = open_rom(device)
    rom.put("file", some(9000, 1))
    written: list[int] = []
    open_rom(device).put("file", some(9000, 1), lambda done, total: written.append(done))
    assert written == []


def test_a_romfs_that_mpremote_made(board: VirtualBoard, tmp_path: Path) -> None:
    """Files between the records, in folders, at any address: they stay, readable."""
    from mpremote.romfs import VfsRomWriter

    writer = VfsRomWriter()
    expected = {"a.bin": some(10, 1), "lib/b.mpy": some(30_000, 2), "lib/deep/c": some(5000, 3)}
    writer.mkfile("a.bin", expected["a.bin"])
    writer.opendir("lib")
    writer.mkfile("b.mpy", expected["lib/b.mpy"])
    writer.opendir("deep")
    writer.mkfile("c", expected["lib/deep/c"])
    writer.closedir()
    writer.closedir()
    made = writer.finalise()
    (tmp_path / "rom.img").write_bytes(made + b"\xff" * (AREA - len(made)))
    board.close()
    with (
        VirtualBoard(tmp_path / "board", rom=tmp_path / "rom.img") as other,
        Device(other.port) as device,
    ):
        assert content(device) == expected
        expected["new.mtm"] = some(20_000, 4)
        open_rom(device).put("new.mtm", expected["new.mtm"])
        assert content(device) == expected


def test_a_model_that_mpremote_put_there_is_aligned(tmp_path: Path) -> None:
    """The same bytes again: where they are the engine cannot read them in place."""
    from mpremote.romfs import VfsRomWriter

    data = image.to_bytes(tiny_net.graph())
    writer = VfsRomWriter()
    writer.mkfile("filler", some(BLOCK, 1))
    writer.mkfile("tiny.mtm", data)
    made = writer.finalise()
    assert made.index(data) % 4
    (tmp_path / "rom.img").write_bytes(made + b"\xff" * (AREA - len(made)))
    with VirtualBoard(rom=tmp_path / "rom.img") as board, Device(board.port) as device:
        device.exec("import microtrain as mt")
        with pytest.raises(RemoteError, match="not at a multiple of 4"):
            device.exec("mt.Model('/rom/tiny.mtm')")
        open_rom(device).put("tiny.mtm", data)
        device.exec("import microtrain as mt")
        assert device.eval("mt.Model('/rom/tiny.mtm').in_place")
        assert content(device) == {"filler": some(BLOCK, 1), "tiny.mtm": data}


def test_no_room_says_the_numbers_and_changes_nothing(device: Device, tmp_path: Path) -> None:
    open_rom(device).put("old", some(100_000, 1))
    before = flash(tmp_path)
    with pytest.raises(DeviceError, match="262144 bytes holds 100000 bytes of other files, new"):
        open_rom(device).put("new", some(170_000, 2))
    assert flash(tmp_path) == before
    # A file that fits only in place of its old self has no free blocks to go to beside it.
    said: list[str] = []
    open_rom(device).put("old", some(200_000, 3), say=said.append)
    assert content(device) == {"old": some(200_000, 3)}
    assert len(said) == 1 and "read back" in said[0]


def test_scattered_room_is_gathered(device: Device) -> None:
    expected = {name: some(50_000, i) for i, name in enumerate("abcd")}
    for name, data in expected.items():
        open_rom(device).put(name, data)
    for name in "ac":
        expected[name] = some(10, 5)
        open_rom(device).put(name, expected[name])
    expected["new"] = some(90_000, 6)
    said: list[str] = []
    open_rom(device).put("new", expected["new"], say=said.append)
    assert content(device) == expected
    backup = Path(said[0].rsplit(" ", 1)[1])
    assert not backup.exists()


class PowerCut(Exception):
    pass


@pytest.mark.parametrize("at", [0, 1, 5, 12])
def test_a_power_cut_leaves_the_old_files(tmp_path: Path, at: int) -> None:
    """Block by block until the directory is written."""
    rom_file = make_area(tmp_path / "rom.img")
    old, new = some(30_000, 1), some(50_000, 2)

    def cut(done: int, total: int) -> None:
        if done >= at * BLOCK:
            board.kill()
            raise PowerCut

    with VirtualBoard(tmp_path / "board", rom=rom_file) as board, Device(board.port) as device:
        open_rom(device).put("model", old)
        with pytest.raises(PowerCut):
            open_rom(device).put("model", new, cut)
    with VirtualBoard(tmp_path / "board", rom=rom_file) as other, Device(other.port) as device:
        assert content(device) == {"model": old}
        open_rom(device).put("model", new)
        assert content(device) == {"model": new}


def test_a_power_cut_in_the_directory_leaves_an_empty_romfs(tmp_path: Path) -> None:
    rom_file = make_area(tmp_path / "rom.img")
    with VirtualBoard(rom=rom_file) as board, Device(board.port) as device:
        open_rom(device).put("model", some(30_000, 1))
    rom_file.write_bytes(b"\xff" * BLOCK + rom_file.read_bytes()[BLOCK:])
    with VirtualBoard(rom=rom_file) as board, Device(board.port) as device:
        assert open_rom(device).files == []
        open_rom(device).put("next", some(9000, 2))
        assert content(device) == {"next": some(9000, 2)}


def test_an_interrupted_rewrite_says_where_the_files_are(device: Device) -> None:
    expected = {name: some(50_000, i) for i, name in enumerate("abcd")}
    for name, data in expected.items():
        open_rom(device).put(name, data)
    for name in "ac":
        open_rom(device).put(name, some(10, 5))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(DeviceError, match=r"KeyboardInterrupt: the files .* are in (\S+),") as why:
        open_rom(device).put("new", some(90_000, 6), stop)
    backup = Path(str(why.value).split(" are in ")[1].split(",")[0])
    assert (backup / "b").read_bytes() == expected["b"]
    assert content(device) == {}


def test_damaged_data_does_not_enter_the_directory(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_rom(device).put("old", b"old")
    directory = flash(tmp_path)[:BLOCK]
    write = device.write_rom
    monkeypatch.setattr(
        device, "write_rom",
        lambda at, data, *rest: write(at, data.replace(b"needle", b"noodle"), *rest),
    )  # fmt: skip
    with pytest.raises(DeviceError, match="SHA-256 differs"):
        open_rom(device).put("new", b"hay" * 5000 + b"needle")
    monkeypatch.undo()
    assert flash(tmp_path)[:BLOCK] == directory
    assert content(device) == {"old": b"old"}


def test_too_many_names(device: Device) -> None:
    rom = open_rom(device)
    with pytest.raises(DeviceError, match="its directory has 4096"):
        rom.put("x" * BLOCK, b"1")
    assert content(device) == {}


class TestPush:
    """`microtrain push` of model images and of other files."""

    def test_a_model_goes_into_romfs(self, tmp_path: Path) -> None:
        tiny_net.write_all(tmp_path)
        for name in ("tiny", "other"):
            pushed = run_cli("push", str(tmp_path / f"{name}.mtm"), "--json",
                             folder=tmp_path / "board")  # fmt: skip
            assert pushed.returncode == 0, pushed.stderr
            report = json.loads(pushed.stdout)
            assert report["remote"] == f"/rom/{name}.mtm" and report["in_place"]
        assert "what is in it stays (1 files)" in pushed.stderr
        with (
            VirtualBoard(tmp_path / "board", rom=tmp_path / "board.rom") as board,
            Device(board.port) as device,
        ):
            device.exec("import microtrain as mt\nm = mt.Model('/rom/tiny.mtm')")
            assert device.eval("m.in_place")
            assert sorted(content(device)) == ["other.mtm", "tiny.mtm"]
        # Training takes it from there: nothing is sent.
        trained = run_cli("train", "--model", str(tmp_path / "tiny.mtm"), "--data",
                          str(tmp_path / "train.mtd"), folder=tmp_path / "board")  # fmt: skip
        assert trained.returncode == 0, trained.stderr
        assert not (tmp_path / "board" / "tiny.mtm").exists()
        cleared = run_cli("push", str(tmp_path / "tiny.mtm"), "--clear", folder=tmp_path / "board")
        assert cleared.returncode == 0
        assert "read in place" in cleared.stdout and cleared.stderr == ""

    def test_without_romfs_it_goes_to_the_file_system(self, tmp_path: Path) -> None:
        tiny_net.write_all(tmp_path)
        with VirtualBoard(tmp_path / "board") as board:
            pushed = run_cli("push", str(tmp_path / "tiny.mtm"), "--port", board.port,
                             folder=tmp_path)  # fmt: skip
            assert pushed.returncode == 0
            assert "no ROMFS: the model goes to its file system, and loads to RAM" in pushed.stderr
            assert "-> /tiny.mtm" in pushed.stdout and "in place" not in pushed.stdout
            refused = run_cli("push", str(tmp_path / "tiny.mtm"), "--port", board.port, "--to",
                              "/rom/tiny.mtm", folder=tmp_path)  # fmt: skip
            assert refused.returncode == 1 and "this board has no ROMFS" in refused.stderr
            misused = run_cli("push", str(tmp_path / "train.mtd"), "--clear", folder=tmp_path)
            assert misused.returncode == 2 and "files that go into ROMFS" in misused.stderr


def test_a_model_too_large_for_the_heap_says_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "big.mtm").write_bytes(bytes(600_000))
    with (
        VirtualBoard(tmp_path, heap=512 << 10) as board,
        Device(board.port) as device,
        pytest.raises(RemoteError, match=r"/big.mtm: its 600000 B do not fit .*`microtrain push`"),
    ):
        device.exec("import microtrain as mt\nmt.Model('/big.mtm')")


@pytest.mark.parametrize("target", ["virtual", "emu:rp2040"])
def test_mbv2_loads_in_place(tmp_path: Path, target: str) -> None:
    """The issue's line: a network of 473 KB costs less than 8 KB of heap."""
    graph = import_mcunet(shared("data/mcunet/models_npz/mbv2-w0.35.npz"))
    data = image.to_bytes(graph)
    (tmp_path / "mbv2-w0.35.mtm").write_bytes(data)
    folder = tmp_path / "board"
    pushed = run_cli("push", str(tmp_path / "mbv2-w0.35.mtm"), "--port", target, folder=folder)
    assert pushed.returncode == 0, pushed.stderr
    board = (
        EmulatedRP2040(folder) if target == "emu:rp2040"
        else VirtualBoard(folder, rom=tmp_path / "board.rom", firmware=firmware_path())
    )  # fmt: skip
    with board, Device(board.port) as device:
        device.exec(
            "import gc, microtrain as mt, _microtrain\n"
            "def load():\n"
            "    gc.collect()\n"
            "    before = gc.mem_alloc()\n"
            "    model = mt.Model('/rom/mbv2-w0.35.mtm')\n"
            "    gc.collect()\n"
            "    return gc.mem_alloc() - before, model.in_place, model.net.length\n",
            timeout=60,
        )
        used, in_place, length = device.eval("load()", timeout=60)
    assert in_place and length == len(data) > 450_000
    assert used < 8192
