"""Transfer accuracy of the engine beside fp32 PyTorch on the same parameters: ten hand signs.

`make bench-accuracy`, or `python tests/bench/accuracy.py --epochs N --schemes last sparse`. Needs
the reference folder (../shared or MICROTRAIN_SHARED) and PyTorch (`pip install -e host[torch]`).
Writes build/bench/accuracy.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent), str(REPO / "host")]

import backbones  # noqa: E402
import engine as E  # noqa: E402
from tasks import signs  # noqa: E402
from transfer import FloatTwin, IntegerTwin  # noqa: E402

from microtrain.importers.mcunet import import_mcunet  # noqa: E402
from microtrain.scheme import load_scheme  # noqa: E402

MODEL = "mbv2-w0.35"
SCHEMES = {
    "last": "last",
    "sparse": f"{backbones.SCHEMES}#{MODEL}/49kb",
}
# log2 of the learning rates tried: the same grid for both
GRID = (-9, -8, -7, -6, -5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--schemes", nargs="+", default=list(SCHEMES), choices=SCHEMES)
    parser.add_argument("--out", type=Path, default=REPO / "build/bench/accuracy.json")
    options = parser.parse_args()
    task = signs(options.resolution)
    graph = import_mcunet(backbones.SHARED / f"models_npz/{MODEL}.npz", options.resolution)
    samples = len(task.split.train)
    rows = []
    print(
        f"{MODEL} at {options.resolution}x{options.resolution}, {samples} samples x "
        f"{options.epochs} epochs, {options.seeds} seeds; test accuracy in %, mean ± sd over seeds"
    )
    for name in options.schemes:
        scheme = load_scheme(SCHEMES[name], graph)
        arms = {
            "int8": IntegerTwin(graph, scheme, task, wide=E.WIDE_HEAD).run,
            "int8-wide": IntegerTwin(graph, scheme, task, wide=E.WIDE_ALL).run,
            "fp32": FloatTwin(graph, scheme, task, rounded=False).run,
            "fp32-rounded": FloatTwin(graph, scheme, task, rounded=True).run,
        }
        best: dict[str, float] = {}
        print(f"{'scheme':8} {'lr':>6}" + "".join(f"{arm:>16}" for arm in arms), flush=True)
        for exponent in GRID:
            cells = []
            for arm, run in arms.items():
                results = [
                    100 * run(2.0**exponent, options.epochs, s) for s in range(options.seeds)
                ]
                common = {
                    "dataset": task.name, "model": MODEL, "scheme": name, "arm": arm,
                    "steps": samples * options.epochs, "lr": 2.0**exponent,
                }  # fmt: skip
                rows += [common | {"seed": s, "accuracy": a / 100} for s, a in enumerate(results)]
                cells.append(f"{np.mean(results):9.2f} ± {np.std(results):4.2f}")
                best[arm] = max(best.get(arm, 0.0), float(np.mean(results)))
            print(
                f"{name:8} 2^{exponent:<4}" + "".join(f"{cell:>16}" for cell in cells), flush=True
            )
        print(f"{name:8} {'best':>6}" + "".join(f"{best[arm]:>16.2f}" for arm in arms))
        against = {arm: best["int8"] - best[arm] for arm in arms}
        print(
            f"{name:8} {'int8 -':>6}" + "".join(f"{against[arm]:>+16.2f}" for arm in arms),
            flush=True,
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
