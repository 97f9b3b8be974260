"""Values of an ONNX graph while it is converted: constants, and activations with their layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import ConversionError
from microtrain.float_graph import Shape


@dataclass(frozen=True)
class Activation:
    """An activation: a channels-last tensor of ours seen as an ONNX array.

    `places` has the ONNX shape (batch 1) and says for each element where it lies in our flat
    (h, w, c) storage. Reshapes and transposes only change `places`.
    """

    tensor: int
    places: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.places.shape

    def flat_order(self) -> NDArray[np.intp]:
        """Storage positions in the order of the flattened ONNX array."""
        return self.places.ravel()


Value = Activation | NDArray[Any]


def our_shape(shape: tuple[int, ...]) -> Shape:
    """h, w, c of an ONNX activation [1, c], [1, c, w] or [1, c, h, w]."""
    if not 2 <= len(shape) <= 4 or shape[0] != 1:
        raise ConversionError(f"shape {list(shape)}: only [1, c], [1, c, w] and [1, c, h, w]")
    c, *spatial = shape[1:]
    h, w = (1, 1, *spatial)[-2:]
    return h, w, c


def canonical(shape: tuple[int, ...]) -> NDArray[np.intp]:
    """`places` of an ONNX array stored channels-last."""
    h, w, c = our_shape(shape)
    return np.arange(h * w * c).reshape(h, w, c).transpose(2, 0, 1).reshape(shape)
