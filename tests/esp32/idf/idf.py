#!/usr/bin/env python3
"""Stand-in for ESP-IDF's idf.py, as the port's Makefile calls it:

idf.py [-D NAME=VALUE ...] -B FOLDER reconfigure|build
"""

import os
import subprocess
import sys
from pathlib import Path

VERSION = os.environ.get("STANDIN_IDF_VERSION", "v5.2.2")

if sys.argv[1:] == ["--version"]:
    print(f"ESP-IDF {VERSION}")
    sys.exit()
*options, action = sys.argv[1:]
if action not in ("reconfigure", "build"):
    sys.exit(f"the stand-in for idf.py knows no '{action}'")
folder = options[options.index("-B") + 1]
subprocess.run(["cmake", "-S", str(Path.cwd()), *options], check=True)
if action == "build":
    subprocess.run(["cmake", "--build", folder, "--target", "images"], check=True)
