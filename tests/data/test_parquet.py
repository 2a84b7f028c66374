"""Parquet files: what they give, and what is wrong with bad ones."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from resgraph.data import load_data, source
from resgraph.diagnostics import ResgraphError
from tests.conftest import ROOT
from tests.data.conftest import SHAPE, pixels, png, refused, write

SHARED = ROOT / "../shared/data/cifar10"


def test_parquet_gives_the_pixels(folder: Path) -> None:
    data = load_data(folder, SHAPE)
    assert data.name == "small"
    assert data.classes == ("0", "1", "2")
    assert data.train_labels.tolist() == [0, 1, 2] * 4
    assert data.test_labels.tolist() == [2, 1, 0, 0]
    for index in range(12):
        expected = pixels(index).transpose(2, 0, 1)
        assert np.array_equal(data.train_images[index], expected)
    everything = np.stack([pixels(i) for i in range(12)]) / 255
    np.testing.assert_allclose(data.mean, everything.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(data.std, everything.std((0, 1, 2)), rtol=1e-9)


@pytest.mark.parametrize("chunk", [1, 5, 12, 100])
def test_the_chunks_in_which_it_is_decoded_do_not_matter(
    folder: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(source, "CHUNK", chunk)
    data = load_data(folder, SHAPE)
    expected = np.stack([pixels(i) for i in range(12)]).transpose(0, 3, 1, 2)
    assert np.array_equal(data.train_images, expected)
    assert data.train_labels.tolist() == [0, 1, 2] * 4
    np.testing.assert_allclose(data.mean, (expected / 255).mean((0, 2, 3)), rtol=1e-12)


def test_parquet_may_be_in_several_files(folder: Path) -> None:
    table = pq.read_table(folder / "train.parquet")
    (folder / "train.parquet").unlink()
    pq.write_table(table.slice(0, 5), folder / "train-00000-of-00002.parquet")
    pq.write_table(table.slice(5), folder / "train-00001-of-00002.parquet")
    data = load_data(folder, SHAPE)
    assert data.train_labels.tolist() == [0, 1, 2] * 4
    last = pixels(11).transpose(2, 0, 1)
    assert np.array_equal(data.train_images[11], last)


def test_the_columns_of_cifar100(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("RESGRAPH_DATA", str(tmp_path / "sets"))
    made = tmp_path / "sets" / "cifar100"
    for part in ("train", "test"):
        images = [png(pixels(i)) for i in range(3)]
        write(made, part, images, [0, 22, 99], ("img", "fine_label"))
        path = made / f"{part}.parquet"
        table = pq.read_table(path).append_column("coarse_label", pa.array([0, 1, 2]))
        pq.write_table(table, path)
    data = load_data("cifar100", SHAPE)
    assert len(data.classes) == 100
    assert [data.classes[i] for i in data.train_labels] == ["apple", "clock", "worm"]


def test_names_that_the_files_hold_come_first(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog"])
    )
    rows = {"image": [Image.fromarray(pixels(0))] * 2, "label": [1, 0]}
    (tmp_path / "cifar10").mkdir()
    for part in ("train", "test"):
        made = datasets.Dataset.from_dict(rows, features)
        made.to_parquet(str(tmp_path / "cifar10" / f"{part}.parquet"))
    data = load_data(tmp_path / "cifar10", SHAPE)
    assert data.classes == ("cat", "dog")
    assert np.array_equal(data.test_images[1], pixels(0).transpose(2, 0, 1))


def test_transparency_and_grey_are_as_in_inference(tmp_path: Path) -> None:
    clear = np.zeros((8, 8, 4), np.uint8)
    deep = io.BytesIO()
    Image.fromarray(np.full((8, 8), 0x80FF, np.uint16)).save(deep, "png")
    for part in ("train", "test"):
        write(tmp_path / "set", part, [png(clear), deep.getvalue()], [0, 1])
    data = load_data(tmp_path / "set", SHAPE)
    assert (data.train_images[0] == 255).all()
    assert (data.train_images[1] == 0x80).all()
    assert (load_data(tmp_path / "set", (4, 8, 8)).train_images[0] == 0).all()


# --- what is wrong --------------------------------------------------------------------


def test_a_part_that_is_not_there(folder: Path) -> None:
    (folder / "train.parquet").unlink()
    assert "no train*.parquet in" in refused(folder)


def test_corrupt_image_is_named(folder: Path) -> None:
    images = [png(pixels(0)), png(pixels(1))[:60]]
    write(folder, "train", images, [0, 1])
    assert "small, train set, row 1: it cannot be read: " in refused(folder)


def test_many_problems_are_told_together(folder: Path) -> None:
    write(folder, "train", [png(pixels(0)), *[b"no picture"] * 7], [0] * 8)
    write(folder, "test", [png(pixels(0)), None], [0, 1])
    told = refused(folder)
    assert told.startswith(
        "small has 8 problems:\n  train set, row 1: it is no picture"
    )
    assert "train set, row 5" in told
    assert "row 6" not in told
    assert "and 3 more" in told


def test_missing_image(folder: Path) -> None:
    write(folder, "test", [png(pixels(0)), None], [0, 1])
    assert "small, test set, row 1: there is no image" in refused(folder)


def test_images_of_two_sizes(folder: Path) -> None:
    write(folder, "train", [png(pixels(0)), png(pixels(1, 9))], [0, 1])
    assert "row 1: the image is 9 x 9, those before it 8 x 8" in refused(folder)


def test_two_sets_of_two_sizes(folder: Path) -> None:
    write(folder, "test", [png(pixels(0, 9))], [0])
    assert "training images are 3 x 8 x 8, the test images 3 x 9 x 9" in refused(folder)


def test_no_image_column(folder: Path) -> None:
    write(folder, "train", [png(pixels(0))], [0], ("photo", "label"))
    assert "no column of images; it has photo, label | call it img" in refused(folder)


def test_no_label_column(folder: Path) -> None:
    write(folder, "train", [png(pixels(0))], [0], ("img", "kind"))
    assert "no column of labels" in refused(folder)


@pytest.mark.parametrize("labels", [["a", "b"], [0.5, 1.0], [0, None], [0, 2**40]])
def test_labels_that_are_none(folder: Path, labels: list[Any]) -> None:
    write(folder, "train", [png(pixels(0))] * 2, labels)
    assert "whole number" in refused(folder)


def test_negative_labels(folder: Path) -> None:
    write(folder, "train", [png(pixels(0))] * 2, [0, -1])
    assert "labels run from -1 to 0" in refused(folder)


def test_empty_set(folder: Path) -> None:
    write(folder, "train", [], pa.array([], pa.int64()))
    assert "train set: there is no usable image in it" in refused(folder)


def test_damaged_file(folder: Path) -> None:
    (folder / "test.parquet").write_bytes(b"PAR1 and nothing more")
    assert "test.parquet: " in refused(folder)


def test_channels_that_pictures_lack(folder: Path) -> None:
    assert "1, 3 or 4 channels, the network takes 7" in refused(folder, (7, 8, 8))


def test_shape_and_classes_are_checked(folder: Path) -> None:
    data = load_data(folder, SHAPE)
    data.check_fits(SHAPE, 3)
    with pytest.raises(ResgraphError, match="the network takes 3 x 32 x 32") as caught:
        data.check_fits((3, 32, 32), 3)
    assert "input: [3, 8, 8]" in str(caught.value.hint)
    with pytest.raises(ResgraphError, match="has 3 classes, the network tells 10"):
        data.check_fits(SHAPE, 10)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data/cifar10 here")
def test_the_shared_cifar10(tmp_path: Path) -> None:
    """Its first rows, through a folder of their own: decoding all takes a while."""
    for part in ("train", "test"):
        table = pq.read_table(SHARED / f"{part}.parquet").slice(0, 300)
        (tmp_path / "cifar10").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "cifar10" / f"{part}.parquet")
    data = load_data(tmp_path / "cifar10", (3, 32, 32))
    data.check_fits((3, 32, 32), 10)
    assert data.classes[:2] == ("airplane", "automobile")
    assert int(np.bincount(data.train_labels).min()) > 15
    assert all(
        0.4 < m < 0.55 and 0.2 < s < 0.3
        for m, s in zip(data.mean, data.std, strict=True)
    )
