"""Pretrain the watch network (developers only; needs torch 2.13, numpy and onnx).

    python tests/demo/pretrain_watch.py

1. Leave-one-person-out: ten people, two seeds each. The two people on whom the network does worst
   are held out; the demo meets them as strangers.
2. Train on the other eight (the first 85 % of each recording; the rest measures "seen people").
3. Write watch_cnn.onnx and, beside it, what was measured: watch_cnn.json.

The networks of step 1 stay in build/demo/loso for watch_float.py. Takes 7 minutes on one core.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from watch_net import accuracy, export_onnx, to_nchw, train

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
from seglearn_watch import RATE_HZ, STEP, SUBJECTS, WINDOW, Recording, dataset, recordings

HERE = Path(__file__).resolve().parent
SEEN_FRACTION = 0.85
SEEDS = (0, 1)
LOSO = HERE.parents[1] / "build" / "demo" / "loso"


def cut(parts: list[Recording]) -> tuple[list[Recording], list[Recording]]:
    """The first SEEN_FRACTION of each recording, and the rest."""
    first, rest = [], []
    for p in parts:
        at = int(len(p.x) * SEEN_FRACTION)
        first.append(Recording(p.subject, p.label, p.side, p.x[:at]))
        rest.append(Recording(p.subject, p.label, p.side, p.x[at:]))
    return first, rest


def leave_one_out() -> dict[int, list[float]]:
    LOSO.mkdir(parents=True, exist_ok=True)
    unseen: dict[int, list[float]] = {}
    for person in SUBJECTS:
        first, _ = cut(recordings(tuple(s for s in SUBJECTS if s != person)))
        nets = [train(first, seed) for seed in SEEDS]
        torch.save(nets[0].state_dict(), LOSO / f"without_{person}.pt")
        unseen[person] = [round(accuracy(net, recordings((person,))), 4) for net in nets]
        print(f"without person {person}: accuracy on that person "
              f"{' '.join(f'{a:.3f}' for a in unseen[person])}", flush=True)
    return unseen


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    unseen = leave_one_out()
    ranking = sorted(SUBJECTS, key=lambda person: np.mean(unseen[person]))
    held_out = sorted(ranking[:2])
    seen = tuple(s for s in SUBJECTS if s not in held_out)
    first, rest = cut(recordings(seen))
    net = train(first, SEEDS[0])
    path = HERE / "watch_cnn.onnx"
    export_onnx(net, path)

    x, _ = dataset(recordings((held_out[0],)))
    with torch.no_grad():
        expected = net(to_nchw(x[:20])).numpy()
    session = ReferenceEvaluator(str(path))
    got = np.concatenate([session.run(None, {"input": row[None].numpy()})[0]
                          for row in to_nchw(x[:20])])
    difference = float(np.abs(got - expected).max())
    if difference > 1e-3:
        raise SystemExit(f"{path.name}: logits differ from PyTorch's by {difference:.2g}")

    report = {
        "what": "1-D CNN for seven physiotherapy exercises, trained by pretrain_watch.py",
        "input": f"{WINDOW} samples x 6 channels at {RATE_HZ} Hz, windows {STEP} samples apart",
        "parameters": sum(p.numel() for p in net.parameters()),
        "onnx_bytes": path.stat().st_size,
        "onnx_reference_max_difference": difference,
        "torch": torch.__version__, "onnx": onnx.__version__, "seed": SEEDS[0],
        "held_out": held_out,
        "held_out_because": "the two people with the lowest mean leave-one-person-out accuracy",
        "tuning_people": ranking[2:4],
        "leave_one_out_seeds": SEEDS,
        "leave_one_out_accuracy": unseen,
        "accuracy_seen_people_later_seconds": {
            s: round(accuracy(net, [p for p in rest if p.subject == s]), 4) for s in seen},
        "accuracy_seen_people_later_seconds_mean": round(accuracy(net, rest), 4),
        "accuracy_held_out_people": {
            s: round(accuracy(net, recordings((s,))), 4) for s in held_out},
    }
    text = json.dumps(report, indent=2)
    (HERE / "watch_cnn.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
