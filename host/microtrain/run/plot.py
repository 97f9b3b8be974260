"""The picture of a run: loss and accuracy over the samples learned from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import MicrotrainError
from microtrain.run.board import Event

WINDOW = 1 / 20  # share of the run that the running mean of the loss covers


def draw(events: Sequence[Event], title: str, path: Path) -> None:
    """Write the picture of a run's events to `path`, in the format of its suffix.

    Raises MicrotrainError where matplotlib is missing or does not know the format.
    """
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise MicrotrainError(
            "--plot needs the package matplotlib: pip install 'microtrain[plot]'"
        ) from error
    steps = [event for event in events if event["event"] == "step"]
    evals = [event for event in events if event["event"] == "eval"]
    style: Any = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
             "grid.color": "#e8e8e8", "axes.axisbelow": True, "legend.frameon": False}
    with mpl.rc_context(style):
        figure, axes = plt.subplots(
            2, 1, figsize=(8, 6), sharex=True, layout="constrained", height_ratios=(1.2, 1)
        )
        figure.suptitle(title, x=0.02, ha="left", fontweight="bold")
        at = np.array([event["step"] for event in steps])
        loss = np.array([event["loss"] for event in steps])
        weight = np.array([event["samples"] for event in steps])
        axes[0].plot(at, loss, color="#4477aa", alpha=0.25, linewidth=0.8)
        span = max(1, round(weight.sum() * WINDOW))
        axes[0].plot(at, running_mean(loss, weight, span), color="#4477aa", linewidth=2)
        axes[0].set(ylabel="training loss, running mean", ylim=(0, None))
        epochs = [event for event in events if event["event"] == "epoch"]
        name = "loss" if any(event["accuracy"] is None for event in steps) else "accuracy"
        key = f"train_{name}"
        axes[1].plot([e["steps"] for e in epochs], [e[key] for e in epochs], "o-", markersize=4,
                     color="#b8bcc2", label="training, while it learns")
        if evals:
            axes[1].plot([e["step"] for e in evals], [e[name] for e in evals], "o-",
                         color="#228855", label="validation")
        axes[1].set(xlabel="samples learned from, one at a time", ylabel=name, ylim=(0, None))
        axes[1].legend()
        try:
            figure.savefig(path, dpi=130)
        except ValueError as error:
            raise MicrotrainError(f"{path}: {error}") from error
        finally:
            plt.close(figure)


def running_mean(
    values: NDArray[np.float64], weight: NDArray[np.int64], span: int
) -> NDArray[np.float64]:
    """Mean of `values`, each weighing `weight` samples, over the last `span` samples or more."""
    total = np.cumsum(np.append(0, values * weight))
    count = np.cumsum(np.append(0, weight))
    begin = np.searchsorted(count, np.maximum(count[1:] - span, 0), "right") - 1
    return (total[1:] - total[begin]) / (count[1:] - count[begin])
