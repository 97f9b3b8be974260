"""`microtrain selftest`: its vectors, and what it says of boards that are sound or not."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest
import selftest_vectors
import tiny_net
from command_line import run_cli

from microtrain import image
from microtrain.errors import DeviceError
from microtrain.fixed_point import Activation
from microtrain.graph import Kind
from microtrain.link import open_device
from microtrain.link.firmware import ENGINE_ABI
from microtrain.link.ports import EMULATED, VIRTUAL
from microtrain.selftest import selftest
from microtrain.selftest.run import load_vectors, require_sound

# A board that computes wrongly, and firmware of other kinds: boot.py changes what is imported.
WRONG_ENGINE = """\
import sys, _microtrain as real
class Session:
    def __init__(self, *arguments):
        self.session, self.trains = real.Session(*arguments), len(arguments) > 1
    def __getattr__(self, name):
        return getattr(self.session, name)
    def {method}(self, *arguments):
        {body}
class Engine:
    Model, Plan, MSE, CROSS_ENTROPY = real.Model, real.Plan, real.MSE, real.CROSS_ENTROPY
    ABI, FORMAT = real.ABI, real.FORMAT
Engine.Session = Session
sys.modules['_microtrain'] = Engine
"""
OTHER_ABI = """\
import sys
class Engine:
    ABI, FORMAT = {abi}, {format}
sys.modules['_microtrain'] = Engine
"""
NO_MODULE = """\
import builtins
real = builtins.__import__
def find(name, *rest):
    if name.endswith('microtrain'):
        raise ImportError("no module named '%s'" % name)
    return real(name, *rest)
builtins.__import__ = find
"""


def test_vectors_are_the_references() -> None:
    made = selftest_vectors.vectors()
    assert selftest_vectors.PATH.read_text() == made, "run tests/selftest_vectors.py, commit it"
    assert len(made) < 200_000


def test_every_operator_and_activation_is_in_them() -> None:
    graphs = [image.from_bytes(b64decode(c["image"])) for c in load_vectors()["cases"]]
    ops = [op for graph in graphs for op in graph.ops]
    assert {op.kind for op in ops} == set(Kind)
    assert {op.activation for op in ops} == set(Activation)


@pytest.mark.parametrize("port", [*VIRTUAL, *EMULATED])
def test_a_sound_board(port: str, tmp_path: Path) -> None:
    result = run_cli("selftest", "--port", port, "--json", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["passed"] and len(report["checks"]) == len(selftest_vectors.CASES)
    assert report["firmware"]["version"] and report["firmware"]["abi"] == ENGINE_ABI
    memory = report["memory"]
    assert 100_000 < memory["largest_block_bytes"] <= memory["heap_free_bytes"]
    assert memory["heap_free_bytes"] < memory["heap_bytes"] and memory["romfs_bytes"] >= 1 << 20
    assert report["backward_macs_per_s"] > 1e6 and report["forward_macs_per_s"] > 1e6


@pytest.mark.parametrize(
    ("method", "body", "problem"),
    [
        (
            "output",
            "out = self.session.output(); out[1] ^= self.trains; return out",
            "forward of step 1: 1 of 5 values differ, the first at 1",
        ),
        (
            "output",
            "out = self.session.output(); out[1] ^= not self.trains; return out",
            "forward as imported: 1 of 5 values differ, the first at 1",
        ),
        ("loss", "return self.session.loss(*arguments) + 700", "loss of step 1: "),
        ("backward", "pass", "forward of step 2: "),
        (
            "state",
            "out = self.session.state(); out[len(out) // 2] ^= 1; return out",
            "trained tensors, after backward and update: 1 of ",
        ),
    ],
)
def test_a_board_that_computes_wrongly(
    method: str, body: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "boot.py").write_text(WRONG_ENGINE.format(method=method, body=body))
    with open_device(folder=tmp_path) as device:
        report = selftest(device)
    assert not report.passed
    for check in report.checks:
        assert check.problem.startswith(problem), check
    with pytest.raises(DeviceError, match=r"^21 of 21 golden vectors differ \(conv2d, "):
        require_sound(report)


def test_the_command_fails_and_says_which(tmp_path: Path) -> None:
    body = "return None if arguments else self.session.backward()"
    (tmp_path / "boot.py").write_text(WRONG_ENGINE.format(method="lr", body=body))
    result = run_cli("selftest", folder=tmp_path)
    assert result.returncode == 1
    assert "add: forward of step 2: " in result.stdout
    assert "sound" not in result.stdout
    assert "this firmware or board computes wrongly" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert run_cli("selftest", "--json", folder=tmp_path).returncode == 1


def test_an_operator_that_was_left_out(tmp_path: Path) -> None:
    """Of a build with a choice of operators; any other error is a failure."""
    body = "raise ValueError('conv2d_0: operator conv2d was left out of this build: use one')"
    (tmp_path / "boot.py").write_text(WRONG_ENGINE.format(method="lr", body=body))
    result = run_cli("selftest", folder=tmp_path)
    assert result.returncode == 1 and "conv2d: not in this build" in result.stdout
    assert "speed: not measured" in result.stdout and "no golden vector could" in result.stderr
    third = f"Engine.n = getattr(Engine, 'n', 0) + 1\n        if Engine.n == 3: {body}"
    (tmp_path / "boot.py").write_text(WRONG_ENGINE.format(
        method="lr", body=f"{third}\n        return self.session.lr(*arguments)"))  # fmt: skip
    result = run_cli("selftest", folder=tmp_path)
    assert result.returncode == 0 and "conv2d sparse: not in this build" in result.stdout
    assert "all 20 golden vectors are right" in result.stdout
    assert result.stdout.endswith("sound (1 not in this build)\n")
    body = "raise ValueError('no')"
    (tmp_path / "boot.py").write_text(WRONG_ENGINE.format(method="lr", body=body))
    result = run_cli("selftest", folder=tmp_path)
    assert result.returncode == 1 and "conv2d: the board raised ValueError: no" in result.stdout


@pytest.mark.parametrize(
    ("boot", "message"),
    [
        (NO_MODULE, "has no microtrain: `microtrain firmware flash BOARD` puts one there"),
        (OTHER_ABI.format(abi=0, format=1), "the firmware has engine ABI 0, this program works "
         f"with {ENGINE_ABI}: the firmware is the older one, flash the firmware of this version"),
        (OTHER_ABI.format(abi=7, format=1), "the firmware has engine ABI 7, this program works "
         f"with {ENGINE_ABI}: the program is the older one, update it"),
    ],
)  # fmt: skip
def test_firmware_that_does_not_fit(boot: str, message: str, tmp_path: Path) -> None:
    """The self-test says so, and so does a command that needs the package on the board."""
    (tmp_path / "boot.py").write_text(boot)
    tiny_net.write_all(tmp_path)
    model = ("plan", str(tmp_path / "tiny.mtm"), "--scheme", "last")
    for command in (("selftest",), model):
        result = run_cli(*command, folder=tmp_path)
        assert result.returncode == 1
        assert message in result.stderr and len(result.stderr.splitlines()) == 1


def test_another_image_format(tmp_path: Path) -> None:
    (tmp_path / "boot.py").write_text(OTHER_ABI.format(abi=ENGINE_ABI, format=2))
    result = run_cli("selftest", folder=tmp_path)
    assert result.returncode == 1
    assert "the firmware has image format 2, this program works with 1" in result.stderr


def test_no_package_beside_the_engine(tmp_path: Path) -> None:
    """As after half an installation: the self-test needs the engine alone."""
    tiny_net.write_all(tmp_path)
    (tmp_path / "boot.py").write_text(NO_MODULE.replace("endswith('", "startswith('"))
    result = run_cli("selftest", folder=tmp_path)
    assert result.returncode == 0 and "microtrain without its Python package" in result.stdout
    result = run_cli("plan", str(tmp_path / "tiny.mtm"), "--scheme", "last", folder=tmp_path)
    assert result.returncode == 1 and "microtrain on this board cannot be used" in result.stderr


def test_help_has_an_example(tmp_path: Path) -> None:
    result = run_cli("selftest", "--help", folder=tmp_path)
    assert "Example: microtrain selftest" in result.stdout
