"""What is known of boards and serial chips by their USB identity."""

from __future__ import annotations

from serial.tools import list_ports

# USB (vendor, product) of boards, or of the serial chips on them. Product None is any.
USB_NAMES: dict[tuple[int, int | None], str] = {
    (0x2E8A, 0x0005): "RP2040/RP2350 with MicroPython",
    (0x2E8A, 0x0003): "RP2040 in boot mode (no serial port)",
    (0x2E8A, 0x000F): "RP2350 in boot mode (no serial port)",
    (0x303A, 0x1001): "ESP32-S3/C3/C6 built-in USB",
    (0x303A, 0x4001): "ESP32-S2/S3 with MicroPython",
    (0x10C4, 0xEA60): "CP210x serial chip (often ESP32)",
    (0x1A86, 0x7523): "CH340 serial chip (often ESP32)",
    (0x1A86, 0x55D4): "CH9102 serial chip (often ESP32)",
    (0x0403, 0x6001): "FTDI serial chip",
    (0x0403, 0x6010): "FTDI serial chip",
    (0xF055, 0x9800): "pyboard with MicroPython",
    (0x239A, None): "Adafruit board",
}
# Vendors whose serial ports are the board's own USB, which makes the host wait while it is busy.
# Behind a serial chip, bytes that a busy board does not fetch are lost.
_OWN_USB = (0x2E8A, 0x303A, 0xF055, 0x239A)


def usb_name(vendor: int, product: int) -> str:
    """What a port with this identity seems to be, "" if unknown."""
    return USB_NAMES.get((vendor, product)) or USB_NAMES.get((vendor, None)) or ""


def has_flow_control(port: str) -> bool:
    """Whether the serial port `port` is known to lose nothing while the board is busy."""
    return any(info.device == port and info.vid in _OWN_USB for info in list_ports.comports())
