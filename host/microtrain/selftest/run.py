"""The self-test of a board, from the host."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

import numpy as np

from microtrain.errors import DeviceError, RemoteError
from microtrain.link.firmware import Firmware, require_engine
from microtrain.link.transport import ANSWER_TIMEOUT_S, Device
from microtrain.selftest.board_code import CASE, MEMORY, SPEED

# The board's loss is fixed point, the vectors' floating point.
LOSS_TOLERANCE = 0.01
# Microseconds that each of the two measurements of speed lasts at least.
SPEED_BUDGET_US = 300_000
CASE_TIMEOUT_S = 60.0
# Of the engine's error for an operator that its build does not have.
LEFT_OUT = "left out of this build"


@dataclass(frozen=True)
class Check:
    """One golden vector. problem: how the board's result differs, "" if it does not. left_out:
    the firmware was built without one of its operators, so there is no result."""

    name: str
    problem: str
    left_out: bool = False

    @property
    def passed(self) -> bool:
        """Whether the board computed every byte as it should."""
        return not self.problem


@dataclass(frozen=True)
class Report:
    """What a board is like.

    memory: heap_bytes, heap_free_bytes, largest_block_bytes, romfs_bytes and files_free_bytes
    (None: there is none). forward_macs_per_s, backward_macs_per_s: of a small network with all of
    its weights trained, None where the board has no clock, or not its operators.
    """

    firmware: Firmware
    memory: dict[str, int | None]
    checks: list[Check]
    forward_macs_per_s: float | None
    backward_macs_per_s: float | None

    @property
    def passed(self) -> bool:
        """Whether every vector came out right."""
        return all(check.passed for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for JSON."""
        return asdict(self) | {"passed": self.passed}


def load_vectors() -> dict[str, Any]:
    """The golden vectors of this package; tests/selftest_vectors.py makes them."""
    text = resources.files("microtrain.selftest").joinpath("vectors.json").read_text()
    vectors: dict[str, Any] = json.loads(text)
    return vectors


def selftest(device: Device, on_check: Callable[[Check], object] = lambda check: None) -> Report:
    """Run the self-test; `on_check` gets each golden vector's result as it is known.

    Raises DeviceError if the board has no engine, or one that this program does not know.
    """
    firmware = require_engine(device)
    device.reset()
    device.exec(MEMORY, timeout=ANSWER_TIMEOUT_S)
    memory = device.eval("_mt_memory()", timeout=CASE_TIMEOUT_S)
    vectors = load_vectors()
    device.exec(CASE, timeout=ANSWER_TIMEOUT_S)
    checks = []
    for case in vectors["cases"]:
        checks.append(_run_case(device, case))
        on_check(checks[-1])
    return Report(firmware, memory, checks, *_speed(device, b64decode(vectors["speed"])))


def _speed(device: Device, image: bytes) -> tuple[float | None, float | None]:
    device.exec(SPEED, timeout=ANSWER_TIMEOUT_S)
    try:
        found = device.eval(f"_mt_speed({image!r}, {SPEED_BUDGET_US})", timeout=CASE_TIMEOUT_S)
    except RemoteError as error:
        if LEFT_OUT not in str(error):
            raise
        found = None
    if found is None:
        return None, None
    forward_s, step_s, forward_macs, backward_macs = found
    # A step is forward, loss and backward; the loss of ten classes takes no time to speak of.
    return forward_macs / forward_s, backward_macs / max(step_s - forward_s, 1e-9)


def _run_case(device: Device, case: dict[str, Any]) -> Check:
    steps = [
        (b64decode(step["x"]), b64decode(step["y"]) if case["loss"] == "mse" else step["y"])
        for step in case["steps"]
    ]
    names = ("layers", "loss", "wide", "gradient_bits", "seed", "lr")
    arguments = [b64decode(case["image"]), *(case[name] for name in names), steps]
    call = f"_mt_case({', '.join(map(repr, arguments))})"
    try:
        output = device.exec(call, timeout=CASE_TIMEOUT_S)
    except RemoteError as error:
        if LEFT_OUT in str(error):
            return Check(case["name"], "", left_out=True)
        return Check(case["name"], f"the board raised {error}")
    return Check(case["name"], _problem(case, output))


def _problem(case: dict[str, Any], output: str) -> str:
    """Return how what the board printed differs from the vector, "" if it does not."""
    found: dict[str, list[str]] = {}
    for line in output.splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    problem = _differs("forward as imported", "i1", found["imported"][0], case["output"])
    for i, step in enumerate(case["steps"]):
        problem = problem or _differs(
            f"forward of step {i + 1}", "<i4", found["output"][i], step["output"]
        )
        loss = int(found["loss"][i]) / 65536
        if not problem and abs(loss - step["loss"]) > LOSS_TOLERANCE:
            problem = f"loss of step {i + 1}: {loss:.4f}, not {step['loss']:.4f}"
    return problem or _differs(
        "trained tensors, after backward and update", "u1", found["state"][0], case["state"]
    )


def _differs(what: str, kind: str, found: str, expected: str) -> str:
    a = np.frombuffer(bytes.fromhex(found), kind)
    b = np.frombuffer(b64decode(expected), kind)
    if len(a) != len(b):
        return f"{what}: {len(a)} values, not {len(b)}"
    wrong = np.flatnonzero(a != b)
    if not len(wrong):
        return ""
    first = int(wrong[0])
    return (
        f"{what}: {len(wrong)} of {len(a)} values differ, the first at {first}: {a[first]}, "
        f"not {b[first]}"
    )


def require_sound(report: Report) -> None:
    """Raise DeviceError, naming them, if vectors came out wrong, and if none was run."""
    if all(check.left_out for check in report.checks):
        raise DeviceError("no golden vector could be run: the firmware has none of the operators")
    wrong = [check.name for check in report.checks if not check.passed]
    if wrong:
        raise DeviceError(
            f"{len(wrong)} of {len(report.checks)} golden vectors differ ({', '.join(wrong)}): "
            "this firmware or board computes wrongly, do not train on it; flash it again, and "
            "report it if that does not help"
        )
