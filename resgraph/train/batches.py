"""Which images an iteration trains on, and how they are augmented.

Both are functions of the seed and the iteration's number alone, so a resumed run sees
what an uninterrupted one would have seen, without any generator's state being kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from resgraph.data import Dataset
from resgraph.diagnostics import ResgraphError
from resgraph.recipe import Recipe
from resgraph.train.streaming import Rows, Stream, fits


def seed_of(seed: int, purpose: str, number: int = 0) -> int:
    """A seed of 63 bits for one purpose, unrelated to those of others."""
    text = f"{seed} {purpose} {number}".encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_of(seed: int, purpose: str, number: int = 0) -> torch.Generator:
    """A generator on the CPU: the same numbers whatever the device."""
    return torch.Generator().manual_seed(seed_of(seed, purpose, number))


class Order:
    """The images' order: one epoch's permutation after the other, without a gap.

    A batch may end one epoch and begin the next, so that all batches are full and every
    image is used equally often. `part` is the part of each batch that is wanted here.
    """

    def __init__(
        self, count: int, batch: int, seed: int, part: slice = slice(None)
    ) -> None:
        self.count = count
        self.batch = batch
        self.seed = seed
        self.part = part
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def indices(self, iteration: int) -> Tensor:
        """[batch] int64, or the part of it: the images of an iteration, from 0."""
        start, parts = iteration * self.batch, []
        end = start + self.batch
        while start < end:
            epoch, first = divmod(start, self.count)
            part = self._of(epoch)[first : first + end - start]
            parts.append(part)
            start += len(part)
        return torch.cat(parts)[self.part]

    def _of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            generator = generator_of(self.seed, "order", epoch)
            self._permutation = torch.randperm(self.count, generator=generator)
            self._epoch = epoch
        return self._permutation


class Normalise:
    """uint8 [N, C, H, W] to float32 of mean 0 and deviation 1 per channel."""

    def __init__(self, data: Dataset, device: torch.device) -> None:
        mean = torch.tensor(data.mean).view(1, -1, 1, 1)
        std = torch.tensor(data.std).view(1, -1, 1, 1)
        self.scale = (1 / (255 * std)).to(device)
        self.shift = (-mean / std).to(device)

    def __call__(self, images: Tensor) -> Tensor:
        floats = images.to(torch.float32).mul_(self.scale).add_(self.shift)
        return floats.contiguous(memory_format=torch.channels_last)


def check_batch(batch: int, data: Dataset, ranks: int = 1) -> None:
    """Raise `ResgraphError` if batches of that size cannot be had from the training set.

    A batch is at most the set, and is split evenly over the ranks.
    """
    count = len(data.train_images)
    if batch > count:
        raise ResgraphError(
            f"a batch of {batch:,} images is larger than the training set of {data.name}, "
            f"which has {count:,}",
            f"give --batch {count} or less",
        )
    if batch % ranks:
        raise ResgraphError(
            f"batches of {batch} images cannot be split evenly over {ranks} ranks",
            f"give a --batch that {ranks} divides, or torchrun another --nproc-per-node",
        )


class Batches:
    """Training batches on a device, by iteration.

    The training set lies on the device as uint8 where it fits; else it is read from disk
    as training goes on. Both give bitwise the same batches. Each batch is drawn whole and
    then split: the parts of all ranks together are the batch of a single rank, bitwise.
    """

    def __init__(
        self,
        data: Dataset,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        *,
        rank: int = 0,
        ranks: int = 1,
        stream: bool | None = None,
        workers: int = 2,
    ) -> None:
        """Batches of `recipe.batch` images, or of this rank's part of them.

        `stream` says whether the set is read from disk all the time, by so many `workers`
        (processes; with 0, by this one); None decides by its size.
        Raises `ResgraphError` for what `check_batch` refuses.
        """
        check_batch(recipe.batch, data, ranks)
        share = recipe.batch // ranks
        self._part = slice(rank * share, (rank + 1) * share)
        self.count = len(data.train_images)
        self.recipe = recipe
        self.seed = seed
        self.device = device
        self.normalise = Normalise(data, device)
        self.order = Order(self.count, recipe.batch, seed, self._part)
        if stream is None:
            stream = not fits(data.train_images.nbytes, device)
        self._stream: Stream | None = None
        if stream:
            rows = Rows(data.train_images, data.train_labels, self.order.indices)
            self._stream = Stream(rows, workers, pinned=device.type == "cuda")
            shape = (share, *data.shape)
            self._images = torch.empty(shape, dtype=torch.uint8, device=device)
            self._labels = torch.empty(share, dtype=torch.int64, device=device)
        else:
            self._images = torch.from_numpy(data.train_images).to(device)
            self._labels = torch.from_numpy(data.train_labels).to(device)

    def __getitem__(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Images [batch, C, H, W] float32, normalised and augmented; labels [batch]."""
        indices, draws = self.prepare(iteration)
        return self.build(sent(indices, self.device), draws.to(self.device))

    def prepare(self, iteration: int) -> tuple[Tensor, Draws]:
        """The host's part of a batch: what `build` is to be given, still on the CPU.

        Indices [batch] int64 and the draws. While streaming, this also puts the images in
        their place on the device, so that `build` has to come before the next `prepare`.
        """
        generator = generator_of(self.seed, "augment", iteration)
        recipe = self.recipe
        draws = draw(recipe.batch, recipe.pad, recipe.flip, generator)[self._part]
        if self._stream is None:
            return self.order.indices(iteration), draws
        images, labels = self._stream[iteration]
        self._images.copy_(images, non_blocking=True)
        self._labels.copy_(labels, non_blocking=True)
        return torch.arange(len(images)), draws

    def build(self, indices: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """The device's part: from tensors there, the images and labels of a batch.

        It has one shape, and nothing in it makes the host wait, so it can be captured in a
        CUDA graph.
        """
        images, labels = self.normalise(self._images[indices]), self._labels[indices]
        if self.recipe.pad or self.recipe.flip:
            images = crop_and_flip(images, draws, self.recipe.pad)
        return images.contiguous(memory_format=torch.channels_last), labels


# --- random crops and flips of a batch at once ----------------------------------------
# He et al., ECCV 2016, CIFAR: 4 pixels of padding on each side, a random crop of the
# original size from the padded image or its mirror image. The padding follows the
# normalisation, so that it has the value of the mean.


@dataclass(frozen=True)
class Draws:
    """What chance decided for each image of a batch."""

    top: Tensor
    """[N] int64 in 0..2*pad: the crop's first row in the padded image."""
    left: Tensor
    """[N] int64 in 0..2*pad: the crop's first column in the padded image."""
    mirrored: Tensor
    """[N] bool: whether the crop is mirrored, left for right."""

    def __getitem__(self, part: slice) -> Draws:
        """The draws for some of the batch's images."""
        return Draws(self.top[part], self.left[part], self.mirrored[part])

    def to(self, device: torch.device) -> Draws:
        """The same on a device, without making the host wait for it."""
        tensors = (self.top, self.left, self.mirrored)
        return Draws(*(sent(tensor, device) for tensor in tensors))


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device, without making the host wait for it."""
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def draw(count: int, pad: int, flip: bool, generator: torch.Generator) -> Draws:
    """Draw crops and flips for `count` images from a generator on the CPU."""
    offsets = torch.randint(0, 2 * pad + 1, (2, count), generator=generator)
    coins = torch.randint(0, 2, (count,), generator=generator)
    return Draws(offsets[0], offsets[1], (coins == 1) & flip)


def crop_and_flip(images: Tensor, draws: Draws, pad: int) -> Tensor:
    """Pad [N, C, H, W] with zeros, then cut and mirror each image as drawn.

    Returns images of the same shape, channels last. The pixels of the whole batch are
    fetched as rows of one table [N * padded pixels, C]: of all ways to index them this is
    the fastest on the CPU by far. Nothing in here makes the host wait, and no shape
    depends on what was drawn, so it can be captured in a CUDA graph.
    """
    count, channels, height, width = images.shape
    device = images.device
    padded = functional.pad(images, (pad, pad, pad, pad))
    table = padded.permute(0, 2, 3, 1).reshape(-1, channels)
    line = width + 2 * pad
    first = torch.arange(count, device=device) * (line * (height + 2 * pad))
    rows = draws.top[:, None] + torch.arange(height, device=device)
    across = torch.arange(width, device=device)
    across = torch.where(draws.mirrored[:, None], across.flip(0), across)
    columns = draws.left[:, None] + across
    pixels = (first[:, None] + rows * line)[:, :, None] + columns[:, None, :]
    cut = table.index_select(0, pixels.flatten())
    return cut.view(count, height, width, channels).permute(0, 3, 1, 2)


# --- torch's random generators: read, set, left as they were --------------------------


def forked(device: torch.device) -> AbstractContextManager[None]:
    """After it, the generators are as they were before."""
    if device.type != "cuda":
        return torch.random.fork_rng([])
    index = torch.cuda.current_device() if device.index is None else device.index
    return torch.random.fork_rng([index])


def generators(device: torch.device) -> dict[str, Any]:
    """The state of torch's random generators, for the CPU and for the device."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def set_generators(state: Mapping[str, Any], device: torch.device) -> None:
    """Take up what `generators` gave, as far as the device is of the same kind."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
