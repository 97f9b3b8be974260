"""What runs on a board, and whether this program can work with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from microtrain import image
from microtrain.errors import DeviceError
from microtrain.link.transport import ANSWER_TIMEOUT_S, Device

# _microtrain.ABI of the engine that this program knows (usermod_c/bind/modmicrotrain.h).
ENGINE_ABI = 5

_IDENTIFY = """\
def _mt_identify():
    import sys
    found = {"platform": sys.platform, "micropython": sys.version.split("; ")[-1]}
    found["machine"] = getattr(sys.implementation, "_machine", "")
    try:
        import _microtrain
        found["abi"] = getattr(_microtrain, "ABI", 0)
        found["image_format"] = _microtrain.FORMAT
    except ImportError:
        found["abi"] = found["image_format"] = None
    try:
        import microtrain
        found["version"] = microtrain.__version__
    except Exception:  # as another engine than it knows may raise
        found["version"] = None
    return found
"""


@dataclass(frozen=True)
class Firmware:
    """What a board says of itself. None: it has no microtrain, or not that part of it.

    platform: sys.platform. machine: board and chip. micropython: version and date. version: of
    the package microtrain. abi, image_format: of the engine.
    """

    platform: str
    machine: str
    micropython: str
    version: str | None
    abi: int | None
    image_format: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self)


def identify(device: Device) -> Firmware:
    """Ask the board what it runs. Raises DeviceError."""
    device.exec(_IDENTIFY, timeout=ANSWER_TIMEOUT_S)
    return Firmware(**device.eval("_mt_identify()"))


def require_engine(device: Device) -> Firmware:
    """Return what the board runs; raise DeviceError, saying what to do, if that has no engine or
    one of another ABI or image format."""
    found = identify(device)
    if found.abi is None:
        raise DeviceError(
            f"{device.port}: the firmware on this board ({found.micropython}, {found.machine}) "
            "has no microtrain: `microtrain firmware flash BOARD` puts one there"
        )
    for what, there, here in (
        ("engine ABI", found.abi, ENGINE_ABI),
        ("image format", found.image_format or 0, image.MAJOR),
    ):
        if there != here:
            older = "firmware" if there < here else "program"
            raise DeviceError(
                f"{device.port}: the firmware has {what} {there}, this program works with {here}: "
                f"the {older} is the older one, "
                + ("flash the firmware of this version" if older == "firmware" else "update it")
            )
    return found
