"""The files of an official CIFAR archive, be it packed or a folder; nothing is unpacked."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, Self

from resgraph.data.source import cannot_read
from resgraph.diagnostics import ResgraphError, plain
from resgraph.limits import ARCHIVE_BYTES, MEMBER_BYTES, MEMBER_NAME_BYTES, MEMBERS
from resgraph.reading import ANY_SIZE, in_bytes, opened, read_bytes, regular_size

_DESCRIBING = frozenset("gxXLKV")
"""Types of tar headers that are followed by names and fields, not by a file."""


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
        check_size(path, MEMBER_BYTES)
        return read_bytes(path, MEMBER_BYTES)


class Packed:
    """The files of a tar archive, read into memory in one pass.

    Only the last part of a member's name counts, and nothing is written anywhere, so names
    such as ../../x do no harm. Sizes are checked before anything is read.
    """

    def __init__(self, archive: Path, wanted: Collection[str]) -> None:
        """Raises `ResgraphError` if the archive is damaged, or is none."""
        self._contents: dict[str, bytes] = {}
        try:
            with opened(archive) as file, _Limited(_unpacked(file), archive) as tar:
                self._take(tar, archive, wanted)
                while tar.read(2**20):  # so that gzip checks its checksum
                    pass
        except tarfile.TarError as error:
            raise ResgraphError(
                f"{plain(archive)} is no whole tar archive: {plain(error)}"
            ) from None
        except (EOFError, ValueError, gzip.BadGzipFile, zlib.error) as error:
            raise ResgraphError(
                f"{plain(archive)} is damaged or cut short: {plain(error)}",
                "get it anew",
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
        with tarfile.open(fileobj=tar, mode="r|", tarinfo=_Member) as members:
            for number, member in enumerate(members):
                name = PurePosixPath(member.name).name
                if member.size > MEMBER_BYTES:
                    what = f"{archive}: {name}"
                    raise _too_large(what, member.size, MEMBER_BYTES)
                if number > MEMBERS:
                    raise ResgraphError(
                        f"{plain(archive)} holds more than {MEMBERS} files, and no "
                        "official archive does"
                    )
                if name not in wanted or not member.isreg() or member.issparse():
                    continue
                if name in self._contents:
                    raise ResgraphError(f"{plain(archive)} holds two files {name}")
                stored = members.extractfile(member)
                assert stored is not None
                self._contents[name] = stored.read()


class _Member(tarfile.TarInfo):
    """A header of a tar archive; tarfile reads what describes the next file at once."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        kind = member.type.decode("latin1")
        if kind in _DESCRIBING and member.size > MEMBER_NAME_BYTES:
            what = "a name or field of a file in the archive"
            raise _too_large(what, member.size, MEMBER_NAME_BYTES)
        return member


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
        self._taken = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._taken += len(data)
        if self._taken > ARCHIVE_BYTES:
            raise _too_large(self._archive, self._taken, ARCHIVE_BYTES)
        return data


def check_size(path: Path, most: int) -> None:
    """Raise `ResgraphError` for a file that is larger than any official one."""
    if (size := regular_size(path, ANY_SIZE)) > most:
        raise _too_large(path, size, most)


def _too_large(what: object, size: int, most: int) -> ResgraphError:
    return ResgraphError(
        f"{plain(what, 400)} is larger than any official CIFAR archive, and is not read: "
        f"{in_bytes(size)}, and {in_bytes(most)} are allowed"
    )
