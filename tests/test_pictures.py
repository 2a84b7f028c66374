"""Pictures of all kinds and sizes, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resgraph.data.pictures import read_picture
from resgraph.infer import read_images
from resgraph.limits import BYTES_PER_PIXEL, READ_VARIABLE
from tests.helpers import refused

SHAPE = (3, 6, 5)


COLOUR = (200, 100, 50)


def read_image(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    return read_picture(path, shape[0], shape[1:])


def flat(mode: str, size: tuple[int, int] = (31, 17)) -> Image.Image:
    """A picture of one colour, in that mode."""
    return Image.new("RGB", size, COLOUR).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "1", "CMYK", "YCbCr"])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_mode(tmp_path: Path, mode: str, channels: int) -> None:
    suffix = "tif" if mode in ("CMYK", "YCbCr") else "png"
    path = tmp_path / f"image.{suffix}"
    flat(mode).save(path)
    array = read_image(path, (channels, 6, 5))
    assert array.shape == (channels, 6, 5)
    assert array.dtype == np.uint8
    if mode != "1":  # which dithers
        grey = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
        kept = mode in ("L", "LA") or channels == 1
        expected = [grey] * channels if kept else COLOUR
        off = np.abs(array.mean((1, 2)) - expected).max()
        assert off <= (30 if mode == "P" else 3)


@pytest.mark.parametrize("size", [(1, 1), (5, 6), (1, 900), (333, 2)])
def test_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    flat("RGB", size).save(tmp_path / "image.png")
    array = read_image(tmp_path / "image.png", SHAPE)
    np.testing.assert_array_equal(
        array, np.broadcast_to(np.reshape(COLOUR, (3, 1, 1)), SHAPE)
    )


def test_sixteen_bits(tmp_path: Path) -> None:
    wide = np.full((9, 9), 0x80FF, np.uint16)
    Image.fromarray(wide).save(tmp_path / "image.png")
    assert (read_image(tmp_path / "image.png", (1, 4, 4)) == 0x80).all()


def test_transparency_is_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (9, 9), (10, 20, 30, 0)).save(tmp_path / "image.png")
    assert (read_image(tmp_path / "image.png", SHAPE) == 255).all()
    palette = Image.new("P", (9, 9), 0)
    palette.putpalette([7, 8, 9])
    palette.save(tmp_path / "image.gif", transparency=0)
    assert (read_image(tmp_path / "image.gif", SHAPE) == 255).all()


def test_exif_turns_the_picture_upright(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "image.png", exif=exif)
    array = read_image(tmp_path / "image.png", (1, 8, 8))[0]
    assert (array[:, 4:] == 255).all()
    assert (array[:, :4] == 0).all()


def test_the_first_of_several_frames(tmp_path: Path) -> None:
    frames = [flat("RGB"), Image.new("RGB", (31, 17), "black")]
    frames[0].save(
        tmp_path / "i.webp", save_all=True, append_images=frames[1:], lossless=True
    )
    array = read_image(tmp_path / "i.webp", SHAPE)
    assert array.mean() > 100


def test_files_folders_and_patterns(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.png", "a.JPG", "deep/c.bmp"):
        flat("RGB").save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    folder = read_images([tmp_path], SHAPE)
    assert [p.name for p in folder.paths] == ["a.JPG", "b.png", "c.bmp"]
    assert folder.images.shape == (3, *SHAPE)
    assert folder.problems == ()
    pattern = read_images([str(tmp_path / "*.png"), tmp_path / "b.png"], SHAPE)
    assert [p.name for p in pattern.paths] == ["b.png"]


def test_a_file_called_like_a_pattern(tmp_path: Path) -> None:
    flat("RGB").save(tmp_path / "digit[1].png")
    assert len(read_images([tmp_path / "digit[1].png"], SHAPE).paths) == 1


def test_unreadable_ones_are_told_and_the_rest_done(tmp_path: Path) -> None:
    flat("RGB").save(tmp_path / "good.png")
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) - 30])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    found = read_images([tmp_path], SHAPE)
    assert [p.name for p in found.paths] == ["good.png"]
    assert found.images.shape == (1, *SHAPE)
    told = {p.path.name: p.message for p in found.problems}
    assert told["text.png"] == told["empty.png"] == "it is no picture of a known kind"
    assert told["cut.png"].startswith("it cannot be read: ")
    only = read_images([tmp_path / "text.png"], SHAPE)
    assert only.images.shape == (0, *SHAPE)


def test_decompression_bombs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat("RGB", (40, 40)).save(tmp_path / "warned.png")
    flat("RGB", (60, 60)).save(tmp_path / "refused.png")
    monkeypatch.setenv(READ_VARIABLE, str(1000 * BYTES_PER_PIXEL))
    found = read_images([tmp_path], SHAPE)
    assert not found.paths
    assert all("more than 1,000 pixels" in p.message for p in found.problems)
    assert len(found.problems) == 2


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path: Path) -> None:
    """Each of them goes over the whole picture; usual ones, and few more, are read."""
    path = tmp_path / "photo.jpg"
    Image.new("L", (64, 64)).save(path, progressive=True)
    data = path.read_bytes()
    scan = data[data.rfind(b"\xff\xda") : -2]
    for more, fits in ((0, True), (90, True), (200, False)):
        path.write_bytes(data[:-2] + scan * more + data[-2:])
        if fits:
            assert read_picture(path, 1).shape == (1, 64, 64)
        else:
            assert "scans, and 100 are decoded" in refused(
                lambda: read_picture(path, 1)
            )


def test_nothing_there(tmp_path: Path) -> None:
    assert "no picture" in refused(lambda: read_images(["gone.png"], SHAPE))
    assert "no picture" in refused(lambda: read_images([tmp_path / "*.png"], SHAPE))
    assert "no pictures in" in refused(lambda: read_images([tmp_path], SHAPE))


def test_channels_that_pictures_lack(tmp_path: Path) -> None:
    flat("RGB").save(tmp_path / "image.png")
    found = read_images([tmp_path], (7, 4, 4))
    assert "the network takes 7" in found.problems[0].message
