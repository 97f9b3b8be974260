"""What has come of a file whose transfer has not ended, kept beside where it shall be."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Self


class Part:
    """A file `NAME.DIGITS.part` for the copy of the board's file `remote` to `local`; the digits
    are those of `remote`'s SHA-256. It stays where something is in it when the block ends, unless
    it was removed. Raises OSError.
    """

    def __init__(self, local: Path, remote: str) -> None:
        digits = hashlib.sha256(remote.encode()).hexdigest()[:8]
        self._path = local.with_name(f"{local.name}.{digits}.part")
        self._file = self._path.open("a+b", buffering=0)  # nothing is lost with this process

    def content(self) -> bytes:
        """What has come so far."""
        self._file.seek(0)
        return self._file.readall()

    def keep(self, at: int, piece: bytes) -> None:
        """Have `piece` at offset `at`, and nothing behind it."""
        self._file.truncate(at)
        self._file.write(piece)

    def remove(self) -> None:
        """The file is not needed any more."""
        self._file.truncate(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        empty = self._file.seek(0, 2) == 0
        self._file.close()
        if empty:
            self._path.unlink()
