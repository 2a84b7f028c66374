"""What `torch.save` wrote, or somebody who pretends: its directory, before torch reads it.

torch keeps tensors uncompressed, and allocates for each entry what the directory at the end
of the file declares.
"""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from resgraph.diagnostics import ResgraphError, plain
from resgraph.reading import header_budget, opened, refuse_beyond
from resgraph.reading.pickles import scanned

_END = b"PK\x05\x06"
_END64 = b"PK\x06\x06"
_TAIL = 22 + 2**16
"""The end of a directory, and the longest comment behind it."""
_OLDER_PICKLES = 5
"""A number, the format's version, the machine, the state_dict, the tensors' keys."""
_NEVER = frozenset({"builtins bytearray", "__builtin__ bytearray"})
"""What torch lets a pickle call, and what allocates as many bytes as it is told."""


def check_checkpoint(path: Path) -> None:
    """Look at all that a checkpoint declares. Raises `ResgraphError`.

    A file that is no zip archive is of the older kind, one pickle after the other.
    """
    with opened(path) as file:
        try:
            if file.read(2) == b"PK":
                _check_zip(file, path)
            else:
                file.seek(0)
                _check_older(file.read(header_budget()), path)
        except (zipfile.BadZipFile, NotImplementedError, struct.error) as error:
            raise _unreadable(path, str(error)) from None
        except (OSError, UnicodeDecodeError, EOFError, RuntimeError) as error:
            raise _unreadable(path, str(error)) from None


def _check_zip(file: BinaryIO, path: Path) -> None:
    size = os.fstat(file.fileno()).st_size
    refuse_beyond(
        header_budget(), _directory_size(file, size), f"{path}: its directory"
    )
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ResgraphError(
                    f"{plain(path)} is not a readable checkpoint: {plain(entry.filename)} "
                    f"is compressed, and unpacks to {entry.file_size:,} bytes",
                    "torch.save never compresses: if you trust the file, unpack it and "
                    "zip it again with -0",
                )
        total = sum(entry.file_size for entry in entries)
        if total > size:
            raise _unreadable(
                path, f"its entries declare {total:,} bytes, and the file has {size:,}"
            )
        for entry in entries:
            if entry.filename.endswith("data.pkl"):
                refuse_beyond(header_budget(), entry.file_size, f"{path}: its pickle")
                _check_pickle(archive.read(entry), path)


def _directory_size(file: BinaryIO, size: int) -> int:
    """Bytes of the archive's directory, as its end says; zipfile reads as many at once."""
    file.seek(max(0, size - _TAIL - 20 - 56))
    tail = file.read()
    end, end64 = tail.rfind(_END), tail.rfind(_END64)
    if end < 0:
        raise zipfile.BadZipFile("it is cut short: its directory is missing")
    declared: int = struct.unpack_from("<L", tail, end + 12)[0]
    if end64 >= 0 and declared == 0xFFFFFFFF:
        declared = struct.unpack_from("<Q", tail, end64 + 40)[0]
    return declared


def _check_older(data: bytes, path: Path) -> None:
    """The pickles of the older kind, one after the other, and after them the tensors."""
    for _ in range(_OLDER_PICKLES):
        if data:
            data = data[_check_pickle(data, path) + 1 :]


def _check_pickle(data: bytes, path: Path) -> int:
    """Where it ends. Raises `ResgraphError` for one that no state_dict needs."""
    try:
        found = scanned(data, most=len(data))
    except ValueError as error:
        raise _unreadable(path, f"its pickle: {error}") from None
    if asked := sorted(found.names & _NEVER):
        raise _unreadable(
            path,
            f"it asks for {asked[0].split()[1]}, which no state_dict has a use for",
        )
    if "_codecs encode" in found.names:
        refuse_beyond(
            header_budget(), found.calls * found.longest, f"{path}: its texts"
        )
    return found.end


def _unreadable(path: Path, why: str) -> ResgraphError:
    return ResgraphError(f"{plain(path)} is not a readable checkpoint: {plain(why)}")
