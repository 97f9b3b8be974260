"""Boards: find one, start a virtual one, talk to it."""

from microtrain.link.ports import open_device
from microtrain.link.transport import Device
from microtrain.link.virtual import VirtualBoard

__all__ = ["Device", "VirtualBoard", "open_device"]
