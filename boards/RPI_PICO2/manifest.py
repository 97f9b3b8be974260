# ruff: noqa: F821 - these functions are given by MicroPython's manifest reader.
# The port's own manifest without the sensor drivers that it takes from micropython-lib (onewire,
# ds18x20, dht, neopixel): source packages come without that. `mpremote mip install` gets them.
freeze("$(PORT_DIR)/modules")
include("$(MPY_DIR)/extmod/asyncio")
include("../../firmware/manifest.py")
