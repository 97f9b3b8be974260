"""Train neural networks on a microcontroller, in its own integers.

>>> from microtrain import open_device
>>> with open_device("virtual") as device:
...     device.push(Path("flowers.mtd"), "/flowers.mtd")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microtrain.link import Device, open_device

__all__ = ["Device", "open_device"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import what talks to boards only where it is used."""
    if name in __all__:
        from microtrain import link

        return getattr(link, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
