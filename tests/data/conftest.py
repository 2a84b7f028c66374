"""Small data sets in each form, and a cache of the test's own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from resgraph.data import load_data
from resgraph.data.checksums import cache_folder
from tests import helpers

SHAPE = (3, 8, 8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("RESGRAPH_DATA", raising=False)


def entries() -> list[Path]:
    """What is in the cache."""
    return sorted((cache_folder() / "decoded").iterdir())


def refused(name: str | Path, shape: tuple[int, int, int] = SHAPE) -> str:
    """The message and the hint with which the data must be refused."""
    return helpers.refused(lambda: load_data(name, shape))


def pixels(seed: int, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


def write(
    folder: Path,
    part: str,
    images: list[Any],
    labels: list[Any],
    columns: tuple[str, str] = ("img", "label"),
) -> Path:
    """Write a parquet file."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = [{"bytes": image, "path": None} for image in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({columns[0]: pa.array(stored, kind), columns[1]: labels})
    pq.write_table(table, folder / f"{part}.parquet")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Parquet: twelve training and four test images, of three classes."""
    made = tmp_path / "small"
    write(made, "train", [png(pixels(i)) for i in range(12)], [0, 1, 2] * 4)
    return write(made, "test", [png(pixels(50 + i)) for i in range(4)], [2, 1, 0, 0])
