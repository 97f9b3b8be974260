"""The engine's planner, asked about selections."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from microtrain.link.transport import Device
from microtrain.run.inputs import load_image
from microtrain.run.plan import plan
from microtrain.run.train import TrainOptions
from microtrain.search.selection import Selection


@dataclass(frozen=True)
class Need:
    """Bytes of RAM of a plan: all, and how many of them are the arena."""

    total: int
    arena: int


class Planner:
    """Exact bytes of selections, each planned once.

    folder: for its temporary file. Calling it raises MicrotrainError.
    """

    def __init__(self, device: Device, options: TrainOptions, folder: Path) -> None:
        self.device, self.options, self.folder = device, options, folder
        self.graph = load_image(options.model).graph
        self.known: dict[Selection, Need] = {}

    def __call__(self, selection: Selection) -> Need:
        if selection not in self.known:
            file = self.folder / "scheme.json"
            file.write_text(json.dumps(selection.scheme(self.graph, "search")))
            found, _ = plan(
                self.device, self.options.model, str(file), new_head=self.options.new_head,
                loss=self.options.loss or "cross_entropy", wide=self.options.wide,
                gradient_bits=self.options.gradient_bits or 8,
            )  # fmt: skip
            self.known[selection] = Need(found["total_ram_bytes"], found["arena_bytes"])
        return self.known[selection]
