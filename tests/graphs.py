"""Random int8 graphs for tests, built operator by operator."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtrain.fixed_point import Activation, add_parameters, quantize_multiplier
from microtrain.graph import Graph, Kind, Op, Rounding, Tensor, clamp_fields


class Builder:
    """Appends operators with random weights and plausible scales.

    Each method returns the output tensor's index.
    """

    def __init__(
        self, rng: np.random.Generator, h: int, w: int, c: int, dead_channels: bool = True
    ) -> None:
        self.rng, self.dead_channels = rng, dead_channels
        zero = int(rng.integers(-128, 128))
        self.graph = Graph(
            [Tensor(h, w, c, self._scale(0.02), zero)], [], 0, 0, {"name": "random"}
        )

    def _scale(self, around: float) -> float:
        return float(np.float32(around * 2.0 ** self.rng.uniform(-1, 1)))

    def _out(
        self, h: int, w: int, c: int, activation: Activation, scale: float | None = None
    ) -> int:
        relu = activation in (Activation.RELU, Activation.RELU6, Activation.RANGE)
        zero = -128 if relu and self.rng.random() < 0.8 else int(self.rng.integers(-128, 128))
        self.graph.tensors.append(Tensor(h, w, c, scale or self._scale(0.03), zero))
        return len(self.graph.tensors) - 1

    def _add(
        self,
        kind: Kind,
        inputs: tuple[int, ...],
        output: int,
        activation: Activation,
        **fields: Any,
    ) -> int:
        op = Op(
            f"{kind.name.lower()}_{len(self.graph.ops)}",
            kind,
            inputs,
            output,
            **clamp_fields(activation, self.graph.tensors[output]),
            **fields,
        )
        self.graph.ops.append(op)
        self.graph.output = output
        return output

    def _weighted(
        self,
        kind: Kind,
        source: int,
        output: int,
        shape: tuple[int, ...],
        terms: int,
        activation: Activation,
        extreme: bool,
        **fields: Any,
    ) -> int:
        rng, out = self.rng, self.graph.tensors[output]
        channels = out.c
        weights = rng.integers(-127, 128, shape).astype(np.int8)
        if extreme:
            weights = rng.choice(np.array([-127, 127], np.int8), shape)
        scale = (0.6 / np.sqrt(terms) / 127 * 2.0 ** rng.uniform(-3, 3, channels)).astype(
            np.float32
        )
        if self.dead_channels and channels > 2 and rng.random() < 0.3:
            scale[int(rng.integers(channels))] = np.float32(1e-9)
        source_scale = float(np.float32(self.graph.tensors[source].scale))
        bias = rng.normal(0, 0.5, channels) / (source_scale * scale.astype(np.float64))
        bias = np.clip(bias, -(2**30), 2**30).astype(np.int32)
        pairs = [
            quantize_multiplier(source_scale * float(s) / float(np.float32(out.scale)))
            for s in scale
        ]
        return self._add(
            kind,
            (source,),
            output,
            activation,
            weights=weights,
            bias=bias,
            weight_scale=scale,
            mult=np.array([m for m, _ in pairs], np.int32),
            shift=np.array([s for _, s in pairs], np.int8),
            rounding=Rounding(int(rng.integers(2))),
            **fields,
        )

    @staticmethod
    def _window(size: int, kernel: int, stride: int, pad: int) -> int:
        """Outputs along one axis; the last window may hang over the end by up to `pad`."""
        return max(1, (size + 2 * pad - kernel) // stride + 1)

    def _windowed(
        self, source: int, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int]
    ) -> tuple[int, int]:
        t = self.graph.tensors[source]
        return tuple(
            self._window(n, k, s, p)
            for n, k, s, p in zip((t.h, t.w), kernel, stride, pad, strict=True)
        )  # type: ignore[return-value]

    def conv(
        self,
        source: int,
        out_c: int,
        kernel: tuple[int, int] = (1, 1),
        stride: tuple[int, int] = (1, 1),
        pad: tuple[int, int] = (0, 0),
        activation: Activation = Activation.NONE,
        extreme: bool = False,
    ) -> int:
        h, w = self._windowed(source, kernel, stride, pad)
        in_c = self.graph.tensors[source].c
        output = self._out(h, w, out_c, activation)
        return self._weighted(
            Kind.CONV2D,
            source,
            output,
            (out_c, *kernel, in_c),
            kernel[0] * kernel[1] * in_c,
            activation,
            extreme,
            kernel=kernel,
            stride=stride,
            pads=(*pad, *pad),
        )

    def depthwise(
        self,
        source: int,
        multiplier: int = 1,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        pad: tuple[int, int] = (1, 1),
        activation: Activation = Activation.NONE,
        extreme: bool = False,
    ) -> int:
        h, w = self._windowed(source, kernel, stride, pad)
        out_c = self.graph.tensors[source].c * multiplier
        output = self._out(h, w, out_c, activation)
        return self._weighted(
            Kind.DEPTHWISE_CONV2D,
            source,
            output,
            (*kernel, out_c),
            kernel[0] * kernel[1],
            activation,
            extreme,
            kernel=kernel,
            stride=stride,
            pads=(*pad, *pad),
            channel_multiplier=multiplier,
        )

    def linear(
        self,
        source: int,
        out_c: int,
        activation: Activation = Activation.NONE,
        extreme: bool = False,
    ) -> int:
        size = self.graph.tensors[source].size
        output = self._out(1, 1, out_c, activation)
        return self._weighted(
            Kind.LINEAR, source, output, (out_c, size), size, activation, extreme
        )

    def add(self, a: int, b: int, activation: Activation = Activation.NONE) -> int:
        t = self.graph.tensors
        output = self._out(t[a].h, t[a].w, t[a].c, activation)
        params = add_parameters(*(float(np.float32(t[i].scale)) for i in (a, b, output)))
        return self._add(
            Kind.ADD, (a, b), output, activation, params=tuple(params) + (0,) * (8 - len(params))
        )

    def pool(
        self,
        source: int,
        kind: Kind,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        pad: tuple[int, int] = (0, 0),
        activation: Activation = Activation.NONE,
    ) -> int:
        h, w = self._windowed(source, kernel, stride, pad)
        t = self.graph.tensors[source]
        self.graph.tensors.append(Tensor(h, w, t.c, t.scale, t.zero_point))
        return self._add(
            kind,
            (source,),
            len(self.graph.tensors) - 1,
            activation,
            kernel=kernel,
            stride=stride,
            pads=(*pad, *pad),
        )

    def mean(self, source: int) -> int:
        t = self.graph.tensors[source]
        output = self._out(1, 1, t.c, Activation.NONE)
        real = (
            float(np.float32(t.scale))
            / float(np.float32(self.graph.tensors[output].scale))
            / (t.h * t.w)
        )
        return self._add(
            Kind.MEAN,
            (source,),
            output,
            Activation.NONE,
            params=(*quantize_multiplier(real),) + (0,) * 6,
        )

    def requantize(self, source: int, activation: Activation) -> int:
        t = self.graph.tensors[source]
        output = self._out(t.h, t.w, t.c, activation)
        real = float(np.float32(t.scale)) / float(np.float32(self.graph.tensors[output].scale))
        return self._add(
            Kind.REQUANTIZE,
            (source,),
            output,
            activation,
            params=(*quantize_multiplier(real),) + (0,) * 6,
        )

    def pad(self, source: int, pads: tuple[int, int, int, int]) -> int:
        t = self.graph.tensors[source]
        top, left, bottom, right = pads
        self.graph.tensors.append(
            Tensor(t.h + top + bottom, t.w + left + right, t.c, t.scale, t.zero_point)
        )
        return self._add(
            Kind.PAD, (source,), len(self.graph.tensors) - 1, Activation.NONE, pads=pads
        )

    def reshape(self, source: int, h: int, w: int, c: int) -> int:
        t = self.graph.tensors[source]
        self.graph.tensors.append(Tensor(h, w, c, t.scale, t.zero_point))
        return self._add(Kind.RESHAPE, (source,), len(self.graph.tensors) - 1, Activation.NONE)

    def softmax(self, source: int) -> int:
        t = self.graph.tensors[source]
        self.graph.tensors.append(Tensor(t.h, t.w, t.c, 1 / 256, -128))
        return self._add(Kind.SOFTMAX, (source,), len(self.graph.tensors) - 1, Activation.NONE)


def random_graph(
    rng: np.random.Generator, operators: int, extreme: bool = False, largest: int = 8
) -> Graph:
    """A chain of random operators with additions and a linear head (sometimes with softmax).

    largest: height and width of the input, at most.
    """
    h, w = int(rng.integers(1, largest + 1)), int(rng.integers(1, largest + 1))
    c = int(rng.integers(1, 8))
    b = Builder(rng, h, w, c)
    t, earlier = 0, [0]
    acts = [
        Activation.NONE,
        Activation.RELU,
        Activation.RELU6,
        Activation.RANGE,
        Activation.RELU_N1_TO_1,
    ]

    def act(weighted: bool = True) -> Activation:
        a = acts[int(rng.integers(len(acts)))]
        return Activation.RELU if a is Activation.RANGE and not weighted else a

    for _ in range(operators):
        s = b.graph.tensors[t]
        kernel = (int(rng.integers(1, min(5, s.h) + 1)), int(rng.integers(1, min(5, s.w) + 1)))
        stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        pad = (int(rng.integers(0, kernel[0])), int(rng.integers(0, kernel[1])))
        choice = rng.choice(
            [
                "conv",
                "point",
                "depthwise",
                "add",
                "linear",
                "average",
                "max",
                "mean",
                "requantize",
                "pad",
                "reshape",
            ],
            p=[0.22, 0.18, 0.18, 0.16, 0.04, 0.05, 0.05, 0.02, 0.04, 0.04, 0.02],
        )
        if choice == "conv":
            t = b.conv(t, int(rng.integers(1, 10)), kernel, stride, pad, act(), extreme)
        elif choice == "point":
            t = b.conv(t, int(rng.integers(1, 20)), activation=act(), extreme=extreme)
        elif choice == "depthwise":
            multiplier = 1 if rng.random() < 0.7 else int(rng.integers(2, 4))
            t = b.depthwise(t, multiplier, kernel, stride, pad, act(), extreme)
        elif choice == "add":
            same = [e for e in earlier if b.graph.tensors[e].shape == s.shape]
            if not same or same == [t]:
                same.append(b.conv(t, s.c, activation=act(), extreme=extreme))
            pair = (t, int(rng.choice(same)))
            t = b.add(*(pair if rng.random() < 0.5 else pair[::-1]), activation=act(False))
        elif choice == "linear":
            t = b.linear(t, int(rng.integers(1, 12)), act(), extreme)
        elif choice in ("average", "max"):
            kind = Kind.AVERAGE_POOL if choice == "average" else Kind.MAX_POOL
            t = b.pool(t, kind, kernel, stride, pad, act(False))
        elif choice == "mean":
            t = b.mean(t)
        elif choice == "requantize":
            t = b.requantize(t, act(False))
        elif choice == "pad":
            t = b.pad(t, tuple(int(v) for v in rng.integers(0, 3, 4)))  # type: ignore[arg-type]
        else:
            t = b.reshape(t, 1, s.h * s.w, s.c)
        earlier.append(t)
    t = b.linear(t, int(rng.integers(2, 12)), extreme=extreme)
    if rng.random() < 0.3:
        b.softmax(t)
    return b.graph
