"""What can run an imported graph: the numpy reference, and the C engine where it is built."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from reference import forward

from microtrain import image
from microtrain.graph import Graph

Run = Callable[[NDArray[np.int8]], NDArray[np.int8]]


def numpy_executor(graph: Graph) -> Run:
    """The readable reference."""
    return lambda x: forward.run_graph(graph, x)


def engine_executor(graph: Graph) -> Run:
    """The C engine, given the image of the graph."""
    import engine

    model = engine.Model(image.to_bytes(graph))
    session = engine.Session(engine.Plan(model))
    shape = graph.tensors[graph.output].shape
    return lambda x: session.forward(x).astype(np.int8).reshape(shape)


def _engine_is_built() -> bool:
    try:
        import engine  # noqa: F401
    except OSError:
        return False
    return True


EXECUTORS = [
    pytest.param(numpy_executor, id="numpy"),
    pytest.param(
        engine_executor,
        id="engine",
        marks=pytest.mark.skipif(not _engine_is_built(), reason="needs `make engine`"),
    ),
]
