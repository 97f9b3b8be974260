# ruff: noqa: F821 - these functions are given by MicroPython's manifest reader.
include("$(MPY_DIR)/extmod/asyncio")
include("../../firmware/manifest.py")
