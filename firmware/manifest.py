# ruff: noqa: F821 - these functions are given by MicroPython's manifest reader.
# What every firmware freezes: include this from a board's manifest.
package("microtrain")
