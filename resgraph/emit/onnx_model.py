"""A graph as an ONNX model, straight from the IR: no tracing, no torch.

Each distinct unit instance becomes a list of node templates once; walking the depth then
only prefixes names. Node, value and tensor names are those of the graph and state_dict.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import onnx.printer
from onnx import TensorProto, ValueInfoProto

from resgraph.diagnostics import ResgraphError
from resgraph.emit.element import FLOAT32, Element
from resgraph.emit.initialisers import Initialisers, append
from resgraph.emit.onnx_check import Piece, check
from resgraph.emit.onnx_parts import INPUT, Model, Part, typed
from resgraph.emit.weights import WeightSource
from resgraph.graph import Graph
from resgraph.limits import MODEL_BYTES, PIECE_BYTES, PIECE_NODES, SHOWN_NODES
from resgraph.names import LOGITS

__all__ = ["INPUT", "OPSET", "onnx_text", "write_onnx"]

OPSET = FLOAT32.opset


def write_onnx(
    graph: Graph,
    path: Path,
    weights: WeightSource,
    metadata: Mapping[str, str] | None = None,
    inline_bytes: int = MODEL_BYTES,
    *,
    element: Element = FLOAT32,
    functions: bool = False,
) -> list[Path]:
    """Write the model to `path` and check it in full, with strict shape inference.

    Input `input` is float32 [N, C, H, W] with N free, output `logits` is float32
    [N, classes]; between them everything is of type `element`. With `functions` each
    distinct unit is a function of the model. Returns the files written: the model, and
    `path` + `.data` where both together exceed `inline_bytes`. No more than one tensor and
    one unit's nodes are in memory. Raises `ResgraphError` where the model would not pass
    the checker, or a weight does not fit the type.
    """
    model = Model(graph, metadata or {}, element, functions)
    files = [path]
    with ExitStack() as opened:
        stream, data = opened.enter_context(path.open("wb")), None
        if model.size + model.numbers > inline_bytes:
            files.append(path.with_name(f"{path.name}.data"))
            data = opened.enter_context(files[1].open("wb"))
        pieces = _write(model, stream, Initialisers(stream, weights, element, data))
    check(path, model.frame(), pieces)
    return files


def _write(model: Model, stream: BinaryIO, weights: Initialisers) -> list[Piece]:
    """Write the model; the pieces in which it is to be checked."""
    stream.write(model.head().SerializeToString())
    pieces: list[Piece] = []
    first: Part | None = None
    start, nodes = stream.tell(), 0
    for part in model.parts():
        first = first or part
        append(stream, part.nodes)
        weights.append(part.prefix, part.instance)
        nodes += len(part.nodes.node)
        stop = stream.tell()
        if nodes >= PIECE_NODES or stop - start >= PIECE_BYTES or part.result == LOGITS:
            pieces.append(Piece(start, stop, *_ends(model, first, part)))
            first, start, nodes = None, stop, 0
    return pieces


def _ends(
    model: Model, first: Part, last: Part
) -> tuple[ValueInfoProto, ValueInfoProto]:
    """What a piece is computed from, and what it computes."""
    code, plain = model.element.code, TensorProto.FLOAT
    given = plain if first.value == INPUT else code
    result = plain if last.result == LOGITS else code
    return (
        typed(first.value, first.instance.input, given),
        typed(last.result, last.instance.output, result),
    )


def onnx_text(graph: Graph) -> str:
    """The model's nodes in ONNX's own text syntax, without weights.

    Raises `ResgraphError` for more than anyone reads.
    """
    nodes = graph.total("nodes")
    if nodes > SHOWN_NODES:
        raise ResgraphError(
            f"{graph.name} has {nodes:,} ops, and its ONNX nodes are printed up to "
            f"{SHOWN_NODES:,}",
            "show a smaller one with --set, or compile it and look into the file",
        )
    model = Model(graph, {})
    whole = model.head()
    for part in model.parts():
        whole.graph.MergeFrom(part.nodes)
    return str(onnx.printer.to_text(whole)) + "\n"
