"""Mean and deviation of images, exact, from counts of the 256 values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Each channel's mean and deviation, on the scale where 255 is 1."""


class Counts:
    """How often each value occurs in each channel, of images that come bit by bit."""

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] | None = None

    def add(self, images: NDArray[np.uint8]) -> None:
        """Count [n, C, H, W] uint8 in; C is the same each time."""
        channels = np.moveaxis(images, 1, 0)
        new = [np.bincount(c.reshape(-1), minlength=256) for c in channels]
        self._counts = np.stack(new) + (0 if self._counts is None else self._counts)

    def moments(self) -> Moments:
        """Of all that was counted, which must be something.

        A channel of one value has deviation 1, so that dividing by it is harmless.
        """
        assert self._counts is not None
        values = np.arange(256) / 255
        found = []
        for counts in self._counts:
            share = counts / counts.sum()
            mean = float(share @ values)
            found.append((mean, float(share @ (values - mean) ** 2) ** 0.5 or 1.0))
        return tuple(m for m, _ in found), tuple(s for _, s in found)


def mean_and_std(images: NDArray[np.uint8]) -> Moments:
    """Of [N, C, H, W] uint8."""
    counts = Counts()
    counts.add(images)
    return counts.moments()
