"""Float reference of the demo: personalise the watch network with plain SGD in PyTorch.

    python tests/demo/watch_float.py            (developers only, after pretrain_watch.py)

The learning rate is chosen on two other people (watch_cnn.json: tuning_people), each with the
leave-one-person-out network that has never seen them; the held-out people are only reported.
Writes watch_float.json.
"""

from __future__ import annotations

import copy
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from personalise import EPOCHS, HEAD_WINDOWS
from torch import Tensor, nn
from watch_net import WatchNet, fold, to_nchw

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
from seglearn_watch import dataset, recordings, split_in_time

HERE = Path(__file__).resolve().parent
SCHEMES = ("last", "bias", str(HERE / "watch_sparse.json"), "full")
SCHEDULES = ("constant", "linear")
LEARNING_RATES = tuple(2.0**-k for k in range(9, 3, -1))
SEEDS = (0, 1, 2)


def masks(net: WatchNet, scheme: str) -> dict[str, Tensor | None]:
    """What a scheme trains: parameter name -> mask of its elements, None for all of them."""
    modules = {name.removesuffix(".0").replace(".", "/"): name for name, module
               in net.named_modules() if isinstance(module, nn.Conv2d)}
    chosen: dict[str, Tensor | None] = {"head.weight": None, "head.bias": None}
    if scheme in ("bias", "full"):
        chosen |= {f"{name}.bias": None for name in modules.values()}
    if scheme == "full":
        chosen |= {f"{name}.weight": None for name in modules.values()}
    if scheme.endswith(".json"):
        for name, what in json.loads(Path(scheme).read_text())["layers"].items():
            module = modules[name]
            if what.get("bias"):
                chosen[f"{module}.bias"] = None
            weights = what.get("weights")
            if weights == "all":
                chosen[f"{module}.weight"] = None
            elif weights:
                mask = torch.zeros_like(net.get_parameter(f"{module}.weight"))
                mask[:, range(weights) if isinstance(weights, int) else weights] = 1
                chosen[f"{module}.weight"] = mask
    return chosen


def personalise(net: WatchNet, scheme: str, schedule: str, person: int, lr: float, seed: int,
                ) -> list[float]:
    """SGD, batch 1. Returns the accuracy on the rest of the person's data before the first and
    after every epoch. The schedule "linear" lowers the rate: lr * (1 - epoch / EPOCHS)."""
    net = copy.deepcopy(net)
    chosen = masks(net, scheme)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name in chosen)
    trained = [(net.get_parameter(name), mask) for name, mask in chosen.items()]
    head, rest = split_in_time(recordings((person,)), HEAD_WINDOWS)
    (x, y), (x_test, y_test) = dataset(head), dataset(rest)
    inputs, labels, test = to_nchw(x), torch.from_numpy(y), to_nchw(x_test)

    @torch.no_grad()
    def measure() -> float:
        return float((net(test).argmax(1).numpy() == y_test).mean())

    accuracies = [measure()]
    rng = np.random.default_rng(seed)
    for epoch in range(EPOCHS):
        rate = lr * (1 - epoch / EPOCHS) if schedule == "linear" else lr
        for i in rng.permutation(len(y)):
            loss = nn.functional.cross_entropy(net(inputs[i:i + 1]), labels[i:i + 1])
            gradients = torch.autograd.grad(loss, [parameter for parameter, _ in trained])
            with torch.no_grad():
                for (parameter, mask), gradient in zip(trained, gradients, strict=True):
                    parameter -= rate * (gradient if mask is None else gradient * mask)
        accuracies.append(measure())
    return accuracies


def sweep(nets: dict[int, WatchNet]) -> dict[str, object]:
    """"scheme, schedule" -> learning rate -> person -> accuracy before and after each epoch, mean
    of SEEDS."""
    table: dict[str, object] = {}
    for scheme, schedule in itertools.product(SCHEMES, SCHEDULES):
        name = f"{Path(scheme).stem}, {schedule}"
        by_rate: dict[str, dict[int, list[float]]] = {}
        for lr in LEARNING_RATES:
            row = {person: np.mean(
                [personalise(net, scheme, schedule, person, lr, seed) for seed in SEEDS],
                axis=0).round(4).tolist() for person, net in nets.items()}
            by_rate[f"2^{np.log2(lr):.0f}"] = row
            print(f"{name:22s} lr 2^{np.log2(lr):.0f}  " + "  ".join(
                f"person {person}: {r[0]:.3f} -> {r[-1]:.3f}" for person, r in row.items())
                + f"  mean after {np.mean([r[-1] for r in row.values()]):.3f}", flush=True)
        table[name] = by_rate
    return table


def load_state(path: Path) -> WatchNet:
    net = WatchNet().eval()
    net.load_state_dict(torch.load(path, weights_only=True))
    return fold(net)


def load_onnx(path: Path) -> WatchNet:
    """The committed network, back from its ONNX file."""
    values = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy())
              for t in onnx.load(path).graph.initializer}
    suffixes = {"0.weight": "weight", "1.weight": "gamma", "1.bias": "beta",
                "1.running_mean": "mean", "1.running_var": "variance"}
    state = {"head.weight": values["head/weight"], "head.bias": values["head/bias"]}
    for key in WatchNet().state_dict():
        for suffix, name in suffixes.items():
            if key.endswith(f".{suffix}"):
                state[key] = values[key.removesuffix(suffix).replace(".", "/") + name]
    net = WatchNet().eval()
    missing = net.load_state_dict(state, strict=False).missing_keys
    if any(not key.endswith("num_batches_tracked") for key in missing):
        raise SystemExit(f"{path}: lacks {missing}")
    return fold(net)


def main() -> None:
    torch.set_num_threads(1)
    facts = json.loads((HERE / "watch_cnn.json").read_text())
    loso = HERE.parents[1] / "build" / "demo" / "loso"
    print("people used to choose the learning rate:")
    tuning = sweep({p: load_state(loso / f"without_{p}.pt") for p in facts["tuning_people"]})
    print("held-out people:")
    net = load_onnx(HERE / "watch_cnn.onnx")
    held_out = sweep({p: net for p in facts["held_out"]})
    report = {"what": "float32 PyTorch, SGD, batch 1; accuracy on the rest of the person's data "
                      "before the first and after every epoch, mean of the seeds",
              "epochs": EPOCHS, "head_windows": HEAD_WINDOWS, "seeds": SEEDS,
              "tuning_people": tuning, "held_out": held_out}
    (HERE / "watch_float.json").write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
