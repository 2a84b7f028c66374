"""BN at inference: y = scale * x + shift per channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resgraph.deploy.edit import Tensors
from resgraph.ops.weighted import Bn

Vector = NDArray[np.float64]


def affine(bn: Bn, tensors: Tensors) -> tuple[Vector, Vector]:
    """scale = gamma / sqrt(var + eps) and shift = beta - scale * mean, each [C]."""
    scale = tensors["weight"] / np.sqrt(tensors["running_var"] + float(bn.eps))
    return scale, tensors["bias"] - scale * tensors["running_mean"]
