"""Files from elsewhere: regular ones, and no more of them than a budget of memory allows.

What a file declares of itself (sizes, counts, places) is looked at before a library that
believes it is given the file, so that nothing is refused when it already fills the memory.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from resgraph import limits
from resgraph.diagnostics import ResgraphError, UsageError, plain
from resgraph.files import irregular, open_at_once

__all__ = [
    "ANY_SIZE",
    "Budget",
    "budget",
    "chunk_budget",
    "header_budget",
    "in_bytes",
    "opened",
    "parsed_json",
    "read_bytes",
    "refuse_beyond",
    "regular_size",
    "source_budget",
]

ANY_SIZE = 2**63
"""For what is read in pieces, and so may be larger than memory."""
_SIZE = re.compile(r"(\d{1,20})\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = ("", "K", "M", "G", "T")


def budget() -> int:
    """Bytes of memory that reading a file may take.

    Raises `UsageError` if the environment variable that sets it is no size.
    """
    given = os.environ.get(limits.READ_VARIABLE, "").strip()
    if not given:
        return limits.READ_BYTES
    match = _SIZE.fullmatch(given)
    if match is None:
        raise UsageError(
            f"{limits.READ_VARIABLE} is '{plain(given)}', which is no size",
            "give bytes, or 500M, 8G, 8GiB",
        )
    return int(match[1]) << 10 * _UNITS.index(match[2].upper())


def header_budget() -> int:
    """Of these, the bytes of a file that may describe what is in it."""
    return budget() // limits.HEADER_SHARE


def chunk_budget() -> int:
    """Of these, the bytes of one stored picture, and of pictures decoded at a time."""
    return budget() // limits.CHUNK_SHARE


def source_budget() -> int:
    """Of these, the bytes of a Python file."""
    return budget() // limits.SOURCE_SHARE


def in_bytes(size: int) -> str:
    """`9 bytes`, `1.4 GiB`: a size for reading."""
    if size < 1024:
        return f"{size} bytes"
    power = min((size.bit_length() - 1) // 10, len(_UNITS) - 1)
    return f"{size / 1024**power:,.1f} {_UNITS[power]}iB"


def refuse_beyond(allowed: int, size: int, what: object) -> None:
    """Raise `ResgraphError` for what declares more bytes than the budget, or this share of it."""
    if size <= allowed:
        return
    share = -(-budget() // allowed) if allowed else 1
    need = -(-size * share // 2**30)
    raise ResgraphError(
        f"{plain(what, 400)}: {in_bytes(size)} declared, and {in_bytes(allowed)} are allowed",
        f"if you trust the file and have the memory: set {limits.READ_VARIABLE}={need}G "
        f"(now {in_bytes(budget())})",
    )


class Budget:
    """What may still be taken of a number of bytes, by one file."""

    def __init__(self, what: object, allowed: int | None = None) -> None:
        self._what = what
        self._allowed = budget() if allowed is None else allowed
        self._taken = 0

    def take(self, size: int) -> None:
        """Count bytes that are about to be allocated. Raises as `refuse_beyond` does."""
        self._taken += size
        refuse_beyond(self._allowed, self._taken, self._what)


@contextmanager
def opened(path: Path, most: int | None = None) -> Iterator[BufferedReader]:
    """A regular file, open for reading, of at most so many bytes; else the budget's.

    A pipe or a device is refused and not waited for. Raises `ResgraphError` for what cannot
    be opened, is no regular file or is too large.
    """
    with _open(path) as file:
        if kind := irregular(file):
            raise ResgraphError(f"{plain(path)} is {kind}, and no regular file")
        size = os.fstat(file.fileno()).st_size
        refuse_beyond(budget() if most is None else most, size, path)
        yield file


def _open(path: Path) -> BufferedReader:
    try:
        return open_at_once(path)
    except IsADirectoryError:
        raise ResgraphError(f"{plain(path)} is a folder, not a file") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ResgraphError(f"{plain(path)}: {why}") from None
    except ValueError:  # a NUL in the name
        raise ResgraphError(f"{plain(path)}: no such file or directory") from None


def regular_size(path: Path, most: int | None = None) -> int:
    """The bytes of a regular file. Raises as `opened` does."""
    with opened(path, most) as file:
        return os.fstat(file.fileno()).st_size


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The contents of a regular file of at most so many bytes. Raises as `opened` does."""
    allowed = budget() if most is None else most
    with opened(path, allowed) as file:
        try:
            data = file.read(allowed + 1)  # it may have grown since
        except OSError as error:
            raise ResgraphError(
                f"cannot read {plain(path)}: {error.strerror}"
            ) from None
    refuse_beyond(allowed, len(data), path)
    return data


def parsed_json(text: str | bytes) -> Any:
    """The value of a JSON text from elsewhere.

    Raises `ValueError` for all that is none, also where it is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
