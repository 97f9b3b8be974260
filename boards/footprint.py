"""Flash and RAM that a firmware takes, and the engine's share, from its ELF and linker map.

    python3 boards/footprint.py BOARD FIRMWARE.elf [--check]

Fails if the engine is not in the ELF; with --check also if the firmware takes more than
boards/BOARD/budget.json allows. Needs the binutils of the board's compiler and nothing else.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# One function of every part of the engine, and the binding.
SYMBOLS = (
    "mt_model_open", "mt_plan", "mt_session_init", "mt_session_forward", "mt_session_backward",
    "microtrain_module",
)  # fmt: skip
# The names of the binutils of boards other than Arm's begin with:
PREFIXES = {"QEMU_RV32": "riscv64-unknown-elf-", "QEMU_XTENSA": "xtensa-lx106-elf-"}
# Output sections that are in no image.
NOTES = re.compile(r"\.(comment|debug|stab|ARM\.attributes|riscv\.attributes|xt)")
# "  .text.name   0x10001234   0x56 CMakeFiles/.../usermod_c/core/forward.c.o"
MAP_LINE = re.compile(r"^ (?:\.\S+)?\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (\S+)$")


def tool(board: str, name: str, elf: Path, *options: str) -> str:
    prefix = PREFIXES.get(board, "arm-none-eabi-")
    command = [prefix + name, *options, str(elf)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def missing_symbols(board: str, elf: Path) -> list[str]:
    found = {line.split()[-1] for line in tool(board, "nm", elf).splitlines() if line}
    return [symbol for symbol in SYMBOLS if symbol not in found]


def engine_bytes(linker_map: Path) -> int:
    """Bytes of code and constants that come from usermod_c, after what is unused was dropped."""
    total = 0
    in_memory_map = in_image = False
    for line in linker_map.read_text(errors="replace").splitlines():
        in_memory_map = in_memory_map or line.startswith("Linker script and memory map")
        if in_memory_map and line.startswith("."):
            in_image = not NOTES.match(line)
        match = MAP_LINE.match(line)
        if in_image and match and "usermod_c/" in match[3]:
            total += int(match[2], 16)
    return total


def footprint(board: str, elf: Path) -> dict[str, int]:
    """flash_bytes: the image; ram_bytes: variables and C heap, without the stack;
    engine_bytes: the engine and its binding; heap_bytes: what is left to Python."""
    sizes: dict[str, int] = {}
    for line in tool(board, "size", elf, "-A").splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[0].startswith("."):
            sizes[fields[0]] = int(fields[1])
    symbols = {
        fields[2]: int(fields[0], 16)
        for fields in map(str.split, tool(board, "nm", elf).splitlines())
        if len(fields) == 3
    }
    linker_map = next(
        path for path in (elf.with_suffix(".elf.map"), elf.with_suffix(".map")) if path.exists()
    )
    variables = (".ram_vector_table", ".data", ".bss", ".heap", ".uninitialized_data")
    return {
        "flash_bytes": symbols["__flash_binary_end"] - symbols["__flash_binary_start"],
        "ram_bytes": sum(sizes.get(name, 0) for name in variables),
        "heap_bytes": symbols["__GcHeapEnd"] - symbols["__GcHeapStart"],
        "engine_bytes": engine_bytes(linker_map),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("board")
    parser.add_argument("elf", type=Path)
    parser.add_argument("--check", action="store_true", help="compare with the board's budget")
    arguments = parser.parse_args()
    missing = missing_symbols(arguments.board, arguments.elf)
    if missing:
        print(f"{arguments.elf} is without the engine: no {', '.join(missing)}", file=sys.stderr)
        return 1
    use = footprint(arguments.board, arguments.elf)
    print(
        f"{arguments.board}: flash {use['flash_bytes']} bytes (engine {use['engine_bytes']}), "
        f"RAM {use['ram_bytes']} bytes, heap for Python {use['heap_bytes']} bytes"
    )
    if not arguments.check:
        return 0
    file = HERE / arguments.board / "budget.json"
    budget = json.loads(file.read_text())
    over = [
        f"{name} is {use[name]}, budget {limit}"
        for name, limit in budget.items()
        if (use[name] < limit if name == "heap_bytes" else use[name] > limit)
    ]
    for line in over:
        print(f"{arguments.board}: {line}: make it smaller, or change {file}", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
