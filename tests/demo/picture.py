"""The picture of the watch demo: loss, accuracy before and after, and the RAM it took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

BEFORE = "#b8bcc2"
COLOURS = {"last": "#4477aa", "bias": "#ddaa33", "sparse": "#228855"}
SMOOTHING = 40  # steps of the running mean of the loss


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """Write the picture. `runs` are the `done` events with person, scheme and losses."""
    style: Any = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False,
                  "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left",
                  "axes.titlepad": 12, "axes.edgecolor": "#888888", "axes.grid": True,
                  "grid.color": "#e8e8e8", "axes.axisbelow": True, "legend.frameon": False,
                  "figure.constrained_layout.w_pad": 0.12, "figure.constrained_layout.h_pad": 0.1}
    with mpl.rc_context(style):
        figure, (loss, bars, ram) = plt.subplots(
            1, 3, figsize=(14, 4.9), layout="constrained", width_ratios=(1.1, 1.25, 1))
        figure.suptitle("A watch learns how two new people move: int8 training on the virtual "
                        "board", x=0.01, ha="left", fontsize=14, fontweight="bold")
        _losses(loss, runs)
        _accuracies(bars, runs)
        _memory(ram, runs)
        figure.savefig(path, dpi=150)
        plt.close(figure)


def _smooth(values: list[float]) -> np.ndarray:
    window = np.ones(min(SMOOTHING, len(values)))
    return np.convolve(values, window / window.size, mode="valid")


def _losses(axes: Axes, runs: list[dict[str, Any]]) -> None:
    for name, colour in COLOURS.items():
        curves = [_smooth(run["losses"]) for run in runs if run["scheme"] == name]
        for curve in curves:
            axes.plot(curve, color=colour, linewidth=0.8, alpha=0.35)
        shortest = min(map(len, curves))
        axes.plot(np.mean([curve[:shortest] for curve in curves], axis=0), color=colour,
                  linewidth=2.2, label=name)
    axes.set(title="Training loss", xlabel="samples learned from, one at a time",
             ylabel=f"cross-entropy, running mean of {SMOOTHING}", ylim=(0, None))
    axes.legend(title="scheme (thin: one person)")


def _accuracies(axes: Axes, runs: list[dict[str, Any]]) -> None:
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
            axes.text(x, 100 * value + 1, f"{100 * value:.0f}", ha="center", fontsize=9)
    axes.set(title="Accuracy on the rest of the person's recordings", ylabel="%", ylim=(0, 112),
             yticks=range(0, 101, 20), xticks=range(len(people)),
             xticklabels=[f"person {person}" for person in people])
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper center", ncols=4, fontsize=9, columnspacing=1.0, handlelength=1.0)


def _memory(axes: Axes, runs: list[dict[str, Any]]) -> None:
    for name, colour in COLOURS.items():
        mine = [run for run in runs if run["scheme"] == name]
        kib = mine[0]["total_ram_bytes"] / 1024
        before, after = (100 * float(np.mean([run[key] for run in mine]))
                         for key in ("val_accuracy_before", "val_accuracy_after"))
        axes.plot([kib, kib], [before, after], color=colour, linewidth=1.2, alpha=0.6)
        axes.plot(kib, before, "o", color=BEFORE, markersize=7)
        axes.plot(kib, after, "o", color=colour, markersize=10)
        axes.annotate(f"{name}\n{kib:.1f} KiB", (kib, after), (0, 10), ha="center",
                      textcoords="offset points", fontsize=9)
    axes.margins(x=0.25, y=0.25)
    axes.set_xlim(left=0)
    axes.set(title="What it costs", xlabel="RAM a training step needs (KiB)",
             ylabel="accuracy, mean of both people (%)")
