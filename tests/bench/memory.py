"""Memory that training needs, from the engine's planner: `make bench-memory`.

The 15 published sparse schemes, the last 6 and 12 layers, and last, bias, full on MCUNetV3's three
backbones at 128x128 with a new head of 10 classes, beside what their authors publish; without the
reference folder, the demo's network.
Writes build/bench/memory.json, a list of `microtrain plan --json` objects with `analytic_bytes`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path.insert(0, str(HERE))

import backbones  # noqa: E402
from analytic import extra_bytes  # noqa: E402

from microtrain import image  # noqa: E402
from microtrain.importers.onnx import import_onnx  # noqa: E402
from microtrain.link.ports import open_device  # noqa: E402
from microtrain.run.plan import plan  # noqa: E402
from microtrain.scheme import NAMES, load_scheme  # noqa: E402

WATCH = REPO / "tests/demo"
LAYERS = ("last-6", "last-12")
NOTE = """\
"analytic" is the estimate that gives the published schemes their names, in KiB: trained weights
and biases, clamp masks and saved inputs of the convolutions, nothing of inference. "plot" is what
the authors' figure shows for sparse update (KB; it has 160 for mcunet-5fps too, and does not name
the schemes). "shipped" is what their released program needs. Ours counts everything a training
step needs in RAM: "RAM" is the arena (activations, gradients, masks, scratch), the trained tensors
with the head's, and the tables. "bound" is the most bytes live at once; no arena can be
smaller."""
# Section 4.4 of the reference folder's research/mcunetv3.md.
PLOT_KB = {
    ("mbv2-w0.35", "49kb"): 141, ("mcunet-5fps", "49kb"): 134, ("mcunet-5fps", "148kb"): 173,
    ("proxyless-w0.3", "49kb"): 135,
}  # fmt: skip
SHIPPED_BYTES = {("mcunet-5fps", "49kb"): 221_904}


def cases(folder: Path) -> Iterator[tuple[Path, str, str, int | None]]:
    """Image, scheme's name, what --scheme takes, classes of a new head."""
    if not backbones.available():
        print(f"no reference folder {backbones.SHARED}: the demo's network instead\n")
        path = watch_image(folder)
        for name in NAMES:
            yield path, name, name, None
        yield path, "sparse", str(WATCH / "watch_sparse.json"), None
        return
    for model, schemes in backbones.published().items():
        path = backbones.write_image(model, folder)
        for name, scheme in (schemes | {name: name for name in (*LAYERS, *NAMES)}).items():
            yield path, name, scheme, backbones.CLASSES


def watch_image(folder: Path) -> Path:
    # No byte of a plan depends on the calibration, so noise will do.
    noise = np.random.default_rng(0).normal(size=(64, 1, 100, 6)).astype(np.float32)
    path = folder / "watch_cnn.mtm"
    image.write(import_onnx(WATCH / "watch_cnn.onnx", noise), path)
    return path


def row(name: str, found: dict[str, Any]) -> str:
    arena, bound = found["arena_bytes"], found["arena_lower_bound_bytes"]
    case = (found["model"], name)
    return (
        f"{found['model']:15} {name:7} {found['analytic_bytes'] / 1024:>8.1f} "
        f"{PLOT_KB.get(case, ''):>5} {SHIPPED_BYTES.get(case, ''):>8} "
        f"{found['total_ram_bytes']:>9,} {arena:>9,} {bound:>9,} {arena / bound:6.3f} "
        f"{found['trainable_bytes']:>9,} "
        f"{found['forward_macs'] / 1e6:8.2f} {found['backward_macs'] / 1e6:8.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPO / "build/bench/memory.json")
    options = parser.parse_args()
    plans = []
    with tempfile.TemporaryDirectory() as folder, open_device("virtual") as device:
        heading = (
            f"{'':15} {'':7} {'analytic':>8} {'plot':>5} {'shipped':>8} {'RAM':>9} "
            f"{'arena':>9} {'bound':>9} {'ratio':>6} {'trainable':>9} {'forward':>8} "
            f"{'backward':>8}\n"
            f"{'model':15} {'scheme':7} {'KiB':>8} {'KB':>5} {'bytes':>8} {'bytes':>9} "
            f"{'bytes':>9} {'bytes':>9} {'':6} {'bytes':>9} {'MMACs':>8} {'MMACs':>8}"
        )
        model = None
        for path, name, scheme, classes in cases(Path(folder)):
            found, _ = plan(device, path, scheme, new_head=classes)
            graph = image.read(path)
            found["analytic_bytes"] = extra_bytes(graph, load_scheme(scheme, graph))
            plans.append(found)
            if path != model:
                print(heading if model is None else "")
                model = path
            print(row(name, found), flush=True)
    print(f"\n{NOTE}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(plans, indent=1) + "\n")
    print(f"\nwrote {options.out}")


if __name__ == "__main__":
    main()
