"""How far a network may be from the exact numbers: what rounding does, times one factor.

Nothing here was chosen for a network. What rounding does is seen in runs of the exact network
with rounding noise (`rounding.py`): the root mean square of their distances from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

FACTOR = 6.0
"""An error may be so many times what rounding does.

Room for kernels whose constants are worse than those of plain sums, and for chance: where all
of an error lies in one direction, it passes six standard deviations once in 500 million.
"""
FEW, MANY = 2, 12
"""Runs with noise: as many as mostly do, and where they leave a doubt."""
CLEAR = 1000 * FACTOR
"""An error above this leaves no doubt, however few the runs."""
NOTHING = 0.1
"""Where the allowance is a larger part of a value than this, float32 says nothing of it."""

Tensors = Mapping[str, Tensor]
Runs = Callable[[int], Tensors]
"""The tensors of the k-th run with noise."""


@dataclass(frozen=True)
class Deviation:
    """How far a tensor is from the exact one, and how far rounding takes it; 2-norms."""

    name: str
    error: float
    expected: float
    norm: float
    """What both are told in units of: the exact tensor's norm, or that of its kind."""
    like: str = ""
    """The tensor that is its kind, where it is 0 in theory."""

    @property
    def within(self) -> bool:
        return self.error <= FACTOR * self.expected  # False for NaN

    @property
    def excess(self) -> float:
        """Error in units of what rounding does; infinite for NaN."""
        ratio = self.error / self.expected if self.expected else float("inf")
        if self.error == 0:
            return 0.0
        return float("inf") if math.isnan(ratio) else ratio

    @property
    def relative(self) -> float:
        return self.error / self.norm if self.norm else self.error

    @property
    def says_nothing(self) -> bool:
        """Whether rounding alone may be a tenth of the value and more."""
        return not FACTOR * self.expected <= NOTHING * self.norm

    def __str__(self) -> str:
        norm = self.norm or 1.0
        kind = f", in units of {self.like}: 0 in theory" if self.like else ""
        return (
            f"{self.name}: error {self.error / norm:.1e}{kind}; rounding "
            f"{self.expected / norm:.1e} expected: {self.excess:.2g} times that, "
            f"{FACTOR:g} allowed"
        )


def deviation(
    ours: Tensors,
    exact: Tensors,
    runs: Runs,
    unit: float,
    floors: Mapping[str, float],
    few: int = FEW,
) -> Deviation:
    """The tensor that is furthest off, in units of what rounding does.

    A value is rounded at least once, by `unit` of its norm, or by `floors` where that is
    more: the rounding of what it was computed from by a subtraction. More runs are made where
    a few leave a doubt.
    """
    for count in (few, MANY):
        noisy = [runs(k) for k in range(count)]
        found = _deviations(ours, exact, noisy, unit, floors)
        worst = max(found, key=lambda one: one.excess)
        if worst.within or worst.excess > CLEAR:
            break
    return worst


def _deviations(
    ours: Tensors,
    exact: Tensors,
    noisy: list[Tensors],
    unit: float,
    floors: Mapping[str, float],
) -> Iterator[Deviation]:
    norms = {name: float(exact[name].norm()) for name in ours}
    spreads = {
        name: max(
            _spread(exact[name], [run[name] for run in noisy]),
            floors.get(name, 0.0),
            unit * norms[name],
        )
        for name in ours
    }
    sound = {name for name in ours if norms[name] > FACTOR * spreads[name]}
    for name, tensor in ours.items():
        error, like = distance(tensor, exact[name]), ""
        if name not in sound:
            like = max(_kin(name, sound), key=lambda n: spreads[n], default="")
        kind = like if like and spreads[like] > spreads[name] else name
        shown = like or name
        yield Deviation(name, error, spreads[kind], norms[shown], like)


def _kin(name: str, sound: set[str]) -> list[str]:
    """Tensors of the same kind in the same unit, or in the network: `weight`, `bias`."""
    unit, kind = unit_of(name), name.rpartition(".")[2]
    alike = [n for n in sound if n.rpartition(".")[2] == kind]
    return [n for n in alike if unit_of(n) == unit] or alike


def unit_of(name: str) -> str:
    """`stage1.0` of `stage1.0.conv1.weight`; '' of the stem's and the head's."""
    return ".".join(name.split(".")[:-2])


def _spread(exact: Tensor, noisy: list[Tensor]) -> float:
    squares = [distance(run, exact) ** 2 for run in noisy]
    return math.sqrt(sum(squares) / len(squares))


def distance(values: Tensor, exact: Tensor) -> float:
    """|values - exact| in the 2-norm; NaN where they cannot be compared."""
    if values.shape != exact.shape:
        return float("nan")
    return float((values.detach().cpu().double() - exact.detach().cpu()).norm())


def relative(values: Tensor, exact: Tensor) -> float:
    """|values - exact| / |exact| in the 2-norm, whatever axes of 1 their shapes have."""
    if values.numel() != exact.numel():
        return float("nan")
    norm = float(exact.norm())
    error = distance(values.reshape(exact.shape), exact)
    return error / norm if norm > 0 else error
