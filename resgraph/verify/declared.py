"""What a generated file declares against the graph: constants, parameters, their start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod, sqrt

import torch
from torch import Tensor

from resgraph.diagnostics import plural
from resgraph.graph import Graph
from resgraph.names import BATCH_COUNTS
from resgraph.ops import Weight
from resgraph.verify.report import Check, failed, passed
from resgraph.verify.witness import Declared

_SPREAD = 6.0
"""Standard errors that the spread of a random start may be off."""


def constants(graph: Graph, told: Declared) -> Check:
    """INPUT_SHAPE and RECIPE are the graph's."""
    name = "constants"
    if told.input_shape != graph.input:
        ours, theirs = list(told.input_shape), list(graph.input)
        return failed(
            name, f"INPUT_SHAPE is {ours}, and the spec has {theirs}", graph.span
        )
    recipe, meant = told.recipe, graph.recipe
    wrong = [
        f"{field} is {recipe.get(field)}, and the spec has {meant.get(field)}"
        for field in {**meant, **recipe}
        if recipe.get(field) != meant.get(field)
    ]
    if wrong:
        return failed(name, f"RECIPE: {'; '.join(wrong)}", graph.span)
    return passed(name, "INPUT_SHAPE, RECIPE and DIGEST are the spec's")


def parameters(
    wanted: Mapping[str, Weight], state: Mapping[str, Tensor], what: str
) -> Check:
    """Names, shapes and number of the tensors; BN's counts of batches have no shape."""
    name = f"parameters: {what}"
    shapes = {
        key: tuple(tensor.shape)
        for key, tensor in state.items()
        if not key.endswith(BATCH_COUNTS)
    }
    wrong = [f"{key} is missing" for key in wanted if key not in shapes]
    wrong += [f"{key} is not in the spec" for key in shapes if key not in wanted]
    wrong += [
        f"{key} is {list(shapes[key])}, and the spec has {list(weight.shape)}"
        for key, weight in wanted.items()
        if key in shapes and shapes[key] != weight.shape
    ]
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return failed(name, "; ".join(wrong[:3]) + more)
    trained = sum(prod(w.shape) for w in wanted.values() if w.trainable)
    tensors = f"{len(wanted)} {plural(len(wanted), 'tensor')}"
    numbers = plural(trained, "trainable number")
    return passed(name, f"{tensors}, {trained:,} {numbers}")


def start(wanted: Mapping[str, Weight], state: Mapping[str, Tensor]) -> Check:
    """A new network starts as the spec says: constants exactly, random ones in their spread."""
    name = "initialisation"
    for key, weight in wanted.items():
        if problem := next(_problems(weight, state[key]), None):
            return failed(name, f"{key} {problem}")
    if problem := _together(wanted, state):
        return failed(name, problem)
    return passed(
        name, f"constants exact, spreads of random weights to {_SPREAD:.0f} sigma"
    )


def _deviation(weight: Weight) -> float:
    return weight.init.std or weight.init.bound / sqrt(3)


def _together(wanted: Mapping[str, Weight], state: Mapping[str, Tensor]) -> str:
    """What is wrong with all random weights at once, which shows less than one alone can."""
    scaled = [
        state[key].detach().double().reshape(-1) / _deviation(weight)
        for key, weight in wanted.items()
        if weight.init.constant is None
    ]
    values = torch.cat(scaled) if scaled else torch.ones(0)
    if not values.numel():
        return ""
    spread = float(values.square().mean().sqrt())
    if abs(spread - 1) <= _SPREAD / sqrt(2 * values.numel()):
        return ""
    return f"random weights start with {spread:.4g} times the deviation of the spec"


def _problems(weight: Weight, tensor: Tensor) -> Iterator[str]:
    """What is wrong with the start of one tensor."""
    init, values = weight.init, tensor.detach().double()
    if init.constant is not None:
        if not torch.equal(values, torch.full_like(values, init.constant)):
            yield f"starts about {float(values.mean()):.3g}, and not as {init.constant:g}"
        return
    std = _deviation(weight)
    spread = float(values.square().mean().sqrt())
    error = std * _SPREAD / sqrt(2 * values.numel())
    if abs(spread - std) > error:
        yield f"starts with a deviation of {spread:.4g}, and not {std:.4g}"
    if abs(float(values.mean())) > std * _SPREAD / sqrt(values.numel()):
        yield f"starts about {float(values.mean()):.3g}, and not about 0"
