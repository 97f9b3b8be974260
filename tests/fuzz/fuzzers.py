"""Runs the fuzzers: `make fuzz`, and shorter in the tests.

Each goes on from its corpus, tests/fuzz/TARGET.tar.xz, or the seeds where there is none. What it
finds lies in build/fuzz/findings. Adds fuzz_executions and fuzz_findings of each target to
build/bench/faults.json, in all and under `fuzz`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "faults")]

import results  # noqa: E402
from seeds import SEEDS  # noqa: E402

BUILD = HERE.parents[1] / "build" / "fuzz"
MOST_BYTES = {"image": 3000, "checkpoint": 900, "frame": 700}  # of an input
SANITIZERS = {"ASAN_OPTIONS": "quarantine_size_mb=16", "UBSAN_OPTIONS": "print_stacktrace=1"}


@dataclass(frozen=True)
class Outcome:
    """Inputs that were tried; files with inputs that broke it; what the fuzzer said."""

    executions: int
    findings: list[Path]
    log: str


def corpus(target: str) -> Path:
    """The folder that the fuzzer works in, filled from the committed corpus and the seeds."""
    folder = BUILD / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    packed = HERE / f"{target}.tar.xz"
    if packed.exists():
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="data")
    for i, data in enumerate(SEEDS[target]()):
        (folder / f"seed-{i}").write_bytes(data)
    return folder


def run(target: str, seconds: int, *, seed: int = 0, program: Path | None = None) -> Outcome:
    """Fuzz for `seconds`, from all inputs of the corpus on. seed: 0 is another one every time."""
    findings = BUILD / "findings" / target
    findings.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    result = subprocess.run(
        [program or BUILD / target, corpus(target), f"-max_total_time={seconds}", f"-seed={seed}",
         f"-max_len={MOST_BYTES[target]}", "-timeout=10", "-rss_limit_mb=2048",
         "-print_final_stats=1", f"-artifact_prefix={findings}/"],
        capture_output=True, text=True, errors="replace", check=False,
        env=os.environ | SANITIZERS,
    )  # fmt: skip
    count = re.search(r"stat::number_of_executed_units:\s*(\d+)", result.stderr)
    found = sorted(set(findings.iterdir()) - before)
    if result.returncode and not found:
        raise RuntimeError(f"{target} failed:\n{result.stderr[-2000:]}")
    return Outcome(int(count[1]) if count else 0, found, result.stderr)


def save(target: str) -> int:
    """Commit what is worth keeping: the fewest inputs that cover all. Returns their number."""
    small = BUILD / "minimised" / target
    small.mkdir(parents=True, exist_ok=True)
    for old in small.iterdir():
        old.unlink()
    command = [BUILD / target, "-merge=1", f"-max_len={MOST_BYTES[target]}", small, corpus(target)]
    subprocess.run(command, capture_output=True, check=True)
    with tarfile.open(HERE / f"{target}.tar.xz", "w:xz") as archive:
        for path in sorted(small.iterdir()):
            entry, data = tarfile.TarInfo(path.name), path.read_bytes()
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return len(list(small.iterdir()))


def count(outcomes: dict[str, Outcome], path: Path = results.PATH) -> None:
    """Add to what faults.json has of earlier runs."""
    known = json.loads(path.read_text()).get("fuzz", {}) if path.exists() else {}
    for target, outcome in outcomes.items():
        old = known.get(target, {"executions": 0})
        known[target] = {
            "executions": old["executions"] + outcome.executions,
            "findings": len(outcome.findings),
        }
    results.merge(
        {
            "fuzz": known,
            "fuzz_executions": sum(each["executions"] for each in known.values()),
            "fuzz_findings": sum(each["findings"] for each in known.values()),
        },
        path,
    )


def main() -> int:
    """Fuzz each target for its part of the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="in all")
    parser.add_argument("--save", action="store_true", help="renew the committed corpora")
    parser.add_argument("targets", nargs="+", choices=sorted(SEEDS))
    options = parser.parse_args()
    bad = 0
    for target in options.targets:
        outcome = run(target, max(1, options.seconds // len(options.targets)))
        count({target: outcome})
        print(f"{target}: {outcome.executions:,} executions, {len(outcome.findings)} findings")
        for path in outcome.findings:
            print(f"  {path}\n{outcome.log[-3000:]}")
        bad += len(outcome.findings)
        if options.save and not outcome.findings:
            print(f"  {save(target)} inputs kept")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
