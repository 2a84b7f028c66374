"""An ONNX model file before protobuf sees it: how much of it describes, and what it refers to.

Protobuf makes objects of a hundred bytes from two of the file, and onnx reads from other
files whatever the model names. The file's own bytes tell both without making any object.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resgraph.diagnostics import ResgraphError, plain
from resgraph.reading import Budget, header_budget, opened, refuse_beyond, regular_size

_GRAPH, _INITIALIZER = 7, 5
"""Of ModelProto and GraphProto (onnx.proto)."""
_RAW, _EXTERNAL = 9, 13
"""Of TensorProto."""
_KEY = b"\x0a\x08location"
"""How an entry of external data begins: field 1, eight bytes."""


class _MalformedError(ValueError):
    """What is no protobuf message."""


@dataclass(frozen=True)
class _Field:
    number: int
    start: int
    end: int
    """Of its contents, if it has a length; else of the number."""
    has_length: bool


def check_model(path: Path) -> None:
    """Look at the file's sizes, and at the files that its tensors are in.

    Raises `ResgraphError` if it is no regular file, is no protobuf message, describes more
    than a share of the budget, or refers to anything but regular files below its own folder.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise _no_model(path, "it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                external = _walked(data, size, path)
            except (_MalformedError, IndexError) as error:
                raise _no_model(path, str(error)) from None
    budget = Budget(f"{path} and the files beside it")
    budget.take(size)
    for entry in external:
        _check_external(path, entry, budget)


def _walked(data: mmap.mmap, size: int, path: Path) -> list[dict[bytes, bytes]]:
    """The external data of all initialisers; the sizes of the rest are checked."""
    external, described = [], 0
    for field in _fields(data, 0, size):
        if field.number != _GRAPH or not field.has_length:
            described += field.end - field.start
            continue
        for part in _fields(data, field.start, field.end):
            if part.number != _INITIALIZER or not part.has_length:
                described += part.end - part.start + 2
                if data.find(_KEY, part.start, part.end) >= 0:
                    raise _no_model(path, "a node keeps its tensor in another file")
                continue
            entry, rest = _initializer(data, part)
            described += rest
            external += [entry] if entry else []
        refuse_beyond(header_budget(), described, f"{path}: its nodes and names")
    refuse_beyond(header_budget(), described, f"{path}: what is not its tensors")
    return external


def _initializer(data: mmap.mmap, part: _Field) -> tuple[dict[bytes, bytes], int]:
    """Where its data are, if elsewhere, and how many of its bytes are not data."""
    external: dict[bytes, bytes] = {}
    rest = part.end - part.start
    for field in _fields(data, part.start, part.end):
        if field.number == _RAW and field.has_length:
            rest -= field.end - field.start
        elif field.number == _EXTERNAL and field.has_length:
            pair = [
                data[f.start : f.end] for f in _fields(data, field.start, field.end)
            ]
            external.update([(pair[0], pair[1])] if len(pair) == 2 else [])
    return external, rest


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[_Field]:
    """The fields of a message. Raises `_MalformedError`."""
    while start < end:
        key, start = _varint(data, start, end)
        number, kind = key >> 3, key & 7
        if kind == 2:
            length, start = _varint(data, start, end)
            stop = start + length
        elif kind == 0:
            _, stop = _varint(data, start, end)
        elif kind in (1, 5):
            stop = start + (8 if kind == 1 else 4)
        else:
            raise _MalformedError("it is no protobuf message")
        if stop > end:
            raise _MalformedError("it is cut short")
        yield _Field(number, start, stop, kind == 2)
        start = stop


def _varint(data: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while start < end and shift < 70:
        byte = data[start]
        start += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, start
        shift += 7
    raise _MalformedError("it is cut short")


def _check_external(path: Path, entry: dict[bytes, bytes], budget: Budget) -> None:
    """One tensor in another file: where, from where, how much."""
    location = entry.get(b"location", b"").decode("utf-8", "surrogateescape")
    file = path.parent / location
    try:
        inside = file.resolve().is_relative_to(path.parent.resolve())
    except (OSError, RuntimeError, ValueError):
        inside = False
    if not location or not inside or Path(location).is_absolute():
        raise _no_model(path, f"its tensors are in '{location}', not in its own folder")
    try:
        offset, length = (int(entry.get(key, b"0")) for key in (b"offset", b"length"))
    except ValueError:
        raise _no_model(path, "where its tensors begin and end is no number") from None
    size = regular_size(file)
    length = length if b"length" in entry else size - offset
    if offset < 0 or length < 0 or offset + length > size:
        raise ResgraphError(
            f"{plain(path)}: a tensor is declared to be {length:,} bytes from {offset:,} "
            f"of {plain(file.name)}, which has {size:,}",
            f"{plain(file.name)} is cut short, or of another model: export both anew",
        )
    budget.take(length)


def _no_model(path: Path, why: str) -> ResgraphError:
    return ResgraphError(
        f"{plain(path)} is not an ONNX model, or not a whole one: {plain(why)}",
        "compile or export it anew",
    )
