"""What `mpremote mip install` takes: package.json, the native module, and the Python package.

.venv/bin/python usermod_c/natmod/package.py NATIVE.mpy MPY_CROSS FOLDER
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from microtrain import __version__

PACKAGE = Path(__file__).resolve().parents[2] / "firmware" / "microtrain"


def write_package(native: Path, mpy_cross: Path, folder: Path) -> None:
    """Fills `folder`; its old content is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / PACKAGE.name).mkdir(parents=True)
    shutil.copy(native, folder)
    names = [native.name]
    for source in sorted(PACKAGE.glob("*.py")):
        # The name that tracebacks show.
        name = f"{PACKAGE.name}/{source.stem}"
        command = [mpy_cross, "-s", f"{name}.py", "-o", folder / f"{name}.mpy", source]
        subprocess.run(command, check=True)
        names.append(f"{name}.mpy")
    # Names on the board, in /lib, and where they lie relative to package.json.
    listing = {"version": __version__, "urls": [[name, name] for name in names]}
    (folder / "package.json").write_text(json.dumps(listing, indent=4) + "\n")


if __name__ == "__main__":
    write_package(*(Path(argument) for argument in sys.argv[1:4]))
