"""A checksum inside a safetensors file, of all that the file holds.

The format has none of its own, so a flipped bit would pass for a weight. The checksum is
an entry of the file's metadata; any reader of safetensors reads the file as before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from resgraph.diagnostics import ResgraphError, plain
from resgraph.reading import opened
from resgraph.reading.tensors import header_of, rest_of

ENTRY = "resgraph.sha256"
"""The metadata that has the checksum."""
_METADATA = "__metadata__"


def sealed(contents: bytes) -> bytes:
    """The contents of a safetensors file, with a checksum added to its metadata.

    The metadata are sorted: safetensors writes them in any order, and equal tensors with
    equal metadata are to be equal bytes.
    """
    start = 8 + int.from_bytes(contents[:8], "little")
    header, data = json.loads(contents[8:start]), memoryview(contents)[start:]
    metadata = header.setdefault(_METADATA, {})
    metadata[ENTRY] = _checksum(header, [data])
    header[_METADATA] = dict(sorted(metadata.items()))
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at multiples of 8 bytes
    return len(text).to_bytes(8, "little") + text + data


def unsealed(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file that has the checksum it should have, or none.

    Raises `ResgraphError` if the file cannot be read, or is not what was written.
    """
    try:
        with opened(path) as file:
            header = header_of(file, path)
            metadata = _metadata(header)
            wanted = metadata.get(ENTRY)
            found = wanted and _checksum(header, rest_of(file))
    except (OSError, ValueError, RecursionError) as error:
        raise ResgraphError(
            f"{plain(path)} is not a readable safetensors file: {plain(error)}"
        ) from None
    if wanted != found:
        raise ResgraphError(
            f"{plain(path)} is damaged: its contents do not have its checksum",
            "take a copy, or train it anew",
        )
    return metadata


def _metadata(header: dict[str, Any]) -> dict[str, str]:
    """What the format keeps beside tensors: text by names. Raises `ValueError`."""
    metadata = header.get(_METADATA, {})
    texts = isinstance(metadata, dict) and all(
        isinstance(value, str) for value in metadata.values()
    )
    if not texts:
        raise ValueError("its metadata are no texts by names")
    return dict(metadata)


def _checksum(header: dict[str, Any], data: Iterable[bytes | memoryview]) -> str:
    """SHA-256, in hexadecimal, of all but the entry that holds it."""
    metadata = {k: v for k, v in header[_METADATA].items() if k != ENTRY}
    rest = json.dumps({**header, _METADATA: metadata}, sort_keys=True)
    total = hashlib.sha256(rest.encode())
    for piece in data:
        total.update(piece)
    return total.hexdigest()
