"""Networks with BN statistics of every kind, and what they compute in float64."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from resgraph.ops import Weight
from resgraph.passes.edit import Weighted
from resgraph.verify.evaluate import evaluate

KINDS = ("mixed", "positive", "zeros", "tiny")


class Drawn:
    """Weights and BN statistics as functions of seed and name.

    `kind` says which gammas there are: of both signs, all positive, a third of them zero,
    or a third of them so small that BN's bounds leave float32.
    """

    def __init__(self, seed: int, kind: str = "mixed") -> None:
        self.seed, self.kind = seed, kind

    def __call__(self, name: str, weight: Weight) -> NDArray[np.float64]:
        random = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        values = random.standard_normal(weight.shape)
        if name.endswith("running_var"):
            return 0.3 + values**2
        if len(weight.shape) > 1:
            return values * np.sqrt(2 / np.prod(weight.shape[1:]))
        if "bn" in name and name.endswith(".weight"):
            return self._gamma(values, random)
        return 0.5 * values

    def _gamma(
        self, values: NDArray[np.float64], random: np.random.Generator
    ) -> NDArray[np.float64]:
        third = random.random(values.shape) < 1 / 3
        match self.kind:
            case "positive":
                return np.abs(values) + 0.1
            case "zeros":
                return np.where(third, 0.0, values)
            case "tiny":
                return np.where(third, values * 1e-42, values)
        return values


def exact(network: Weighted, images: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logits in float64, the graph executed node by node."""
    return evaluate(network.graph, network.weights, images, "float64")["logits"]


def logits(path: Path, images: NDArray[np.float64]) -> NDArray[np.float32]:
    """The logits of a model file on the CPU."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"input": images.astype(np.float32)})
    return found


def pictures(count: int, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float64]:
    """Images that float32 holds exactly."""
    random = np.random.default_rng(seed)
    return random.standard_normal((count, *shape), np.float32).astype(float)


def error(found: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """The largest difference, in units of the largest logit."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
