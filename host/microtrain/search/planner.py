"""The engine's planner, asked about selections."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtrain.link.transport import Device
from microtrain.run.board import put
from microtrain.run.inputs import board_scheme, load_image
from microtrain.run.plan import plan_there
from microtrain.run.train import TrainOptions
from microtrain.search.selection import Selection


@dataclass(frozen=True)
class Need:
    """Bytes of RAM of a plan: all, and how many of them are the arena."""

    total: int
    arena: int


class Planner:
    """Exact bytes of selections, each planned once.

    folder: for its temporary file. Both raise MicrotrainError.
    """

    def __init__(self, device: Device, options: TrainOptions, folder: Path) -> None:
        image = load_image(options.model)
        self.device, self.graph, self.file = device, image.graph, folder / "scheme.json"
        self.remote = put(device, options.model.name, image.data)
        self.options: dict[str, Any] = {
            "new_head": options.new_head, "loss": options.loss or "cross_entropy",
            "wide": options.wide, "gradient_bits": options.gradient_bits or 8,
        }  # fmt: skip
        self.known: dict[Selection, Need] = {}

    def __call__(self, selection: Selection) -> Need:
        if selection not in self.known:
            self.file.write_text(json.dumps(selection.scheme(self.graph, "search")))
            scheme = board_scheme(str(self.file), self.graph)
            found, _ = plan_there(self.device, self.remote, scheme, **self.options)
            self.known[selection] = Need(found["total_ram_bytes"], found["arena_bytes"])
        return self.known[selection]
