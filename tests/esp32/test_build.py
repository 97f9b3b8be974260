"""boards/esp32.sh on a stand-in for ESP-IDF: the port's own CMake, headers and image maker."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from esp32.standin import BOARDS, ROOT, Builder, Firmware
from esp_idf_defs.partitions import PartitionTable

USERMOD = ROOT / "usermod_c"
SOURCES = sorted(
    str(path.relative_to(USERMOD))
    for pattern in ("core/*.c", "core/ops/*.c", "core/arch/*/*.c", "link/*.c", "bind/*.c")
    for path in USERMOD.glob(pattern)
)
TABLE_OFFSET = 0x8000
APP_OFFSET = 0x10000


def esptool(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "esptool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def chip(firmware: Firmware) -> str:
    return firmware.sdkconfig["CONFIG_IDF_TARGET"].strip('"')


@pytest.mark.parametrize("board", BOARDS)
def test_every_source_compiles_without_a_warning(firmware: Builder, board: str) -> None:
    """With the port's headers, this board's configuration and -Werror; the engine for speed, and
    its floating point never contracted."""
    commands = firmware(board).commands
    assert sorted(commands) == SOURCES
    for source, entry in commands.items():
        options = entry["command"].split()
        assert "-Werror" in options and "-Wfloat-conversion" in options
        if source.startswith("core/"):
            assert options[options.index("-O3") :].count("-O2") == 0, "-O3 is not the last word"
            assert "-ffp-contract=off" in options


@pytest.mark.parametrize("board", BOARDS)
def test_configuration(firmware: Builder, board: str) -> None:
    """What our boards change is what the port's own headers make of them."""
    entry = firmware(board).commands["bind/model.c"]
    command = shlex.split(entry["command"].replace(r"\\\"", r"\""))
    command = [c for c in command if not c.endswith((".obj", "model.c")) and c not in ("-o", "-c")]
    code = """
        #include "py/mpconfig.h"
        vfs_rom MICROPY_VFS_ROM_IOCTL ; bluetooth MICROPY_PY_BLUETOOTH ; name MICROPY_HW_BOARD_NAME
        float MICROPY_FLOAT_IMPL == MICROPY_FLOAT_IMPL_FLOAT
    """
    result = subprocess.run(
        [*command, "-E", "-P", "-x", "c", "-"],
        input=code, capture_output=True, text=True, check=True, cwd=entry["directory"],
    )  # fmt: skip
    tail = " ".join(result.stdout.split()[-200:])
    assert "vfs_rom ((1)) ; bluetooth (0) ; name " in tail
    assert re.search(r'name "ESP32\S* with microtrain" float \(*(\d)\)* == \(*\1\)*$', tail)


@pytest.mark.parametrize("board", BOARDS)
def test_frozen_modules(firmware: Builder, board: str) -> None:
    content = (firmware(board).build / "frozen_content.c").read_text()
    ours = {f"microtrain/{path.name}" for path in (ROOT / "firmware/microtrain").glob("*.py")}
    port = {"_boot.py", "flashbdev.py", "inisetup.py", "asyncio/core.py"}
    assert ours | port <= set(re.findall(r'^ *"([\w/]+\.py)\\0"', content, re.MULTILINE))


@pytest.mark.parametrize("board", BOARDS)
def test_image(firmware: Builder, board: str, tmp_path: Path) -> None:
    """The port's makeimg.py gives what esptool's merge-bin gives, each part where the chip and the
    board's description look for it, and the program is sound."""
    built = firmware(board)
    folder = ROOT / "boards" / board
    description = json.loads((folder / "board.json").read_text())
    offset = int(description["deploy_options"]["flash_offset"], 16)
    assert offset == int(built.sdkconfig["CONFIG_BOOTLOADER_OFFSET_IN_FLASH"], 16)

    parts = {
        offset: built.build / "bootloader/bootloader.bin",
        TABLE_OFFSET: built.build / "partition_table/partition-table.bin",
        APP_OFFSET: built.build / "micropython.bin",
    }
    arguments = [str(x) for at, path in parts.items() for x in (hex(at), path)]
    merged = tmp_path / "merged.bin"
    esptool(
        "--chip",
        chip(built),
        "merge-bin",
        "--target-offset",
        hex(offset),
        "-o",
        merged,
        *arguments,
    )
    image = built.image.read_bytes()
    assert image == merged.read_bytes()

    table = PartitionTable.from_binary(image[TABLE_OFFSET - offset :][:0xC00])
    assert table == PartitionTable.from_csv((folder / "partitions.csv").read_text())
    info = esptool("--chip", chip(built), "image-info", built.build / "micropython.bin")
    assert "Project name: micropython" in info
    assert re.search(r"Checksum: \w+ \(valid\)", info)
    assert re.search(r"Validation hash: \w+ \(valid\)", info)
    assert f"Flash size: {'8MB' if board.endswith('S3') else '4MB'}" in info


def test_variants(firmware: Builder) -> None:
    """What a variant changes reaches ESP-IDF."""
    octal = firmware.configure("ESP32_GENERIC_S3", "SPIRAM_OCT")
    assert octal["CONFIG_SPIRAM_MODE_OCT"] == "y" and "CONFIG_SPIRAM_MODE_QUAD" not in octal
    assert octal["CONFIG_PARTITION_TABLE_CUSTOM_FILENAME"].endswith('_S3/partitions.csv"')
    small = firmware.configure("ESP32_GENERIC_S3", "FLASH_4M")
    assert "CONFIG_ESPTOOLPY_FLASHSIZE_8MB" not in small
    assert small["CONFIG_PARTITION_TABLE_CUSTOM_FILENAME"].endswith('_GENERIC/partitions.csv"')
    assert firmware.configure("ESP32_GENERIC", "SPIRAM")["CONFIG_SPIRAM"] == "y"


def test_without_the_idf_it_says_what_to_do(firmware: Builder) -> None:
    result = firmware.run("ESP32_GENERIC_C3", IDF_PATH="")
    assert result.returncode == 1 and not result.stdout
    assert "no ESP-IDF: install v5.2.2" in result.stderr
    assert "espressif/idf:v5.2.2 boards/esp32.sh ESP32_GENERIC_C3" in result.stderr


def test_another_idf_version(firmware: Builder) -> None:
    result = firmware.run("ESP32_GENERIC", STANDIN_IDF_VERSION="v4.4.1-dirty")
    assert result.returncode == 1
    assert (
        "ESP-IDF v4.4.1 at" in result.stderr
        and "builds with v5.2 v5.2.2 v5.3 v5.4" in result.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RPI_PICO"], "no ESP32 board RPI_PICO: there are ESP32_GENERIC ESP32_GENERIC_C3"),
        (["ESP32_GENERIC_C3", "SPIRAM"], "ESP32_GENERIC_C3 has no variant SPIRAM"),
    ],
)
def test_wrong_board(firmware: Builder, arguments: list[str], message: str) -> None:
    result = firmware.run(*arguments)
    assert result.returncode == 1 and message in result.stderr


def test_another_micropython(firmware: Builder, tmp_path: Path) -> None:
    result = firmware.run("ESP32_GENERIC", MICROPYTHON_DIR=str(tmp_path))
    assert result.returncode == 1
    assert f"{tmp_path} is MicroPython of unknown version, expected 1.25.0" in result.stderr


def test_a_program_without_the_engine_is_refused(firmware: Builder, tmp_path: Path) -> None:
    """As when the user module did not reach ESP-IDF's linker."""
    idf = tmp_path / "idf.py"
    idf.write_text(
        "#!/bin/sh\n"
        'case $1 in --version) echo ESP-IDF v5.3; exit;; esac\n'
        'while [ "$1" != -B ]; do shift; done\n'
        'cd "$2"; touch micropython.elf micropython.uf2 firmware.bin\n'
    )  # fmt: skip
    idf.chmod(0o755)
    board = "ESP32_GENERIC"
    built = firmware(board)
    empty = tmp_path / "build/firmware-build" / board
    empty.mkdir(parents=True)
    for name in [
        "sdkconfig",
        "bootloader",
        "partition_table",
        "micropython.bin",
        "CMakeCache.txt",
    ]:
        (empty / name).symlink_to(built.build / name)
    result = firmware.run(
        board, BUILD_DIR=str(tmp_path / "build"), PATH=f"{tmp_path}:{firmware.path}"
    )
    assert result.returncode == 1
    assert "is without the engine: no mt_model_open" in result.stderr
