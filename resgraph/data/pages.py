"""What a parquet file declares, page by page, before any page is unpacked.

A page's header says how many bytes it unpacks to, and a reader allocates as many; the footer
may say otherwise. Headers are Thrift structures in its compact protocol, of which no more is
read here than the sizes and the encoding (parquet-format, parquet.thrift).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from resgraph import limits
from resgraph.diagnostics import ResgraphError, plain
from resgraph.reading import (
    ANY_SIZE,
    budget,
    header_budget,
    in_bytes,
    opened,
    refuse_beyond,
)

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

_MAGIC = b"PAR1"
_HEADER = 2**12
_LONG_HEADER = 2**24
"""Bytes of a page's header: without statistics, and with the longest that are read."""
_PREFIXED = 7
"""DELTA_BYTE_ARRAY: each value repeats the beginning of the one before it, at no cost."""
_SLACK = 2**20


@dataclass(frozen=True)
class Page:
    """A page, as its header declares it."""

    packed: int
    unpacked: int
    encoding: int
    header: int
    """Bytes of the header itself."""


def check_footer(path: Path) -> None:
    """Raise `ResgraphError` if the footer, which is read at once, is beyond the budget."""
    with opened(path, ANY_SIZE) as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - 8))
        tail = file.read(8)
    if len(tail) < 8 or tail[4:] != _MAGIC:
        raise _damaged(path, "it does not end as a parquet file does")
    length = int.from_bytes(tail[:4], "little")
    if length > size:
        raise _damaged(path, "it is cut short")
    refuse_beyond(header_budget(), length, f"{path}: its footer")


def check_counts(path: Path, about: FileMetaData) -> None:
    """Raise `ResgraphError` for more rows, or fewer bytes, than the file can have."""
    size = path.stat().st_size
    if about.num_rows > size:
        raise _damaged(
            path, f"it declares {about.num_rows:,} rows, and has {size:,} bytes"
        )
    groups = (about.row_group(i) for i in range(about.num_row_groups))
    columns = (g.column(i) for g in groups for i in range(g.num_columns))
    known = sum(max(0, column.total_compressed_size) for column in columns)
    if size > 2 * known + header_budget() + _SLACK:
        raise _damaged(
            path, f"it has {in_bytes(size)}, and its columns {in_bytes(known)}"
        )


def largest_page(path: Path, about: FileMetaData, columns: Sequence[str]) -> int:
    """Bytes of the largest page of these columns (by their paths), unpacked.

    Raises `ResgraphError` for one that is beyond a share of the budget or of an encoding
    that repeats what is not there, and for what is no page.
    """
    largest = 1
    with opened(path, ANY_SIZE) as file:
        for group in range(about.num_row_groups):
            for chunk in _chunks(about.row_group(group), columns):
                try:
                    largest = max(largest, _checked(path, file, chunk))
                except (ValueError, OSError, OverflowError) as error:
                    raise _damaged(path, str(error)) from None
    return largest


def page_budget() -> int:
    """Bytes that a page may unpack to."""
    return budget() // limits.PAGE_SHARE


def _chunks(group: Any, columns: Sequence[str]) -> Iterator[Any]:
    for index in range(group.num_columns):
        column = group.column(index)
        if column.path_in_schema in columns and column.num_values:
            yield column


def _checked(path: Path, file: BinaryIO, chunk: Any) -> int:
    """The largest page of one column in one group of rows."""
    largest = 1
    for page in _pages(file, chunk):
        what = f"{path}: a page of '{plain(chunk.path_in_schema)}'"
        refuse_beyond(page_budget(), max(page.packed, page.unpacked), what)
        if page.encoding == _PREFIXED:
            raise ResgraphError(
                f"{plain(what, 400)} is encoded by common beginnings "
                "(DELTA_BYTE_ARRAY), and its size cannot be known before it is unpacked",
                "write pictures plain, as pyarrow and datasets do",
            )
        largest = max(largest, page.unpacked)
    return largest


def _pages(file: BinaryIO, chunk: Any) -> Iterator[Page]:
    starts = [chunk.data_page_offset]
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        starts.append(chunk.dictionary_page_offset)
    place = min(starts)
    end = place + chunk.total_compressed_size
    if place < 0 or chunk.total_compressed_size < 0:
        raise ValueError("a column begins nowhere")
    while place < end:
        file.seek(place)
        page = _next_page(file)
        yield page
        place += page.header + page.packed


def _next_page(file: BinaryIO) -> Page:
    """The page at the file's place; statistics may make its header long."""
    data = file.read(_HEADER)
    try:
        return page_of(data)
    except ValueError:
        return page_of(data + file.read(_LONG_HEADER))


def page_of(data: bytes) -> Page:
    """The page whose header the bytes begin with. Raises `ValueError`."""
    reader = _Compact(data)
    fields = reader.struct()
    unpacked, packed = fields.get(2), fields.get(3)
    if not isinstance(unpacked, int) or not isinstance(packed, int):
        raise ValueError("a page has no sizes")
    if unpacked < 0 or packed < 0:
        raise ValueError("a page has sizes below 0")
    encoding = -1
    for number, place in ((5, 2), (8, 4)):  # data pages of either version
        if isinstance(about := fields.get(number), dict):
            encoding = about.get(place, -1)
    return Page(packed, unpacked, encoding, reader.place)


class _Compact:
    """Thrift's compact protocol: structures as dicts of their fields' numbers."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > 16:
            raise ValueError("a page's header is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            fields[number] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 7:
            return self._skip(8)
        if kind == 8:
            return self._skip(self._varint())
        if kind in (9, 10):
            return self._list(depth)
        if kind == 12:
            return self.struct(depth + 1)
        raise ValueError("a page's header is none")

    def _list(self, depth: int) -> None:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        for _ in range(count):
            self._value(head & 15, depth + 1)

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise ValueError("a page's header has an endless number")

    def _byte(self) -> int:
        self._skip(1)
        return self._data[self.place - 1]

    def _skip(self, count: int) -> None:
        self.place += count
        if self.place > len(self._data):
            raise ValueError("a page's header is cut short")


def _damaged(path: Path, why: str) -> ResgraphError:
    return ResgraphError(f"cannot read {plain(path)}: {plain(why)}")
