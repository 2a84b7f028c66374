"""What an op states about its part in a topology and in training; for `prove` and `plan`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """What an op is in a residual unit."""

    WEIGHT = "weight"
    """A layer of the paper's count: convolution, linear."""
    NORM = "norm"
    ACTIVATION = "activation"
    PLAIN = "plain"
    """None of the three: it moves, merges or scales values."""
    UNKNOWN = "unknown"
    """Not stated: taken for whatever casts no suspicion on the ops around it."""


@dataclass(frozen=True)
class ReceptiveField:
    """What an output position o sees of the input, along each side of the map.

    The positions from o * stride + first to o * stride + last; those outside the map are
    padding. Infinite where the op sees the whole map.
    """

    first: float
    last: float
    stride: int = 1


@dataclass(frozen=True)
class Saved:
    """What PyTorch keeps of an op, from its forward until its gradient is computed."""

    inputs: bool | tuple[bool, ...] = False
    """All of them, or which."""
    output: bool = False
    elements: int = 0
    """Per image, of tensors of its own in the activations' type, such as a mask."""
    bytes: int = 0
    """Per image, of tensors of its own in another type, such as indices."""
    fixed: int = 0
    """Bytes whatever the batch, such as a batch's statistics."""
    view: bool = False
    """The output is the input, in the same memory."""

    def those(self, values: Sequence[str]) -> Iterator[str]:
        """Of the op's inputs, by their names, those that are kept."""
        if isinstance(self.inputs, bool):
            return iter(values if self.inputs else ())
        pairs = zip(values, self.inputs, strict=True)
        return (value for value, kept in pairs if kept)


POINT = ReceptiveField(0, 0)
"""Each position by itself."""
WHOLE = ReceptiveField(-math.inf, math.inf)
"""The whole map at once, as global pooling does."""
