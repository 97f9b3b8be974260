"""Import the int8 backbones of MCUNetV3 (tiny-training) from their pickle-free copies.

`<model>.npz` holds L{i}_w (int8, OIHW), L{i}_b (int32), L{i}_ws (float32); `<model>.json` beside
it the topology. Source of the semantics: mit-han-lab/tiny-training, algorithm/quantize.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.errors import ConversionError, ModelError
from microtrain.fixed_point import Activation, add_parameters
from microtrain.graph import Graph, Kind, Op, Rounding, Tensor, clamp_fields
from microtrain.importers.weights import weighted_op
from microtrain.validate import validate

_ACTIVATED = frozenset({"first", "pointwise1", "depthwise"})


def import_mcunet(path: Path, resolution: int | None = None) -> Graph:
    """The backbone `path` (.npz, with its .json beside it) with its 1000-class head.

    `resolution` replaces the input's height and width in pixels (weights do not depend on it).
    Convolutions are called conv_0 ... in the order that published schemes count them, residual
    additions add_<index of the convolution before>. Raises ConversionError.
    """
    try:
        topology = json.loads(path.with_suffix(".json").read_text())
        with np.load(path, allow_pickle=False) as arrays:
            graph = _build(topology, dict(arrays), resolution)
        validate(graph)
    except OSError as error:
        raise ConversionError(f"{error.filename}: {error.strerror}") from error
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, EOFError) as error:
        raise ConversionError(
            f"{path}: not a backbone written as L<i>_w, L<i>_b, L<i>_ws with a .json: {error!r}"
        ) from error
    except ModelError as error:
        raise ConversionError(f"{path}: {error}") from error
    return graph


def _build(
    topology: dict[str, Any], arrays: dict[str, NDArray[Any]], resolution: int | None
) -> Graph:
    first = topology["layers"][0]
    given = topology["input"]
    h, w = (resolution, resolution) if resolution else (given["h"], given["w"])
    source = Tensor(h, w, given["c"], _f32(first["x_scale"]), first["x_zero"])
    graph = Graph([source], [], 0, 0, _metadata(topology))
    current = block_input = 0
    block = None
    for layer in topology["layers"]:
        if layer["block"] != block:
            block, block_input = layer["block"], current
        if layer["op"] == "classifier":
            current = _pool(graph, current)
        current = _conv(graph, layer, arrays, current)
        if residual := layer.get("residual_add"):
            current = _add(graph, residual, layer["idx"], block_input, current)
    graph.output = current
    return graph


def _f32(value: float) -> float:
    """Scales are float32 in the image; multipliers are computed from what it stores."""
    return float(np.float32(value))


def _metadata(topology: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": topology["name"],
        "provenance": {"format": "mcunet", "source": "mit-han-lab/tiny-training"},
        "input": {"kind": "image", "pixels": "q = pixel - 128"},
    }


def _new_tensor(graph: Graph, shape: tuple[int, int, int], scale: float, zero_point: int) -> int:
    graph.tensors.append(Tensor(*shape, _f32(scale), zero_point))
    return len(graph.tensors) - 1


def _conv(
    graph: Graph, layer: dict[str, Any], arrays: dict[str, NDArray[Any]], source: int
) -> int:
    index = layer["idx"]
    x = graph.tensors[source]
    if (x.scale, x.zero_point) != (_f32(layer["x_scale"]), layer["x_zero"]):
        raise ConversionError(
            f"layer {index}: its input scale {layer['x_scale']} and zero point {layer['x_zero']} "
            f"are not those of the tensor it reads ({x.scale}, {x.zero_point})"
        )
    kernel, stride, pad = layer["k"], layer["stride"], layer["pad"]
    h, w = ((side + 2 * pad - kernel) // stride + 1 for side in (x.h, x.w))
    out = _new_tensor(graph, (h, w, layer["out_ch"]), layer["y_scale"], layer["y_zero"])
    weights = arrays[f"L{index}_w"]
    depthwise = layer["op"] == "depthwise"
    activated = layer["op"] in _ACTIVATED and layer["y_zero"] == -128
    graph.ops.append(
        weighted_op(
            graph,
            Kind.DEPTHWISE_CONV2D if depthwise else Kind.CONV2D,
            "classifier" if layer["op"] == "classifier" else f"conv_{index}",
            source,
            out,
            weights[:, 0].transpose(1, 2, 0) if depthwise else weights.transpose(0, 2, 3, 1),
            arrays[f"L{index}_b"],
            arrays[f"L{index}_ws"],
            Activation.RANGE if activated else Activation.NONE,
            kernel=(kernel, kernel),
            stride=(stride, stride),
            pads=(pad, pad, pad, pad),
            rounding=Rounding.ONCE,
        )
    )
    return out


def _add(graph: Graph, residual: dict[str, Any], index: int, first: int, second: int) -> int:
    a, b = graph.tensors[first], graph.tensors[second]
    out = _new_tensor(graph, a.shape, residual["y_scale"], residual["y_zero"])
    y = graph.tensors[out]
    params = (*add_parameters(a.scale, b.scale, y.scale), 0, 0)
    for tensor, which in ((a, "x1"), (b, "x2")):
        given = (_f32(residual[f"{which}_scale"]), residual[f"{which}_zero"])
        if (tensor.scale, tensor.zero_point) != given:
            raise ConversionError(
                f"residual after layer {index}: {which} has scale and zero point {given}, its "
                f"tensor {(tensor.scale, tensor.zero_point)}"
            )
    graph.ops.append(
        Op(f"add_{index}", Kind.ADD, (first, second), out, params=params,
           **clamp_fields(Activation.NONE, y))
    )  # fmt: skip
    return out


def _pool(graph: Graph, source: int) -> int:
    x = graph.tensors[source]
    out = _new_tensor(graph, (1, 1, x.c), x.scale, x.zero_point)
    graph.ops.append(
        Op("pool", Kind.AVERAGE_POOL, (source,), out, kernel=(x.h, x.w), stride=(1, 1))
    )
    return out
