"""The files of an official CIFAR archive, be it packed or a folder; nothing is unpacked."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from resgraph.data.source import cannot_read
from resgraph.diagnostics import ResgraphError

LARGEST = 2**28
"""Bytes. The largest file of an official archive is CIFAR-100's training set, of 155 MB."""
LARGEST_TOTAL = 2**29
"""Bytes of an archive, unpacked: the official ones have 186 MB."""
_MOST = 100  # members; the official archives have ten at most


class Members(Protocol):
    """Files by their names without folders."""

    @property
    def names(self) -> Collection[str]:
        """Those that are there, of those that were wanted."""

    def read(self, name: str) -> bytes:
        """The contents of one. Raises `ResgraphError` if they cannot be read."""


class Folder:
    """The files of a folder."""

    def __init__(self, folder: Path, wanted: Collection[str]) -> None:
        self.folder = folder
        self.names = {name for name in wanted if (folder / name).is_file()}

    def read(self, name: str) -> bytes:
        """The contents of a file; refused if it is larger than it can be."""
        path = self.folder / name
        try:
            if path.stat().st_size > LARGEST:
                raise _too_large(path)
            return path.read_bytes()
        except OSError as error:
            raise cannot_read(path, error) from None


class Packed:
    """The files of a tar archive, read into memory in one pass.

    Only the last part of a member's name counts, and nothing is written anywhere, so names
    such as ../../x do no harm. Sizes are checked before anything is read.
    """

    def __init__(self, archive: Path, wanted: Collection[str]) -> None:
        """Raises `ResgraphError` if the archive is damaged, or is none."""
        self._contents: dict[str, bytes] = {}
        try:
            with archive.open("rb") as file, _Limited(_unpacked(file), archive) as tar:
                self._take(tar, archive, wanted)
                while tar.read(2**20):  # so that gzip checks its checksum
                    pass
        except tarfile.TarError as error:
            raise ResgraphError(f"{archive} is no whole tar archive: {error}") from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ResgraphError(
                f"{archive} is damaged or cut short: {error}", "get it anew"
            ) from None
        except OSError as error:
            raise cannot_read(archive, error) from None

    @property
    def names(self) -> Collection[str]:
        return self._contents.keys()

    def read(self, name: str) -> bytes:
        """The contents of a member."""
        return self._contents[name]

    def _take(self, tar: _Limited, archive: Path, wanted: Collection[str]) -> None:
        with tarfile.open(fileobj=tar, mode="r|") as members:
            for number, member in enumerate(members):
                name = PurePosixPath(member.name).name
                if member.size > LARGEST or number > _MOST:
                    raise _too_large(f"{archive}: {name}")
                if name not in wanted or not member.isreg():
                    continue
                if name in self._contents:
                    raise ResgraphError(f"{archive} holds two files {name}")
                stored = members.extractfile(member)
                assert stored is not None
                self._contents[name] = stored.read()


def _unpacked(file: IO[bytes]) -> IO[bytes] | gzip.GzipFile:
    """The tar itself, be it compressed or not."""
    compressed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return gzip.open(file) if compressed else file


class _Limited(io.RawIOBase):
    """A stream that refuses to give more than any official archive holds."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, archive: Path) -> None:
        self._stream = stream
        self._archive = archive
        self._left = LARGEST_TOTAL

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._archive)
        return data


def _too_large(what: object) -> ResgraphError:
    return ResgraphError(
        f"{what} is larger than any official CIFAR archive, and is not read"
    )
