"""Images in parquet files, in the columns that the `datasets` library uses for them.

pyarrow reads them, row by row as far as memory is concerned: the `datasets` library would
unpack whatever a file declares.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resgraph.data import pages, source
from resgraph.data.checksums import checksum
from resgraph.data.pictures import no_size_warnings, read_picture
from resgraph.data.source import PARTS, Chunk, Problems, by
from resgraph.diagnostics import ResgraphError, plain
from resgraph.limits import CLASSES
from resgraph.reading import chunk_budget, header_budget, parsed_json, refuse_beyond

if TYPE_CHECKING:
    from pyarrow import DataType, RecordBatch, Schema

_IMAGE_COLUMNS = ("img", "image")
_LABEL_COLUMNS = ("label", "fine_label")
_BYTES = "bytes"
"""Of an image that is a structure, the part that holds the file."""


class Parquet:
    """The data set in a folder of train*.parquet and test*.parquet."""

    def __init__(self, folder: Path, channels: int, name: str) -> None:
        """Raises `ResgraphError` if one of the sets is not there, or no parquet file."""
        self.name = name
        self.variant = str(channels)
        self.channels = channels
        self.files = {part: sorted(folder.glob(f"{part}*.parquet")) for part in PARTS}
        if lacking := [f"{part}*.parquet" for part in PARTS if not self.files[part]]:
            raise ResgraphError(
                f"no {' and no '.join(lacking)} in {plain(folder)}",
                "a data folder holds train*.parquet and test*.parquet",
            )
        self._tables = {
            part: [_Table(file) for file in self.files[part]] for part in PARTS
        }

    def checksum(self) -> str:
        """Of the files' contents alone."""
        return checksum([file for part in PARTS for file in self.files[part]])

    @contextlib.contextmanager
    def opened(self) -> Iterator[_Tables]:
        """Begin to read."""
        with no_size_warnings():
            yield _Tables(self._tables, self.channels)


class _Tables:
    def __init__(self, tables: dict[str, list[_Table]], channels: int) -> None:
        self._tables = tables
        self._channels = channels
        self._shape: tuple[int, ...] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        everything = (t for tables in self._tables.values() for t in tables)
        return next((t.classes for t in everything if t.classes), ())

    def chunks(self, part: str, problems: Problems) -> Iterator[Chunk]:
        self._shape, row = None, 0
        for table in self._tables[part]:
            for batch in table.batches(problems, f"{part} set"):
                yield from self._decoded(batch, f"{part} set", row, problems)
                row += len(batch.images)

    def _decoded(
        self, batch: _Batch, where: str, row: int, problems: Problems
    ) -> Iterator[Chunk]:
        """The images of a batch, and each time that they are many bytes, these."""
        images: list[NDArray[np.uint8]] = []
        labels: list[int] = []
        for offset, label in enumerate(_labels(batch.labels, where, problems)):
            try:
                images.append(self._image(batch.images[offset]))
                labels.append(label)
            except ResgraphError as error:
                problems.add(f"{where}, row {row + offset}: {error.message}")
            if images and images[0].nbytes * len(images) >= chunk_budget():
                yield np.stack(images), np.array(labels, np.int64)
                images, labels = [], []
        if images:
            yield np.stack(images), np.array(labels, np.int64)

    def _image(self, stored: Any) -> NDArray[np.uint8]:
        data = stored.as_py()
        if not isinstance(data, bytes):
            raise ResgraphError("there is no image in it")
        refuse_beyond(chunk_budget(), len(data), "the image")
        image = read_picture(io.BytesIO(data), self._channels)
        self._shape = self._shape or image.shape
        if image.shape != self._shape:
            raise ResgraphError(
                f"the image is {by(image.shape[1:])}, those before it {by(self._shape[1:])}"
            )
        return image


@dataclass(frozen=True)
class _Batch:
    """Some rows: what pyarrow has of the images, and the labels."""

    images: Any
    labels: list[Any]


class _Table:
    """One file, of which nothing but the footer has been read."""

    def __init__(self, file: Path) -> None:
        """Raises `ResgraphError` if it is no parquet file, or has not the columns."""
        from pyarrow import parquet

        pages.check_footer(file)
        self._file = file
        with _errors_of(file):
            opened = parquet.ParquetFile(
                file,
                thrift_string_size_limit=header_budget(),
                thrift_container_size_limit=header_budget(),
                arrow_extensions_enabled=False,
            )
            self._about, schema = opened.metadata, opened.schema_arrow
        pages.check_counts(file, self._about)
        names = schema.names
        self._image = _column(names, file, "images", _IMAGE_COLUMNS)
        self._label = _column(names, file, "labels", _LABEL_COLUMNS)
        self._leaf = _leaf(self._image, schema.field(self._image).type)
        self._kind = schema.field(self._label).type
        self.classes = _classes(schema, self._label)

    def batches(self, problems: Problems, where: str) -> Iterator[_Batch]:
        """The rows, so many at a time that their pages are within the budget."""
        from pyarrow import types

        if self._leaf is None:
            problems.add(f"{where}: there is no image in column '{plain(self._image)}'")
        if not types.is_integer(self._kind):
            kind = plain(self._kind)
            problems.add(f"{where}: its labels are not whole numbers, but {kind}")
        elif self._leaf is not None:
            yield from self._read(self._leaf)

    def _read(self, leaf: str) -> Iterator[_Batch]:
        from pyarrow import parquet

        largest = pages.largest_page(self._file, self._about, [leaf, self._label])
        rows = max(1, min(source.CHUNK, pages.page_budget() // largest))
        with _errors_of(self._file):
            # As a dictionary, an image that is repeated a thousand times is there once.
            opened = parquet.ParquetFile(
                self._file,
                read_dictionary=[leaf],
                pre_buffer=False,
                buffer_size=2**20,
                arrow_extensions_enabled=False,
            )
            batches = opened.iter_batches(
                rows, columns=[leaf, self._label], use_threads=False
            )
        with contextlib.closing(opened):
            while True:
                with _errors_of(self._file):
                    batch = next(batches, None)
                if batch is None:
                    return
                yield self._rows(batch)

    def _rows(self, batch: RecordBatch) -> _Batch:
        images = batch.column(self._image)
        if self._leaf != self._image:
            (images,) = images.flatten()  # an image that is null has no bytes
        return _Batch(images, batch.column(self._label).to_pylist())


def _leaf(column: str, kind: DataType) -> str | None:
    """The path of the column that holds the images' bytes; None if there is none."""
    from pyarrow import types

    def binary(kind: DataType) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    if binary(kind):
        return column
    if not types.is_struct(kind):
        return None
    parts = [kind.field(index) for index in range(kind.num_fields)]
    whole = any(part.name == _BYTES and binary(part.type) for part in parts)
    return f"{column}.{_BYTES}" if whole else None


def _classes(schema: Schema, label: str) -> tuple[str, ...]:
    """The names of the label's `ClassLabel`, as `datasets` writes them down."""
    text = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        names = parsed_json(text)["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError, IndexError):
        return ()
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        return ()
    return tuple(names)


def _column(
    present: Sequence[str], file: Path, what: str, wanted: tuple[str, ...]
) -> str:
    for column in wanted:
        if column in present:
            return column
    raise ResgraphError(
        f"{plain(file)} has no column of {what}; it has {plain(', '.join(present))}",
        f"call it {' or '.join(wanted)}",
    )


def _labels(stored: list[Any], where: str, problems: Problems) -> NDArray[np.int64]:
    wrong = sum(type(label) is not int or abs(label) >= CLASSES for label in stored)
    if wrong:
        are = (
            "label is not a whole number"
            if wrong == 1
            else "labels are not whole numbers"
        )
        problems.add(f"{where}: {wrong} {are}")
        return np.zeros(len(stored), np.int64)
    return np.asarray(stored, np.int64)


@contextlib.contextmanager
def _errors_of(file: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # pyarrow's errors have no common base
        cause = plain(str(error).partition("\n")[0], 300)
        raise ResgraphError(f"cannot read {plain(file)}: {cause}") from None
