"""The networks of the benchmarks: MCUNetV3's backbones, from the reference folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from microtrain import image
from microtrain.importers.mcunet import import_mcunet

REPO = Path(__file__).resolve().parents[2]
REFERENCE = Path(os.environ.get("MICROTRAIN_SHARED", REPO.parent / "shared"))
SHARED = REFERENCE / "data/mcunet"
SCHEMES = SHARED / "sparse_update_configs.json"
CLASSES = 10  # of the new head that training gives them


def available() -> bool:
    """Whether the reference folder is there."""
    return SCHEMES.exists()


def published() -> dict[str, dict[str, str]]:
    """For each backbone the published schemes: name -> what `--scheme` takes."""
    entries = json.loads(SCHEMES.read_text())
    return {
        model: {name: f"{SCHEMES}#{model}/{name}" for name in schemes}
        for model, schemes in entries.items()
    }


def write_image(model: str, folder: Path) -> Path:
    """Write the image of a backbone at 128x128 to `folder`; returns its path."""
    path = folder / f"{model}.mtm"
    image.write(import_mcunet(SHARED / f"models_npz/{model}.npz"), path)
    return path


def photo(model: str) -> Any:
    """A real photo (128, 128, 3) int8 in the input quantisation of a backbone."""
    with np.load(SHARED / f"golden/{model}_person128.npz") as golden:
        return np.ascontiguousarray(golden["input_hwc"], np.int8)
