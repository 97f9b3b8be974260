"""The commands import, inspect and data, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from onnx_models import signal_net
from test_import_tflite import small_model

from microtrain import dataset, image
from microtrain.cli import cli
from microtrain.errors import MicrotrainError


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def succeeds(*arguments: Any) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def fails(message: str, *arguments: Any) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, MicrotrainError)
    assert message in str(result.exception)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    source = tmp_path / "small.tflite"
    source.write_bytes(small_model())
    succeeds("import", source, "-o", tmp_path / "small.mtm")
    return tmp_path / "small.mtm"


def test_import_and_inspect(model: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\nother\n")
    out = succeeds("import", tmp_path / "small.tflite", "-o", model, "--labels", labels, "--json")
    made = json.loads(out)
    assert made["bytes"] == model.stat().st_size and made["operators"] == 3
    said = json.loads(succeeds("inspect", model, "--json"))
    assert said["sha256"] == made["sha256"]
    assert said["metadata"]["labels"] == ["cat", "dog", "other"]
    assert [op["op"] for op in said["operators"]] == ["conv2d", "max_pool", "linear"]
    assert said["macs"] == 6 * 6 * 4 * 18 + 36 * 3
    text = succeeds("inspect", model)
    assert "conv2d_0" in text and "6x6x4" in text


def test_import_onnx(tmp_path: Path) -> None:
    net = signal_net().save(tmp_path / "net.onnx")
    fails("--calib", "import", net, "-o", tmp_path / "net.mtm")
    assert not (tmp_path / "net.mtm").exists()
    np.savez(tmp_path / "calib.npz", x=np.random.default_rng(0).normal(size=(8, 40, 6)))
    succeeds("import", net, "--calib", tmp_path / "calib.npz", "-o", tmp_path / "net.mtm")
    assert image.read(tmp_path / "net.mtm").tensors[0].shape == (1, 40, 6)


def test_data(model: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "d.npz", tmp_path / "d.mtd"
    np.savez(source, x=np.zeros((4, 6, 6, 2), np.int8), y=np.array([0, 1, 1, 2]))
    fails("--model", "data", source, "-o", out)
    made = json.loads(succeeds("data", source, "--model", model, "-o", out, "--json"))
    assert (made["samples"], made["shape"]) == (4, [6, 6, 2])
    assert dataset.read(out).scale == image.read(model).tensors[0].scale
    said = json.loads(succeeds("inspect", out, "--json"))
    assert said["labels"] == {"kind": "class", "counts": {"0": 1, "1": 2, "2": 1}}
    succeeds("data", source, "--scale", 0.5, "--zero-point", 3, "-o", out)
    assert dataset.read(out).zero_point == 3
    np.savez(source, x=np.zeros((4, 5, 6, 2), np.int8))
    fails("the model wants (6, 6, 2)", "data", source, "--model", model, "-o", out)


def test_inspect_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello")
    fails("neither a model image", "inspect", tmp_path / "x")


@pytest.mark.parametrize("command", ["import", "inspect", "data"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: microtrain {command}" in succeeds(command, "--help")
