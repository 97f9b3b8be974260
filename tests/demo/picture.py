"""The picture of the watch demo: loss, accuracy before and after, and the RAM it took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from microtrain.run.plot import running_mean

BEFORE = "#b8bcc2"
COLOURS = {"last": "#4477aa", "bias": "#ddaa33", "sparse": "#228855"}
LABELS = {"last": "last: the classifier", "bias": "bias: all biases, the classifier",
          "sparse": "sparse: some channels of the last blocks"}
SMOOTHING = 70  # samples that the running mean of the loss covers

Run = dict[str, Any]


def draw(runs: list[Run], path: Path) -> None:
    """Write the picture. `runs` are the `done` events with person, scheme and events."""
    style: Any = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False,
                  "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
                  "axes.titlepad": 12, "axes.edgecolor": "#888888", "axes.grid": True,
                  "grid.color": "#e8e8e8", "axes.axisbelow": True, "legend.frameon": False,
                  "figure.constrained_layout.w_pad": 0.14,
                  "figure.constrained_layout.h_pad": 0.12}
    with mpl.rc_context(style):
        figure, axes = plt.subplots(2, 2, figsize=(12.5, 9), layout="constrained")
        figure.suptitle("A watch learns how two new people move: int8 training on the virtual "
                        "board", x=0.01, ha="left", fontsize=15, fontweight="bold")
        _losses(axes[0, 0], runs)
        _learning(axes[0, 1], runs)
        _accuracies(axes[1, 0], runs)
        _memory(axes[1, 1], runs)
        figure.savefig(path, dpi=150)
        plt.close(figure)


def _of(runs: list[Run], scheme: str) -> list[Run]:
    return [run for run in runs if run["scheme"] == scheme]


def _values(run: Run, kind: str, *keys: str) -> list[np.ndarray]:
    chosen = [event for event in run["events"] if event["event"] == kind]
    return [np.array([event[key] for event in chosen]) for key in keys]


def _losses(axes: Axes, runs: list[Run]) -> None:
    for name, colour in COLOURS.items():
        curves = []
        for run in _of(runs, name):
            step, loss, samples = _values(run, "step", "step", "loss", "samples")
            curve = running_mean(loss, samples, SMOOTHING)
            keep = step >= SMOOTHING
            axes.plot(step[keep], curve[keep], color=colour, linewidth=0.9, alpha=0.4)
            curves.append((step[keep], curve[keep]))
        grid = np.arange(SMOOTHING, curves[0][0][-1] + 1)
        mean = np.mean([np.interp(grid, *curve) for curve in curves], axis=0)
        axes.plot(grid, mean, color=colour, linewidth=2.4, label=LABELS[name])
    axes.set(title="Training loss", xlabel="samples learned from, one at a time",
             ylabel=f"cross-entropy, mean of the last {SMOOTHING}", ylim=(0, None),
             xlim=(0, None))
    axes.legend(title="what is trained (thin: one person)", alignment="left")


def _learning(axes: Axes, runs: list[Run]) -> None:
    for name, colour in COLOURS.items():
        curves = []
        for run in _of(runs, name):
            step, accuracy = _values(run, "eval", "step", "accuracy")
            axes.plot(step, 100 * accuracy, color=colour, linewidth=0.9, alpha=0.4)
            curves.append(100 * accuracy)
        mean = np.mean(curves, axis=0)
        axes.plot(step, mean, "o-", color=colour, linewidth=2.4, markersize=5)
        axes.annotate(f"{name}  {mean[-1]:.0f} %", (step[-1], mean[-1]), (8, 0), va="center",
                      textcoords="offset points", color=colour, fontweight="bold")
    axes.margins(x=0.02)
    axes.set(title="Accuracy on what the person does later", ylabel="%",
             xlabel="samples learned from, one at a time",
             xlim=(0, 1.25 * float(step[-1])), xticks=step)


def _accuracies(axes: Axes, runs: list[Run]) -> None:
    people = sorted({run["person"] for run in runs})
    width = 0.2
    for group, person in enumerate(people):
        mine = [run for run in runs if run["person"] == person]
        shown = [("before", mine[0]["val_accuracy_before"], BEFORE)]
        shown += [(run["scheme"], run["val_accuracy_after"], COLOURS[run["scheme"]])
                  for run in mine]
        for place, (label, value, colour) in enumerate(shown):
            x = group + (place - (len(shown) - 1) / 2) * width
            axes.bar(x, 100 * value, width * 0.92, color=colour,
                     label=label if group == 0 else None)
            axes.text(x, 100 * value + 1, f"{100 * value:.0f}", ha="center", fontsize=10)
    axes.set(title="Before and after", ylabel="accuracy (%)", ylim=(0, 112),
             yticks=range(0, 101, 20), xticks=range(len(people)),
             xticklabels=[f"person {person}" for person in people])
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper center", ncols=4, columnspacing=1.2, handlelength=1.0)


def _memory(axes: Axes, runs: list[Run]) -> None:
    for name, colour in COLOURS.items():
        mine = _of(runs, name)
        kib = mine[0]["total_ram_bytes"] / 1024
        before, after = (100 * float(np.mean([run[key] for run in mine]))
                         for key in ("val_accuracy_before", "val_accuracy_after"))
        axes.plot([kib, kib], [before, after], color=colour, linewidth=1.4, alpha=0.6)
        axes.plot(kib, before, "o", color=BEFORE, markersize=7)
        axes.plot(kib, after, "o", color=colour, markersize=11)
        axes.annotate(f"{name}\n{kib:.1f} KiB", (kib, after), (0, 11), ha="center",
                      textcoords="offset points")
    axes.margins(x=0.25, y=0.25)
    axes.set_xlim(left=0)
    axes.set(title="What it costs", xlabel="RAM that a training step needs, all in all (KiB)",
             ylabel="accuracy, mean of both people (%)")
