"""Errors of reading a file name the file, whatever it should hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from microtrain import checkpoint, dataset, image
from microtrain.errors import CheckpointError, DataError, MicrotrainError, ModelError
from microtrain.run.inputs import load_image


@pytest.mark.parametrize(
    ("read", "error_type"),
    [
        (image.read, ModelError),
        (load_image, ModelError),
        (dataset.read, DataError),
        (checkpoint.read, CheckpointError),
    ],
)
def test_errors_name_the_file(
    tmp_path: Path, read: Callable[[Path], object], error_type: type[MicrotrainError]
) -> None:
    path = tmp_path / "file"
    with pytest.raises(error_type) as missing:
        read(path)
    assert str(missing.value) == f"{path}: No such file or directory"
    with pytest.raises(error_type, match=r"^.*: Is a directory$"):
        read(tmp_path)
    path.write_bytes(b"GIF89a")
    with pytest.raises(error_type) as other:
        read(path)
    assert str(other.value).startswith(f"{path}: not a ")
