"""Which board `--port` means, and which boards are connected."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from serial.tools import list_ports

from microtrain.errors import DeviceError
from microtrain.link.board_process import BoardProcess
from microtrain.link.emulated import EmulatedRP2040
from microtrain.link.port_errors import why_not_open
from microtrain.link.qemu import MACHINES, QemuBoard
from microtrain.link.transport import Device
from microtrain.link.usb import usb_name
from microtrain.link.virtual import VirtualBoard, firmware_path

# Boards in software.
VIRTUAL = ("virtual", "virtual32")
EMULATED = ("emu:rp2040", *MACHINES)


@dataclass(frozen=True)
class ConnectedPort:
    """A serial port: its path, what it seems to be, and its USB identity ("" if not USB)."""

    port: str
    board: str
    usb: str
    serial_number: str

    def as_dict(self) -> dict[str, str]:
        """Return the fields, for JSON."""
        return asdict(self)


def connected_ports() -> list[ConnectedPort]:
    """List the USB serial ports of this machine, those we know by name first."""
    found = []
    for info in list_ports.comports():
        if info.vid is None:
            continue
        name = usb_name(info.vid, info.pid)
        usb = f"{info.vid:04x}:{info.pid:04x}"
        found.append(ConnectedPort(info.device, name, usb, info.serial_number or ""))
    return sorted(found, key=lambda port: (not port.board, port.port))


def start_board(port: str, folder: Path | None = None, *, heap: int = 64 << 20) -> BoardProcess:
    """Start the board in software that `port` names (one of VIRTUAL or EMULATED).

    folder: see VirtualBoard, EmulatedRP2040 and QemuBoard; beside it, as FOLDER.rom, lies the
    ROMFS of a virtual board, which has none without a folder. heap: of a virtual board. Raises
    DeviceError.
    """
    if port in MACHINES:
        return QemuBoard(port, folder)
    if port in EMULATED:
        return EmulatedRP2040(folder)
    firmware = firmware_path(32 if port == "virtual32" else 64)
    rom = folder and folder.with_name(f"{folder.name}.rom")
    return VirtualBoard(folder, heap=heap, rom=rom, firmware=firmware)


def open_device(
    port: str = "virtual",
    *,
    folder: Path | None = None,
    heap: int = 64 << 20,
    reset: bool = True,
    attach: bool = False,
) -> Device:
    """Open the board that `port` names; the caller closes it, which also stops one in software.

    port: a serial device, or a board in software, which is started for as long as it is open.
    folder, heap: of a board in software, see start_board. reset: soft-reset a real board first.
    attach: do nothing to it, Device.attach() comes next.
    Raises DeviceError.
    """
    if port in VIRTUAL or port in EMULATED:
        board = start_board(port, folder, heap=heap)
        try:
            device = Device(board.port, ending=board.ending, attach=attach)
        except BaseException:
            board.close()
            raise
        device.on_close(board.close)
        return device
    check_serial_port(port)
    return Device(port, reset=reset, attach=attach)


def check_serial_port(port: str) -> None:
    """Raise DeviceError if `port` cannot be a serial port of this machine."""
    if port in VIRTUAL or port in EMULATED:
        raise DeviceError(f"{port} is no serial port but a board in software")
    if ":" in port and not Path(port).exists() and "://" not in port:
        names = ", ".join((*VIRTUAL, *EMULATED))
        raise DeviceError(f"no target {port}: there are {names} and serial ports")
    if port.startswith("/dev/") and not Path(port).exists():
        raise DeviceError(why_not_open(port))
