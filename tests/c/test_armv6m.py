"""The Cortex-M0+ assembly, on QEMU's Cortex-M0, against plain loops."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CORE = HERE.parents[1] / "usermod_c" / "core"
LINKER_SCRIPT = """
SECTIONS {
  . = 0; .text : { *(.vectors) *(.text*) *(.rodata*) }
  . = 0x20000000; .bss : { *(.data*) *(.bss*) *(COMMON) }
}
"""


@pytest.mark.parametrize("optimization", ["-O1", "-O3"])
def test_assembly(optimization: str, tmp_path: Path) -> None:
    if not os.environ.get("CI") and not (
        shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")
    ):
        pytest.skip("no arm-none-eabi-gcc and qemu-system-arm: run `make firmware qemu`")
    script, program = tmp_path / "link.ld", tmp_path / "program.elf"
    script.write_text(LINKER_SCRIPT)
    subprocess.run(
        ["arm-none-eabi-gcc", "-mcpu=cortex-m0plus", "-mthumb", optimization, "-nostartfiles",
         "-fno-tree-loop-distribute-patterns", "--specs=nosys.specs", f"-I{CORE}", f"-T{script}",
         "-Wl,--no-warn-rwx-segments", "-o", program, HERE / "armv6m_check.c",
         *sorted((CORE / "arch" / "armv6m").glob("*.c")), CORE / "arch" / "generic" / "quick.c",
         CORE / "fixed.c", CORE / "sha256.c", "-lgcc"],
        check=True,
    )  # fmt: skip
    result = subprocess.run(
        ["qemu-system-arm", "-M", "microbit", "-nographic", "-semihosting-config",
         "enable=on,target=native", "-kernel", program],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
