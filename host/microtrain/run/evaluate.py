"""Running a network on a data set on a board, without training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain import dataset
from microtrain.dataset import CLASS_LABELS
from microtrain.link.transport import Device, Progress
from microtrain.run.board import Event, call, put
from microtrain.run.inputs import load_data, load_image


@dataclass(frozen=True)
class Evaluation:
    """What came out.

    predicted: class of each sample. accuracy (0 to 1) and confusion (rows: true class, columns:
    predicted) are None where the labels are not classes. outputs: one row a sample, int8 as the
    image says or, with a checkpoint, int32 logits of 16 fraction bits; None if not asked for.
    class_names: of the data, else of the model, else None.
    """

    samples: int
    predicted: NDArray[np.int64]
    accuracy: float | None
    confusion: NDArray[np.int64] | None
    outputs: NDArray[Any] | None
    samples_per_s: float
    class_names: list[str] | None


def evaluate(
    device: Device,
    model: Path,
    data: Path,
    *,
    checkpoint: Path | None = None,
    outputs: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Run `model`, with what `checkpoint` holds, on `data`. progress: (samples done, in all).

    Without a checkpoint the model runs exactly as imported. Raises MicrotrainError.
    """
    image = load_image(model)
    source = load_data(data, image.graph)
    options: dict[str, Any] = {
        "model": put(device, model.name, image.data),
        "data": put(device, f"{data.stem}.mtd", dataset.to_bytes(source)),
        "checkpoint": None, "outputs": outputs,
    }  # fmt: skip
    if checkpoint is not None:
        options["checkpoint"] = put(device, checkpoint.name, checkpoint.read_bytes())
    predicted: list[int] = []
    rows: list[bytes] = []
    done: Event = {}

    def take(event: Event) -> None:
        if event["event"] == "done":
            done.update(event)
            return
        predicted.extend(event["classes"])
        if progress is not None:
            progress(len(predicted), len(source))

    device.reset()  # what uploading left behind must not lie in the arena's way
    call(device, "evaluate", options, take, rows.append)
    classes = np.array(predicted)
    accuracy, confusion = _scores(source, classes, done["classes"])
    kind = np.dtype("<i4") if done["output_bytes"] == 4 else np.dtype("i1")
    names = source.metadata.get("class_names") or image.graph.metadata.get("labels")
    return Evaluation(
        samples=len(source),
        predicted=classes,
        accuracy=accuracy,
        confusion=confusion,
        outputs=np.frombuffer(b"".join(rows), kind).reshape(len(source), -1) if outputs else None,
        samples_per_s=done["samples_per_s"],
        class_names=names if isinstance(names, list) else None,
    )


def _scores(
    source: dataset.Dataset, predicted: NDArray[np.int64], classes: int
) -> tuple[float | None, NDArray[np.int64] | None]:
    if source.label_kind != CLASS_LABELS or source.labels is None:
        return None, None
    true = source.labels.astype(np.int64)
    size = max(classes, int(true.max()) + 1)
    confusion = np.zeros((size, size), np.int64)
    np.add.at(confusion, (true, predicted), 1)
    return float(np.mean(true == predicted)), confusion
