"""What of the CMSIS-NN adapter needs no checkout: the check of its path, what it gives to the
program and what it reads from it, and the table."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import cmsis_nn
import kernels
from figures import Name
from kernel_graphs import KERNELS, TESTED, graph_of


def test_a_wrong_path_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"no CMSIS-NN at .*arm_nnfunctions\.h"):
        cmsis_nn.checkout(str(tmp_path))
    (tmp_path / cmsis_nn.HEADER).parent.mkdir()
    (tmp_path / cmsis_nn.HEADER).touch()
    with pytest.raises(argparse.ArgumentTypeError, match="there is no Source/Convolution"):
        cmsis_nn.checkout(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["kernels.py", "--cmsis-nn", str(tmp_path)])
    with pytest.raises(SystemExit):
        kernels.main()
    captured = capsys.readouterr()
    assert not captured.out
    assert f"argument --cmsis-nn: no CMSIS-NN at {tmp_path}" in captured.err.splitlines()[-1]


def test_a_right_path_is_taken(tmp_path: Path) -> None:
    for name in (cmsis_nn.HEADER.parent, *(Path("Source", name) for name in cmsis_nn.FOLDERS)):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / cmsis_nn.HEADER).touch()
    assert cmsis_nn.checkout(str(tmp_path)) == tmp_path.resolve()
    assert cmsis_nn.commit(tmp_path) == ""


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: f"{kernel.name} {kernel.shape}")
def test_the_header_is_the_operator(kernel: cmsis_nn.Kernel) -> None:
    graph = graph_of(kernel)
    op = graph.ops[TESTED]
    x = np.arange(graph.tensors[op.inputs[0]].size).astype(np.int8)
    text = cmsis_nn.header(graph, x)
    numbers = {name: int(n) for name, n in re.findall(r"#define (\w+) \((-?\d+)\)", text)}
    arrays = {name: np.array([int(n) for n in values.split(",")])
              for name, values in re.findall(r"(\w+)\[\] .*= \{(.*)\};", text)}  # fmt: skip
    assert np.array_equal(arrays["input"], x)
    assert np.array_equal(arrays["weights"], np.asarray(op.weights).ravel())
    for name, values in (("bias", op.bias), ("multipliers", op.mult), ("shifts", op.shift)):
        assert np.array_equal(arrays[name], values)
    assert numbers["IN_H"] * numbers["IN_W"] * numbers["IN_C"] == x.size
    assert numbers["OUT_C"] == len(arrays["bias"])
    assert set(re.findall(r"\b[A-Z]+_[A-Z]+\b|LINEAR|DEPTHWISE", PROGRAM)) <= {
        *numbers, "SCRATCH_BYTES"
    }  # fmt: skip


PROGRAM = (cmsis_nn.HERE / "cmsis_nn.c").read_text()


def test_what_the_program_prints() -> None:
    assert cmsis_nn.parse("ffffff9c 10 00ff7f80\n") == (0xFFFFFF9C, 16, b"\x00\xff\x7f\x80")
    for text in ("", "0 10", "0 ten 00", "0 10 0", "qemu: no machine"):
        with pytest.raises(RuntimeError, match="not a result"):
            cmsis_nn.parse(text)


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cmsis_nn, "counts", lambda path, target: iter([(KERNELS[0], 9.0)]))
    ours = {Name("cortex-m0+", KERNELS[0].name, KERNELS[0].shape, "forward", "cycles/MAC"): 3.6}
    lines = list(cmsis_nn.table(tmp_path, ours, ["cortex-m0+"]))
    assert lines[-1].split()[-4:] == ["3.600", "9.000", "2.50", "cycles/MAC"]
