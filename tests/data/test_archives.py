"""The official CIFAR archives, packed and unpacked, whole and damaged."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resgraph.data import load_data, members
from resgraph.data.names import CLASSES
from tests.data import official
from tests.data.conftest import entries
from tests.data.conftest import refused as refused_at
from tests.data.official import BATCHES, FILES, SHAPE, archive, images, labels, unpacked

TEN = [name for name in FILES if "-10-" in name]
HUNDRED = [name for name in FILES if "-100-" in name]


def refused(path: Path) -> str:
    return refused_at(path, SHAPE)


@pytest.mark.parametrize("made", [archive, unpacked])
@pytest.mark.parametrize("name", TEN)
def test_cifar10(tmp_path: Path, name: str, made: type[archive]) -> None:
    data = load_data(made(tmp_path, name), SHAPE)
    data.check_fits(SHAPE, 10)
    train = np.concatenate([images(seed) for seed in range(5)]).reshape(-1, *SHAPE)
    assert data.name == "cifar10"
    assert np.array_equal(data.train_images, train)
    assert data.train_labels.tolist() == [
        n for seed in range(5) for n in labels(seed, 10)
    ]
    assert np.array_equal(data.test_images, images(5).reshape(-1, *SHAPE))
    assert data.test_labels.tolist() == labels(5, 10)
    assert data.classes == CLASSES["cifar10"]
    np.testing.assert_allclose(data.mean, (train / 255).mean((0, 2, 3)), rtol=1e-12)


@pytest.mark.parametrize("made", [archive, unpacked])
@pytest.mark.parametrize("name", HUNDRED)
def test_cifar100_has_its_fine_classes(
    tmp_path: Path, name: str, made: type[archive]
) -> None:
    data = load_data(made(tmp_path, name), SHAPE)
    data.check_fits(SHAPE, 100)
    assert data.name == "cifar100"
    assert np.array_equal(data.train_images, images(0, 10).reshape(-1, *SHAPE))
    assert data.train_labels.tolist() == labels(0, 100, 10)
    assert np.array_equal(data.test_images, images(1, 4).reshape(-1, *SHAPE))
    assert data.test_labels.tolist() == labels(1, 100, 4)
    assert data.classes == CLASSES["cifar100"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("made", [archive, unpacked])
def test_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, made: type[archive]
) -> None:
    """In $RESGRAPH_DATA itself, and in the folder of the data set's name in it."""
    data = "cifar10" if name in TEN else "cifar100"
    for place in (tmp_path / "beside", tmp_path / "within" / data):
        place.mkdir(parents=True)
        made(place, name)
        root = place if place.name == "beside" else place.parent
        monkeypatch.setenv("RESGRAPH_DATA", str(root))
        assert load_data(data, SHAPE).classes == CLASSES[data]


def test_both_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FILES:
        archive(tmp_path, name)
    assert "holds cifar10 and cifar100" in refused(tmp_path)
    monkeypatch.setenv("RESGRAPH_DATA", str(tmp_path))
    assert len(load_data("cifar10", SHAPE).classes) == 10
    assert len(load_data("cifar100", SHAPE).classes) == 100


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_under_another_name_and_not_compressed(tmp_path: Path, mode: str) -> None:
    path = official.pack(tmp_path / "mine.tar", official.cifar10_binary(), mode)
    data = load_data(path, SHAPE)
    assert data.name == "mine"
    assert data.classes == CLASSES["cifar10"]


def test_numpys_new_names_and_missing_class_names(tmp_path: Path) -> None:
    import pickle

    name = "cifar-10-python.tar.gz"
    batch = {b"data": images(9), b"labels": labels(9, 10)}
    changed = {"test_batch": pickle.dumps(batch, protocol=2), "batches.meta": None}
    data = load_data(archive(tmp_path, name, **changed), SHAPE)
    assert np.array_equal(data.test_images, images(9).reshape(-1, *SHAPE))
    assert data.classes == CLASSES["cifar10"]


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_are_as_pillow_makes_them(tmp_path: Path, channels: int) -> None:
    path = archive(tmp_path, "cifar-100-binary.tar.gz")
    data = load_data(path, (channels, 32, 32))
    for number, image in enumerate(images(0, 10).reshape(-1, *SHAPE)):
        picture = Image.fromarray(image.transpose(1, 2, 0))
        expected = np.asarray(picture.convert("L" if channels == 1 else "RGBA"))
        ours = data.train_images[number].transpose(1, 2, 0).squeeze()
        np.testing.assert_array_equal(ours, expected)


def test_the_cache_serves_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path, "cifar-10-python.tar.gz")
    first = load_data(path, SHAPE)
    monkeypatch.setattr(tarfile, "open", None)  # unpacking it would now fail
    second = load_data(path, SHAPE)
    assert np.array_equal(first.train_images, second.train_images)
    assert second.classes == CLASSES["cifar10"]
    assert len(entries()) == 1


# --- what is wrong --------------------------------------------------------------------


@pytest.mark.parametrize("made", [archive, unpacked])
def test_missing_batches_are_told_together(tmp_path: Path, made: type[archive]) -> None:
    changed = {"data_batch_2.bin": None, "test_batch.bin": None}
    told = refused(made(tmp_path, "cifar-10-binary.tar.gz", **changed))
    assert "lacks data_batch_2.bin, test_batch.bin" in told


def test_binary_batches_of_wrong_length_are_told_together(tmp_path: Path) -> None:
    whole = official.cifar10_binary()
    changed = {
        "data_batch_2.bin": whole["data_batch_2.bin"][:-5],
        "data_batch_4.bin": b"",
        "test_batch.bin": whole["test_batch.bin"][:-3073],
    }
    told = refused(archive(tmp_path, "cifar-10-binary.tar.gz", **changed))
    assert (
        "data_batch_2.bin: its length of 12,287 bytes is no multiple of 3,073" in told
    )
    assert "data_batch_4.bin: its length of 0 bytes" in told
    assert "test_batch.bin: it has 3 images, and those before it 4" in told


def test_binary_labels_out_of_range(tmp_path: Path) -> None:
    ten = bytearray(official.cifar10_binary()["data_batch_1.bin"])
    ten[2 * 3073] = 10
    path = archive(
        tmp_path, "cifar-10-binary.tar.gz", **{"data_batch_1.bin": bytes(ten)}
    )
    told = refused(path)
    assert (
        "data_batch_1.bin: its image 2 has the label 10, which is not below 10" in told
    )
    coarse = bytearray(official.cifar100_binary()["test.bin"])
    coarse[0] = 20
    path = archive(tmp_path, "cifar-100-binary.tar.gz", **{"test.bin": bytes(coarse)})
    assert "test.bin: its image 0 has the label 20, which is not below 20" in refused(
        path
    )


@pytest.mark.parametrize("part", [0.001, 0.3, 0.9, 0.97])
@pytest.mark.parametrize("compressed", [True, False])
def test_an_archive_that_is_cut_short(
    tmp_path: Path, compressed: bool, part: float
) -> None:
    path = archive(tmp_path, "cifar-10-binary.tar.gz")
    data = path.read_bytes() if compressed else gzip.decompress(path.read_bytes())
    if not compressed:
        data = data.rstrip(b"\0")  # the padding at the end is no loss
    path.write_bytes(data[: int(part * len(data))])
    told = refused(path)
    assert "cut short" in told or "no whole tar" in told or "lacks" in told


def test_a_flipped_bit_in_an_archive(tmp_path: Path) -> None:
    path = archive(tmp_path, "cifar-10-binary.tar.gz")
    data = bytearray(path.read_bytes())
    for place in range(1000, len(data), len(data) // 5):
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        assert "damaged or cut short" in refused(path) or "no whole tar" in refused(
            path
        )


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_text("<html>404</html>")
    assert "is no whole tar archive" in refused(path)
    path.write_bytes(b"")
    assert "is no whole tar archive" in refused(path)
    other = official.pack(tmp_path / "other.tar", {"x": b"y"}, "w")
    assert "holds no file of a CIFAR archive" in refused(other)


def test_names_with_folders_do_no_harm(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "inside"
    place.mkdir(parents=True)
    files = official.cifar10_binary()
    named = {f"../../{n}" if "1" in n else f"/{n}": data for n, data in files.items()}
    data = load_data(official.pack(place / "a.tar.gz", named), SHAPE)
    assert len(data.train_images) == 20
    assert [p.name for p in tmp_path.rglob("*.bin*")] == []
    assert not Path("/test_batch.bin").exists()


def test_two_files_of_one_name(tmp_path: Path) -> None:
    files = official.cifar10_binary()
    named = {**files, "again/test_batch.bin": files["test_batch.bin"]}
    told = refused(official.pack(tmp_path / "a.tar", named, "w"))
    assert "holds two files test_batch.bin" in told


def test_a_link_is_no_batch(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    files = official.cifar10_binary()
    (tmp_path / "secret").write_bytes(files.pop("test_batch.bin"))
    official.pack(path, files, "w")
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        tar.addfile(link)
    assert "lacks test_batch.bin" in refused(path)


def test_a_bomb_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the size that a member claims, by what comes out, and by the number of files."""
    claimed = tmp_path / "claimed.tar"
    member = tarfile.TarInfo("test_batch")
    member.size = 2**40
    claimed.write_bytes(member.tobuf() + bytes(1024))
    assert "claimed.tar: test_batch is larger than any official" in refused(claimed)
    many = {f"{number}": b"" for number in range(102)}
    path = official.pack(tmp_path / "many.tar", many, "w")
    assert "more than 100 files" in refused(path)
    monkeypatch.setattr(members, "ARCHIVE_BYTES", 10**5)
    zeros = official.pack(tmp_path / "zeros.tar.gz", {"x": bytes(10**6)})
    assert zeros.stat().st_size < 10**4
    assert "zeros.tar.gz is larger than any official" in refused(zeros)


def test_a_folders_file_that_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = unpacked(tmp_path, "cifar-10-binary.tar.gz")
    monkeypatch.setattr(members, "MEMBER_BYTES", 10**4)
    assert "data_batch_1.bin is larger than any official" in refused(path)


def test_the_classes_names_are_checked(tmp_path: Path) -> None:
    changed = {"batches.meta.txt": b"cat\ndog\n"}
    told = refused(archive(tmp_path, "cifar-10-binary.tar.gz", **changed))
    assert "batches.meta.txt: it has not the names of 10 classes" in told
    assert BATCHES[0] not in told
