"""Depthwise convolution by every processor's kernels: the same bytes as the library's."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import engine as E
import pytest
from depthwise_nets import LR, NETS, SEED, STEPS, layers_of

from microtrain import image
from microtrain.link import open_device
from microtrain.link.ports import EMULATED

# Each case: bytes of the image, of a sample, and what is trained.
ON_THE_BOARD = """
import hashlib, gc, _microtrain
file = open("nets.bin", "rb")
for size, sample, layers in {cases}:
    gc.collect()
    model = _microtrain.Model(file.read(size))
    plan = _microtrain.Plan(model, layers, _microtrain.CROSS_ENTROPY, 0, False, 8, 0, 0)
    session = _microtrain.Session(plan, {seed})
    session.lr({lr})
    digest = hashlib.sha256()
    for label in range({steps}):
        session.forward(file.read(sample))
        digest.update(bytes(session.output()))
        session.loss(label)
        session.backward()
        digest.update(bytes(session.state()))
    print(digest.digest().hex())
"""


@pytest.mark.parametrize("port", EMULATED)
def test_every_shape_gives_the_library_s_bytes(port: str, tmp_path: Path) -> None:
    expected, cases, files = [], [], []
    for net in NETS:
        graph, samples = net.graph(), net.samples()
        layers, data = layers_of(graph), image.to_bytes(graph)
        plan = E.Plan(E.Model(data), layers, E.CROSS_ENTROPY)
        session, digest = E.Session(plan, seed=SEED, lr=LR), hashlib.sha256()
        for label, x in enumerate(samples):
            digest.update(session.forward(x).tobytes())
            session.cross_entropy(label)
            session.backward()
            digest.update(session.state.tobytes())
        expected.append(digest.hexdigest())
        channels = {op: graph.tensors[graph.ops[op].inputs[0]].c for op in layers}
        cases.append((len(data), samples[0].size, [(op, True, n) for op, n in channels.items()]))
        files += [data, samples.tobytes()]
    code = ON_THE_BOARD.format(cases=cases, seed=SEED, lr=LR, steps=STEPS)
    with open_device(port, folder=tmp_path / "board") as device:
        device.write("nets.bin", b"".join(files))
        assert device.exec(code, timeout=240).split() == expected
