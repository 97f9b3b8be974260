"""What ESP-IDF's build makes of the linked program: its image and the partition table; and a boot
loader that is none.

images.py CHIP SDKCONFIG FOLDER
"""

import subprocess
import sys
from pathlib import Path

from esp_idf_defs.partitions import PartitionTable

chip, sdkconfig, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
config = dict(line.split("=", 1) for line in sdkconfig.read_text().splitlines())
size = next(
    name.rpartition("_")[2]
    for name, value in config.items()
    if name.startswith("CONFIG_ESPTOOLPY_FLASHSIZE_") and value == "y"
)
image = ["elf2image", "--flash-mode", "dio", "--flash-size", size]
files = ["-o", str(folder / "micropython.bin"), str(folder / "micropython.elf")]
subprocess.run([sys.executable, "-m", "esptool", "--chip", chip, *image, *files], check=True)
# Relative names are in the project's folder, as in ESP-IDF.
csv = Path(config["CONFIG_PARTITION_TABLE_CUSTOM_FILENAME"].strip('"'))
table = PartitionTable.from_csv(csv.read_text())
table.verify()
for name, data in (
    ("partition_table/partition-table.bin", table.to_binary()),
    ("bootloader/bootloader.bin", bytes(4096)),
):
    target = folder / name
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(data)
