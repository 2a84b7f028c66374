"""Checksums of files, which decide what is in the cache and whether it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from resgraph.data.source import cannot_read
from resgraph.diagnostics import ResgraphError
from resgraph.files import read_json, write_json
from resgraph.reading import ANY_SIZE, opened

ALWAYS_BYTES = 2**30
ALWAYS_FILES = 1000
"""So much is read anew each time, which takes about a second; of more, the checksum is
remembered as long as the files' sizes and times stay what they are."""


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/resgraph`, else `~/.cache/resgraph`."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "resgraph"


def checksum(
    files: Sequence[Path], names: Sequence[str] = (), most: int = ANY_SIZE
) -> str:
    """SHA-256, in hexadecimal, of the files' contents in their order, and of `names`.

    Raises `ResgraphError` if a file cannot be read, or has more bytes than `most`.
    """
    states = [_state(path) for path in files]
    if len(files) <= ALWAYS_FILES and sum(size for size, *_ in states) <= ALWAYS_BYTES:
        return _of_contents(files, names, most)
    known = [[str(p.resolve()), *s] for p, s in zip(files, states, strict=True)]
    key = hashlib.sha256(json.dumps([known, *names]).encode()).hexdigest()
    note = cache_folder() / "checksums" / f"{key}.json"
    with contextlib.suppress(ResgraphError, KeyError):
        return str(read_json(note)["sha256"])
    found = _of_contents(files, names, most)
    with contextlib.suppress(OSError):  # then it is computed again the next time
        note.parent.mkdir(parents=True, exist_ok=True)
        write_json(note, {"sha256": found})
    return found


def _state(path: Path) -> tuple[int, int, int]:
    """Size and times; the second, of the last change of any kind, cannot be set back."""
    try:
        state = path.stat()
    except OSError as error:
        raise cannot_read(path, error) from None
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _of_contents(files: Iterable[Path], names: Iterable[str], most: int) -> str:
    total = hashlib.sha256()
    for name in names:
        total.update(name.encode(errors="surrogateescape") + b"\0")
    for path in files:
        try:
            with opened(path, most) as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise cannot_read(path, error) from None
    return total.hexdigest()
