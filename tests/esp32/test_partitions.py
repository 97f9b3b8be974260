"""The boards' partition tables, by the rules of Espressif's own tool."""

from __future__ import annotations

import pytest
from esp32.standin import BOARDS, ROOT
from esp_idf_defs.partitions import APP_TYPE, DATA_TYPE, PartitionTable

FLASH_BYTES = {"ESP32_GENERIC": 4 << 20, "ESP32_GENERIC_S3": 8 << 20, "ESP32_GENERIC_C3": 4 << 20}
# The largest model image of ours, mcunet-5fps; what the stock table gives the program.
MODEL_BYTES = 748_776
STOCK_PROGRAM_BYTES = 0x1F0000


@pytest.mark.parametrize("board", BOARDS)
def test_partitions(board: str) -> None:
    table = PartitionTable.from_csv((ROOT / "boards" / board / "partitions.csv").read_text())
    table.verify()  # alignment, overlaps, names
    table.verify_size_fits(FLASH_BYTES[board])
    ends = [partition.offset + partition.size for partition in table]
    assert ends[-1] == FLASH_BYTES[board], "flash is left over"
    assert [partition.offset for partition in table][1:] == ends[:-1], "there are holes"
    factory, rom, files = (table.find_by_name(name) for name in ("factory", "romfs", "vfs"))
    # The port's makeimg.py takes the first program, its flashbdev.py the partition "vfs", its C
    # code the data partition "romfs".
    assert factory.type == APP_TYPE and factory.offset == 0x10000
    assert factory.size >= STOCK_PROGRAM_BYTES + (64 << 10)
    assert rom.type == files.type == DATA_TYPE
    # The chips map flash in pages of 64 KB: the ROMFS begins at one.
    assert rom.offset % 0x10000 == 0
    assert rom.size > MODEL_BYTES * 1.5
    assert files.size >= 768 << 10
