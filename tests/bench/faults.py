"""What is lost when the power goes: `make bench-faults`, a quarter of an hour.

Every erase and write of checkpoint saves on the virtual board, 500 random points on the emulated
RP2040. Puts power_cuts and power_cut_losses into build/bench/faults.json.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

import power_cuts
import results

SAVES = 20


def main() -> None:
    """Measure, print the table, write what was counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rp2040-cuts", type=int, default=500)
    options = parser.parse_args()
    print("| what is written | where | saves | erases and writes | power cuts | losses |")
    print("|---|---|---|---|---|---|")
    found: list[power_cuts.Cuts] = []

    def add(cuts: power_cuts.Cuts) -> None:
        found.append(cuts)
        print(f"| {cuts.kind} | {cuts.where} | {cuts.saves} | {cuts.operations} | "
              f"{cuts.cuts:,} | {cuts.losses} |", flush=True)  # fmt: skip

    for kind in power_cuts.KINDS:
        add(power_cuts.virtual(kind, SAVES))
    for kind in power_cuts.KINDS[:2]:
        add(power_cuts.virtual(kind, SAVES, "Disk"))
    add(power_cuts.rp2040(options.rp2040_cuts))
    results.merge({
        "power_cuts": sum(cuts.cuts for cuts in found),
        "power_cut_losses": sum(cuts.losses for cuts in found),
    })  # fmt: skip
    print(f"\nwrote {results.PATH}")


if __name__ == "__main__":
    main()
