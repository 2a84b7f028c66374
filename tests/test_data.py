"""Data sets: digits, parquet files, their cache, and what is wrong with bad ones."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from resgraph.data import load_data, pictures
from resgraph.data.cache import cache_folder, checksum
from resgraph.data.dataset import mean_and_std
from resgraph.data.names import CLASSES
from resgraph.diagnostics import ResgraphError
from resgraph.infer.images import read_image
from tests.conftest import ROOT

SHAPE = (3, 8, 8)
SHARED = ROOT / "../shared/data/cifar10"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("RESGRAPH_DATA", raising=False)


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
    folder.mkdir(parents=True, exist_ok=True)
    stored = [{"bytes": image, "path": None} for image in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({columns[0]: pa.array(stored, kind), columns[1]: labels})
    pq.write_table(table, folder / f"{part}.parquet")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve training and four test images, of three classes."""
    made = tmp_path / "small"
    write(made, "train", [png(pixels(i)) for i in range(12)], [0, 1, 2] * 4)
    return write(made, "test", [png(pixels(50 + i)) for i in range(4)], [2, 1, 0, 0])


# --- digits ---------------------------------------------------------------------------


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    data = load_data("digits", (1, 8, 8))
    assert data.train_images.shape == (1437, 1, 8, 8)
    assert data.test_images.shape == (360, 1, 8, 8)
    assert data.train_images.dtype == np.uint8
    assert data.classes == tuple("0123456789")
    assert data.flip_ok is False
    ours = np.concatenate([data.train_images, data.test_images]).reshape(-1, 64)
    theirs = np.round(load_digits().data * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, ours)) == sorted(map(bytes, theirs))


def test_digits_are_split_alike_for_each_class_and_each_time() -> None:
    one, two = load_data("digits", (1, 8, 8)), load_data("digits", (3, 16, 12))
    assert np.array_equal(one.test_labels, two.test_labels)
    counts = np.bincount(one.test_labels)
    assert int(counts.min()) >= 34
    assert int(counts.max()) <= 38
    assert two.train_images.shape == (1437, 3, 16, 12)
    assert np.array_equal(two.train_images[:, 0], two.train_images[:, 2])
    assert one.fingerprint == two.fingerprint


# --- parquet --------------------------------------------------------------------------


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


def test_known_names() -> None:
    assert {name: len(set(c)) for name, c in CLASSES.items()} == {
        "cifar10": 10,
        "cifar100": 100,
    }
    assert all(list(names) == sorted(names) for names in CLASSES.values())


# --- the cache ------------------------------------------------------------------------


def entries() -> list[Path]:
    return sorted((cache_folder() / "decoded").iterdir())


def test_the_second_time_nothing_is_decoded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_data(folder, SHAPE)
    assert len(entries()) == 1
    monkeypatch.setitem(sys.modules, "datasets", None)  # importing it would now fail
    second = load_data(folder, SHAPE)
    assert np.array_equal(first.train_images, second.train_images)
    assert np.array_equal(first.test_labels, second.test_labels)
    assert (first.classes, first.mean) == (second.classes, second.mean)
    second.train_images[0] = 0  # reaches neither the file nor the next reader
    third = load_data(folder, SHAPE)
    assert np.array_equal(first.train_images, third.train_images)


@pytest.mark.parametrize("name", ["train_images.npy", "test_labels.npy", "entry.json"])
def test_a_damaged_entry_is_made_anew(folder: Path, name: str) -> None:
    first = load_data(folder, SHAPE)
    damaged = entries()[0] / name
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 0xFF
    damaged.write_bytes(content)
    second = load_data(folder, SHAPE)
    assert np.array_equal(first.train_images, second.train_images)
    assert np.array_equal(first.test_labels, second.test_labels)
    assert len(entries()) == 1
    assert damaged.read_bytes() != content


def test_other_content_of_equal_size_and_time_is_other_data(folder: Path) -> None:
    path = folder / "train.parquet"
    first, stat = load_data(folder, SHAPE), path.stat()
    write(folder, "train", [png(pixels(i)) for i in range(12)], [1, 0, 2] * 4)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = load_data(folder, SHAPE)
    assert second.train_labels.tolist() == [1, 0, 2] * 4
    assert first.fingerprint != second.fingerprint


def test_grey_and_colour_are_kept_apart(folder: Path) -> None:
    assert load_data(folder, SHAPE).train_images.shape == (12, 3, 8, 8)
    assert load_data(folder, (1, 8, 8)).train_images.shape == (12, 1, 8, 8)


def test_a_cache_that_cannot_be_written_is_no_hindrance(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(load_data(folder, SHAPE).train_images) == 12


# --- what is wrong --------------------------------------------------------------------


def refused(name: str | Path, shape: tuple[int, int, int] = SHAPE) -> str:
    with pytest.raises(ResgraphError) as caught:
        load_data(name, shape)
    return f"{caught.value.message} | {caught.value.hint}"


def test_unknown_name() -> None:
    assert "digits, cifar10, cifar100" in refused("cifar1000")


def test_folder_without_parquet(tmp_path: Path) -> None:
    assert "no train*.parquet" in refused(tmp_path)


def test_corrupt_image_is_named(folder: Path) -> None:
    images = [png(pixels(0)), png(pixels(1))[:60]]
    write(folder, "train", images, [0, 1])
    assert "small, train set, row 1: the image does not decode" in refused(folder)


def test_missing_image(folder: Path) -> None:
    write(folder, "test", [png(pixels(0)), None], [0, 1])
    assert "small, test set, row 1: there is no image" in refused(folder)


def test_images_of_two_sizes(folder: Path) -> None:
    write(folder, "train", [png(pixels(0)), png(pixels(1, 9))], [0, 1])
    assert "row 1: the image is 9 x 9, those before it 8 x 8" in refused(folder)


def test_no_image_column(folder: Path) -> None:
    write(folder, "train", [png(pixels(0))], [0], ("photo", "label"))
    assert "no column of images; it has photo, label | call it img" in refused(folder)


def test_no_label_column(folder: Path) -> None:
    write(folder, "train", [png(pixels(0))], [0], ("img", "kind"))
    assert "no column of labels" in refused(folder)


@pytest.mark.parametrize("labels", [["a", "b"], [0.5, 1.0]])
def test_labels_that_are_none(folder: Path, labels: list[Any]) -> None:
    write(folder, "train", [png(pixels(0))] * 2, labels)
    assert refused(folder)


def test_missing_and_negative_labels(folder: Path) -> None:
    write(folder, "train", [png(pixels(0))] * 2, [0, None])
    assert "not whole numbers" in refused(folder)
    write(folder, "train", [png(pixels(0))] * 2, [0, -1])
    assert "labels run from -1 to 0" in refused(folder)


def test_empty_set(folder: Path) -> None:
    write(folder, "train", [], pa.array([], pa.int64()))
    told = refused(folder)  # by datasets itself, in some of its versions
    assert "train set: it is empty" in told or "no data" in told


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


def test_absent_data_name_the_way_out(tmp_path: Path) -> None:
    """In a process of its own, with a hub that cannot be reached."""
    code = (
        "from resgraph.data import load_data\n"
        "from resgraph.diagnostics import ResgraphError\n"
        "try: load_data('cifar10', (3, 32, 32))\n"
        "except ResgraphError as error: print(error.message, error.hint)\n"
    )
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    env |= {"PYTHONPATH": str(ROOT), "HF_ENDPOINT": "https://hub.invalid"}
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "cifar10 is not here and cannot be downloaded: no connection" in told
    assert "--data digits" in told
    assert "../shared/data/cifar10" in told


@pytest.mark.skipif(
    bool(urllib.request.getproxies()), reason="behind a proxy the hub is asked itself"
)
def test_an_earlier_download_is_found(folder: Path, tmp_path: Path) -> None:
    place = cache_folder() / "downloads" / "cifar100"
    place.parent.mkdir(parents=True)
    folder.rename(place)
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    before = Path.cwd()
    os.chdir(empty)
    try:
        assert len(load_data("cifar100", SHAPE).train_images) == 12
    finally:
        os.chdir(before)


# --- pieces ---------------------------------------------------------------------------


def test_a_constant_channel_has_deviation_one() -> None:
    mean, std = mean_and_std(np.full((2, 1, 3, 3), 51, np.uint8))
    assert mean == (pytest.approx(0.2),)
    assert std == (1.0,)


def test_checksum_depends_on_contents_and_order(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_bytes(b"ab")
    two.write_bytes(b"c")
    assert checksum([one, two]) != checksum([two, one])
    two.write_bytes(b"d")
    assert len({checksum([one]), checksum([two]), checksum([one, two])}) == 3


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(8, 8), (37, 21), (3, 50)])
def test_training_and_inference_see_the_same(
    tmp_path: Path, mode: str, size: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = Image.fromarray(noise).convert(mode)
    image.save(tmp_path / "image.png")
    for channels in (1, 3):
        array = read_image(tmp_path / "image.png", (channels, 16, 12))
        plain = pictures.decoded((tmp_path / "image.png").read_bytes(), channels)
        assert plain.shape == (channels, size[1], size[0])
        as_image = Image.fromarray(plain.transpose(1, 2, 0).squeeze())
        sized = np.asarray(pictures.resized(as_image, 16, 12))
        expected = sized[None] if channels == 1 else sized.transpose(2, 0, 1)
        np.testing.assert_array_equal(array, expected)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data/cifar10 here")
def test_the_shared_cifar10(root: Path, tmp_path: Path) -> None:
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
