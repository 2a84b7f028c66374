"""Batches: the same however they come, on the device, from disk, or in parts."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from resgraph.data import Dataset, load_data
from resgraph.train import Recipe
from resgraph.train.batches import (
    Batches,
    Draws,
    Order,
    check_batch,
    crop_and_flip,
    draw,
)
from resgraph.train.streaming import Rows, fits
from tests.data.conftest import SHAPE, pixels, png, write
from tests.helpers import refused

CPU = torch.device("cpu")
RECIPE = Recipe.of({"iterations": 100, "batch": 6, "milestones": [50], "pad": 2})


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """Twenty images, mapped from the cache."""
    folder = write(
        tmp_path / "set", "train", [png(pixels(i)) for i in range(20)], [*range(20)]
    )
    write(folder, "test", [png(pixels(99))], [0])
    loaded = load_data(folder, SHAPE)
    assert isinstance(loaded.train_images, np.memmap)
    return loaded


def same(one: tuple[torch.Tensor, ...], two: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_are_the_same_bitwise(data: Dataset, workers: int) -> None:
    plain = Batches(data, RECIPE, 3, CPU)
    streamed = Batches(data, RECIPE, 3, CPU, stream=True, workers=workers)
    for iteration in range(8):  # more than two epochs
        assert same(plain[iteration], streamed[iteration])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_begins_anywhere_and_bears_detours(
    data: Dataset, workers: int
) -> None:
    plain = Batches(data, RECIPE, 3, CPU)
    streamed = Batches(data, RECIPE, 3, CPU, stream=True, workers=workers)
    for iteration in (57, 58, 57, 59, 60, 2, 3, 4, 61, 5, 0):
        assert same(plain[iteration], streamed[iteration])


def test_batches_touch_no_generator_but_their_own(data: Dataset) -> None:
    """Else dropout would differ between a run and one that is resumed."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for stream in (False, True):
        batches = Batches(data, RECIPE, 3, CPU, stream=stream, workers=2)
        batches[0], batches[1]
        assert torch.equal(torch.get_rng_state(), before)


def test_what_a_batch_is(data: Dataset) -> None:
    images, labels = Batches(data, RECIPE, 3, CPU)[4]
    assert images.shape == (6, *SHAPE)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    chosen = Order(20, 6, 3).indices(4)
    assert labels.tolist() == data.train_labels[chosen].tolist()
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (data.mean, data.std))
    padded = np.pad(
        (data.train_images[chosen] / 255 - mean) / std, ((0, 0), (0, 0), (2, 2), (2, 2))
    )
    cuts = [
        [
            padded[i, :, top : top + 8, left : left + 8]
            for top in range(5)
            for left in range(5)
        ]
        for i in range(6)
    ]
    for image, candidates in zip(images.numpy(), cuts, strict=True):
        either = [*candidates, *(cut[:, :, ::-1] for cut in candidates)]
        assert sum(np.allclose(image, cut, atol=1e-5) for cut in either) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ranks", [2, 3])
def test_the_ranks_parts_are_the_whole_batch(
    data: Dataset, ranks: int, stream: bool
) -> None:
    whole = Batches(data, RECIPE, 3, CPU)
    parts = [
        Batches(data, RECIPE, 3, CPU, rank=rank, ranks=ranks, stream=stream, workers=0)
        for rank in range(ranks)
    ]
    for iteration in (0, 1, 7):
        images, labels = zip(*(part[iteration] for part in parts), strict=True)
        assert same(whole[iteration], (torch.cat(images), torch.cat(labels)))


@pytest.mark.parametrize("stream", [False, True])
def test_a_batch_is_what_is_built_from_what_is_prepared(
    data: Dataset, stream: bool
) -> None:
    batches = Batches(data, RECIPE, 3, CPU, stream=stream, workers=0)
    indices, draws = batches.prepare(2)
    assert indices.dtype == draws.top.dtype == draws.left.dtype == torch.int64
    assert indices.shape == draws.top.shape == draws.left.shape == (6,)
    assert draws.mirrored.shape == (6,)
    assert draws.mirrored.dtype == torch.bool
    built = batches.build(indices, draws)
    assert same(built, batches[2])
    assert built[0].stride() == batches[2][0].stride()


def test_building_runs_without_values(data: Dataset) -> None:
    """On fake tensors, as a capture in a CUDA graph needs it: no value is ever looked at."""
    from torch._subclasses import FakeTensorMode

    batches = Batches(data, RECIPE, 3, CPU)
    indices, draws = batches.prepare(0)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fakes = [mode.from_tensor(t) for t in (draws.top, draws.left, draws.mirrored)]
        images, labels = batches.build(mode.from_tensor(indices), Draws(*fakes))
    assert images.shape == (6, *SHAPE)
    assert labels.shape == (6,)


def test_without_augmentation(data: Dataset) -> None:

    plain = RECIPE.changed(pad=0, flip=False)
    batches = Batches(data, plain, 3, CPU)
    chosen = batches.order.indices(1)
    expected = batches.normalise(torch.from_numpy(data.train_images[chosen.numpy()]))
    assert torch.equal(batches[1][0], expected)


@pytest.mark.parametrize("shape", [(5, 3, 8, 6), (4, 1, 7, 7), (2, 4, 5, 9)])
@pytest.mark.parametrize("pad", [0, 3])
def test_crops_and_flips_are_what_was_drawn(shape: tuple[int, ...], pad: int) -> None:
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    draws = draw(shape[0], pad, True, torch.Generator().manual_seed(1))
    draws.mirrored[0], draws.mirrored[1] = False, True
    cut = crop_and_flip(images, draws, pad)
    _, _, height, width = shape
    for number, image in enumerate(images.numpy()):
        padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)))
        top, left = int(draws.top[number]), int(draws.left[number])
        expected = padded[:, top : top + height, left : left + width]
        if draws.mirrored[number]:
            expected = expected[:, :, ::-1]
        np.testing.assert_array_equal(cut[number].numpy(), expected)


def test_rows_are_mapped_again_in_another_process(data: Dataset) -> None:
    """A pickled stream holds the file's name, and not the images."""
    order = Order(20, 6, 0)
    for images in (
        data.train_images,
        np.array(data.train_images),
        data.train_images[5:],
    ):
        count = len(images)
        rows = Rows(images, data.train_labels[-count:], Order(count, 6, 0).indices)
        again = pickle.loads(pickle.dumps(rows))
        assert same(rows[3], again[3])
    mapped = Rows(data.train_images, data.train_labels, order.indices)
    assert isinstance(pickle.loads(pickle.dumps(mapped)).images, np.memmap)
    assert len(pickle.dumps(mapped)) < data.train_images.nbytes


def test_a_batch_that_cannot_be_had(data: Dataset) -> None:
    check_batch(20, data, ranks=4)
    told = refused(lambda: check_batch(21, data))
    assert (
        "a batch of 21 images is larger than the training set of set, which has 20"
        in told
    )
    assert "--batch 20 or less" in told
    told = refused(lambda: Batches(data, RECIPE, 0, CPU, rank=0, ranks=4))
    assert "batches of 6 images cannot be split evenly over 4 ranks" in told


def test_small_sets_fit_and_endless_ones_do_not(data: Dataset) -> None:
    assert fits(data.train_images.nbytes, CPU)
    assert not fits(2**60, CPU)
