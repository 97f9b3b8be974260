"""Having a board go on by itself after a reset."""

from __future__ import annotations

from microtrain.errors import DeviceError, RemoteError
from microtrain.link.transport import Device

MAIN = "/main.py"
CONTENT = b"from microtrain import link\n\nlink.resume()\n"


def resume_at_boot(device: Device) -> None:
    """Write a main.py that goes on with the training that a reset ended.

    Raises DeviceError where the board has another main.py.
    """
    try:
        found = device.read(MAIN)
    except RemoteError:
        found = None
    if found not in (None, CONTENT):
        raise DeviceError(
            f"{device.port}: the board has a {MAIN} of its own: add to it "
            f"`from microtrain import link; link.resume()`"
        )
    if found is None:
        device.write(MAIN, CONTENT)
