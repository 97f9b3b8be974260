"""Links the objects into OUTPUT; what MicroPython and ESP-IDF would define is put at the start of
the code.

link.py OUTPUT NM OBJECT;OBJECT... COMPILER OPTION...
"""

import subprocess
import sys
from pathlib import Path

output, nm, objects, *linker = sys.argv[1:]


def symbols(*options: str) -> set[str]:
    command = [nm, "--format=posix", *options, *objects.split(";")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[0] for line in lines if " " in line}


missing = symbols("--undefined-only") - symbols("--defined-only")
script = Path(output).with_suffix(".missing.ld")
script.write_text("".join(f"PROVIDE({name} = FLASH_CODE);\n" for name in sorted(missing)))
subprocess.run([*linker, *objects.split(";"), str(script), "-lgcc", "-o", output], check=True)
