"""Rewrites of a finished graph that change no output byte and save memory on the board."""

from __future__ import annotations

from microtrain.graph import Graph, Kind, Op


def simplify(graph: Graph) -> None:
    """Fuse pads into convolutions, drop reshapes in front of linear operators, drop dead ends."""
    _fuse_pads(graph)
    _drop_reshapes(graph)
    _drop_unused(graph)


def _readers(graph: Graph, tensor: int) -> list[Op]:
    return [op for op in graph.ops if tensor in op.inputs]


def _fuse_pads(graph: Graph) -> None:
    """A pad writes the zero point, which is what a convolution sees outside its input anyway."""
    for pad in [op for op in graph.ops if op.kind is Kind.PAD]:
        readers = _readers(graph, pad.output)
        if pad.output == graph.output or not readers:
            continue
        total = [(r, [a + b for a, b in zip(r.pads, pad.pads, strict=True)]) for r in readers]
        if all(
            r.kind in (Kind.CONV2D, Kind.DEPTHWISE_CONV2D)
            and all(p < k for p, k in zip(pads, (*r.kernel, *r.kernel), strict=True))
            for r, pads in total
        ):
            for reader, (top, left, bottom, right) in total:
                reader.pads = (top, left, bottom, right)
                reader.inputs = pad.inputs
            graph.ops.remove(pad)


def _drop_reshapes(graph: Graph) -> None:
    """A linear operator reads its input flat, and of two reshapes only the last one counts."""
    for reshape in [op for op in graph.ops if op.kind is Kind.RESHAPE]:
        readers = _readers(graph, reshape.output)
        if reshape.output != graph.output and all(
            r.kind in (Kind.LINEAR, Kind.RESHAPE) for r in readers
        ):
            for reader in readers:
                reader.inputs = reshape.inputs
            graph.ops.remove(reshape)


def _drop_unused(graph: Graph) -> None:
    """Remove operators nothing reads, then renumber the tensors that are left."""
    needed = {graph.output}
    for op in reversed(graph.ops):
        if op.output in needed:
            needed.update(op.inputs)
    graph.ops = [op for op in graph.ops if op.output in needed]
    used = sorted({graph.input, *needed})
    new_index = {old: new for new, old in enumerate(used)}
    graph.tensors = [graph.tensors[old] for old in used]
    graph.input, graph.output = new_index[graph.input], new_index[graph.output]
    for op in graph.ops:
        op.inputs = tuple(new_index[i] for i in op.inputs)
        op.output = new_index[op.output]
