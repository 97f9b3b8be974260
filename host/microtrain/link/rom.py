"""Putting files into a board's ROMFS, where the engine reads models in place."""

from __future__ import annotations

import ast
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from microtrain.errors import DeviceError, RemoteError
from microtrain.link.board_code import ROM
from microtrain.link.romfs import RomFile, directory, find_room
from microtrain.link.session import Progress, hash_timeout
from microtrain.link.transport import ANSWER_TIMEOUT_S, Device

MOUNT = "/rom"


class Rom:
    """The flash area that holds a board's ROMFS.

    size, block: bytes of the area, and of what is erased at once. files: what is in it.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        device.exec(ROM, timeout=ANSWER_TIMEOUT_S)
        self.size, self.block = device.eval("_mt_rom_size()")
        if self.block <= 0:
            raise DeviceError(
                f"{device.port}: this firmware can write its ROMFS only as a whole, which would "
                f"lose the files in it: use `mpremote romfs deploy`, or push --to /NAME"
            )
        found: list[str] = []
        try:
            device.exec(f"_mt_rom_files({MOUNT!r})", found.append, timeout=ANSWER_TIMEOUT_S)
        except RemoteError as error:
            if "ENOENT" not in str(error):
                raise
            # Blank flash, or a cut while the directory was rewritten: nothing is mounted.
        self.files = [
            RomFile(path.removeprefix(f"{MOUNT}/"), offset or self.block, size)
            for path, offset, size in map(ast.literal_eval, found)
        ]

    @classmethod
    def of(cls, device: Device) -> Rom | None:
        """Return the ROMFS of the board, None if it has none. Raises DeviceError."""
        device.exec("import vfs", timeout=ANSWER_TIMEOUT_S)
        if device.eval("vfs.rom_ioctl(1) if hasattr(vfs, 'rom_ioctl') else 0") <= 0:
            return None
        return cls(device)

    def put(
        self, path: str, data: bytes, progress: Progress | None = None,
        say: Callable[[str], object] = lambda text: None,
    ) -> str:  # fmt: skip
        """Add or replace the file `path`; return its SHA-256, which was computed on the board from
        what its flash holds. Every other file stays.

        New data goes where no file lies, then the directory block is rewritten: a power cut before
        that leaves everything as it was, one within these some 50 ms an empty ROMFS. Where the
        free blocks do not do, all files are read back and written anew, see `say`, which
        gets what a person should know before it happens.
        Raises DeviceError, also where there is not enough room.
        """
        digest = hashlib.sha256(data)
        # mpremote's writer aligns nothing: a file of its is written again.
        aligned = {file.path: file for file in self.files if file.offset % self.block == 0}
        if path in aligned and self._matches(aligned[path], digest.digest()):
            return digest.hexdigest()  # it is there already
        # Those whose data lies in the directory's block, as mpremote puts it, have to move.
        new = {file.path: b"" for file in self.files if file.offset < self.block} | {path: data}
        kept = [file for file in self.files if file.path not in new]
        taken, placed = list(self.files), list[RomFile]()
        for name in new:
            new[name] = new[name] if name == path else self._device.read(f"{MOUNT}/{name}")
            offset = find_room(taken, len(new[name]), self.size, self.block)
            if offset is None:
                self._write_all(path, data, progress, say)
                return digest.hexdigest()
            placed.append(RomFile(name, offset, len(new[name])))
            taken.append(placed[-1])
        directory(kept + placed, self.block)  # raises before anything is written
        if self.files:
            say(f"ROMFS: what is in it stays ({len(self.files)} files); keep the power on until "
                "this has ended")  # fmt: skip
        self._write_files(placed, new, progress)
        self._write_directory(kept + placed)
        self._check(path, digest.digest())
        return digest.hexdigest()

    def clear(self) -> None:
        """Make it an empty ROMFS."""
        self._write_directory([])

    def _write_all(
        self, path: str, data: bytes, progress: Progress | None, say: Callable[[str], object]
    ) -> None:
        new = {file.path: b"" for file in self.files} | {path: data}
        placed = list[RomFile]()
        sizes = {file.path: file.size for file in self.files} | {path: len(data)}
        for name, size in sizes.items():
            offset = find_room(placed, size, self.size, self.block)
            if offset is None:
                used = sum(file.size for file in self.files if file.path != path)
                raise DeviceError(
                    f"{self._device.port}: ROMFS of {self.size} bytes holds {used} bytes of other "
                    f"files, {path} has {len(data)}: push --clear empties it first (there are "
                    f"{', '.join(sorted(sizes.keys() - {path})) or 'no others'})"
                )
            placed.append(RomFile(name, offset, size))
        directory(placed, self.block)  # raises before anything is written
        backup = Path(tempfile.mkdtemp(prefix="microtrain-rom-"))
        say(f"ROMFS: no free piece of it is large enough, so all of its {len(self.files)} files "
            "are read back and written anew; until this has ended the only whole copies of them "
            f"are in {backup}")  # fmt: skip
        for file in self.files:
            copy = backup / file.path
            copy.parent.mkdir(parents=True, exist_ok=True)
            self._device.pull(f"{MOUNT}/{file.path}", copy)
            new[file.path] = data if file.path == path else copy.read_bytes()
        try:
            # A cut from here on leaves an empty ROMFS, never one with half a file.
            self._write_directory([])
            self._write_files(placed, new, progress)
            self._write_directory(placed)
            for name, content in new.items():
                self._check(name, hashlib.sha256(content).digest())
        except BaseException as error:
            reason = str(error) or type(error).__name__
            raise DeviceError(
                f"{reason}: the files that were in {MOUNT} are in {backup}, push them again"
            ) from error
        shutil.rmtree(backup)

    def _write_files(
        self, files: list[RomFile], data: dict[str, bytes], progress: Progress | None
    ) -> None:
        for file in files:
            self._write(file.offset, data[file.path], progress)
            if not self._matches(file, hashlib.sha256(data[file.path]).digest()):
                raise DeviceError(
                    f"{self._device.port}: the flash does not hold what was written for "
                    f"{MOUNT}/{file.path} (SHA-256 differs): its directory was not changed"
                )

    def _write_directory(self, files: list[RomFile]) -> None:
        self._write(0, directory(files, self.block), None)
        self.files = files
        # Mounts it, as at power-up.
        self._device.reset()
        self._device.exec(ROM, timeout=ANSWER_TIMEOUT_S)

    def _write(self, offset: int, data: bytes, progress: Progress | None) -> None:
        padded = data + b"\xff" * (-len(data) % self.block)
        self._device.write_rom(offset, padded, self.block, progress)
        self._device.exec(ROM, timeout=ANSWER_TIMEOUT_S)

    def _matches(self, file: RomFile, digest: bytes) -> bool:
        found = self._device.eval(
            f"_mt_rom_hash({file.offset}, {file.size})", timeout=hash_timeout(file.size)
        )
        return bool(found == digest)

    def _check(self, path: str, digest: bytes) -> None:
        # As the engine will find it: mounted anew, by its name.
        name = f"{MOUNT}/{path}"
        found = self._device.eval(
            f"__import__('hashlib').sha256(memoryview(open({name!r}, 'rb'))).digest()",
            timeout=hash_timeout(self.size),
        )
        if found != digest:
            raise DeviceError(
                f"{self._device.port}: {name} reads back with another SHA-256: push it again"
            )
