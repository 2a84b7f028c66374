"""Folders of pictures: what they give, and what is wrong with bad ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resgraph.data import checksums, load_data, source
from resgraph.infer import read_images
from resgraph.limits import BYTES_PER_PIXEL, READ_VARIABLE
from tests.data.conftest import entries, pixels, refused

SHAPE = (3, 6, 5)
CLASSES = ("ant", "bee", "cat")


def save(path: Path, seed: int, size: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, size)).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three training pictures and a test picture of each of three classes."""
    top = tmp_path / "insects"
    for label, name in enumerate(CLASSES):
        for number in range(3):
            save(
                top / "train" / name / f"{number}.png", 10 * label + number, 7 + number
            )
        save(top / "test" / name / "a.png", 90 + label)
    return top


def test_pictures_are_as_in_inference(pictures: Path) -> None:
    data = load_data(pictures, SHAPE)
    data.check_fits(SHAPE, 3)
    assert data.name == "insects"
    assert data.classes == CLASSES
    assert data.train_labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert data.test_labels.tolist() == [0, 1, 2]
    inferred = read_images([pictures / "train"], SHAPE).images
    assert np.array_equal(data.train_images, inferred)
    grey = load_data(pictures, (1, 6, 5))
    assert np.array_equal(
        grey.test_images, read_images([pictures / "test"], (1, 6, 5)).images
    )


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_the_chunks_in_which_it_is_decoded_do_not_matter(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(source, "CHUNK", chunk)
    data = load_data(pictures, SHAPE)
    inferred = read_images([pictures / "train"], SHAPE).images
    assert np.array_equal(data.train_images, inferred)
    assert data.train_labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_nested_hidden_and_other_files(pictures: Path) -> None:
    save(pictures / "train" / "bee" / "more" / "deep.png", 50)
    save(pictures / "train" / "bee" / ".hidden.png", 51)
    save(pictures / "train" / ".cache" / "x.png", 52)
    save(pictures / "train" / "bee" / ".thumbnails" / "x.png", 53)
    (pictures / "train" / "bee" / "notes.txt").write_text("no picture")
    (pictures / "train" / "README.md").write_text("no picture")
    data = load_data(pictures, SHAPE)
    assert data.train_labels.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    deep = read_images([pictures / "train/bee/more"], SHAPE).images[0]
    assert np.array_equal(data.train_images[6], deep)


def test_val_stands_for_test_where_test_has_no_classes(pictures: Path) -> None:
    (pictures / "test").rename(pictures / "val")
    save(pictures / "test" / "unlabelled.png", 1)
    assert load_data(pictures, SHAPE).test_labels.tolist() == [0, 1, 2]


def test_the_cache_is_kept_by_size_names_and_contents(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_data(pictures, SHAPE)
    assert load_data(pictures, (3, 5, 6)).shape == (3, 5, 6)
    assert len(entries()) == 2
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", None)  # decoding would now fail
        again = load_data(pictures, SHAPE)
    assert np.array_equal(first.train_images, again.train_images)
    assert first.fingerprint == again.fingerprint
    (pictures / "train/ant/0.png").rename(pictures / "train/bee/moved.png")
    moved = load_data(pictures, SHAPE)
    assert moved.train_labels.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2]
    save(pictures / "train/ant/1.png", 77)
    assert (
        len(
            {
                first.fingerprint,
                moved.fingerprint,
                load_data(pictures, SHAPE).fingerprint,
            }
        )
        == 3
    )


def test_many_pictures_are_not_read_each_time(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums, "ALWAYS_FILES", 5)
    first = load_data(pictures, SHAPE)
    with monkeypatch.context() as patch:
        patch.setattr(checksums, "_of_contents", _only_few)
        assert load_data(pictures, SHAPE).fingerprint == first.fingerprint
        save(pictures / "train/ant/1.png", 77)
        with pytest.raises(AssertionError):
            load_data(pictures, SHAPE)
    assert load_data(pictures, SHAPE).fingerprint != first.fingerprint


def _only_few(
    files: list[Path], names: list[str], most: int, real=checksums._of_contents
) -> str:
    assert len(files) < 5
    return real(files, names, most)


# --- what is wrong --------------------------------------------------------------------


def test_no_test_set(pictures: Path) -> None:
    (pictures / "test").rename(pictures / "testing")
    told = refused(pictures, SHAPE)
    assert "insects, there is no test/ or val/ with a folder for each class" in told


def test_no_training_set(pictures: Path) -> None:
    (pictures / "train").rename(pictures / "training")
    assert "there is no train/ with a folder for each class" in refused(pictures, SHAPE)


def test_all_that_is_wrong_with_the_folders_is_told_at_once(pictures: Path) -> None:
    (pictures / "test/bee").rename(pictures / "test/wasp")
    save(pictures / "train/stray.png", 1)
    (pictures / "train/dog").mkdir()
    told = refused(pictures, SHAPE)
    assert "train/: 1 picture, such as stray.png, in no class's folder" in told
    assert "train/dog: there is no picture in it" in told
    assert "test set: there are classes that the training set lacks: wasp" in told
    assert "test set: classes are lacking: bee, dog" in told


def test_of_many_classes_a_few_are_named(pictures: Path) -> None:
    for number in range(8):
        save(pictures / f"train/more{number}/0.png", number)
    told = refused(pictures, SHAPE)
    assert "classes are lacking: more0, more1, more2, more3, more4 and 3 more" in told


def test_corrupt_pictures_are_named(pictures: Path) -> None:
    path = pictures / "train/bee/2.png"
    path.write_bytes(path.read_bytes()[:70])
    (pictures / "test/cat/a.png").write_text("no picture")
    told = refused(pictures, SHAPE)
    assert "insects has 2 problems" in told
    assert "train/bee/2.png: it cannot be read: " in told
    assert "test/cat/a.png: it is no picture of a known kind" in told
    assert entries() == []


def test_a_picture_that_is_too_large(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    save(pictures / "train/ant/large.png", 0, 30)
    monkeypatch.setenv(READ_VARIABLE, str(500 * BYTES_PER_PIXEL))
    assert "train/ant/large.png: it has more than 500 pixels" in refused(
        pictures, SHAPE
    )
    assert not recwarn.list


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_links(pictures: Path, tmp_path: Path) -> None:
    """A class's folder may be a link; one that leads nowhere is no picture."""
    (pictures / "train/cat").rename(tmp_path / "elsewhere")
    (pictures / "train/cat").symlink_to(tmp_path / "elsewhere")
    (pictures / "train/ant/gone.png").symlink_to(tmp_path / "gone.png")
    data = load_data(pictures, SHAPE)
    assert data.train_labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
