"""A graph as an ONNX model, straight from the IR: no tracing, no torch.

Each distinct unit instance becomes a list of node templates once; walking the depth then
only prefixes names. Node, value and tensor names are those of the graph and state_dict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import onnx.printer

from resgraph.diagnostics import ResgraphError
from resgraph.emit.element import FLOAT32, Element
from resgraph.emit.initialisers import Initialisers, append
from resgraph.emit.onnx_check import Piece, check
from resgraph.emit.onnx_parts import Model, Part, Value
from resgraph.emit.weights import WeightSource
from resgraph.graph import Graph
from resgraph.limits import MODEL_BYTES, PIECE_BYTES, PIECE_NODES, SHOWN_NODES

__all__ = ["OPSET", "onnx_text", "write_onnx"]

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

    Input `input` is float32 [N, C, H, W] with N free, the outputs are float32 under the names
    of `graph.outputs`: `logits` [N, classes] of a classifier. Between them everything is of
    type `element`. With `functions` each distinct unit is a function of the model. Returns the files written: the model, and
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
    pieces = [_Growing(stream.tell())]
    for part in model.parts():
        if pieces[-1].is_full:
            pieces.append(_Growing(pieces[-1].stop))
        append(stream, part.nodes)
        if part.instance is not None:
            weights.append(part.prefix, part.instance)
        pieces[-1].add(part, stream.tell())
    return [*_ended(pieces, model)]


@dataclass
class _Growing:
    """A piece of the file, the values that it reads of others, and those that it makes."""

    start: int
    stop: int = 0
    nodes: int = 0
    read: dict[str, Value] = field(default_factory=dict)
    made: dict[str, Value] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        """Whether there is enough in it to be checked at once."""
        return self.nodes >= PIECE_NODES or self.stop - self.start >= PIECE_BYTES

    def add(self, part: Part, stop: int) -> None:
        """The part that ends there in the file."""
        self.stop, self.nodes = stop, self.nodes + len(part.nodes.node)
        self.made |= {value.name: value for value in part.made}
        self.read |= {v.name: v for v in part.given if v.name not in self.made}


def _ended(pieces: Sequence[_Growing], model: Model) -> Iterator[Piece]:
    """The pieces with what the others read of them, from the last one to the first."""
    needed = {value.name for value in model.outputs}
    for piece in reversed(pieces):
        results = [v.typed() for name, v in piece.made.items() if name in needed]
        given = [value.typed() for value in piece.read.values()]
        needed |= piece.read.keys()
        yield Piece(piece.start, piece.stop, given, results)


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
