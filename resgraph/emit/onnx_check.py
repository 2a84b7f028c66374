"""A model file checked by `onnx.checker`, in pieces that fit into memory.

A piece is what the file has between two places, byte by byte, with the head that any model
needs. Its inputs have the shapes that the units before it give, its outputs those that the
ones behind it take; so if all pieces are models, the file is one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto, ValueInfoProto

from resgraph.diagnostics import ResgraphError, first_line


@dataclass(frozen=True)
class Piece:
    """Bytes of the file, the values that they start from, and those that others read."""

    start: int
    stop: int
    given: Sequence[ValueInfoProto]
    results: Sequence[ValueInfoProto]


def check(path: Path, frame: ModelProto, pieces: Sequence[Piece]) -> None:
    """Raise `ResgraphError` where the file would not pass the checker, shapes included.

    A file of one piece is checked as it is.
    """
    if len(pieces) == 1:
        _check(path, path)
        return
    with path.open("rb") as stream:
        for piece in pieces:
            stream.seek(piece.start)
            _check_piece(path, frame, piece, stream.read(piece.stop - piece.start))


def _check_piece(path: Path, frame: ModelProto, piece: Piece, nodes: bytes) -> None:
    ends = ModelProto()
    ends.graph.input.extend(piece.given)
    ends.graph.output.extend(piece.results)
    # beside the model, since the piece may refer to its data
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".onnx") as file:
        for part in (frame.SerializeToString(), ends.SerializeToString(), nodes):
            file.write(part)  # serialised messages that follow one another merge
        file.flush()
        _check(Path(file.name), path)


def _check(path: Path, named: Path) -> None:
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ResgraphError(
            f"the ONNX model of {named.stem} does not pass onnx.checker: {first_line(error)}",
            "this is a fault of resgraph's emitter, not of the spec: please report it",
        ) from None
