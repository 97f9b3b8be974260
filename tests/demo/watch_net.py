"""The watch network in PyTorch, how it is trained, and its export to ONNX (developers only)."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
from seglearn_watch import CLASSES, STEP, WINDOW, Recording, dataset

WIDTHS = (16, 24, 40, 64)
EXPANSION = 3
EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 15, 64, 3e-3, 1e-4


class ConvUnit(nn.Sequential):
    """1-D convolution (height 1, padding "same"), batch normalisation and, if act, ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1,
                 groups: int = 1, act: bool = True) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, (1, kernel), (1, stride), (0, kernel // 2), groups=groups,
                      bias=False),
            nn.BatchNorm2d(outputs), nn.ReLU6() if act else nn.Identity())


class Block(nn.Module):
    """Inverted residual: expand 1x1, depthwise 1x5, project 1x1; adds its input if it can."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = inputs * EXPANSION
        self.expand = ConvUnit(inputs, wide)
        self.depthwise = ConvUnit(wide, wide, 5, stride, groups=wide)
        self.project = ConvUnit(wide, outputs, act=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class WatchNet(nn.Module):
    """[n, 6, 1, WINDOW] -> [n, 7] logits."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = ConvUnit(6, a, 5, 2)
        self.block1 = Block(a, b, 2)
        self.block2 = Block(b, b, 1)
        self.block3 = Block(b, c, 2)
        self.block4 = Block(c, c, 1)
        self.top = ConvUnit(c, d)
        self.head = nn.Linear(d, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = self.block2(self.block1(self.stem(x)))
        x = self.top(self.block4(self.block3(x)))
        return self.head(x.mean((2, 3)))


def to_nchw(x: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def train(parts: list[Recording], seed: int) -> WatchNet:
    """Train on windows drawn at random places of these recordings, their amplitude varied by 5 %.

    AdamW with a one-cycle learning rate; one epoch is as many windows as dataset() would cut.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = WatchNet()
    x = np.concatenate([part.x for part in parts])
    lengths = np.array([len(part.x) for part in parts])
    starts = np.cumsum(lengths) - lengths
    labels = np.array([part.label for part in parts])
    steps = int(((lengths - WINDOW) // STEP + 1).sum()) // BATCH * EPOCHS
    optimizer = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in range(steps):
        rows = rng.choice(len(parts), BATCH, p=lengths / lengths.sum())
        offsets = (rng.random(BATCH) * (lengths[rows] - WINDOW + 1)).astype(np.int64)
        batch = x[(starts[rows] + offsets)[:, None] + np.arange(WINDOW)][:, None]
        batch = batch * rng.normal(1, 0.05, (BATCH, 1, 1, 1)).astype(np.float32)
        loss = nn.functional.cross_entropy(net(to_nchw(batch)), torch.from_numpy(labels[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def accuracy(net: nn.Module, parts: list[Recording]) -> float:
    x, y = dataset(parts)
    return float((net(to_nchw(x)).argmax(1).numpy() == y).mean())


def fold(net: WatchNet) -> WatchNet:
    """A copy in which each batch normalisation has become its convolution's weights and bias:
    these are the parameters that the board has and trains."""
    net = copy.deepcopy(net)
    for unit in [m for m in net.modules() if isinstance(m, ConvUnit)]:
        conv, norm = unit[0], unit[1]
        scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
        conv.weight = nn.Parameter(conv.weight.detach() * scale[:, None, None, None])
        conv.bias = nn.Parameter(norm.bias.detach() - norm.running_mean * scale)
        unit[1] = nn.Identity()
    return net


def export_onnx(net: WatchNet, path: Path) -> None:
    """Write the network as float ONNX, opset 17, [1, 6, 1, WINDOW] -> [1, 7] logits.

    Nodes are named as the modules, "block1/expand"; batch normalisations stay nodes.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, value: Tensor) -> str:
        constants.append(numpy_helper.from_array(value.detach().numpy(), name))
        return name

    def node(kind: str, name: str, inputs: list[str], **attributes: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"{name}:out"], name, **attributes))
        return f"{name}:out"

    def unit(x: str, name: str, module: ConvUnit) -> str:
        conv, norm, act = module
        pad_h, pad_w = conv.padding
        x = node("Conv", name, [x, constant(f"{name}/weight", conv.weight)],
                 kernel_shape=list(conv.kernel_size), strides=list(conv.stride),
                 pads=[pad_h, pad_w, pad_h, pad_w], group=conv.groups)
        x = node("BatchNormalization", f"{name}/bn",
                 [x, constant(f"{name}/gamma", norm.weight), constant(f"{name}/beta", norm.bias),
                  constant(f"{name}/mean", norm.running_mean),
                  constant(f"{name}/variance", norm.running_var)], epsilon=norm.eps)
        if isinstance(act, nn.ReLU6):
            x = node("Clip", f"{name}/relu6", [x, "zero", "six"])
        return x

    constant("zero", torch.tensor(0.0))
    constant("six", torch.tensor(6.0))
    x = "input"
    for name, module in net.named_children():
        if isinstance(module, ConvUnit):
            x = unit(x, name, module)
        elif isinstance(module, Block):
            y = x
            for part, child in module.named_children():
                y = unit(y, f"{name}/{part}", child)
            x = node("Add", f"{name}/add", [x, y]) if module.residual else y
    x = node("Flatten", "flatten", [node("GlobalAveragePool", "pool", [x])])
    x = node("Gemm", "head", [x, constant("head/weight", net.head.weight),
                              constant("head/bias", net.head.bias)], transB=1)
    nodes[-1].output[0] = "logits"
    graph = helper.make_graph(
        nodes, "watch_cnn",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 6, 1, WINDOW])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(CLASSES)])],
        constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
                              producer_name="microtrain tests/demo/pretrain_watch.py")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
