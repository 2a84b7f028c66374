"""Random crops and flips of a batch at once, on the batch's device.

He et al., ECCV 2016, CIFAR: 4 pixels of padding on each side, a random crop of the
original size from the padded image or its mirror image. The padding follows the
normalisation, so that it has the value of the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


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
