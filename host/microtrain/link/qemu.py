"""Boards in QEMU: our firmware on Cortex-M, RISC-V and Xtensa processors."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from microtrain.errors import DeviceError
from microtrain.link.board_process import REPO, EmulatorProcess


@dataclass(frozen=True)
class Machine:
    """What runs a board: QEMU's program, its arguments, and the Debian package that has it."""

    board: str
    program: str
    arguments: tuple[str, ...]
    package: str


MACHINES = {
    "qemu:cortex-m3": Machine(
        "QEMU_CORTEX_M3", "qemu-system-arm", ("-machine", "mps2-an385"), "qemu-system-arm"
    ),
    "qemu:cortex-m33": Machine(
        "QEMU_CORTEX_M33", "qemu-system-arm", ("-machine", "mps2-an505"), "qemu-system-arm"
    ),
    "qemu:rv32": Machine(
        "QEMU_RV32", "qemu-system-riscv32", ("-machine", "virt", "-bios", "none"),
        "qemu-system-misc",
    ),
    "qemu:xtensa": Machine(
        "QEMU_XTENSA", "qemu-system-xtensa",
        ("-machine", "lx60", "-cpu", "de233_fpu", "-m", "64", "-nic", "none"), "qemu-system-misc",
    ),
}


def qemu_firmware_path(port: str) -> Path:
    """Return the firmware that the board `port` runs: what `make firmware BOARD=...` builds.

    The environment variable MICROTRAIN_<BOARD>, as MICROTRAIN_QEMU_RV32, overrides it. Raises
    DeviceError if there is none.
    """
    board = MACHINES[port].board
    override = os.environ.get(f"MICROTRAIN_{board}")
    path = Path(override or REPO / "build" / "firmware" / board / "firmware.elf")
    if not path.is_file():
        raise DeviceError(
            f"no firmware for {port} at {path}: run `make firmware BOARD={board}` in the "
            f"repository, or set MICROTRAIN_{board}"
        )
    return path


class QemuBoard(EmulatorProcess):
    """A running board in QEMU. `port` is the path of the pty that its serial port is.

    name: one of MACHINES.
    folder: where its flash chip's content lies (flash.img): ROMFS and files; None is a temporary
    one, removed at close.
    count_instructions: let QEMU's clock advance one nanosecond with every instruction, so that the
    board's `time.ticks_cpu()` counts them. The board is slower then, and its clock is not the
    host's.
    Otherwise as BoardProcess.
    """

    def __init__(
        self, name: str, folder: Path | None = None, *, count_instructions: bool = False
    ) -> None:
        machine = MACHINES[name]
        firmware = qemu_firmware_path(name).resolve()
        if shutil.which(machine.program) is None:
            raise DeviceError(
                f"{name} needs {machine.program}: install QEMU (Debian's package "
                f"{machine.package}), as `make qemu` does"
            )
        command = [
            machine.program, *machine.arguments, "-kernel", str(firmware), "-semihosting",
            "-display", "none", "-monitor", "none", "-serial", "stdio",
        ]  # fmt: skip
        if count_instructions:
            command += ["-icount", "shift=0"]
        super().__init__(f"the board {name}", command, folder)
