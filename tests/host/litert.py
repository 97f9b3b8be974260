"""LiteRT with its reference kernels: what imported models must reproduce byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray


class Reference:
    """A .tflite model run by LiteRT's reference kernels, from int8 input to int8 output.

    Float ends are cut off: int8 values go in as the floats that its QUANTIZE maps back to them,
    and the output is what its DEQUANTIZE reads.
    """

    def __init__(self, model: Path | bytes) -> None:
        source = (
            {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        )
        self.interpreter = Interpreter(
            **source,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
        )
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]
        self.output = self.interpreter.get_output_details()[0]["index"]
        self.scale, self.zero_point = 0.0, 0
        if self.input["dtype"] == np.float32:
            ops = self.interpreter._get_ops_details()
            inside = next(o["outputs"][0] for o in ops if o["op_name"] == "QUANTIZE")
            self.output = next(o["inputs"][0] for o in ops if o["op_name"] == "DEQUANTIZE")
            details = {t["index"]: t for t in self.interpreter.get_tensor_details()}
            self.scale, self.zero_point = details[inside]["quantization"]

    @property
    def shape(self) -> tuple[int, ...]:
        """The input's shape, with its batch of 1."""
        return tuple(int(v) for v in self.input["shape"])

    def run(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """The flat int8 output for one int8 input."""
        value: NDArray[np.generic] = x.reshape(self.shape)
        if self.scale:
            value = ((value.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)
        elif self.input["dtype"] == np.uint8:
            value = (value.astype(np.int16) + 128).astype(np.uint8)
        self.interpreter.set_tensor(self.input["index"], value)
        self.interpreter.invoke()
        output = self.interpreter.get_tensor(self.output).ravel()
        if output.dtype == np.uint8:
            output = (output.astype(np.int16) - 128).astype(np.int8)
        return output
