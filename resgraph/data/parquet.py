"""Images in parquet files, in the columns that the `datasets` library uses for them."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resgraph.data import source
from resgraph.data.checksums import checksum
from resgraph.data.pictures import no_size_warnings, read_picture
from resgraph.data.source import PARTS, Chunk, Problems, by
from resgraph.diagnostics import ResgraphError

_IMAGE_COLUMNS = ("img", "image")
_LABEL_COLUMNS = ("label", "fine_label")


class Parquet:
    """The data set in a folder of train*.parquet and test*.parquet."""

    def __init__(self, folder: Path, channels: int, name: str) -> None:
        """Raises `ResgraphError` if one of the sets is not there."""
        self.name = name
        self.variant = str(channels)
        self.channels = channels
        self.files = {part: sorted(folder.glob(f"{part}*.parquet")) for part in PARTS}
        if lacking := [f"{part}*.parquet" for part in PARTS if not self.files[part]]:
            raise ResgraphError(
                f"no {' and no '.join(lacking)} in {folder}",
                "a data folder holds train*.parquet and test*.parquet",
            )

    def checksum(self) -> str:
        """Of the files' contents alone."""
        return checksum([file for part in PARTS for file in self.files[part]])

    @contextlib.contextmanager
    def opened(self) -> Iterator[_Tables]:
        """Begin to read; `datasets` reads the files as a stream, without copies."""
        with tempfile.TemporaryDirectory() as scratch, _quiet(), no_size_warnings():
            tables = {part: _open(self.files[part], scratch) for part in PARTS}
            yield _Tables(tables, self.channels)


class _Tables:
    def __init__(self, tables: dict[str, _Table], channels: int) -> None:
        self._tables = tables
        self._channels = channels
        self._shape: tuple[int, ...] | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        return next((t.classes for t in self._tables.values() if t.classes), ())

    def chunks(self, part: str, problems: Problems) -> Iterator[Chunk]:
        self._shape, row = None, 0
        for stored, labels in self._tables[part].batches():
            images, kept = [], []
            for offset, item in enumerate(stored):
                try:
                    images.append(self._image(item))
                    kept.append(offset)
                except ResgraphError as error:
                    problems.add(f"{part} set, row {row + offset}: {error.message}")
            row += len(stored)
            checked = _labels(labels, f"{part} set", problems)
            if images:
                yield np.stack(images), checked[kept]

    def _image(self, stored: Any) -> NDArray[np.uint8]:
        data = stored.get("bytes") if isinstance(stored, dict) else stored
        if not isinstance(data, bytes):
            raise ResgraphError("there is no image in it")
        image = read_picture(io.BytesIO(data), self._channels)
        self._shape = self._shape or image.shape
        if image.shape != self._shape:
            raise ResgraphError(
                f"the image is {by(image.shape[1:])}, those before it {by(self._shape[1:])}"
            )
        return image


class _Table:
    """The rows of one set, as `datasets` streams them."""

    def __init__(self, rows: Any, image: str, label: str, file: Path) -> None:
        self._rows, self._image, self._label, self._file = rows, image, label, file
        self.classes = tuple(getattr(rows.features[label], "names", None) or ())

    def batches(self) -> Iterator[tuple[list[Any], list[Any]]]:
        """What the columns hold, images not decoded: each a dict with `bytes`."""
        from datasets import Image

        rows = self._rows.select_columns([self._image, self._label])
        if isinstance(self._rows.features[self._image], Image):
            rows = rows.cast_column(self._image, Image(decode=False))
        batches = rows.iter(batch_size=source.CHUNK)
        while True:
            with _errors_of(self._file):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch[self._image], batch[self._label]


def _open(files: list[Path], scratch: str) -> _Table:
    import datasets

    with _errors_of(files[0]):
        rows = datasets.load_dataset(
            "parquet",
            data_files=[str(file) for file in files],
            split="train",
            streaming=True,
            batch_size=source.CHUNK,
            cache_dir=scratch,
        )
    image, label = (
        _column(rows.column_names or [], files[0], what, wanted)
        for what, wanted in (("images", _IMAGE_COLUMNS), ("labels", _LABEL_COLUMNS))
    )
    return _Table(rows, image, label, files[0])


def _column(
    present: Sequence[str], file: Path, what: str, wanted: tuple[str, ...]
) -> str:
    for column in wanted:
        if column in present:
            return column
    raise ResgraphError(
        f"{file} has no column of {what}; it has {', '.join(present)}",
        f"call it {' or '.join(wanted)}",
    )


def _labels(stored: list[Any], where: str, problems: Problems) -> NDArray[np.int64]:
    wrong = sum(type(label) is not int or abs(label) >= 2**31 for label in stored)
    if wrong:
        problems.add(f"{where}: {wrong} labels are not whole numbers")
        return np.zeros(len(stored), np.int64)
    return np.asarray(stored, np.int64)


@contextlib.contextmanager
def _errors_of(file: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # pyarrow's and datasets' errors have no common base
        cause = str(error.__cause__ or error).partition("\n")[0]
        raise ResgraphError(f"cannot read {file}: {cause}") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep `datasets` from logging what is told as an error, and from its own bars."""
    import datasets

    verbosity = datasets.logging.get_verbosity()
    bars = datasets.is_progress_bar_enabled()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if bars:
            datasets.enable_progress_bars()
