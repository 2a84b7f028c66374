"""How a network is trained: the numbers of SGD and their schedule.

He, Zhang, Ren, Sun (ECCV 2016), the CIFAR experiments: SGD with momentum 0.9 and weight
decay 1e-4, batch 128, 64,000 iterations, learning rate 0.1 divided by 10 at 32,000 and
48,000, a warm-up of 400 iterations at 0.01.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from resgraph.diagnostics import ResgraphError, did_you_mean


@dataclass(frozen=True)
class Recipe:
    """SGD's numbers; one iteration is one step on one batch."""

    iterations: int
    batch: int
    """Images per iteration."""
    lr: float
    milestones: tuple[int, ...]
    """Iterations from which the learning rate is multiplied by `gamma` once more."""
    gamma: float
    warmup_iterations: int
    """So many first iterations run at `warmup_lr`."""
    warmup_lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    """On every parameter, those of batch normalisation too, as the authors' release."""
    pad: int
    """Pixels of zeros on each side before the random crop."""
    flip: bool
    """Mirror every second image, at random."""

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ResgraphError(f"training recipe: {problem}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a generated file's RECIPE or of a run.json.

        Raises `ResgraphError` for a field that is unknown, missing, or of a wrong type or
        range.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                hint = did_you_mean(str(name), known)
                raise ResgraphError(f"training recipe: unknown field {name!r}", hint)
        if missing := [name for name in known if name not in values]:
            raise ResgraphError(f"training recipe: no {', '.join(missing)}")
        milestones = values["milestones"]
        if not isinstance(milestones, (list, tuple)):
            raise ResgraphError("training recipe: milestones must be a list")
        return cls(**{**values, "milestones": tuple(milestones)})

    def _problems(self) -> list[str]:
        """What is wrong, each a sentence's end."""
        whole = {
            "iterations": (self.iterations, 1),
            "batch": (self.batch, 1),
            "warmup_iterations": (self.warmup_iterations, 0),
            "pad": (self.pad, 0),
            **{f"milestone {m!r}": (m, 0) for m in self.milestones},
        }
        real = {
            name: getattr(self, name)
            for name in ("lr", "gamma", "warmup_lr", "momentum", "weight_decay")
        }
        found = [
            f"{name} must be a whole number of at least {least}, not {value!r}"
            for name, (value, least) in whole.items()
            if type(value) is not int or value < least
        ]
        found += [
            f"{name} must be a number of at least 0, not {value!r}"
            for name, value in real.items()
            if not _is_real(value) or value < 0
        ]
        found += [
            f"{name} must be true or false, not {value!r}"
            for name, value in (("nesterov", self.nesterov), ("flip", self.flip))
            if type(value) is not bool
        ]
        if not found and list(self.milestones) != sorted(self.milestones):
            found.append(f"milestones {list(self.milestones)} are not in order")
        if not found and self.nesterov and not self.momentum:
            found.append("nesterov needs a momentum above 0")
        return found

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for run.json."""
        return asdict(self)

    def lr_at(self, iteration: int) -> float:
        """The learning rate of step `iteration`, counted from 0."""
        if iteration < self.warmup_iterations:
            return self.warmup_lr
        drops = sum(iteration >= milestone for milestone in self.milestones)
        return float(self.lr * self.gamma**drops)

    def scaled(self, factor: float) -> Recipe:
        """The recipe with all of its schedule `factor` times as long.

        Raises `ResgraphError` unless the factor is above 0.
        """
        if not _is_real(factor) or factor <= 0:
            raise ResgraphError(
                f"the schedule's scale must be above 0, not {factor!r}",
                "0.1 trains a tenth of the recipe's iterations",
            )
        return replace(
            self,
            iterations=max(1, round(self.iterations * factor)),
            milestones=tuple(round(m * factor) for m in self.milestones),
            warmup_iterations=round(self.warmup_iterations * factor),
        )

    def with_overrides(
        self,
        *,
        train_size: int,
        iterations: int | None = None,
        epochs: float | None = None,
        batch: int | None = None,
        lr: float | None = None,
        pad: int | None = None,
        flip: bool | None = None,
    ) -> Recipe:
        """The recipe with what is not None in place of its own.

        Another length, in iterations or in epochs of `train_size` images, shortens or
        stretches the whole schedule in proportion, so that a short run too ends at a low
        learning rate. Another `lr` scales `warmup_lr` with it.
        Raises `ResgraphError` for a value out of range, and for both lengths at once.
        """
        given = {"batch": batch, "lr": lr, "pad": pad, "flip": flip}
        changes: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        if lr is not None and _is_real(lr) and self.lr:
            changes["warmup_lr"] = self.warmup_lr * lr / self.lr
        changed = replace(self, **changes)
        if iterations is not None and epochs is not None:
            raise ResgraphError("iterations and epochs both say how long", "give one")
        if epochs is not None:
            if not _is_real(epochs) or epochs <= 0:
                raise ResgraphError(f"epochs must be above 0, not {epochs!r}")
            iterations = max(1, math.ceil(epochs * train_size / changed.batch))
        if iterations is None:
            return changed
        if type(iterations) is not int or iterations < 1:
            raise ResgraphError(
                f"iterations must be a whole number of at least 1, not {iterations!r}"
            )
        return replace(
            changed.scaled(iterations / self.iterations), iterations=iterations
        )


def _is_real(value: object) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value)
        <= sys.float_info.max  # neither infinite nor a number, nor too long
    )
