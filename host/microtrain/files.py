"""Reading files with errors that name them; writing them whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from microtrain.errors import MicrotrainError

Content = TypeVar("Content")


def read_checked(
    path: Path, parse: Callable[[bytes], Content], error_type: type[MicrotrainError]
) -> Content:
    """Return what `parse` makes of the bytes of the file `path`.

    Raises error_type, the path first, if the file cannot be read or `parse` raises error_type.
    """
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise error_type(f"{path}: {error.strerror}") from error
    except error_type as error:
        raise error_type(f"{path}: {error}") from None


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`: temporary file in the same folder, flushed to disk, then renamed.

    The folder must exist. Raises OSError.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
