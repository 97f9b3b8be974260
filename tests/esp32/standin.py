"""MicroPython's esp32 port on a stand-in for ESP-IDF, where the real one cannot be had."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IDF = Path(__file__).resolve().parent / "idf"
MICROPYTHON = ROOT / "build/src/micropython"
BOARDS = ("ESP32_GENERIC", "ESP32_GENERIC_S3", "ESP32_GENERIC_C3")


def micropython_tree(folder: Path) -> Path:
    """MicroPython's sources as a git clone has them, in `folder`: links to the ones in build/src,
    a copy of the esp32 port, and of the submodules that Debian's source package lacks as much
    as the port's CMake asks for. Their contents are not ours to check."""
    shutil.copytree(MICROPYTHON / "ports/esp32", folder / "ports/esp32")
    (folder / "lib").mkdir()
    given = [p for p in MICROPYTHON.iterdir() if p.name not in ("ports", "lib", ".git")]
    given += [p for p in (MICROPYTHON / "lib").iterdir() if p.name != "berkeley-db-1.xx"]
    for path in given:
        if path.name != "micropython-lib":
            (folder / path.relative_to(MICROPYTHON)).symlink_to(path)
    database = folder / "lib/berkeley-db-1.xx"
    sources = re.findall(
        r"\$\{MICROPY_LIB_BERKELEY_DIR\}/(\S+\.c)", (folder / "extmod/extmod.cmake").read_text()
    )
    for name in ("README", *sources):
        (database / name).parent.mkdir(parents=True, exist_ok=True)
        (database / name).touch()
    library = folder / "lib/micropython-lib"
    library.mkdir()
    (library / "README.md").touch()
    manifest = (folder / "ports/esp32/boards/manifest.py").read_text()
    for package in re.findall(r'require\("([\w.-]+)"\)', manifest):
        (library / "micropython" / package).mkdir(parents=True)
        (library / "micropython" / package / "manifest.py").touch()
    return folder


def environment(tree: Path, out: Path, **changes: str) -> dict[str, str]:
    """What ESP-IDF's export.sh would set, with the stand-in as the IDF; builds go to `out`."""
    return {
        **os.environ,
        "PATH": f"{IDF}:{ROOT / 'build/xtensa/bin'}:{os.environ['PATH']}",
        "IDF_PATH": str(IDF),
        "STANDIN_PYTHON": sys.executable,
        "PYTHON": sys.executable,
        "MICROPYTHON_DIR": str(tree),
        "MICROPY_MPYCROSS": str(ROOT / "build/mpy-cross/mpy-cross"),
        "BUILD_DIR": str(out),
        **changes,
    }


def read_sdkconfig(build: Path) -> dict[str, str]:
    lines = (build / "sdkconfig").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


@dataclass
class Firmware:
    """What boards/esp32.sh has built, and how it compiled our sources."""

    build: Path
    image: Path

    @property
    def commands(self) -> dict[str, dict[str, str]]:
        """By the source's path in usermod_c: its compiler command and object."""
        entries = json.loads((self.build / "compile_commands.json").read_text())
        room = ROOT / "usermod_c"
        return {
            str(Path(entry["file"]).relative_to(room)): entry
            for entry in entries
            if Path(entry["file"]).is_relative_to(room)
        }

    @property
    def sdkconfig(self) -> dict[str, str]:
        return read_sdkconfig(self.build)

    def tool(self, name: str, *arguments: str | Path) -> str:
        """Runs a program that belongs to the compiler: nm, gcc, ..."""
        compiler = next(iter(self.commands.values()))["command"].split()[0]
        command = [compiler.removesuffix("gcc") + name, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Builder:
    """Builds each board once."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "build"
        self.tree = micropython_tree(folder / "micropython")
        self.path = environment(self.tree, self.out)["PATH"]
        self.built: dict[str, Firmware] = {}

    def run(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """boards/esp32.sh with these arguments and changes to its environment."""
        env = environment(self.tree, self.out, **changes)
        command = [str(ROOT / "boards/esp32.sh"), *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True)

    def configure(self, board: str, variant: str) -> dict[str, str]:
        """The sdkconfig of a variant, without building it."""
        build = self.out / "configured" / f"{board}-{variant}"
        options = {
            "MICROPY_BOARD": board,
            "MICROPY_BOARD_VARIANT": variant,
            "MICROPY_BOARD_DIR": ROOT / "boards" / board,
            "USER_C_MODULES": ROOT / "usermod_c/micropython.cmake",
        }
        defines = [x for name, value in options.items() for x in ("-D", f"{name}={value}")]
        subprocess.run(
            [str(IDF / "idf.py"), *defines, "-B", str(build), "reconfigure"],
            cwd=self.tree / "ports/esp32",
            env=environment(self.tree, self.out),
            capture_output=True,
            check=True,
        )
        return read_sdkconfig(build)

    def __call__(self, board: str) -> Firmware:
        """The firmware of a board."""
        if board not in self.built:
            result = self.run(board)
            assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
            image = self.out / "firmware" / board / "firmware.bin"
            self.built[board] = Firmware(self.out / "firmware-build" / board, image)
        return self.built[board]
