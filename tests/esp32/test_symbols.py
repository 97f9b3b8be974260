"""What the engine asks of its surroundings: memory functions and the compiler's own arithmetic. No
heap, no ESP-IDF; the binding asks MicroPython, and nothing behind its back."""

from __future__ import annotations

from pathlib import Path

import pytest
from esp32.standin import BOARDS, Builder, Firmware

MEMORY = {"memchr", "memcmp", "memcpy", "memmove", "memset"}


def asked_of_others(firmware: Firmware, room: str) -> set[str]:
    objects = [
        Path(entry["directory"]) / entry["command"].split(" -o ")[1].split()[0]
        for source, entry in firmware.commands.items()
        if source.startswith(room)
    ]
    assert objects
    undefined = firmware.tool("nm", "--undefined-only", "--format=posix", *objects)
    defined = firmware.tool("nm", "--defined-only", "--extern-only", "--format=posix", *objects)
    names = [
        {line.split()[0] for line in text.splitlines() if " " in line}
        for text in (undefined, defined)
    ]
    return names[0] - names[1]


@pytest.mark.parametrize("board", BOARDS)
def test_engine(firmware: Builder, board: str) -> None:
    # Two underscores: the compiler's library, for 64-bit integers and floating point.
    others = {name for name in asked_of_others(firmware(board), "core/") if name[:2] != "__"}
    assert others <= MEMORY


@pytest.mark.parametrize("board", BOARDS)
def test_binding(firmware: Builder, board: str) -> None:
    others = {name for name in asked_of_others(firmware(board), "bind/") if name[:2] != "__"}
    # mp_ is MicroPython's API, m_ its own heap, mt_ the engine.
    others = {name for name in others if not name.startswith(("mp_", "m_", "mt_"))}
    # The ring holds what the port has received (bind/link.c).
    assert others <= MEMORY | {"strlen", "esp_ptr_external_ram", "stdin_ringbuf"}
