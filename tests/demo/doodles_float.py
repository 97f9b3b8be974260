"""Float reference of the second demo: ResNet-8 learns 30 classes of doodles in PyTorch.

    python tests/demo/doodles_float.py          (developers only; torch 2.13, numpy, tflite)

Plain SGD, batch 1, the int8 weights dequantised, a new head that starts at zero. The learning
rate is chosen on other classes (TUNING_DRAW) than those reported (REPORT_DRAW); three seeds of
the order of samples. Writes doodles_float.json.
"""

from __future__ import annotations

import copy
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import resnet_net
import torch
from doodles import CLASSES, DRAW, EPOCHS, TEST_PER_CLASS, TRAIN_PER_CLASS
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
import quickdraw

HERE = Path(__file__).resolve().parent
TUNING_DRAW, REPORT_DRAW = DRAW + 1, DRAW
LEARNING_RATES = tuple(2.0**-k for k in range(9, 3, -1))
SEEDS = (0, 1, 2)
SCHEMES = ("last", "last block")
SCHEDULES = ("constant", "linear")


class Task:
    """One draw of classes, with the frozen part of the network already applied."""

    def __init__(self, net: resnet_net.ResNet8, draw: int) -> None:
        x, y, x_test, y_test, self.names = quickdraw.few_shot(
            CLASSES, TRAIN_PER_CLASS, TEST_PER_CLASS, draw)
        with torch.no_grad():
            self.x = net.trunk(net.input(quickdraw.as_pixels(x)))
            self.x_test = net.trunk(net.input(quickdraw.as_pixels(x_test)))
        self.y, self.y_test = torch.from_numpy(y), torch.from_numpy(y_test)


def learn(net: resnet_net.ResNet8, task: Task, scheme: str, schedule: str, lr: float, seed: int,
          ) -> list[float]:
    """Accuracy on the test drawings after each epoch. The schedule "linear" lowers the rate from
    epoch to epoch: lr * (1 - epoch / EPOCHS)."""
    net = copy.deepcopy(net)
    head = nn.Linear(64, CLASSES)
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    trained = list(head.parameters())
    if scheme == "last":
        with torch.no_grad():
            x, x_test = net.last_block(task.x), net.last_block(task.x_test)
    else:
        x, x_test = task.x, task.x_test
        for conv in (net.conv3a, net.conv3b, net.short3):
            trained += conv.parameters()

    def logits(batch: Tensor) -> Tensor:
        return head(batch if scheme == "last" else net.last_block(batch))

    rng = np.random.default_rng(seed)
    accuracies = []
    for epoch in range(EPOCHS):
        rate = lr * (1 - epoch / EPOCHS) if schedule == "linear" else lr
        for i in rng.permutation(len(task.y)):
            loss = nn.functional.cross_entropy(logits(x[i:i + 1]), task.y[i:i + 1])
            gradients = torch.autograd.grad(loss, trained)
            with torch.no_grad():
                for parameter, gradient in zip(trained, gradients, strict=True):
                    parameter -= rate * gradient
        with torch.no_grad():
            right = logits(x_test).argmax(1) == task.y_test
        accuracies.append(float(right.float().mean()))
    return accuracies


def line(accuracies: list[float]) -> str:
    return " ".join(f"{a:.3f}" for a in accuracies)


def main() -> None:
    torch.set_num_threads(1)
    net = resnet_net.load()
    report: dict[str, object] = {
        "what": "float32 PyTorch, SGD, batch 1; test accuracy after every epoch",
        "classes": CLASSES, "train_per_class": TRAIN_PER_CLASS,
        "test_per_class": TEST_PER_CLASS, "epochs": EPOCHS}
    tuning, final = Task(net, TUNING_DRAW), Task(net, REPORT_DRAW)
    report |= {"tuning_classes": tuning.names, "report_classes": final.names}
    for scheme, schedule in itertools.product(SCHEMES, SCHEDULES):
        name = f"{scheme}, {schedule}"
        tuned = {lr: learn(net, tuning, scheme, schedule, lr, SEEDS[0]) for lr in LEARNING_RATES}
        for lr, row in tuned.items():
            print(f"{name:20s} tuning draw, lr 2^{np.log2(lr):.0f}: {line(row)}", flush=True)
        # The mean of the last three epochs: a single one is noisy at batch 1.
        best = max(tuned, key=lambda lr: float(np.mean(tuned[lr][-3:])))
        rows = [learn(net, final, scheme, schedule, best, seed) for seed in SEEDS]
        print(f"{name:20s} reported draw, lr 2^{np.log2(best):.0f}, mean of {len(SEEDS)} seeds: "
              f"{line(np.mean(rows, axis=0).tolist())}", flush=True)
        report[name] = {"tuning": {f"2^{np.log2(lr):.0f}": np.round(row, 4).tolist()
                                   for lr, row in tuned.items()},
                        "chosen_lr": best, "reported": np.round(rows, 4).tolist()}
    (HERE / "doodles_float.json").write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
