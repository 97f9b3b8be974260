"""One training step of any graph in numpy, after NUMERICS §3: the C engine equals it bit for bit.

Independent of the engine: int64 arithmetic, whole arrays, Python floats for the constants. Shapes
are those of `microtrain.graph`; trained weights and biases are kept in `weights` and `master`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microtrain.fixed_point import Activation
from microtrain.graph import Graph, Kind, Op, Rounding
from reference.forward import accumulate, requantize, requantize_once, run_op, windows
from reference.loss import cross_entropy_gradient, loss_bits, mse_gradient
from reference.optimizer import Row, Rule, add_decay, add_to_velocity
from reference.rounding import Array, Rng, bit_length, q31, rounded_shift

FOLD_MAX, WEIGHT_MAX = 32767, 127
FROZEN = None
PLAIN = Rule()


def fold_extra(terms: int, bits: int) -> int:
    extra, most = 8, 520
    while terms > most:
        extra, most = extra - 1, most * 2
    return extra - (bits - 8)


@dataclass
class Shift:
    """Shift state of one input gradient, rule R7."""

    shift: int = 0
    low: int = 0
    seen: bool = False


@dataclass
class Layer:
    """What is trained of one operator: `channels` are input channels (depthwise: channels)."""

    bias: bool
    channels: list[int]


class ReferenceTrainer:
    """Trains `layers` (operator index -> Layer) of a copy of `graph`."""

    def __init__(
        self, graph: Graph, layers: dict[int, Layer], loss: str = "cross_entropy", seed: int = 1,
        lr: float = 0.0, exact: bool = False, wide: str = "head", bits: int = 8,
        rule: Rule = PLAIN,
    ) -> None:  # fmt: skip
        self.wide, self.bits, self.rule = wide, bits, rule
        self.summed = 0  # samples since the last update
        self.velocity: dict[tuple[int, str, int], Row] = {}  # of an operator's rows and biases
        self.graph, self.layers, self.loss_name = copy.deepcopy(graph), layers, loss
        self.rng, self.lr, self.exact = Rng(seed), lr, exact
        self.ops = self._executed()
        last = self.ops[-1]
        self.logits = (
            last.kind is Kind.LINEAR and last.activation is Activation.NONE
            and (last.act_min, last.act_max) == (-128, 127)
        )  # fmt: skip
        self.shifts: dict[tuple[int, int], Shift] = {}
        self.master: dict[int, list[int | None]] = {}
        self.fraction: dict[int, Array] = {}  # 8 more bits of each weight that has them
        self.root = list(range(len(graph.tensors)))
        self.producer: dict[int, int] = {}
        for index, op in enumerate(graph.ops):
            if op.kind is Kind.RESHAPE:
                self.root[op.output] = self.root[op.inputs[0]]
            else:
                self.producer[op.output] = index
        for index, layer in layers.items():
            if layer.bias:
                self.master[index] = self._masters(self.graph.ops[index])
        self.needs: set[int] = set()
        for index, op in enumerate(self.ops):
            below = any(self.producer.get(self.root[t]) in self.needs for t in op.inputs)
            if below or index in layers:
                self.needs.add(index)

    def _executed(self) -> list[Op]:
        ops = list(self.graph.ops)
        while len(ops) > 1 and ops[-1].kind in (Kind.SOFTMAX, Kind.RESHAPE):
            if ops[-2].output != ops[-1].inputs[0]:
                break
            ops.pop()
        return ops

    def _masters(self, op: Op) -> list[int | None]:
        assert op.bias is not None and op.weight_scale is not None
        largest = op.weight_scale.max()
        most = (1 << 30) >> 8
        return [
            FROZEN
            if abs(int(b)) > most or np.float32(s) * np.float32(512) < largest
            else int(b) << 8
            for b, s in zip(op.bias, op.weight_scale, strict=True)
        ]

    # ---- forward ----

    def _with_biases(self, index: int) -> Op:
        op = self.ops[index]
        if index in self.master:
            op = copy.copy(op)
            op.bias = np.array(
                [
                    b if m is FROZEN else (m + 128) >> 8
                    for m, b in zip(self.master[index], op.bias, strict=True)
                ],
                np.int64,
            )
        return op

    def forward(self, x: NDArray[np.int8]) -> Array:
        graph = self.graph
        self.values = {
            graph.input: np.asarray(x, np.int8).reshape(graph.tensors[graph.input].shape)
        }
        self.inside: dict[int, Any] = {}
        for index in range(len(self.ops)):
            op = self._with_biases(index)
            source, out = graph.tensors[op.inputs[0]], graph.tensors[op.output]
            if self.logits and index == len(self.ops) - 1:
                return self._head(op, source)
            self.values[op.output] = run_op(graph, op, *(self.values[t] for t in op.inputs))
            if op.activation is Activation.RANGE:
                q = self.values[op.inputs[0]].astype(np.int64).reshape(source.shape)
                scale = requantize_once if op.rounding is Rounding.ONCE else requantize
                y = scale(accumulate(op, q - source.zero_point, out), op.mult, op.shift)
                y = y + out.zero_point
                self.inside[index] = ((y >= op.act_min) & (y <= op.act_max)).reshape(out.shape)
        return self.values[self.ops[-1].output].astype(np.int64).reshape(-1)

    def _head(self, op: Op, source: Any) -> Array:
        x = self.values[op.inputs[0]].astype(np.int64).reshape(-1) - source.zero_point
        acc = op.weights.astype(np.int64) @ x + op.bias
        pairs = [
            q31(float(np.float32(source.scale)) * float(s) * 65536.0) for s in op.weight_scale
        ]
        mult = np.array([m for m, _ in pairs])
        shift = np.array([e for _, e in pairs])
        self.head_logits = requantize(acc, mult, shift)
        return self.head_logits

    # ---- loss ----

    def loss(self, z: Array, target: Any) -> None:
        bits = loss_bits(len(z)) if self.logits else self.bits - 1
        if not self.logits:
            t = self.graph.tensors[self.ops[-1].output]
            step = math.floor(float(np.float32(t.scale)) * 65536.0 * 65536.0 + 0.5)
            z = rounded_shift((z - t.zero_point) * step, 16)
        if self.loss_name == "mse":
            self.top = mse_gradient(z, np.asarray(target, np.int64), bits)
        else:
            self.top = cross_entropy_gradient(z, int(target), bits)

    # ---- backward ----

    def mask(self, index: int, q: Array) -> Array:
        op = self.ops[index]
        if op.activation is Activation.NONE:
            return q
        if op.activation is Activation.RANGE:
            return np.where(self.inside[index], q, 0)
        y = self.values[op.output]
        passes = y > op.act_min
        if op.activation is not Activation.RELU:
            passes &= y < op.act_max
        return np.where(passes, q, 0)

    def store(
        self, key: tuple[int, int], acc: Array, exponent: int, waiting: tuple[Array, int] | None
    ) -> tuple[Array, int]:
        """acc · 2^exponent plus what waits, as a gradient tensor of `bits` bits (rule R7)."""
        if waiting is not None:
            q, e = waiting
            d, furthest = e - exponent, 31 - self.bits
            if d > furthest:
                acc = acc >> min(d - furthest, 31)
                exponent, d = e - furthest, furthest
            acc = acc + (q << d if d >= 0 else q >> min(-d, 31))
        acc = np.clip(acc, -(2**31 - 1), 2**31 - 1)
        state = self.shifts.setdefault(key, Shift())
        largest = int(np.abs(acc).max())
        most = (1 << (self.bits - 1)) - 1
        need = max(0, bit_length(largest) - (self.bits - 1))
        over = int((np.abs(acc) >= ((most + 1) << state.shift)).sum())
        if not state.seen or self.exact or over * 64 > acc.size or need <= state.shift - 3:
            state.shift = need
        s = state.shift
        v = rounded_shift(acc, s)
        saturated = int((np.abs(v) > most).sum())
        if largest:
            state.seen = True
            if saturated * 256 > acc.size:
                state.shift, state.low = min(max(s + 1, need - 1), 24), 0
            elif need < s:
                state.low += 1
                if state.low >= 8:
                    state.shift, state.low = s - 1, 0
            else:
                state.low = 0
        return np.clip(v, -most, most), exponent + s

    def fold(self, op: Op) -> tuple[Array, int]:
        """Multipliers M of the weight scales and their exponent."""
        largest = float(op.weight_scale.max())
        fraction, exponent = math.frexp(largest)
        exponent -= fraction == 0.5
        return (
            np.array(
                [
                    min(32767, math.floor(float(s) / 2.0**exponent * 32768 + 0.5))
                    for s in op.weight_scale
                ],
                np.int64,
            ),
            exponent,
        )

    def spread(self, op: Op, per_tap: Any, in_shape: Any, out_shape: Any, channels: int) -> Array:
        """Scatter: sum over taps of per_tap(ky, kx) [oh, ow, channels] at the input positions."""
        (kh, kw), (sh, sw), (top, left, *_) = op.kernel, op.stride, op.pads
        oh, ow = out_shape
        h, w = in_shape
        padded = np.zeros(
            (max((oh - 1) * sh + kh, top + h), max((ow - 1) * sw + kw, left + w), channels),
            np.int64,
        )
        for ky in range(kh):
            for kx in range(kw):
                rows = slice(ky, ky + sh * (oh - 1) + 1, sh)
                columns = slice(kx, kx + sw * (ow - 1) + 1, sw)
                padded[rows, columns] += per_tap(ky, kx)
        return padded[top : top + h, left : left + w]

    def input_gradient(self, index: int, q: Array, exponent: int) -> tuple[Array, int]:
        """Accumulators (h, w, c) of the gradient of input 0, and their exponent."""
        op = self.ops[index]
        source, out = self.graph.tensors[op.inputs[0]], self.graph.tensors[op.output]
        if op.kind in (Kind.CONV2D, Kind.LINEAR):
            m, ew = self.fold(op)
            head = self.logits and index == len(self.ops) - 1
            rows = -(-op.kernel[0] // op.stride[0]) * -(-op.kernel[1] // op.stride[1])
            x = 0 if head else fold_extra(rows * len(m), self.bits)
            h = np.clip(rounded_shift(q * m, 15 - x), -FOLD_MAX, FOLD_MAX)
            weights = op.weights.astype(np.int64)
            if op.kind is Kind.LINEAR:
                return (h.reshape(1, -1) @ weights).reshape(source.shape), exponent + ew - x
            acc = self.spread(
                op, lambda ky, kx: h @ weights[:, ky, kx, :], (source.h, source.w), (out.h, out.w),
                source.c,
            )  # fmt: skip
            return acc, exponent + ew - x
        if op.kind is Kind.DEPTHWISE_CONV2D:
            m, ew = self.fold(op)
            weights = op.weights.astype(np.int64)
            sums = self.spread(
                op, lambda ky, kx: q * weights[ky, kx], (source.h, source.w), (out.h, out.w), out.c
            )
            grouped = (sums * m).reshape(source.h, source.w, source.c, op.channel_multiplier)
            return rounded_shift(grouped.sum(-1), 7), exponent + ew - 8
        if op.kind is Kind.PAD:
            top, left, *_ = op.pads
            return q[top : top + source.h, left : left + source.w], exponent
        whole = copy.copy(op)
        if op.kind is Kind.MEAN:
            whole.kernel, whole.stride, whole.pads = (source.h, source.w), (1, 1), (0, 0, 0, 0)
        if op.kind is Kind.MAX_POOL:
            seen = windows(self.values[op.inputs[0]].astype(np.int64), op, out, -129)
            flat = seen.reshape(out.h, out.w, -1, out.c)
            chosen = flat.argmax(axis=2)
            width = op.kernel[1]
            return (
                self.spread(
                    op, lambda ky, kx: np.where(chosen == ky * width + kx, q, 0),
                    (source.h, source.w), (out.h, out.w), out.c,
                ),
                exponent,
            )  # fmt: skip
        ones = np.ones((source.h, source.w, 1), np.int64)
        counts = windows(ones, whole, out, 0).sum(axis=(2, 3))
        share = ((1 << 15) + counts // 2) // counts
        acc = self.spread(
            whole, lambda ky, kx: q * share, (source.h, source.w), (out.h, out.w), out.c
        )
        return acc, exponent - 15

    def pool_is_exact(self, index: int) -> int | None:
        op = self.ops[index]
        if op.kind not in (Kind.AVERAGE_POOL, Kind.MEAN):
            return None
        source, out = self.graph.tensors[op.inputs[0]], self.graph.tensors[op.output]
        kernel = (source.h, source.w) if op.kind is Kind.MEAN else op.kernel
        stride, pads = (op.stride, op.pads[:2]) if op.kind is not Kind.MEAN else ((1, 1), (0, 0))
        n = kernel[0] * kernel[1]
        apart = all(
            o == 1 or s >= k for o, s, k in zip((out.h, out.w), stride, kernel, strict=True)
        )
        within = not any(pads) and all(
            (o - 1) * s + k <= i
            for o, s, k, i in zip(
                (out.h, out.w), stride, kernel, (source.h, source.w), strict=True
            )
        )
        return bit_length(n) - 1 if apart and within and n & (n - 1) == 0 else None

    def backward(self) -> None:
        q, exponent = self.top
        if not (np.any(q) or self.rule.remembers):
            return
        last = self.ops[-1]
        out = self.graph.tensors[last.output]
        gradients: dict[int, tuple[Array, int]] = {
            self.root[last.output]: (q.reshape(out.shape), exponent)
        }
        for index in range(len(self.ops) - 1, -1, -1):
            op = self.ops[index]
            if op.kind is Kind.RESHAPE or index not in self.needs:
                continue
            root = self.root[op.output]
            if root not in gradients:
                continue
            q, exponent = gradients.pop(root)
            head = self.logits and index == len(self.ops) - 1
            q = q.reshape(self.graph.tensors[op.output].shape)
            q = q if head else self.mask(index, q)
            for k, tensor in enumerate(op.inputs):
                target = self.root[tensor]
                if self.producer.get(target) not in self.needs:
                    continue
                shape = self.graph.tensors[target].shape
                waiting = gradients.get(target)
                if waiting is not None:
                    waiting = (waiting[0].reshape(shape), waiting[1])
                if op.kind in (Kind.ADD, Kind.REQUANTIZE):
                    if waiting is None:
                        gradients[target] = (q, exponent)
                    else:
                        acc = q.reshape(shape) << 8
                        gradients[target] = self.store((index, k), acc, exponent - 8, waiting)
                    continue
                bits = self.pool_is_exact(index)
                if bits is not None and waiting is None:
                    acc, e = self.input_gradient(index, q, exponent)
                    unit = 1 << (15 - bits)
                    gradients[target] = (acc.reshape(shape) // unit, exponent - bits)
                    continue
                acc, e = self.input_gradient(index, q, exponent)
                if op.kind is Kind.PAD and waiting is not None:
                    acc, e = acc << 8, e - 8
                gradients[target] = self.store((index, k), acc.reshape(shape), e, waiting)
            if index in self.layers:
                self.update(index, q, exponent)
        self.summed = 0 if self.is_last else self.summed + 1

    # ---- update ----

    @property
    def is_last(self) -> bool:
        return self.summed >= self.rule.accumulate - 1

    def multiplier(self, index: int, unit: float, factor: float) -> float:
        head = self.logits and index == len(self.ops) - 1
        real = factor / unit if self.rule.qas or head else factor * unit
        return real / self.rule.accumulate

    def remember(
        self, index: int, kind: str, row: int, multiplier: float, values: list[int],
        g: list[int], exponent: int,
    ) -> tuple[list[int], int] | None:  # fmt: skip
        """What is to be applied instead of a gradient, if anything; values with 8 more bits."""
        rule = self.rule
        if rule.weight_decay and self.is_last:
            decay = float(np.float32(rule.weight_decay)) / multiplier
            bits = 15 if kind == "weights" else 30
            g, exponent = add_decay(self.rng, decay, values, bits, g, exponent)
        if rule.sums:
            v = self.velocity.setdefault((index, kind, row), Row([0] * len(g)))
            keep = 1 << 15 if self.summed else rule.keep
            add_to_velocity(self.rng, v, keep, g, exponent, rule.bits)
            g, exponent = v.mantissas, v.exponent
        return (g, exponent) if self.is_last and self.lr else None

    def rate(self, step: tuple[int, int]) -> tuple[int, int]:
        mantissa, exponent = q31(float(np.float32(self.lr)))
        m = (step[0] * mantissa + (1 << 29)) >> 30
        e = step[1] + exponent - 1
        if m >= 1 << 31:
            m, e = (m + 1) >> 1, e + 1
            if m >= 1 << 31:
                m, e = m >> 1, e + 1
        return m, e

    def weight_gradient(self, index: int, q: Array) -> Array:
        """G [out_c][taps][in_c] (depthwise [out_c][taps][1]), before the exponent."""
        op = self.ops[index]
        source, out = self.graph.tensors[op.inputs[0]], self.graph.tensors[op.output]
        x = self.values[op.inputs[0]].astype(np.int64).reshape(source.shape) - source.zero_point
        if op.kind is Kind.LINEAR:
            return np.einsum("o,i->oi", q.reshape(-1), x.reshape(-1))[:, None, :]
        seen = windows(x, op, out, 0).reshape(out.h * out.w, -1, source.c)
        flat = q.reshape(out.h * out.w, -1)
        if op.kind is Kind.DEPTHWISE_CONV2D:
            spread = np.repeat(seen, op.channel_multiplier, axis=-1)
            return np.einsum("po,pto->ot", flat, spread)[:, :, None]
        return np.einsum("po,pti->oti", flat, seen)

    def update(self, index: int, q: Array, exponent: int) -> None:
        op, layer = self.ops[index], self.layers[index]
        source = float(np.float32(self.graph.tensors[op.inputs[0]].scale))
        largest = op.weight_scale.max()
        alive = [np.float32(s) * np.float32(512) >= largest for s in op.weight_scale]
        clamped: set[int] = set()
        depthwise = op.kind is Kind.DEPTHWISE_CONV2D
        gradient = self.weight_gradient(index, q) if layer.channels else None
        op.weights = op.weights.copy()
        head = self.logits and index == len(self.ops) - 1
        wide = self.wide == "all" or (head and self.wide == "head")
        most = WEIGHT_MAX * 256 + 127 if wide else WEIGHT_MAX
        if wide:
            fraction = self.fraction.setdefault(index, np.zeros(op.weights.shape, np.int64))
        for o in range(len(op.weight_scale) if layer.channels else 0):
            if not alive[o] or (depthwise and o // op.channel_multiplier not in layer.channels):
                continue
            taps = op.kernel[0] * op.kernel[1]
            columns = [0] if depthwise else layer.channels
            places = [self._place(op, o, t, i) for t in range(taps) for i in columns]
            values = [
                int(op.weights[place]) * 256 + (int(fraction[place]) if wide else 0)
                for place in places
            ]
            row = [int(gradient[o, t, i]) for t in range(taps) for i in columns]
            multiplier = self.multiplier(index, float(op.weight_scale[o]), source)
            applied = self.remember(index, "weights", o, multiplier, values, row, exponent)
            if applied is None:
                continue
            um, ue = self.rate(q31(multiplier))
            s = 31 - ue - applied[1] - (8 if wide else 0)
            if s > 62:
                continue
            s = max(s, 1)
            for place, g in zip(places, applied[0], strict=True):
                if not g:
                    continue
                d = self.rng.shift(-g * um, s)
                value = int(op.weights[place])
                if wide:
                    value = value * 256 + int(fraction[place])
                value += d
                if abs(value) > most:
                    if d:
                        clamped.add(o)
                    value = most if value > 0 else -most
                if wide:
                    fraction[place] = value - ((value + 128) >> 8) * 256
                    value = (value + 128) >> 8
                op.weights[place] = value
        if layer.bias:
            sums = q.reshape(-1, len(op.weight_scale)).sum(axis=0)
            for o, g in enumerate(int(v) for v in sums):
                master = self.master[index][o]
                if master is FROZEN:
                    continue
                multiplier = self.multiplier(index, source * float(op.weight_scale[o]), 1.0)
                applied = self.remember(index, "bias", o, multiplier, [master], [g], exponent)
                if applied is None or not applied[0][0]:
                    continue
                v = -applied[0][0]
                bm, be = self.rate(q31(multiplier))
                s = 31 - be - applied[1] - 8
                if s > 62:
                    continue
                d = self.rng.shift(v * bm, s) if s > 0 else (v * bm) << -s
                self.master[index][o] = max(-(1 << 30), min(1 << 30, master + d))
        if head and len(layer.channels) == op.weights.shape[1]:
            for o in sorted(clamped):
                if not layer.bias or self.master[index][o] is FROZEN:
                    continue
                row = op.weights[o].astype(np.int64)
                if wide:
                    half = (row * 256 + fraction[o] + 1) >> 1
                    op.weights[o] = (half + 128) >> 8
                    fraction[o] = half - ((half + 128) >> 8) * 256
                else:
                    op.weights[o] = (row + 1) >> 1
                self.master[index][o] = (self.master[index][o] + 1) >> 1
                op.weight_scale[o] *= np.float32(2)

    @staticmethod
    def _place(op: Op, o: int, tap: int, i: int) -> tuple[int, ...]:
        ky, kx = divmod(tap, op.kernel[1])
        if op.kind is Kind.LINEAR:
            return o, i
        return (ky, kx, o) if op.kind is Kind.DEPTHWISE_CONV2D else (o, ky, kx, i)

    def step(self, x: NDArray[np.int8], target: Any) -> None:
        z = self.forward(x)
        self.loss(z, target)
        self.backward()

    # ---- what the engine's state must hold ----

    def trained(self, index: int) -> dict[str, Any]:
        """Trained tensors of an operator in the engine's layout."""
        op, layer = self.ops[index], self.layers[index]
        result: dict[str, Any] = {}
        if layer.bias:
            result["master"] = np.array(
                [-(1 << 31) if m is FROZEN else m for m in self.master[index]], np.int64
            )
        if layer.channels:
            if op.kind is Kind.DEPTHWISE_CONV2D:
                chosen = [
                    c * op.channel_multiplier + j
                    for c in layer.channels
                    for j in range(op.channel_multiplier)
                ]
            else:
                chosen = layer.channels
            result["weights"] = op.weights[..., chosen].reshape(-1)
            if index in self.fraction:
                result["fraction"] = self.fraction[index][..., chosen].reshape(-1)
        if self.rule.bits:
            rows = range(len(op.weight_scale))
            if layer.channels:
                depthwise = op.kind is Kind.DEPTHWISE_CONV2D
                n = len(result["weights"]) // len(chosen if depthwise else rows)
                self._velocities(result, index, "weights", chosen if depthwise else rows, n)
            if layer.bias:
                self._velocities(result, index, "bias", rows, 1)
        return result

    def _velocities(
        self, result: dict[str, Any], index: int, kind: str, rows: Iterable[int], n: int
    ) -> None:
        found = [self.velocity.get((index, kind, o), Row([0] * n)) for o in rows]
        result[f"{kind} velocity"] = np.array([row.mantissas for row in found]).reshape(-1)
        result[f"{kind} exponents"] = np.array([row.exponent for row in found])
