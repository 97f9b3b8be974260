"""One transfer run, in the engine's integers or in fp32 PyTorch.

Both get the same network, parameters, samples, order and learning rates.
"""

from __future__ import annotations

import copy
from typing import Any

import engine as E
import numpy as np
from numpy.typing import NDArray
from schemes import layers_of
from tasks import Rows, Split, Task

from microtrain import image
from microtrain.graph import WEIGHTED, Graph, Kind
from microtrain.scheme import Scheme

BATCH = 50  # samples at once in float, where nothing is learned
HALVE_AT = (0.5, 0.7, 0.85, 0.95)  # NUMERICS: of all steps


def rates(lr: float, steps: int) -> NDArray[np.float64]:
    """The learning rate of each step."""
    factors = sum((np.arange(steps) >= round(at * steps)).astype(int) for at in HALVE_AT)
    return lr * 0.5**factors


def order(train: Rows, epochs: int, seed: int) -> Rows:
    """The rows to learn from, each once an epoch."""
    rng = np.random.default_rng(seed)
    return np.concatenate([train[rng.permutation(len(train))] for _ in range(epochs)])


def planned(graph: Graph, scheme: Scheme, classes: int, **options: Any) -> E.Plan:
    """The engine's plan of a training step with a new head. options: wide, gradient_bits,
    stream."""
    model = E.Model(image.to_bytes(graph))
    return E.Plan(model, layers_of(graph, scheme), E.CROSS_ENTROPY, classes, **options)


class IntegerTwin:
    """The network in the engine's integers. What lies below trained operators runs once.

    wide: which trained weights keep 8 fraction bits, E.WIDE_HEAD or E.WIDE_ALL. gradient_bits: 8
    or 12. qas: whether quantisation-aware scaling is on. head_lr: a learning rate of its own for
    the head.
    """

    def __init__(
        self, graph: Graph, scheme: Scheme, task: Task, *, wide: int = E.WIDE_HEAD,
        gradient_bits: int = 8, qas: bool = True, head_lr: float | None = None,
    ) -> None:  # fmt: skip
        self.task, self.qas, self.head_lr = task, qas, head_lr
        self.start = min(layer.op_index for layer in scheme.layers)
        self.plan = planned(graph, scheme, task.classes, wide=wide, gradient_bits=gradient_bits)
        ops = self.plan.c.ops
        places = {graph.input: self.plan.c.input}
        places |= {op.output: ops[i].out for i, op in enumerate(graph.ops[: self.start])}
        needed = {t for op in graph.ops[self.start : self.plan.c.run_count] for t in op.inputs}
        self.places = [
            (places[t], int(np.prod(graph.tensors[t].shape))) for t in needed & places.keys()
        ]
        session = E.Session(self.plan)
        self.kept = [self._below(session, x) for x in task.x]

    def _below(self, session: E.Session, x: NDArray[np.int8]) -> list[NDArray[np.int8]]:
        session.set_input(x)
        for index in range(self.start):
            E.LIB.mt_session_forward_op(session.pointer, index)
        return [session.arena(at, size) for at, size in self.places]

    def _forward(self, session: E.Session, kept: list[NDArray[np.int8]]) -> None:
        for (at, _), values in zip(self.places, kept, strict=True):
            E.C.memmove(session.arena_address(at), values.ctypes.data, values.size)
        for index in range(self.start, self.plan.c.run_count):
            E.LIB.mt_session_forward_op(session.pointer, index)

    def run(self, lr: float, epochs: int, seed: int, split: Split | None = None) -> float:
        """Accuracy on the rows to measure after training from a zero head on the others; the bytes
        are those of whole steps. split: the task's own by default."""
        split, labels = split or self.task.split, self.task.y
        session = E.Session(self.plan, seed=seed)
        session.set_optimizer(qas=self.qas)
        samples = order(split.train, epochs, seed)
        head = self.plan.c.run_count - 1
        for i, factor in zip(samples, rates(1.0, len(samples)), strict=True):
            self._forward(session, self.kept[i])
            session.cross_entropy(int(labels[i]))
            session.set_lr((lr if self.head_lr is None else self.head_lr) * factor)
            E.LIB.mt_session_backward_op(session.pointer, head)
            session.set_lr(lr * factor)
            for index in reversed(range(self.start, head)):
                E.LIB.mt_session_backward_op(session.pointer, index)
        correct = 0
        for i in split.test:
            self._forward(session, self.kept[i])
            correct += session.argmax() == labels[i]
        return correct / len(split.test)


class FloatTwin:
    """The dequantised network in fp32 PyTorch. What lies below trained operators runs once.

    rounded: whether activations are rounded as the integer network's are.
    """

    def __init__(
        self, graph: Graph, scheme: Scheme, task: Task, rounded: bool = False
    ) -> None:
        import torch

        self.torch, self.graph, self.task, self.rounded = torch, graph, task, rounded
        torch.set_num_threads(1)
        self.layers = {layer.op_index: layer for layer in scheme.layers}
        self.parameters: dict[int, tuple[Any, Any]] = {}
        for index, op in enumerate(graph.ops):
            if op.kind not in WEIGHTED:
                continue
            source = graph.tensors[op.inputs[0]]
            scale = op.weight_scale.astype(np.float64)
            axis = (
                (-1,) if op.kind is Kind.DEPTHWISE_CONV2D else (-1,) + (1,) * (op.weights.ndim - 1)
            )
            weights = op.weights * scale.reshape(axis)
            if op.kind is Kind.CONV2D:
                weights = weights.transpose(0, 3, 1, 2)
            elif op.kind is Kind.DEPTHWISE_CONV2D:
                weights = weights.transpose(2, 0, 1)[:, None]
            bias = op.bias * source.scale * scale
            self.parameters[index] = tuple(
                torch.tensor(a.astype(np.float32)) for a in (weights, bias)
            )
        self.head = max(self.parameters)
        self.start = min(self.layers)
        self.kept = self._below(task.x)

    def _op(
        self, index: int, values: dict[int, Any], parameters: dict[int, tuple[Any, Any]]
    ) -> Any:
        functional = self.torch.nn.functional
        op = self.graph.ops[index]
        x, out = values[op.inputs[0]], self.graph.tensors[op.output]
        if op.kind is Kind.ADD:
            y = x + values[op.inputs[1]]
        elif op.kind is Kind.AVERAGE_POOL:
            y = functional.avg_pool2d(x, op.kernel, op.stride)
        elif op.kind is Kind.LINEAR:
            weights, bias = parameters[index]
            return functional.linear(x.flatten(1), weights, bias)
        else:
            weights, bias = parameters[index]
            groups = weights.shape[0] if op.kind is Kind.DEPTHWISE_CONV2D else 1
            y = functional.conv2d(x, weights, bias, op.stride, op.pads[:2], 1, groups)
        # What the int8 output can hold: the clamp is part of the network, as in the authors' own
        # fp32 simulation.
        low, high = (
            (op.act_min - out.zero_point) * out.scale,
            (op.act_max - out.zero_point) * out.scale,
        )
        y = y.clamp(low, high)
        if self.rounded:
            y = y + (self.torch.round(y / out.scale) * out.scale - y).detach()
        return y

    def _needed(self) -> set[int]:
        return {t for op in self.graph.ops[self.start :] for t in op.inputs}

    def _below(self, samples: NDArray[np.int8]) -> dict[int, Any]:
        source = self.graph.tensors[self.graph.input]
        kept: dict[int, list[Any]] = {}
        with self.torch.no_grad():
            for i in range(0, len(samples), BATCH):
                real = samples[i : i + BATCH].astype(np.float32) - source.zero_point
                real *= np.float32(source.scale)
                values = {self.graph.input: self.torch.tensor(real.transpose(0, 3, 1, 2))}
                for index in range(self.start):
                    values[self.graph.ops[index].output] = self._op(index, values, self.parameters)
                for t in self._needed() & values.keys():
                    kept.setdefault(t, []).append(values[t])
        return {t: self.torch.cat(parts) for t, parts in kept.items()}

    def _forward(self, rows: Any, parameters: dict[int, tuple[Any, Any]]) -> Any:
        values = {t: v[rows] for t, v in self.kept.items()}
        for index in range(self.start, self.head + 1):
            values[self.graph.ops[index].output] = self._op(index, values, parameters)
        return values[self.graph.ops[self.head].output]

    def run(self, lr: float, epochs: int, seed: int, split: Split | None = None) -> float:
        """Accuracy on the rows to measure after plain SGD on single samples, the others, from a
        zero head. split: the task's own by default."""
        torch, split = self.torch, split or self.task.split
        parameters = copy.copy(self.parameters)
        weights = parameters[self.head][0]
        parameters[self.head] = (
            torch.zeros(self.task.classes, weights.shape[1]),
            torch.zeros(self.task.classes),
        )
        trained: list[tuple[Any, Any]] = []  # tensor, mask or None
        for index, layer in self.layers.items():
            w, b = (t.clone() for t in parameters[index])
            parameters[index] = (w, b)
            if layer.bias:
                trained.append((b.requires_grad_(), None))
            if layer.weights:
                mask = None
                if isinstance(layer.weights, tuple):
                    mask = torch.zeros_like(w)
                    depthwise = self.graph.ops[index].kind is Kind.DEPTHWISE_CONV2D
                    mask[
                        (list(layer.weights),) if depthwise else (slice(None), list(layer.weights))
                    ] = 1
                trained.append((w.requires_grad_(), mask))
        samples = order(split.train, epochs, seed)
        labels = torch.tensor(self.task.y)
        for i, rate in zip(samples, rates(lr, len(samples)), strict=True):
            logits = self._forward(slice(int(i), int(i) + 1), parameters)
            loss = torch.nn.functional.cross_entropy(logits, labels[i : i + 1])
            gradients = torch.autograd.grad(loss, [t for t, _ in trained])
            with torch.no_grad():
                for (tensor, mask), g in zip(trained, gradients, strict=True):
                    tensor -= rate * (g if mask is None else g * mask)
        correct = 0
        with torch.no_grad():
            for at in range(0, len(split.test), BATCH):
                rows = torch.tensor(split.test[at : at + BATCH])
                correct += int((self._forward(rows, parameters).argmax(1) == labels[rows]).sum())
        return correct / len(split.test)
