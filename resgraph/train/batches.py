"""Which images an iteration trains on, and how they are augmented.

Both are functions of the seed and the iteration's number alone, so a resumed run sees
what an uninterrupted one would have seen, without any generator's state being kept.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from resgraph.data import Dataset
from resgraph.train.augment import crop_and_flip, draw
from resgraph.train.recipe import Recipe


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
    image is used equally often.
    """

    def __init__(self, count: int, batch: int, seed: int) -> None:
        self.count = count
        self.batch = batch
        self.seed = seed
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def indices(self, iteration: int) -> Tensor:
        """[batch] int64: the images of an iteration, counted from 0."""
        start, parts = iteration * self.batch, []
        end = start + self.batch
        while start < end:
            epoch, first = divmod(start, self.count)
            part = self._of(epoch)[first : first + end - start]
            parts.append(part)
            start += len(part)
        return torch.cat(parts)

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
        floats = images.to(torch.float32) * self.scale + self.shift
        return floats.contiguous(memory_format=torch.channels_last)


class Batches:
    """Training batches on a device; the whole training set lies there as uint8."""

    def __init__(
        self, data: Dataset, recipe: Recipe, seed: int, device: torch.device
    ) -> None:
        self.recipe = recipe
        self.seed = seed
        self.device = device
        self.images = torch.from_numpy(data.train_images).to(device)
        self.labels = torch.from_numpy(data.train_labels).to(device)
        self.normalise = Normalise(data, device)
        self.order = Order(len(data.train_images), recipe.batch, seed)

    def __getitem__(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Images [batch, C, H, W] float32, normalised and augmented; labels [batch]."""
        indices = self.order.indices(iteration)
        if self.device.type == "cuda":  # else the copy would wait for the device
            indices = indices.pin_memory().to(self.device, non_blocking=True)
        images = self.normalise(self.images[indices])
        if self.recipe.pad or self.recipe.flip:
            generator = generator_of(self.seed, "augment", iteration)
            recipe, count = self.recipe, len(images)
            draws = draw(count, recipe.pad, recipe.flip, generator).to(self.device)
            images = crop_and_flip(images, draws, recipe.pad)
        labels = self.labels[indices]
        return images.contiguous(memory_format=torch.channels_last), labels
