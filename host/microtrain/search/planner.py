"""The engine's planner, asked about selections."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from microtrain.link.transport import Device
from microtrain.run.board import put
from microtrain.run.inputs import board_scheme, load_image
from microtrain.run.train import TrainOptions
from microtrain.search.selection import Selection


@dataclass(frozen=True)
class Need:
    """Bytes of RAM of a plan: all, and how many of them are the arena."""

    total: int
    arena: int


class Planner:
    """Exact bytes of selections, each planned once, on a board that nobody else uses meanwhile.

    The board keeps the model loaded: a plan is far quicker than loading. folder: for a temporary
    file. Both raise MicrotrainError.
    """

    def __init__(self, device: Device, options: TrainOptions, folder: Path) -> None:
        image = load_image(options.model)
        self.device, self.graph, self.file = device, image.graph, folder / "scheme.json"
        remote = put(device, options.model.name, image.data)
        classes = options.new_head
        device.exec(
            "import json\nfrom microtrain import Model\n"
            f"planned = Model({remote!r})\n" + (f"planned.new_head({classes})" if classes else "")
        )
        loss, bits = options.loss or "cross_entropy", options.gradient_bits or 8
        self.rest = f"loss={loss!r}, wide={options.wide}, gradient_bits={bits}"
        self.known: dict[Selection, Need] = {}

    def __call__(self, selection: Selection) -> Need:
        if selection not in self.known:
            self.file.write_text(json.dumps(selection.scheme(self.graph, "search")))
            scheme = board_scheme(str(self.file), self.graph)
            numbers = self.device.exec(
                f"info = planned.plan(json.loads({scheme!r}), {self.rest}).info\n"
                "print(info['total_ram_bytes'], info['arena_bytes'])"
            )
            self.known[selection] = Need(*map(int, numbers.split()))
        return self.known[selection]
