"""MCUNetV3's estimate of the memory that an update scheme needs beside inference.

Source: mit-han-lab/tiny-training, algorithm/core/utils/partial_backward.py, at batch 1. It counts
the trained weights (1 byte) and biases (4 bytes) of the convolutions, a bit for each of their
outputs (the clamp's mask), the inputs that their weights' gradients need, and the classifier's
input; not the classifier's weights, gradients, or anything that inference needs.
"""

from __future__ import annotations

from microtrain.channel_selection import input_channels
from microtrain.graph import Graph
from microtrain.scheme import Scheme


def extra_bytes(graph: Graph, scheme: Scheme) -> float:
    """Bytes by the published formula. The last trained operator is the classifier."""
    *body, head = scheme.layers
    total = float(input_channels(graph, graph.ops[head.op_index]))
    for layer in body:
        op = graph.ops[layer.op_index]
        source, out = graph.tensors[op.inputs[0]], graph.tensors[op.output]
        count = input_channels(graph, op)
        kept = count if layer.weights == "all" else len(layer.weights or ())
        assert op.weights is not None
        total += 4 * out.c + out.size / 8
        total += op.weights.size // count * kept + kept * source.h * source.w
    return total
