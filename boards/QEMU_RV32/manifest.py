# ruff: noqa: F821 - these functions are given by MicroPython's manifest reader.
include("../qemu/manifest.py")
