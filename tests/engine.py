"""The C engine through ctypes: the same core as on a board, compiled as a shared library.

MICROTRAIN_ENGINE names the library (default build/engine/libmicrotrain.so); `make engine` builds
it plain and with sanitizers.
"""

from __future__ import annotations

import ctypes as C
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

REPO = Path(__file__).resolve().parents[1]
LIBRARY = Path(os.environ.get("MICROTRAIN_ENGINE", REPO / "build/engine/libmicrotrain.so"))
# Most bytes at the end of a block that a step leaves: the last buffer may end short of its
# alignment; or it holds scratch, which is enough for plain code and for packed words
# (usermod_c/core/arch/panel.h, plane.h), which the sanitizers' library uses.
UNTOUCHED = 512 if "asan" in LIBRARY.name else 8 + 4608
NONE = 0xFFFFFFFF
CROSS_ENTROPY, MSE = 1, 2
WIDE_HEAD, WIDE_NONE, WIDE_ALL = range(3)  # which trained weights keep 8 fraction bits
STREAM_NONE, STREAM_OPERATORS, STREAM_INPUT = range(3)
REGIONS = 4  # most pieces of an arena
ALL = -1  # every input channel of a layer


class Error(C.Structure):
    _fields_ = [("code", C.c_int32), ("op", C.c_int32), ("need", C.c_uint32), ("have", C.c_uint32)]


class Tensor(C.Structure):
    _fields_ = [
        ("h", C.c_uint16), ("w", C.c_uint16), ("c", C.c_uint32), ("scale", C.c_float),
        ("zero_point", C.c_int8), ("dtype", C.c_uint8), ("reserved", C.c_uint16),
    ]  # fmt: skip


class Op(C.Structure):
    _fields_ = [
        ("kind", C.c_uint8), ("activation", C.c_uint8),
        ("act_min", C.c_int8), ("act_max", C.c_int8),
        ("input", C.c_uint16 * 2), ("output", C.c_uint16), ("rest", C.c_uint8 * 86),
    ]  # fmt: skip


class CModel(C.Structure):
    _fields_ = [
        ("base", C.c_void_p), ("length", C.c_uint32), ("tensors", C.POINTER(Tensor)),
        ("ops", C.POINTER(Op)), ("meta", C.c_uint32), ("meta_length", C.c_uint32),
        ("tensor_count", C.c_uint16), ("op_count", C.c_uint16), ("input", C.c_uint16),
        ("output", C.c_uint16),
    ]  # fmt: skip


class LayerScheme(C.Structure):
    _fields_ = [("bias", C.c_bool), ("channels", C.c_uint32), ("list", C.POINTER(C.c_uint16))]


class Region(C.Structure):
    _fields_ = [("data", C.c_void_p), ("bytes", C.c_uint32)]


class Scheme(C.Structure):
    _fields_ = [
        ("loss", C.c_int),
        ("new_classes", C.c_uint32),
        ("layers", C.POINTER(LayerScheme)),
        ("wide", C.c_int),
        ("gradient_bits", C.c_uint32),
        ("momentum_bits", C.c_uint32),
        ("regions", C.POINTER(Region)),
        ("region_count", C.c_uint32),
        ("stream", C.c_int),
        ("cores", C.c_uint32),
    ]


class OpPlan(C.Structure):
    _fields_ = [
        ("flags", C.c_uint16), ("channels", C.c_uint16), ("in_root", C.c_uint16 * 2),
        ("out_root", C.c_uint16), ("rows", C.c_uint16), ("inputs", C.c_uint32 * 2),
        ("out", C.c_uint32), ("mask", C.c_uint32), ("saved", C.c_uint32),
        ("scratch_forward", C.c_uint32), ("scratch_backward", C.c_uint32),
        ("grad_out", C.c_uint32), ("grad_masked", C.c_uint32), ("grad_in", C.c_uint32 * 2),
        ("skip", C.c_uint32 * 2), ("list", C.c_uint32), ("state", C.c_uint32),
        ("derived", C.c_uint32),
    ]  # fmt: skip


class PlanInfo(C.Structure):
    _fields_ = [
        (name, C.c_uint32)
        for name in (
            "arena_bytes", "arena_lower_bound", "state_bytes", "derived_bytes", "table_bytes",
            "total_bytes", "trainable_bytes", "optimizer_bytes", "classes", "peak_op",
        )
    ] + [
        ("peak_backward", C.c_bool), ("forward_macs", C.c_uint64), ("backward_macs", C.c_uint64),
    ]  # fmt: skip


class CPlan(C.Structure):
    _fields_ = [
        ("info", PlanInfo), ("ops", C.POINTER(OpPlan)), ("lists", C.POINTER(C.c_uint16)),
        ("list_count", C.c_uint32), ("run_count", C.c_uint32), ("output", C.c_uint32),
        ("grad_top", C.c_uint32), ("loss_scratch", C.c_uint32), ("input", C.c_uint32),
        ("loss", C.c_int), ("new_classes", C.c_uint32), ("gradient_bits", C.c_uint32),
        ("regions", Region * REGIONS), ("region_start", C.c_uint32 * REGIONS),
        ("region_count", C.c_uint32), ("stream_ops", C.c_uint32), ("stream", C.c_uint32),
        ("input_rows", C.c_uint32), ("cores", C.c_uint32),
    ]  # fmt: skip


class LayerInfo(C.Structure):
    _fields_ = [
        (name, C.c_uint32)
        for name in (
            "trained_weights", "trained_bias", "saved_bytes", "mask_bytes",
        )
    ] + [("forward_macs", C.c_uint64), ("backward_macs", C.c_uint64)]  # fmt: skip


SOURCE = C.CFUNCTYPE(None, C.c_void_p, C.c_void_p, C.c_uint32)
TAP = C.CFUNCTYPE(
    None, C.c_void_p, C.c_uint32, C.c_int, C.c_uint32, C.POINTER(C.c_int32), C.c_uint32, C.c_int
)


HALF = C.CFUNCTYPE(None, C.c_void_p)
SPLIT = C.CFUNCTYPE(None, C.c_void_p, HALF, C.c_void_p, C.c_void_p)


class CSession(C.Structure):
    _fields_ = [
        ("model", C.c_void_p), ("block", C.c_void_p), ("ops", C.POINTER(OpPlan)),
        ("lists", C.c_void_p), ("exponents", C.POINTER(C.c_int16)), ("stack", C.c_void_p),
        ("state", C.c_void_p), ("derived", C.c_void_p), ("arenas", C.c_void_p * REGIONS),
        ("region_start", C.c_uint32 * REGIONS), ("rng", C.POINTER(C.c_uint32)),
        ("shifts", C.c_void_p), ("tap", TAP), ("tap_context", C.c_void_p),
        ("state_bytes", C.c_uint32), ("total_bytes", C.c_uint32), ("run_count", C.c_uint32),
        ("output", C.c_uint32), ("grad_top", C.c_uint32), ("loss_scratch", C.c_uint32),
        ("input", C.c_uint32), ("classes", C.c_uint32), ("stream", C.c_uint32),
        ("stream_ops", C.c_uint16), ("input_rows", C.c_uint16), ("source", C.c_void_p),
        ("source_context", C.c_void_p), ("split", C.c_void_p), ("split_context", C.c_void_p),
        ("lr_mantissa", C.c_int32),
        ("weight_decay", C.c_float), ("lr_exponent", C.c_int16), ("momentum", C.c_uint16),
        ("accumulate", C.c_uint16), ("loss", C.c_uint8), ("logits", C.c_uint8),
        ("gradient_bits", C.c_uint8), ("plain", C.c_bool), ("qas", C.c_bool),
        ("exact_shifts", C.c_bool),
    ]  # fmt: skip


class Optimizer(C.Structure):
    _fields_ = [
        ("momentum", C.c_float), ("weight_decay", C.c_float), ("accumulate", C.c_uint32),
        ("qas", C.c_bool),
    ]  # fmt: skip


class Augmentation(C.Structure):
    _fields_ = [
        ("flip", C.c_bool), ("brightness", C.c_int32), ("right", C.c_int32), ("down", C.c_int32),
        ("cut_top", C.c_int32), ("cut_left", C.c_int32), ("cut_side", C.c_int32),
    ]  # fmt: skip


class CheckpointHeader(C.Structure):
    _fields_ = [
        ("image", C.c_void_p), ("description", C.c_uint32), ("state", C.c_uint32),
        ("steps", C.c_uint32), ("epochs", C.c_uint32), ("seed", C.c_uint32), ("lr", C.c_float),
    ]  # fmt: skip


class AugmentShape(C.Structure):
    _fields_ = [("h", C.c_int32), ("w", C.c_int32), ("c", C.c_int32), ("zero_point", C.c_int8)]


def load(path: Path = LIBRARY) -> C.CDLL:
    """The library with the argument types of the public functions set."""
    library = C.CDLL(str(path))
    pointer, size = C.c_void_p, C.c_size_t
    for name, result, arguments in (
        ("mt_model_open", C.c_int, (pointer, pointer, size, C.c_bool, pointer)),
        ("mt_plan_work_size", size, (pointer, pointer)),
        ("mt_plan", C.c_int, (pointer, pointer, pointer, size, pointer, pointer)),
        ("mt_plan_layer", None, (pointer, pointer, C.c_uint32, pointer)),
        ("mt_session_init", C.c_int,
         (pointer, pointer, pointer, pointer, size, C.c_uint32, pointer)),
        ("mt_session_set_lr", C.c_int, (pointer, C.c_float)),
        ("mt_session_set_optimizer", C.c_int, (pointer, pointer)),
        ("mt_session_input", pointer, (pointer,)),
        ("mt_session_forward", None, (pointer,)),
        ("mt_session_set_source", None, (pointer, SOURCE, pointer)),
        ("mt_session_set_split", C.c_int, (pointer, SPLIT, pointer)),
        ("mt_session_output", pointer, (pointer,)),
        ("mt_session_argmax", C.c_uint32, (pointer,)),
        ("mt_session_cross_entropy", C.c_int, (pointer, C.c_uint32, pointer)),
        ("mt_session_mse", C.c_int, (pointer, pointer)),
        ("mt_session_target", pointer, (pointer,)),
        ("mt_session_backward", None, (pointer,)),
        ("mt_session_forward_op", None, (pointer, C.c_uint32)),
        ("mt_session_backward_op", None, (pointer, C.c_uint32)),
        ("mt_session_state", pointer, (pointer,)),
        ("mt_session_refresh", None, (pointer,)),
        ("mt_augment_draw", Augmentation, (pointer, pointer)),
        ("mt_augment_row", None, (pointer, pointer, C.c_int32, pointer)),
        ("mt_augment_sample", None, (pointer, pointer, pointer)),
        ("mt_session_carry", C.c_int, (pointer, pointer, pointer)),
        ("mt_signature_check", C.c_int, (pointer, size, pointer, pointer)),
        ("mt_checkpoint_open", C.c_int, (pointer, pointer, size, C.c_uint32, pointer)),
    ):  # fmt: skip
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


LIB = load()


class EngineError(Exception):
    """A negative code of the engine with its numbers."""

    def __init__(self, error: Error) -> None:
        self.code, self.op, self.need, self.have = error.code, error.op, error.need, error.have
        super().__init__(f"code {self.code}, op {self.op}, need {self.need}, have {self.have}")


def check(code: int, error: Error) -> None:
    if code:
        error.code = code
        raise EngineError(error)


def aligned(size: int, alignment: int = 16, offset: int = 0) -> NDArray[np.uint8]:
    """`size` bytes at an address that is `offset` more than a multiple of `alignment`."""
    raw = np.zeros(size + alignment + offset, np.uint8)
    start = (-raw.ctypes.data) % alignment + offset
    return raw[start : start + size]


class Model:
    """An open image. `base_offset` moves it off 16-byte alignment."""

    def __init__(self, image: bytes, check_hash: bool = True, base_offset: int = 0) -> None:
        self.memory = aligned(len(image), 16, base_offset)
        self.memory[:] = np.frombuffer(image, np.uint8)
        self.c, error = CModel(), Error()
        check(
            LIB.mt_model_open(
                C.byref(self.c), self.memory.ctypes.data, len(image), check_hash, C.byref(error)
            ),
            error,
        )
        self.op_count = self.c.op_count

    def tensor(self, index: int) -> Tensor:
        return self.c.tensors[index]


@dataclass
class Layer:
    """What is trained of one operator: `channels` is ALL, a count, or a list of input channels."""

    bias: bool = True
    channels: int | Sequence[int] = 0


class Plan:
    """A step planned for `layers` (operator index -> Layer)."""

    def __init__(
        self,
        model: Model,
        layers: dict[int, Layer] | None = None,
        loss: int = 0,
        new_classes: int = 0,
        work_short: int = 0,
        wide: int = WIDE_HEAD,
        gradient_bits: int = 8,
        momentum_bits: int = 0,
        regions: Sequence[int] = (),
        stream: int = STREAM_NONE,
        cores: int = 1,
    ) -> None:
        self.model, self._keep = model, []
        array = (LayerScheme * model.op_count)()
        for index, layer in (layers or {}).items():
            array[index].bias = layer.bias
            if isinstance(layer.channels, int):
                array[index].channels = (
                    self._in_channels(index) if layer.channels == ALL else layer.channels
                )
            else:
                chosen = (C.c_uint16 * len(layer.channels))(*layer.channels)
                self._keep.append(chosen)
                array[index].channels, array[index].list = len(layer.channels), chosen
        # with canaries on both sides
        self.regions = [aligned(size + 2 * GUARD) for size in regions]
        pieces = (Region * len(regions))(
            *(Region(memory.ctypes.data + GUARD, size)
              for memory, size in zip(self.regions, regions, strict=True))
        )  # fmt: skip
        scheme = Scheme(
            loss, new_classes, array, wide, gradient_bits, momentum_bits, pieces, len(regions),
            stream, cores,
        )
        size = LIB.mt_plan_work_size(C.byref(model.c), C.byref(scheme)) - work_short
        self.work = aligned(size)
        self.c, error = CPlan(), Error()
        check(
            LIB.mt_plan(
                C.byref(model.c), C.byref(scheme), self.work.ctypes.data, size, C.byref(self.c),
                C.byref(error),
            ),
            error,
        )  # fmt: skip
        self.info = self.c.info

    def _in_channels(self, index: int) -> int:
        op = self.model.c.ops[index]
        tensor = self.model.tensor(op.input[0])
        return tensor.h * tensor.w * tensor.c if op.kind == 3 else tensor.c

    def layer(self, index: int) -> LayerInfo:
        info = LayerInfo()
        LIB.mt_plan_layer(C.byref(self.model.c), C.byref(self.c), index, C.byref(info))
        return info


GUARD = 64


class Session:
    """A plan with its block. GUARD bytes of canary surround the block and each region."""

    def __init__(
        self, plan: Plan, seed: int = 1, lr: float = 0.0, fill: int = 0xA5, short: int = 0
    ) -> None:
        self.plan, self.model = plan, plan.model
        split = plan.info.arena_bytes if plan.regions else 0
        self.size = plan.info.total_bytes - split - short
        self.memory = aligned(self.size + 2 * GUARD)
        for memory in (self.memory, *plan.regions):
            memory[:] = fill
        self.fill = fill
        self.block = self.memory[GUARD : GUARD + self.size]
        pointer, error = C.c_void_p(), Error()
        check(
            LIB.mt_session_init(
                C.byref(pointer), C.byref(self.model.c), C.byref(plan.c), self.block.ctypes.data,
                self.size, seed, C.byref(error),
            ),
            error,
        )  # fmt: skip
        self.pointer = pointer
        self.c = C.cast(pointer, C.POINTER(CSession)).contents
        self.set_lr(lr)
        source = self.model.tensor(self.model.c.input)
        self.input_shape = (source.h, source.w, source.c)
        self._tap: Any = None

    def set_lr(self, lr: float) -> None:
        check(LIB.mt_session_set_lr(self.pointer, lr), Error())

    def set_optimizer(
        self, momentum: float = 0.0, weight_decay: float = 0.0, accumulate: int = 1,
        qas: bool = True,
    ) -> None:  # fmt: skip
        settings = Optimizer(momentum, weight_decay, accumulate, qas)
        check(LIB.mt_session_set_optimizer(self.pointer, C.byref(settings)), Error())

    def _view(self, address: int, count: int, dtype: Any) -> NDArray[Any]:
        size = count * np.dtype(dtype).itemsize
        return np.frombuffer((C.c_uint8 * size).from_address(address), dtype)

    def set_input(self, x: NDArray[np.int8]) -> None:
        data = np.ascontiguousarray(x, np.int8)
        assert data.size == int(np.prod(self.input_shape)), (data.shape, self.input_shape)
        if not self.plan.c.input_rows:
            C.memmove(LIB.mt_session_input(self.pointer), data.ctypes.data, data.size)
            return
        done = 0

        def write_row(_: object, row: int, size: int) -> None:
            nonlocal done
            C.memmove(row, data.ctypes.data + done, size)
            done = (done + size) % data.size

        self._source = SOURCE(write_row)
        LIB.mt_session_set_source(self.pointer, self._source, None)

    def forward(self, x: NDArray[np.int8]) -> NDArray[Any]:
        self.set_input(x)
        LIB.mt_session_forward(self.pointer)
        return self.output()

    def output(self) -> NDArray[Any]:
        dtype = np.int32 if self.c.logits else np.int8
        return self._view(LIB.mt_session_output(self.pointer), self.c.classes, dtype).copy()

    def cross_entropy(self, label: int) -> int:
        loss, error = C.c_uint32(), Error()
        check(LIB.mt_session_cross_entropy(self.pointer, label, C.byref(loss)), error)
        return loss.value

    def mse(self, target_q16: NDArray[np.int32]) -> int:
        loss, error = C.c_uint32(), Error()
        target = LIB.mt_session_target(self.pointer)
        if target:
            self._view(target, self.c.classes, np.int32)[:] = target_q16
        check(LIB.mt_session_mse(self.pointer, C.byref(loss)), error)
        return loss.value

    def set_split(self, split: Callable[[Callable[[int], None], int, int], None]) -> None:
        """Call `split(half, first, second)` for every operator that runs in two halves."""
        self._split = SPLIT(lambda _, half, first, second: split(half, first, second))
        check(LIB.mt_session_set_split(self.pointer, self._split, None), Error())

    def backward(self) -> None:
        LIB.mt_session_backward(self.pointer)

    def step(self, x: NDArray[np.int8], label: int) -> int:
        self.forward(x)
        loss = self.cross_entropy(label)
        self.backward()
        return loss

    def argmax(self) -> int:
        return LIB.mt_session_argmax(self.pointer)

    @property
    def state(self) -> NDArray[np.uint8]:
        return self._view(LIB.mt_session_state(self.pointer), self.c.state_bytes, np.uint8)

    def refresh(self) -> None:
        LIB.mt_session_refresh(self.pointer)

    def carry_from(self, other: Session) -> None:
        error = Error()
        check(LIB.mt_session_carry(self.pointer, other.pointer, C.byref(error)), error)

    def on_gradient(
        self, callback: Callable[[int, int, int, NDArray[np.int32], int], None]
    ) -> None:
        """Call `callback(op, kind, channel, g, exponent)` for every gradient before its update."""

        def tap(_: Any, op: int, kind: int, channel: int, g: Any, n: int, exponent: int) -> None:
            callback(op, kind, channel, np.ctypeslib.as_array(g, (n,)).copy(), exponent)

        self._tap = TAP(tap)
        self.c.tap = self._tap

    def arena(self, offset: int, count: int, dtype: Any = np.int8) -> NDArray[Any]:
        return self._view(self.arena_address(offset), count, dtype).copy()

    def arena_address(self, offset: int) -> int:
        k = max(k for k in range(REGIONS) if self.c.region_start[k] <= offset)
        return self.c.arenas[k] + offset - self.c.region_start[k]

    def guards_intact(self) -> bool:
        edges = [self.memory[:GUARD], self.memory[GUARD + self.size :]]
        for k, memory in enumerate(self.plan.regions):
            edges += [memory[:GUARD], memory[GUARD + self.plan.c.regions[k].bytes :]]
        return bool((np.concatenate(edges) == self.fill).all())
