"""A graph computed by torch in any type: float64 as an oracle, bfloat16 as GPUs round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resgraph.graph import Graph
from resgraph.ops import Weight
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.returned import by_name


def evaluate(
    graph: Graph,
    weights: Callable[[str, Weight], NDArray[Any]],
    images: NDArray[np.floating[Any]],
    dtype: str,
) -> dict[str, NDArray[np.float64]]:
    """The outputs for images [N, C, H, W], weights and activations in torch's `dtype`."""
    kind: torch.dtype = getattr(torch, dtype)
    module = Interpreter(graph).to(kind).eval()
    state = module.state_dict()
    with torch.no_grad():
        for name, weight in graph.tensors().items():
            values = weights(name, weight).astype(np.float64)
            state[name].copy_(torch.from_numpy(values))
        found = module(torch.from_numpy(images).to(kind))
    outputs = by_name(found, [*graph.outputs], graph.name)
    return {name: tensor.double().numpy() for name, tensor in outputs.items()}
