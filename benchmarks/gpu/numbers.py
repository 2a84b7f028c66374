"""Whether steps that were computed in two ways are the same but for rounding.

The rule is derived, not chosen: the plain way is run again from weights that are disturbed by
as much as the other way rounds, and may then be as far from the plain one as `FACTOR` times
that. All images are of one class, so that their gradients add up and do not cancel; the
learning rate drops within the steps, and weight decay is large enough to be seen.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.gpu.ledger import Finding
from benchmarks.gpu.ways import Choices
from benchmarks.measure import ROOT
from benchmarks.training import PLAIN, noise, recipe
from resgraph.data import Dataset
from resgraph.train.batches import Batches
from resgraph.train.execution import Execution, numerics
from resgraph.train.module import load_generated
from resgraph.train.step import Engine

STEPS = 4
FACTOR = 3
"""On a CPU, bf16 and channels last were at most 1.4 times as far as a disturbance like them."""
ROUNDING = {"fp32": 2.0**-24, "tf32": 2.0**-11, "bf16": 2.0**-9, "fp16": 2.0**-11}
"""Of one number, relative to it, at most."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is trained, and where."""

    network: str
    device: str
    batch: int = 64
    recomputed: str = ""
    """Which strategy of the memory planner; none by default."""
    streamed: bool = False
    """The training set is read from disk while it trains."""
    tested: int = 0
    """Images of the test set; by default as many as of the training set."""


@dataclasses.dataclass(frozen=True)
class Change:
    """What some steps changed."""

    weights: Tensor
    """All in one vector."""
    statistics: Tensor
    """BN's means and variances."""
    counts: Tensor
    """BN's numbers of batches."""
    loss: float


def engine(subject: Subject, choices: Choices) -> Engine:
    """An engine for random images of one class, its weights those of seed 0."""
    torch.manual_seed(0)
    network = load_generated(ROOT / "generated" / f"{subject.network}.py").build()
    data = one_class(4 * subject.batch, subject.tested)
    rule = recipe(subject.batch, milestones=[STEPS // 2], weight_decay=0.1, lr=0.1)
    execution = Execution(torch.device(subject.device), **choices)
    plan = strategy(subject) if subject.recomputed else None
    made = Engine(network, data, rule, 0, execution, recompute=plan)
    if subject.streamed:
        made.batches = Batches(data, rule, 0, execution.device, stream=True)
    return made


def one_class(count: int, tested: int = 0) -> Dataset:
    """Random images that are all of class 0, and more of them to test, if so."""
    data = noise(count)
    chosen = np.arange(tested or count) % count
    return dataclasses.replace(
        data,
        train_labels=np.zeros_like(data.train_labels),
        test_images=data.test_images[chosen],
        test_labels=data.test_labels[chosen],
    )


def strategy(subject: Subject) -> Any:
    """What the memory planner computes anew, by its name for it."""
    from resgraph.compiler import Compiler
    from resgraph.origin import origin
    from resgraph.plan import strategies

    found = origin(Path(ROOT / "generated" / f"{subject.network}.py"))
    assert found is not None
    plans = strategies(found.graph(Compiler()), subject.batch)
    (made,) = (p for p in plans if p.name == subject.recomputed)
    return made


def disturb(network: nn.Module, amount: float, seed: int) -> None:
    """Multiply each weight by 1 plus a random number of about that amount."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=random)
            parameter.mul_(1 + amount * noise.to(parameter.device))


def changed(made: Engine, iterations: Iterable[int] = range(STEPS)) -> Change:
    """Do these steps."""
    before = _vectors(made)
    made.forget_loss()
    with numerics(made.execution.precision):
        for iteration in iterations:
            made.step(iteration)
        loss = made.mean_loss()
    after = _vectors(made)
    apart = {part: after[part] - before[part] for part in after}
    return Change(**apart, loss=loss)


def _vectors(made: Engine) -> dict[str, Tensor]:
    parts: dict[str, list[Tensor]] = {"weights": [], "statistics": [], "counts": []}
    for name, tensor in made.weights().items():
        kind = "statistics" if ".running_" in f".{name}" else "weights"
        kind = kind if tensor.is_floating_point() else "counts"
        parts[kind].append(tensor.double().flatten())
    return {k: torch.cat(v) if v else torch.zeros(0) for k, v in parts.items()}


@functools.cache
def _of(subject: Subject, choices: tuple[tuple[str, Any], ...]) -> Change:
    return changed(engine(subject, dict(choices)))


def change(subject: Subject, choices: Choices) -> Change:
    """What the steps change, done once in a process."""
    return _of(subject, tuple(choices.items()))


@functools.cache
def scale(subject: Subject, amount: float) -> dict[str, float]:
    """How far a disturbance takes the plain way: the largest of three."""
    plain, runs = change(subject, PLAIN), []
    for seed in range(3):
        other = engine(subject, PLAIN)
        disturb(other.network, amount, seed)
        runs.append(distances(changed(other), plain))
    return {what: max(run[what] for run in runs) for what in runs[0]}


def distances(ours: Change, theirs: Change) -> dict[str, float]:
    """Relative, in the 2-norm, of what was changed; of the loss, relative to it."""
    found = {}
    for what in ("weights", "statistics"):
        mine, other = getattr(ours, what), getattr(theirs, what)
        size = float(other.norm()) or 1.0
        found[what] = float((mine - other).norm()) / size if len(other) else 0.0
    found["loss"] = abs(ours.loss - theirs.loss) / abs(theirs.loss)
    return found


def rounding(network: nn.Module, precision: str) -> float:
    """How much a way rounds: a number's rounding, and in float32 that of its longest sum."""
    if precision != "fp32":
        return ROUNDING[precision]
    terms = (p[0].numel() for p in network.parameters() if p.dim() > 1)
    return ROUNDING["fp32"] * math.sqrt(max(terms))


@functools.cache
def amount(name: str, precision: str, twin: bool = False) -> float:
    """How much a way rounds; to a twin that runs the same kernels less.

    There only sums in another order differ, as in float32. Such a difference takes a number
    of a lower precision to the next one, now and then: so the mean is the geometric one.
    """
    network = load_generated(ROOT / "generated" / f"{name}.py").build()
    whole = rounding(network, precision)
    return math.sqrt(whole * rounding(network, "fp32")) if twin else whole


def judged(
    ours: Change, theirs: Change, least: dict[str, float]
) -> tuple[dict[str, Any], bool]:
    """The distances beside their limits, and whether all are within."""
    found = distances(ours, theirs)
    limits = {k: FACTOR * max(v, ROUNDING["fp32"]) for k, v in least.items()}
    # The loss is one number, and may by chance be disturbed by nothing. It falls by what the
    # weights change, and so relatively by no more.
    limits["loss"] = max(limits["loss"], limits["weights"])
    same = torch.equal(ours.counts, theirs.counts)
    finite = all(math.isfinite(v) for v in found.values())
    right = finite and same and all(found[k] <= limits[k] for k in limits)
    values: dict[str, Any] = {
        k: f"{found[k]:.2g} (at most {limits[k]:.2g})" for k in found
    }
    values["counts of batches"] = "equal" if same else "DIFFERENT"
    return values, right


def compared(subject: Subject, choices: Choices, twin: Choices | None) -> Finding:
    """A way to the plain one, and to its twin if it has one."""
    precision = choices["precision"]
    ours, plain = change(subject, choices), change(subject, PLAIN)
    least = scale(subject, amount(subject.network, precision))
    values, right = judged(ours, plain, least)
    found: dict[str, Any] = {"loss": ours.loss, "to plain": values}
    if twin is not None:
        other = change(subject, twin)
        least = scale(subject, amount(subject.network, precision, True))
        found["to its eager twin"], close = judged(ours, other, least)
        bitwise = torch.equal(ours.weights, other.weights)
        found["to its eager twin"]["bitwise"] = bitwise
        right = right and close
    return Finding(found, right)
