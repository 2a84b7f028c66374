"""The cache of decoded images, and checksums."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import numpy as np
import pytest

from resgraph.data import checksums, load_data
from resgraph.data.checksums import cache_folder, checksum
from tests.data.conftest import SHAPE, entries, pixels, png, refused, write


def test_the_second_time_nothing_is_decoded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_data(folder, SHAPE)
    assert len(entries()) == 1
    monkeypatch.setitem(sys.modules, "datasets", None)  # importing it would now fail
    second = load_data(folder, SHAPE)
    assert np.array_equal(first.train_images, second.train_images)
    assert np.array_equal(first.test_labels, second.test_labels)
    assert (first.classes, first.mean, first.std) == (
        second.classes,
        second.mean,
        second.std,
    )
    assert isinstance(second.train_images, np.memmap)
    second.train_images[0] = 0  # reaches neither the file nor the next reader
    third = load_data(folder, SHAPE)
    assert np.array_equal(first.train_images, third.train_images)


@pytest.mark.parametrize("name", ["train_images.npy", "test_labels.npy", "entry.json"])
def test_a_damaged_entry_is_made_anew(folder: Path, name: str) -> None:
    first = load_data(folder, SHAPE)
    images, labels = first.train_images.copy(), first.test_labels.copy()
    damaged = entries()[0] / name
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 0xFF
    damaged.write_bytes(content)
    second = load_data(folder, SHAPE)
    assert np.array_equal(images, second.train_images)
    assert np.array_equal(labels, second.test_labels)
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


def test_names_known_for_a_data_set_do_not_stick_to_the_contents(folder: Path) -> None:
    assert load_data(folder, SHAPE).classes == ("0", "1", "2")
    renamed = folder.rename(folder.parent / "cifar10")
    assert load_data(renamed, SHAPE).classes[0] == "airplane"
    assert len(entries()) == 1


def test_a_cache_that_cannot_be_written_is_no_hindrance(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    data = load_data(folder, SHAPE)
    assert np.array_equal(data.train_images[3], pixels(3).transpose(2, 0, 1))
    assert len(data.mean) == 3


def test_a_disk_that_is_full_in_the_midst_is_no_hindrance(folder: Path) -> None:
    """A limit on the size of files stands for the disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))
    try:
        data = load_data(folder, SHAPE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert data.train_labels.tolist() == [0, 1, 2] * 4
    assert np.array_equal(data.train_images[11], pixels(11).transpose(2, 0, 1))
    assert entries() == []


def test_what_a_killed_process_left_is_removed(folder: Path) -> None:
    place = cache_folder() / "decoded"
    for name, age in ((".new-dead", 4000), (".new-alive", 0)):
        (place / name / "entry").mkdir(parents=True)
        (place / name / "entry" / "x.npy").write_bytes(b"part")
        for path in (place / name, *(place / name).rglob("*")):
            os.utime(path, (path.stat().st_mtime - age,) * 2)
    load_data(folder, SHAPE)
    assert [e.name for e in entries() if e.name.startswith(".")] == [".new-alive"]


def test_others_may_read_an_entry(folder: Path) -> None:
    load_data(folder, SHAPE)
    assert entries()[0].stat().st_mode & 0o777 == folder.stat().st_mode & 0o777


def test_nothing_stays_of_data_that_are_refused(folder: Path) -> None:
    write(folder, "test", [png(pixels(0)), b"no picture"], [0, 1])
    assert "row 1: it is no picture" in refused(folder)
    assert entries() == []


# --- checksums ------------------------------------------------------------------------


def test_checksum_depends_on_contents_order_and_names(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_bytes(b"ab")
    two.write_bytes(b"c")
    assert checksum([one, two]) != checksum([two, one])
    assert checksum([one], ["a"]) != checksum([one], ["b"])
    two.write_bytes(b"d")
    assert len({checksum([one]), checksum([two]), checksum([one, two])}) == 3


def test_checksums_of_much_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    read_anew = checksum([file], ["name"])
    monkeypatch.setattr(checksums, "ALWAYS_BYTES", 2)
    assert checksum([file], ["name"]) == read_anew
    notes = list((cache_folder() / "checksums").iterdir())
    assert len(notes) == 1
    notes[0].write_text('{"sha256": "as remembered"}')
    assert checksum([file], ["name"]) == "as remembered"
    assert checksum([file]) != "as remembered"
    notes[0].write_text("damaged")
    assert checksum([file], ["name"]) == read_anew
    stat = file.stat()
    file.write_bytes(b"abd")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    monkeypatch.setattr(checksums, "ALWAYS_FILES", 0)
    monkeypatch.setattr(checksums, "ALWAYS_BYTES", 2**30)
    assert checksum([file], ["name"]) not in (read_anew, "as remembered")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    from tests.helpers import refused

    assert "cannot read" in refused(lambda: checksum([tmp_path / "gone"]))
