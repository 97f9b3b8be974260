"""The picture of the ablation: accuracy over bytes, beside the paper's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

# Lines through the arms of a kind, in the order of their memory; label and colour.
LINES = {
    "sparse update": (("last", "49kb", "74kb", "99kb"), "#228855"),
    "last layers": (("last", "last-6", "last-12"), "#4477aa"),
    "biases": (("last", "99kb biases", "bias"), "#ddaa33"),
    "sparse update, 8 more bits a weight": (("99kb wide",), "#77bb55"),
    "sparse update, no QAS": (("99kb no-qas",), "#cc3344"),
}
FP32 = ("49kb fp32", "74kb fp32", "99kb fp32", "last fp32", "last-12 fp32")
FP32_COLOUR = "#777777"
# arXiv 2206.15472: averages over 8 data sets for mbv2-w0.35, read off the figure (section 4.3 of
# the reference folder's research/mcunetv3.md): KB beside inference, accuracy in %.
PAPER = {
    "sparse update": ((49, 67.4), (73, 70.4), (99, 71.4), (123, 71.8), (138, 72.0)),
    "last layers": ((75, 64.6), (130, 66.7), (185, 68.0), (224, 69.0), (268, 69.6)),
    "biases": ((54, 64.2), (83, 64.5), (114, 64.3), (134, 64.3)),
}
# What the lower row is drawn over, and the upper.
BYTES = {
    "analytic_bytes": "KiB beside inference, by the paper's formula",
    "total_ram_bytes": "KiB of RAM in all, by our planner",
}


def draw(rows: list[dict[str, Any]], tasks: list[str], path: Path) -> None:
    """Write the picture of what ablation.summary() returned, in the format of the suffix."""
    arms = {row["arm"]: row for row in rows}
    style: Any = {
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
        "grid.color": "#e8e8e8", "axes.axisbelow": True, "legend.frameon": False,
        "axes.titlelocation": "left", "axes.titleweight": "bold", "svg.hashsalt": "ablation",
        "svg.fonttype": "none",
    }  # fmt: skip
    with mpl.rc_context(style):
        figure, axes = plt.subplots(
            2, len(tasks) + 1, figsize=(5 * len(tasks) + 4, 8), layout="constrained", sharey="col"
        )
        for row_of_axes, (key, text) in zip(axes, BYTES.items(), strict=True):
            for ax, task in zip(row_of_axes, tasks, strict=False):
                _ours(ax, arms, task, key)
                ax.set(xlabel=text, ylabel="accuracy, %")
        for ax, task in zip(axes[0], tasks, strict=False):
            ax.set_title(task)
        _paper(axes[0, -1])
        axes[1, -1].axis("off")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        axes[1, -1].legend(handles, labels, loc="upper left")
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        plt.close(figure)


def _ours(ax: Axes, arms: dict[str, dict[str, Any]], task: str, key: str) -> None:
    def points(names: tuple[str, ...]) -> tuple[list[float], list[float], list[float]]:
        found = [arms[name] for name in names if name in arms and task in arms[name]["tasks"]]
        return (
            [row[key] / 1024 for row in found],
            [row["tasks"][task][0] for row in found],
            [row["tasks"][task][1] for row in found],
        )

    for label, (names, colour) in LINES.items():
        x, y, deviation = points(names)
        ax.errorbar(x, y, deviation, marker="o", capsize=3, color=colour, label=label)
    # Over the bytes of the same parameters in int8; four times that, and more, in truth.
    x, y, _ = points(FP32)
    ax.plot(x, y, "D", mfc="none", color=FP32_COLOUR, label="fp32, the same parameters")
    for mean in points(("full fp32",))[1]:
        ax.axhline(mean, ls="--", color=FP32_COLOUR, label="fp32, everything")


def _paper(ax: Axes) -> None:
    for label, points in PAPER.items():
        ax.plot(*zip(*points, strict=True), marker="o", color=LINES[label][1])
    ax.set_title("MCUNetV3: mbv2-w0.35, 8 data sets")
    ax.set(xlabel=BYTES["analytic_bytes"].replace("KiB", "KB"), ylabel="accuracy, %")
