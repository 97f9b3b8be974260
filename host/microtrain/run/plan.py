"""What training needs, computed by the engine's planner on a board."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from microtrain.link.transport import Device
from microtrain.run.board import Event, call, put
from microtrain.run.inputs import board_scheme, load_image


def plan(
    device: Device,
    image: Path,
    scheme: str,
    *,
    new_head: int | None = None,
    loss: str = "cross_entropy",
    wide: bool = False,
    gradient_bits: int = 8,
    momentum_bits: int = 0,
    cores: int = 1,
    others: Sequence[str] = (),
) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the plan (bytes, multiply-accumulates, `layers`) and the total RAM of other schemes.

    new_head: classes of a new classifier. wide: one more byte a trained weight.
    gradient_bits: 8, or 12 in two bytes. momentum_bits: 8 or 16 for every trained parameter's
    velocity, which momentum and accumulation need; 0: none. cores: 2 for both of a board.
    others: names of schemes to compare with.
    Raises ModelError, SchemeError, DeviceError.
    """
    source = load_image(image)
    resolved = board_scheme(scheme, source.graph)
    events: list[Event] = []
    options = {
        "model": put(device, image.name, source.data), "scheme": resolved, "new_head": new_head,
        "loss": loss, "wide": wide, "gradient_bits": gradient_bits,
        "momentum_bits": momentum_bits, "cores": cores, "others": list(others),
    }  # fmt: skip
    call(device, "plan", options, events.append)
    found, *rest = events
    first = {key: found.pop(key) for key in ("model", "scheme")}
    return first | found, {event["scheme"]: event["total_ram_bytes"] for event in rest}
