"""Adds MULUH and MULSH to the opcode tables of an Xtensa processor: multiply_high.py IN.c OUT.c"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ENCODERS = "static xtensa_opcode_encode_fn Opcode_mull_encode_fns[] = {"
ENCODER = """static void Opcode_{0}_Slot_inst_encode (xtensa_insnbuf slotbuf)
{{ slotbuf[0] = {1}; }}
static xtensa_opcode_encode_fn Opcode_{0}_encode_fns[] = {{ Opcode_{0}_Slot_inst_encode, 0, 0 }};
"""
DECODED = "\t    return OPCODE_MULL;"
DECODER = "\n\t  if (Field_op2_Slot_inst_get (insn) == {1}) return OPCODE_{0};"
ENTRY = ',\n  {{ "{0}", ICLASS_xt_mul32, 0, Opcode_{0}_encode_fns, 0, 0 }}'


def once(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        sys.exit(f"the opcode tables are not as expected: {old!r} occurs {text.count(old)} times")
    return text.replace(old, new)


def appended(text: str, start: int, addition: str) -> str:
    """Text with an addition to the list that begins at `start`."""
    end = text.index("\n};", start)
    return text[:end].rstrip().rstrip(",") + addition + text[end:]


def main() -> None:
    text = Path(sys.argv[1]).read_text()
    encoders = ENCODER.format("muluh", "0xa20000") + ENCODER.format("mulsh", "0xb20000")
    text = once(text, ENCODERS, encoders + ENCODERS)
    decoders = DECODER.format("MULUH", 10) + DECODER.format("MULSH", 11)
    text = once(text, DECODED, DECODED + decoders)
    opcodes = text.index("static xtensa_opcode_internal opcodes")
    text = appended(text, opcodes, ENTRY.format("muluh") + ENTRY.format("mulsh"))
    numbers = list(re.finditer(r"\n  OPCODE_\w+,?\n\};", text))[-1].start()
    text = appended(text, numbers, ",\n  OPCODE_MULUH,\n  OPCODE_MULSH")
    count = re.search(r"(\d+), opcodes, 0", text)
    if not count:
        sys.exit("the opcode tables are not as expected: no count of opcodes")
    text = once(text, count[0], f"{int(count[1]) + 2}, opcodes, 0")
    Path(sys.argv[2]).write_text(text)


if __name__ == "__main__":
    main()
