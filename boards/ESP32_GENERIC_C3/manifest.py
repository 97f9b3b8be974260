# ruff: noqa: F821 - these functions are given by MicroPython's manifest reader.
include("$(PORT_DIR)/boards/manifest.py")
include("../../firmware/manifest.py")
