"""MCUNet backbones against the golden outputs of the published PyTorch code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from reference.forward import run_op
from shared import shared

from microtrain.errors import ConversionError
from microtrain.graph import Kind
from microtrain.importers import batch, import_model
from microtrain.importers.mcunet import import_mcunet

MODELS = ["mbv2-w0.35", "mcunet-5fps", "proxyless-w0.3"]


@pytest.mark.parametrize("model", MODELS)
def test_every_convolution_agrees_with_the_golden_one(model: str) -> None:
    """Fed with the golden input of its layer: within 1, at least 99.9 % equal.

    The golden file has the outputs of convolutions only; residual sums between them are computed
    as the published code does, in float.
    """
    graph = import_model(shared(f"data/mcunet/models_npz/{model}.npz"))
    golden = np.load(shared(f"data/mcunet/golden/{model}_person128.npz"))
    values = {graph.input: golden["input_hwc"]}
    for op in graph.ops:
        out = graph.tensors[op.output]
        inputs = [values[i] for i in op.inputs]
        if op.kind is Kind.ADD:
            real = sum(
                (q.astype(float) - graph.tensors[i].zero_point) * graph.tensors[i].scale
                for q, i in zip(inputs, op.inputs, strict=True)
            )
            expected = np.clip(np.round(real / out.scale) + out.zero_point, -128, 127)
        elif op.kind is Kind.AVERAGE_POOL:
            expected = np.round(inputs[0].astype(float).mean(axis=(0, 1), keepdims=True))
        elif op.name == "classifier":
            expected = golden["logits_int8_1000"].reshape(out.shape)
        else:
            expected = golden[f"conv{op.name.removeprefix('conv_')}_out"].transpose(1, 2, 0)
        difference = np.abs(run_op(graph, op, *inputs).astype(int) - expected)
        assert difference.max() <= 1, op.name
        if op.kind is not Kind.AVERAGE_POOL:  # half to even there, away from zero here
            assert (difference == 0).mean() >= 0.999, op.name
        values[op.output] = expected.astype(np.int8)


def test_names_and_resolution() -> None:
    path = shared("data/mcunet/models_npz/mbv2-w0.35.npz")
    graph = import_mcunet(path, resolution=64)
    convs = [op.name for op in graph.ops if op.kind in (Kind.CONV2D, Kind.DEPTHWISE_CONV2D)]
    assert convs == [f"conv_{i}" for i in range(51)]
    assert [op.name for op in graph.ops[-2:]] == ["pool", "classifier"]
    assert graph.tensors[graph.input].shape == (64, 64, 3)
    assert graph.tensors[graph.ops[-2].inputs[0]].shape == (2, 2, 112)


def test_damaged_backbones(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    with pytest.raises(ConversionError, match=r"m\.json: No such file"):
        import_model(path)
    path.with_suffix(".json").write_text("{}")
    np.savez(path, L0_w=np.zeros(3))
    with pytest.raises(ConversionError, match="not a backbone"):
        import_model(path)
    path.write_bytes(b"PK nothing")
    with pytest.raises(ConversionError):
        import_model(path)
    path.with_suffix(".json").write_text(json.dumps([1]))
    with pytest.raises(ConversionError):
        import_model(path)


def test_batch_converts_what_it_can(tmp_path: Path) -> None:
    results = batch.convert_all(shared("data"), tmp_path)
    made = {r.source.stem for r in results if r.size}
    assert {*MODELS, "pretrainedResnet_quant", "person_detect", "ad01_int8"} <= made
    assert {p.stem for p in tmp_path.iterdir()} == made
    refused = {r.source.stem: r.refusal for r in results if not r.size}
    assert "SVDF" in refused["keyword_scrambled"] and "FLOAT32" in refused["ad01_fp32"]
    assert batch.main([str(tmp_path / "absent"), str(tmp_path)]) == 2
