"""What is lost when the power goes, cables are pulled and programs die: `make bench-faults`.

Parts, each of which can be run alone (`--only NAME`), and puts what it counted into
build/bench/faults.json:

power   every erase and write of checkpoint saves on the virtual board, 500 random points on the
        emulated RP2040: power_cuts, power_cut_losses. Five minutes.
runs    training runs that are killed again and again: killed_runs, killed_run_mismatches,
        kills. Half an hour.
resets  an emulated RP2040 that trains by itself, whose power goes after random instructions:
        resets, reset_mismatches. A quarter of an hour.
link    files over lines with faults, and how fast: link_bytes, link_mismatches, link_rates.
training  what following a run costs it, and data that is on the host: followed, streamed.
boards  24 virtual boards at once for ten minutes: boards, board_runs, board_events, lost_events,
        leaked_descriptors, leaked_threads.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

import killed_runs
import link_rates
import many_boards
import power_cuts
import resets as reset_runs
import results
import training_rates

SAVES = 20
SIZES = {"virtual": 10_000_000, "emu:rp2040": 100_000}


def power(options: argparse.Namespace) -> None:
    """Cut the power in saves."""
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


def runs(options: argparse.Namespace) -> None:
    """Kill training runs."""
    mismatches, kills = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected = killed_runs.sha256_of_plain_run(folder)
        for seed in range(options.runs):
            run = killed_runs.Run(folder / f"board{seed}", folder, seed)
            mismatches += run.sha256(1 + seed % 2) != expected
            kills += run.accidents
            if (seed + 1) % 50 == 0:
                print(f"{seed + 1} runs, {mismatches} mismatches, {dict(kills)}", flush=True)
    results.merge({
        "killed_runs": options.runs, "killed_run_mismatches": mismatches, "kills": dict(kills),
    })  # fmt: skip


def resets(options: argparse.Namespace) -> None:
    """Cut the power after any instruction."""
    found = reset_runs.measure(options.reset_runs, cuts=3)
    print(f"{found.runs} runs of {found.instructions:,} instructions: {found.cuts} resets, "
          f"{found.mismatches} mismatches")  # fmt: skip
    results.merge({"resets": found.cuts, "reset_mismatches": found.mismatches})


def link(options: argparse.Namespace) -> None:
    """Send files."""
    sent, mismatches, table = 0, 0, {}
    for port, size in SIZES.items():
        with tempfile.TemporaryDirectory() as name:
            found = link_rates.measure(port, Path(name), size, options.tries)
        sent += found.bytes
        mismatches += found.mismatches
        table[port] = {"up": found.up, "down": found.down}
        print(f"| {port}, {size:,} B | to the board, KB/s | from it, KB/s |\n|---|---|---|")
        for kind in found.up:
            print(f"| {kind} | {found.up[kind] / 1e3:,.0f} | {found.down[kind] / 1e3:,.0f} |")
    results.merge({"link_bytes": sent, "link_mismatches": mismatches, "link_rates": table})


def training(options: argparse.Namespace) -> None:
    """Follow runs, stream data."""
    with tempfile.TemporaryDirectory() as name:
        found = training_rates.measure(Path(name), options.epochs, options.tries)
    print(f"a run that a host follows takes {found.followed:.3f} of the time of one that it has "
          f"left; with its data on the host it has {found.streamed:.2f} of the speed")
    results.merge({"followed": found.followed, "streamed": found.streamed})


def boards(options: argparse.Namespace) -> None:
    """Drive many boards at once."""
    threads = threading.active_count()
    with tempfile.TemporaryDirectory() as name:
        found = many_boards.Boards(Path(name), options.boards).run(options.seconds)
    leaked = threading.active_count() - threads
    print(f"{found.boards} boards, {options.seconds} s: {found.runs} runs, {found.events:,} "
          f"events, {found.lost_events} lost; {found.leaked_descriptors} descriptors, {leaked} "
          "threads leaked")  # fmt: skip
    results.merge({
        "boards": found.boards, "board_runs": found.runs, "board_events": found.events,
        "lost_events": found.lost_events, "leaked_descriptors": found.leaked_descriptors,
        "leaked_threads": leaked,
    })  # fmt: skip


PARTS = {part.__name__: part for part in (power, runs, resets, link, training, boards)}


def main() -> None:
    """Measure, print tables, write what was counted."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--rp2040-cuts", type=int, default=500)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--reset-runs", type=int, default=50)
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--boards", type=int, default=24)
    parser.add_argument("--seconds", type=int, default=600)
    options = parser.parse_args()
    for name in options.only or PARTS:
        PARTS[name](options)
    print(f"\nwrote {results.PATH}")


if __name__ == "__main__":
    main()
