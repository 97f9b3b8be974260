"""The committed corpora, and a short run of every fuzzer from them on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import fuzzers
import pytest

TARGETS = sorted(fuzzers.SEEDS)
SECONDS = 8


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found(target: str) -> None:
    outcome = fuzzers.run(target, SECONDS)
    assert not outcome.findings, outcome.log[-3000:]
    assert outcome.executions > 1000
    # It is a fuzzer of the reader: it gets behind it.
    coverage = int(outcome.log.split("INITED cov: ")[1].split()[0])
    assert coverage > {"image": 1500, "checkpoint": 800, "frame": 40}[target]


def test_a_finding_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "bad.c"
    source.write_text(
        "#include <stddef.h>\n#include <stdint.h>\n"
        "int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {\n"
        "    return size > 3 && data[0] == 'M' ? data[size] : 0;\n}\n"
    )
    program = tmp_path / "bad"
    subprocess.run(
        ["clang", "-g", "-fsanitize=fuzzer,address", "-o", program, source], check=True
    )
    monkeypatch.setattr(fuzzers, "BUILD", tmp_path)
    outcome = fuzzers.run("image", 5, program=program)
    assert len(outcome.findings) == 1 and "heap-buffer-overflow" in outcome.log
    path = tmp_path / "faults.json"
    fuzzers.count({"image": outcome}, path)
    fuzzers.count({"image": fuzzers.Outcome(7, [], "")}, path)
    assert json.loads(path.read_text()) == {
        "fuzz": {"image": {"executions": outcome.executions + 7, "findings": 0}},
        "fuzz_executions": outcome.executions + 7, "fuzz_findings": 0,
    }  # fmt: skip
