"""Each form of a network in onnxruntime on the device, held to torch in float64."""

from __future__ import annotations

import functools
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.gpu.ledger import Finding, Part
from benchmarks.gpu.numbers import FACTOR, disturb, rounding
from benchmarks.inference import MODELS, images, loaded, written
from resgraph.infer import providers
from resgraph.infer.session import Bound, open_session, tensors

NETWORK, BATCH = "resnet20", 4
LEFT_OUT = {"cuda": ("optimised", "int8"), "cpu": ()}
"""Forms that are made for the CPU."""


def forms(device: str) -> Iterator[Part]:
    """Every form, on CUDA also in a CUDA graph."""
    graphs = (False, True) if device == "cuda" else (False,)
    for form, graph in itertools.product(MODELS, graphs):
        if form not in LEFT_OUT[device]:
            action = functools.partial(form_alike, form, device, graph)
            yield Part(f"{form} in onnxruntime{', graph' * graph}", action)


def form_alike(form: str, device: str, graph: bool) -> Finding:
    """Its logits, as far from the right ones as its precision may take them."""
    values, logits = _asked(form, device, graph)
    if form == "int8":  # how far quantising takes a network is not a matter of rounding
        return Finding(values | {"apart": apart(logits, NETWORK)})
    precision = "fp16" if form == "fp16" else "fp32"
    return held(values, logits, NETWORK, precision)


def _asked(form: str, device: str, graph: bool) -> tuple[dict[str, Any], NDArray[Any]]:
    provider = providers.CUDA if device == "cuda" else providers.CPU
    found, _ = loaded(NETWORK)
    with tempfile.TemporaryDirectory() as folder:
        path = written(found, Path(folder), {form: MODELS[form]})[form]
        start = time.perf_counter()
        optimised = form == "optimised"
        session = open_session(path, provider, optimised=optimised, cuda_graph=graph)
        providers.require(device, provider, session.get_providers())
        bound = Bound(session, tensors(session, path), device, BATCH)
        for _ in range(3):
            logits = bound(images(found, BATCH))
    seconds = round(time.perf_counter() - start, 2)
    placed = str(providers.placement(session))
    return {"placement": placed, "seconds of start and three runs": seconds}, logits


# --- what is right --------------------------------------------------------------------


def held(
    values: dict[str, Any], logits: NDArray[Any], network: str, precision: str
) -> Finding:
    """Logits of `images`, held to those in float64."""
    distance = apart(logits, network)
    limit = FACTOR * _scale(network, len(logits), precision)
    values |= {"apart": distance, "at most": float(f"{limit:.2g}")}
    return Finding(values, distance <= limit)


def apart(logits: NDArray[Any], network: str) -> float:
    """How far from the right ones, relative to these."""
    right = exact(network, len(logits))
    return float(f"{np.linalg.norm(logits - right) / np.linalg.norm(right):.2g}")


@functools.cache
def exact(network: str, batch: int) -> NDArray[Any]:
    """The logits in float64."""
    return _logits(loaded(network)[1], network, batch)


@functools.cache
def _scale(network: str, batch: int, precision: str) -> float:
    """How far weights that are disturbed by a rounding take the logits: the largest of three."""
    right, found = exact(network, batch), []
    for seed in range(3):
        module = loaded(network)[1]
        disturb(module, rounding(module, precision), seed)
        found.append(float(np.linalg.norm(_logits(module, network, batch) - right)))
    return max(found) / float(np.linalg.norm(right))


def _logits(module: nn.Module, network: str, batch: int) -> NDArray[Any]:
    given = torch.from_numpy(images(loaded(network)[0], batch)).double()
    with torch.inference_mode():
        logits: NDArray[Any] = module.double()(given).numpy()
    return logits
