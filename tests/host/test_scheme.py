"""Schemes resolve to the layers and channels they name, and refuse what the model lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared import shared
from test_import_tflite import imported, small_model

from microtrain.errors import SchemeError
from microtrain.importers import import_model
from microtrain.scheme import input_channels, load_scheme

# Trained weights and bytes of biases, without the classifier, of each published entry
# (mcunetv3.md section 2.6).
PUBLISHED = {
    "mbv2-w0.35": {
        "49kb": (22410, 12512), "73kb": (39072, 14752), "99kb": (55920, 16672),
        "123kb": (72384, 19168), "138kb": (81792, 20000),
    },
    "mcunet-5fps": {
        "49kb": (12096, 18368), "74kb": (29440, 19008), "99kb": (52480, 19168),
        "124kb": (75328, 20448), "148kb": (98560, 19808),
    },
    "proxyless-w0.3": {
        "49kb": (20736, 13952), "74kb": (36288, 16224), "98kb": (62976, 14976),
        "120kb": (76800, 17184), "148kb": (89088, 19904),
    },
}  # fmt: skip


def resolved(text: str, graph: Any) -> dict[str, Any]:
    scheme = load_scheme(text, graph)
    return {graph.ops[x.op_index].name: (x.bias, x.weights) for x in scheme.layers}


def test_named_schemes() -> None:
    graph = imported(small_model())
    assert resolved("last", graph) == {"linear_0": (True, "all")}
    assert resolved("bias", graph) == {"conv2d_0": (True, None), "linear_0": (True, "all")}
    assert resolved("full", graph) == {"conv2d_0": (True, "all"), "linear_0": (True, "all")}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("none", None),
        ("all", "all"),
        (1, (0,)),
        ([1], (1,)),
        ([1, 0], "all"),
        (0, None),
        ([], None),
    ],
)
def test_our_files(weights: Any, expected: Any, tmp_path: Path) -> None:
    graph = imported(small_model())
    file = tmp_path / "sparse.json"
    file.write_text(json.dumps({"layers": {"conv2d_0": {"bias": True, "weights": weights}}}))
    scheme = load_scheme(str(file), graph)
    assert scheme.name == "sparse"
    assert resolved(str(file), graph) == {"conv2d_0": (True, expected), "linear_0": (True, "all")}
    again = tmp_path / "again.json"
    again.write_text(json.dumps(scheme.to_json(graph)))
    assert load_scheme(str(again), graph) == scheme


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"nothing": {"bias": True}}, "'nothing' is not in the model.*conv2d_0, linear_0"),
        ({"max_pool_0": {"bias": True}}, "not in the model"),
        ({"conv2d_0": {"weights": 3}}, "3 input channels of 2"),
        ({"conv2d_0": {"weights": [2]}}, "0..1"),
        ({"conv2d_0": {"weights": [0, 0]}}, "distinct"),
        ({"conv2d_0": {"weights": "some"}}, '"none"'),
        ({"conv2d_0": {"bias": 1}}, "true or false"),
        ({"conv2d_0": {"wieghts": "all"}}, "wieghts"),
        ({"linear_0": {"bias": False}}, "trains nothing"),
    ],
)
def test_what_a_model_lacks_is_refused(layers: Any, message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text(json.dumps({"layers": layers}))
    with pytest.raises(SchemeError, match=message):
        load_scheme(str(file), imported(small_model()))


@pytest.mark.parametrize("text", ["nonsense", "[]", "{", "\udc80"])
def test_bad_files(text: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SchemeError):
        load_scheme(str(file), imported(small_model()))
    with pytest.raises(SchemeError, match="neither one of last, bias, full"):
        load_scheme(str(tmp_path / "absent"), imported(small_model()))


@pytest.mark.parametrize("model", PUBLISHED)
def test_published_schemes(model: str) -> None:
    graph = import_model(shared(f"data/mcunet/models_npz/{model}.npz"))
    file = shared("data/mcunet/sparse_update_configs.json")
    configs = json.loads(file.read_text())[model]
    for name, config in configs.items():
        scheme = load_scheme(f"{file}#{model}/{name}", graph)
        *body, head = scheme.layers
        assert graph.ops[head.op_index].name == "classifier" and head.weights == "all"
        assert len(body) == config["n_bias_update"]
        weights = biases = 0
        for layer in body:
            op = graph.ops[layer.op_index]
            count = input_channels(graph, op)
            biases += 4 * op.out_channels
            chosen = count if layer.weights == "all" else len(layer.weights or ())
            weights += op.weights.size // count * chosen
        assert (weights, biases) == PUBLISHED[model][name]


def test_magnitude_takes_the_largest_channels() -> None:
    graph = import_model(shared("data/mcunet/models_npz/mbv2-w0.35.npz"))
    file = shared("data/mcunet/sparse_update_configs.json")
    channels = resolved(f"{file}#mbv2-w0.35/49kb", graph)["conv_45"][1]
    weights = graph.ops[graph.op_index("conv_45")].weights.astype(float)[:, 0, 0]
    norms = np.linalg.norm(weights, axis=0)
    assert len(channels) == 7
    assert min(norms[list(channels)]) >= np.sort(norms)[-7]


def test_unknown_entry_lists_what_there_is() -> None:
    graph = import_model(shared("data/mcunet/models_npz/mbv2-w0.35.npz"))
    file = shared("data/mcunet/sparse_update_configs.json")
    with pytest.raises(SchemeError, match="mcunet-5fps/49kb"):
        load_scheme(f"{file}#mbv2/1kb", graph)
