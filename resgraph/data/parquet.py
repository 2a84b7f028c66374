"""Images in parquet files, in the columns that the `datasets` library uses for them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resgraph.data import cache
from resgraph.data.cache import Decoded
from resgraph.data.dataset import Dataset, Shape, dataset
from resgraph.data.names import CLASSES
from resgraph.data.pictures import MODES, decoded
from resgraph.diagnostics import ResgraphError

_IMAGE_COLUMNS = ("img", "image")
_LABEL_COLUMNS = ("label", "fine_label")
_CHUNK = 1000  # rows decoded at a time


def load_folder(folder: Path, input_shape: Shape, name: str | None = None) -> Dataset:
    """The data set in a folder of train*.parquet and test*.parquet.

    Images are decoded once and kept in the cache under the files' checksum; afterwards
    neither the parquet files' contents nor `datasets` are looked into.
    Raises `ResgraphError` for missing files or columns, images that do not decode or that
    differ in size, and labels that are none.
    """
    channels = input_shape[0]
    if channels not in MODES:
        raise ResgraphError(
            f"images have 1, 3 or 4 channels, the network takes {channels}"
        )
    name = name or folder.resolve().name
    files = {part: _files(folder, part) for part in ("train", "test")}
    checksum = cache.checksum([*files["train"], *files["test"]])
    key = f"{checksum}-{channels}"
    found = cache.load(key)
    if found is None:
        found = _decode(name, files, channels)
        cache.store(key, found)
    return dataset(
        name,
        (found.train_images, found.train_labels),
        (found.test_images, found.test_labels),
        found.classes,
        f"sha256:{checksum}",
    )


def _files(folder: Path, part: str) -> list[Path]:
    files = sorted(folder.glob(f"{part}*.parquet"))
    if not files:
        raise ResgraphError(
            f"no {part}*.parquet in {folder}",
            "a data folder holds train*.parquet and test*.parquet",
        )
    return files


def _decode(name: str, files: dict[str, list[Path]], channels: int) -> Decoded:
    arrays: dict[str, Any] = {}
    names: list[str] | None = None
    with tempfile.TemporaryDirectory() as scratch, _quiet():
        for part, paths in files.items():
            where = f"{name}, {part} set"
            rows = _open(paths, scratch)
            image, label = _columns(rows, paths[0])
            if not len(rows):
                raise ResgraphError(f"{where}: it is empty")
            arrays[f"{part}_labels"] = _labels(rows, label, where)
            arrays[f"{part}_images"] = _images(rows, image, channels, where)
            names = names or getattr(rows.features[label], "names", None)
    count = 1 + max(int(arrays[f"{part}_labels"].max()) for part in files)
    return Decoded(**arrays, classes=_classes(count, names, CLASSES.get(name)))


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


def _open(files: list[Path], scratch: str) -> Any:
    """The rows as `datasets` reads them; its own copy goes into the scratch folder."""
    import datasets

    try:
        return datasets.load_dataset(
            "parquet",
            data_files=[str(file) for file in files],
            split="train",
            batch_size=_CHUNK,
            cache_dir=scratch,
            keep_in_memory=True,
        )
    except Exception as error:  # pyarrow's and datasets' errors have no common base
        cause = str(error.__cause__ or error).partition("\n")[0]
        raise ResgraphError(f"cannot read {files[0]}: {cause}") from None


def _columns(rows: Any, file: Path) -> tuple[str, str]:
    """The names of the columns with the images and the labels."""
    names = []
    for what, wanted in (("images", _IMAGE_COLUMNS), ("labels", _LABEL_COLUMNS)):
        found = [column for column in wanted if column in rows.column_names]
        if not found:
            raise ResgraphError(
                f"{file} has no column of {what}; it has {', '.join(rows.column_names)}",
                f"call it {' or '.join(wanted)}",
            )
        names.append(found[0])
    return names[0], names[1]


def _images(rows: Any, column: str, channels: int, where: str) -> NDArray[np.uint8]:
    """All images of the column as [N, C, H, W]."""
    images: NDArray[np.uint8] | None = None
    for index, stored in enumerate(_stored(rows, column)):
        image = _image(stored, channels, f"{where}, row {index}")
        if images is None:
            images = np.empty((len(rows), *image.shape), np.uint8)
        if image.shape != images.shape[1:]:
            raise ResgraphError(
                f"{where}, row {index}: the image is {image.shape[1]} x {image.shape[2]}, "
                f"those before it {images.shape[2]} x {images.shape[3]}",
                "bring all images to one size",
            )
        images[index] = image
    assert images is not None
    return images


def _stored(rows: Any, column: str) -> Iterator[Any]:
    """What the column holds for each image, not decoded: a dict with `bytes`."""
    from datasets import Image

    only = rows.select_columns([column])
    if isinstance(only.features[column], Image):
        only = only.cast_column(column, Image(decode=False))
    for batch in only.iter(batch_size=_CHUNK):
        yield from batch[column]


def _image(stored: Any, channels: int, where: str) -> NDArray[np.uint8]:
    data = stored.get("bytes") if isinstance(stored, dict) else stored
    if not isinstance(data, bytes):
        raise ResgraphError(f"{where}: there is no image in it")
    try:
        return decoded(data, channels)
    except Exception as error:  # Pillow's plugins raise many kinds on damaged data
        raise ResgraphError(f"{where}: the image does not decode: {error}") from None


def _labels(rows: Any, column: str, where: str) -> NDArray[np.int64]:
    labels = np.asarray(rows[column][:])
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ResgraphError(f"{where}: the labels in '{column}' are not whole numbers")
    return labels.astype(np.int64)


def _classes(count: int, *known: Sequence[str] | None) -> tuple[str, ...]:
    """The first names that are enough for so many classes, else their numbers."""
    for names in known:
        if names and count <= len(names):
            return tuple(names)
    return tuple(str(number) for number in range(count))
