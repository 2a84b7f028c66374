"""A checksum inside a safetensors file, of all that the file holds.

The format has none of its own, so a flipped bit would pass for a weight. The checksum is
an entry of the file's metadata; any reader of safetensors reads the file as before.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from resgraph.diagnostics import ResgraphError

ENTRY = "resgraph.sha256"
"""The metadata that has the checksum."""
_METADATA = "__metadata__"


def sealed(contents: bytes) -> bytes:
    """The contents of a safetensors file, with a checksum added to its metadata.

    The metadata are sorted: safetensors writes them in any order, and equal tensors with
    equal metadata are to be equal bytes.
    """
    header, data = _parts(contents)
    metadata = header.setdefault(_METADATA, {})
    metadata[ENTRY] = _checksum(header, data)
    header[_METADATA] = dict(sorted(metadata.items()))
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at multiples of 8 bytes
    return len(text).to_bytes(8, "little") + text + data


def unsealed(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file that has the checksum it should have, or none.

    Raises `ResgraphError` if the file cannot be read, or is not what was written.
    """
    try:
        header, data = _parts(path.read_bytes())
        metadata: dict[str, str] = header.get(_METADATA, {})
        wanted = metadata.get(ENTRY)
        damaged = wanted is not None and wanted != _checksum(header, data)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ResgraphError(
            f"{path} is not a readable safetensors file: {error}"
        ) from None
    if damaged:
        raise ResgraphError(
            f"{path} is damaged: its contents do not have its checksum",
            "take a copy, or train it anew",
        )
    return metadata


def _parts(contents: bytes) -> tuple[dict[str, Any], memoryview]:
    """The header and the tensors' bytes. Raises `ValueError` if there is no header."""
    view = memoryview(contents)
    start = 8 + int.from_bytes(view[:8], "little")
    if len(view) < start:
        raise ValueError("it is cut short")
    header = json.loads(bytes(view[8:start]))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header, view[start:]


def _checksum(header: dict[str, Any], data: memoryview) -> str:
    """SHA-256, in hexadecimal, of all but the entry that holds it."""
    metadata = {k: v for k, v in header[_METADATA].items() if k != ENTRY}
    rest = json.dumps({**header, _METADATA: metadata}, sort_keys=True)
    total = hashlib.sha256(rest.encode())
    total.update(data)
    return total.hexdigest()
