"""Schemes resolve to the layers and channels they name, and refuse what the model lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_net
from shared import shared
from test_import_tflite import imported, small_model

from microtrain.channel_selection import input_channels
from microtrain.errors import SchemeError
from microtrain.importers import import_model
from microtrain.scheme import load_scheme

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


def test_the_last_layers() -> None:
    graph = tiny_net.graph()
    everything = resolved("full", graph)
    assert resolved("last-1", graph) == {k: everything[k] for k in ("conv2d_2", "linear_4")}
    assert resolved("last-3", graph) == everything
    with pytest.raises(SchemeError, match="'last-4': the model has 3 operators"):
        load_scheme("last-4", graph)
    with pytest.raises(SchemeError, match="last-K nor a file"):
        load_scheme("last-0", graph)


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
        ({"conv2d_0": {"weights": {"ratio": 0}}}, "above 0, at most 1: 0"),
        ({"conv2d_0": {"weights": {"ratio": 0.3}}}, "ratio 0.3 of 2 input channels is none"),
        ({"conv2d_0": {"weights": {"ratio": 1, "select": "best"}}}, "norm, smallest norm, first"),
        ({"conv2d_0": {"weights": {"ratio": 1, "seed": -1}}}, "seed"),
        ({"conv2d_0": {"weights": {"share": 1}}}, "share"),
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


def graph_and_norms() -> tuple[Any, dict[str, np.ndarray]]:
    """The tiny network, and the norms of its convolutions' input channels, by its layout."""
    graph = tiny_net.graph()
    norms = {}
    for op in graph.ops[:3]:
        weights = op.weights.astype(float)
        axes = (0, 1) if op.weights.ndim == 3 else (0, 1, 2)  # depthwise: channels last
        norms[op.name] = np.sqrt((weights**2).sum(axis=axes))
    return graph, norms


def best(norms: np.ndarray, keep: int) -> tuple[int, ...]:
    return tuple(sorted(np.argsort(-norms, kind="stable")[:keep].tolist()))


def write(folder: Path, config: Any) -> str:
    (folder / "scheme.json").write_text(json.dumps(config))
    return str(folder / "scheme.json")


@pytest.mark.parametrize("layer", [1, 2])
def test_shares_of_channels(layer: int, tmp_path: Path) -> None:
    graph, norms = graph_and_norms()
    name = graph.ops[layer].name

    def chosen(**share: Any) -> Any:
        file = write(tmp_path, {"layers": {name: {"bias": True, "weights": share}}})
        return resolved(file, graph)[name][1]

    assert chosen(ratio=0.25) == chosen(ratio=0.25, select="norm") == best(norms[name], 2)
    assert chosen(ratio=0.25, select="smallest norm") == best(-norms[name], 2)
    assert chosen(ratio=0.45, select="first") == (0, 1, 2)
    draws = {chosen(ratio=0.5, select="random", seed=seed) for seed in range(8)}
    assert len(draws) > 4 and all(len(draw) == 4 for draw in draws)
    assert chosen(ratio=0.5, select="random") == chosen(ratio=0.5, select="random", seed=1)
    assert chosen(ratio=1, select="random") == "all"


@pytest.mark.parametrize("criterion", ["magnitude+", "magnitude-", "random"])
@pytest.mark.parametrize("as_text", [False, True])
def test_a_published_configuration_alone(criterion: str, as_text: bool, tmp_path: Path) -> None:
    graph, norms = graph_and_norms()
    _, depthwise, pointwise = (op.name for op in graph.ops[:3])
    config = {
        "n_bias_update": 2,
        "manual_weight_idx": "1-2" if as_text else [1, 2],
        "weight_update_ratio": "0.25-0.5" if as_text else [0.25, 0.5],
        "weight_select_criteria": criterion,
    }
    found = resolved(write(tmp_path, config), graph)
    assert list(found) == [depthwise, pointwise, graph.ops[-1].name]
    assert all(bias for bias, _ in found.values())
    if criterion == "random":
        assert (len(found[depthwise][1]), len(found[pointwise][1])) == (2, 4)
        return
    sign = 1 if criterion == "magnitude+" else -1
    assert found[depthwise][1] == best(sign * norms[depthwise], 2)
    assert found[pointwise][1] == best(sign * norms[pointwise], 4)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"weight_update_ratio": None}, [8, 8]),
        ({"weight_update_ratio": 0.5}, [4, 4]),
        ({"weight_update_ratio": [0, 3]}, [0, 3]),
        ({"manual_weight_idx": None, "n_weight_update": 1, "weight_update_ratio": 1}, [0, 8]),
        ({"manual_weight_idx": None, "n_weight_update": "all", "weight_update_ratio": 1}, [8, 8]),
        ({"pw1_weight_only": 1, "weight_update_ratio": [0.25]}, [0, 2]),
    ],
)
def test_what_else_a_published_configuration_may_say(
    changes: dict[str, Any], expected: list[int], tmp_path: Path
) -> None:
    graph, _ = graph_and_norms()
    config = {"n_bias_update": 2, "manual_weight_idx": [1, 2], "weight_update_ratio": [1, 1],
              "weight_select_criteria": "magnitude+"}  # fmt: skip
    found = resolved(write(tmp_path, config | changes), graph)
    counts = [
        8 if found[op.name][1] == "all" else len(found[op.name][1] or ()) for op in graph.ops[1:3]
    ]
    assert counts == expected


def test_all_biases_of_a_published_configuration(tmp_path: Path) -> None:
    graph, _ = graph_and_norms()
    config = {"n_bias_update": "all", "manual_weight_idx": [], "weight_update_ratio": [],
              "weight_select_criteria": "magnitude+"}  # fmt: skip
    assert resolved(write(tmp_path, config), graph) == resolved("bias", graph)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_bias_update": 4}, "4 biases, the model has 3"),
        ({"n_bias_update": 1}, "weights of convolution 1"),
        ({"manual_weight_idx": [1, 1]}, "listed twice"),
        ({"weight_update_ratio": [1]}, "1 ratios for 2 layers"),
        ({"weight_update_ratio": "a-b"}, "not a sparse update configuration"),
        ({"weight_update_ratio": [9, 1]}, "9 input channels of 8"),
        ({"weight_select_criteria": "magnitude"}, "one of magnitude+, magnitude-, random"),
    ],
)
def test_bad_published_configurations(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    config = {"n_bias_update": 2, "manual_weight_idx": [1, 2], "weight_update_ratio": [1, 1],
              "weight_select_criteria": "magnitude+"}  # fmt: skip
    with pytest.raises(SchemeError, match=message.replace("+", r"\+")):
        load_scheme(write(tmp_path, config | changes), tiny_net.graph())
