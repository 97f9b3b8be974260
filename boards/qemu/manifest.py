# ruff: noqa: F821 - these functions are given by MicroPython's manifest reader.
# What every board in QEMU freezes: include this from a board's manifest.
freeze("modules")
include("$(MPY_DIR)/extmod/asyncio")
include("../../firmware/manifest.py")
