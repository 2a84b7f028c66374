"""What an op states about its part in a topology; `resgraph prove` asks for these."""

from __future__ import annotations

import math
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
class Reach:
    """What an output position o sees of the input, along each side of the map.

    The positions from o * stride + first to o * stride + last; those outside the map are
    padding. Infinite where the op sees the whole map.
    """

    first: float
    last: float
    stride: int = 1


POINT = Reach(0, 0)
"""Each position by itself."""
WHOLE = Reach(-math.inf, math.inf)
"""The whole map at once, as global pooling does."""
