"""Options of an Xtensa processor, as source of the plugin that XTENSA_GNU_CONFIG names.

    core_description.py xtensa-dynconfig.h qemu|esp32 OUT.c OUT.h

The names of the options and their order come from binutils' header; the values are those of an
ESP32-class LX6 core as public sources list them (LLVM's processor "esp32", OpenOCD's core file).
OUT.h has the same as macros, for libgcc.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HAVE = """DENSITY ABS ADDX L32R MAC16 MUL16 MUL32 MUL32_HIGH DIV32 NSA MINMAX SEXT CLAMPS LOOPS
    THREADPTR RELEASE_SYNC S32C1I BOOLEANS FP FP_DIV FP_RECIP FP_SQRT FP_RSQRT FP_POSTINC WINDOWED
    DEBUG"""
ESP32 = {f"XCHAL_HAVE_{option}": 1 for option in HAVE.split()} | {
    "XSHAL_HAVE_TEXT_SECTION_LITERALS": 1,
    "XCHAL_NUM_AREGS": 64,
    "XCHAL_ICACHE_LINESIZE": 4,
    "XCHAL_DCACHE_LINESIZE": 4,
    "XCHAL_ICACHE_LINEWIDTH": 2,
    "XCHAL_DCACHE_LINEWIDTH": 2,
    "XCHAL_MMU_MIN_PTE_PAGE_SIZE": 29,
    "XCHAL_NUM_IBREAK": 2,
    "XCHAL_NUM_DBREAK": 2,
    "XCHAL_DEBUGLEVEL": 6,
    "XCHAL_MAX_INSTRUCTION_SIZE": 3,
    "XCHAL_INST_FETCH_WIDTH": 4,
    "XTHAL_ABI_CALL0": 1,
    "XCHAL_DATA_WIDTH": 4,
    "XCHAL_UNALIGNED_LOAD_HW": 1,
    "XCHAL_UNALIGNED_STORE_HW": 1,
}
# What QEMU's core de233_fpu lacks.
QEMU = ESP32 | {
    "XCHAL_HAVE_MUL32_HIGH": 0,
    "XCHAL_UNALIGNED_LOAD_HW": 0,
    "XCHAL_UNALIGNED_STORE_HW": 0,
    "XCHAL_UNALIGNED_LOAD_EXCEPTION": 1,
    "XCHAL_UNALIGNED_STORE_EXCEPTION": 1,
}
CORES = {"qemu": QEMU, "esp32": ESP32}


def main() -> None:
    header, core, source, macros = sys.argv[1:]
    text, values = Path(header).read_text(), CORES[core]
    lines, every = [], []
    for version in (1, 2, 3, 4):
        match = re.search(rf"#define XTENSA_CONFIG_V{version}_ENTRY_LIST((?:.*\\\n)*.*)", text)
        if not match:
            continue
        names = re.findall(r"XTENSA_CONFIG_ENTRY\((\w+)\)", match[1])
        entries = ", ".join(f"{values.get(name, 0)} /* {name} */" for name in names)
        lines.append(f"const int xtensa_config_v{version}[] = {{ {entries} }};")
        every += names
    strings = ", ".join(f'"__{name}={values.get(name, 0)}"' for name in every)
    lines.append(f"const char *const xtensa_config_strings[] = {{ {strings}, 0 }};")
    lines.append("int plugin_is_GPL_compatible;")
    Path(source).write_text("\n".join(lines) + "\n")
    defines = [f"#define {name} {values.get(name, 0)}" for name in sorted(set(every))]
    Path(macros).write_text("\n".join(defines) + "\n")


if __name__ == "__main__":
    main()
