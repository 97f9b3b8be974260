"""Putting firmware on boards: UF2 files to boot drives, ESP32 images through esptool."""
