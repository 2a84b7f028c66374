"""A safetensors file before its tensors are read: its size, its header, its checksum's data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from resgraph.reading import header_budget, opened, parsed_json, refuse_beyond

_PIECE = 2**20


def header_of(file: BinaryIO, what: object) -> dict[str, Any]:
    """The header of an open file, which then stands where the tensors begin.

    Raises `ResgraphError` for one that is too long, `ValueError` if there is none.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8 + length:
        raise ValueError("it is cut short")
    refuse_beyond(header_budget(), length, f"{what}: its header")
    header = parsed_json(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header


def check_tensors(path: Path) -> None:
    """Look at sizes alone. Raises `ResgraphError` for what is beyond the budget, `ValueError`
    for what is no safetensors file."""
    with opened(path) as file:
        header_of(file, path)


def rest_of(file: BinaryIO) -> Iterator[bytes]:
    """What follows, in pieces."""
    while piece := file.read(_PIECE):
        yield piece
