"""Optimisers and schedules: the parts of a recipe of which one is chosen by name.

Their fields are torch's, by torch's names. A schedule gives the learning rate of each step
after the warm-up; an optimiser says what it keeps per parameter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from resgraph.limits import MILESTONES
from resgraph.recipe.fields import Choice, Part, Positive, Share, Time


def refusal(
    word: str, code: str, why: str, value: object = None, hint: str | None = None
) -> InitErrorDetails:
    """What a model's validator finds wrong with one of its fields."""
    told = PydanticCustomError(
        code, "{why}", {"why": why} | ({"hint": hint} if hint else {})
    )
    return InitErrorDetails(type=told, loc=(word,), input=value)


def refused(word: str, code: str, why: str, value: object = None) -> ValidationError:
    """The same, to be raised by itself."""
    details = [refusal(word, code, why, value)]
    return ValidationError.from_exception_data("recipe", details)


# --- optimisers -------------------------------------------------------------------------


class Optimizer(Part):
    """How gradients change weights."""

    normalises: ClassVar[bool] = False
    """Whether the size of an update is the learning rate's, whatever the gradients'."""

    @property
    def moments(self) -> tuple[str, ...]:
        """What torch keeps of each parameter, in its shape, by torch's names."""
        raise NotImplementedError

    @property
    def counts(self) -> tuple[str, ...]:
        """What torch keeps of each parameter as a number."""
        return ()


class Sgd(Optimizer):
    """Stochastic gradient descent with momentum, as torch.optim.SGD."""

    kind = "sgd"
    title = "SGD"

    momentum: Share = Field(default=0.9, description="Momentum of SGD.")
    nesterov: StrictBool = Field(default=False, description="Nesterov's momentum.")

    @property
    def moments(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()

    @model_validator(mode="after")
    def _accelerated(self) -> Self:
        if self.nesterov and not self.momentum:
            why = "nesterov needs a momentum above 0"
            raise refused("nesterov", "invalid-number", why, self.nesterov)
        return self


def _below_one(value: float) -> float:
    if value >= 1:
        why = {"value": f"{value:g}"}
        raise PydanticCustomError(
            "invalid-number",
            "expected a number from 0 and below 1, got {value}: an average of that decay "
            "never takes a step",
            why,
        )
    return value


Decay = Annotated[Share, AfterValidator(_below_one)]


def _two(value: object) -> object:
    if isinstance(value, list | tuple) and len(value) != 2:
        got = {"got": len(value)}
        raise PydanticCustomError(
            "wrong-length", "expected two numbers, got {got}", got
        )
    return value


class AdamW(Optimizer):
    """Adam with decoupled weight decay, as torch.optim.AdamW."""

    kind = "adamw"
    title = "AdamW"
    suited: ClassVar = {"lr": 1e-3, "weight_decay": 1e-2}
    normalises = True

    betas: Annotated[
        tuple[Decay, Decay],
        BeforeValidator(_two),
        WithJsonSchema(
            {
                "type": "array",
                "items": {"type": ["number", "string"], "minimum": 0, "maximum": 1},
                "minItems": 2,
                "maxItems": 2,
            }
        ),
    ] = Field(
        default=(0.9, 0.999),
        description="Decay of AdamW's averages of gradients and of their squares.",
    )
    eps: Positive = Field(
        default=1e-8, description="Added to AdamW's denominator, against division by 0."
    )

    @property
    def moments(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    @property
    def counts(self) -> tuple[str, ...]:
        return ("step",)


# --- schedules --------------------------------------------------------------------------


class Schedule(Part):
    """How the learning rate goes, from the end of the warm-up to the end of training."""

    def lr_at(self, lr: float, step: int, first: int, last: int) -> float:
        """The rate of a step, of those from `first` to before `last`, with `lr` at most."""
        raise NotImplementedError

    def stretched(self, factor: float) -> Mapping[str, Any]:
        """The fields that count steps, in a schedule so many times as long."""
        return {}

    @property
    def drops(self) -> tuple[float, ...]:
        """Steps at which the rate jumps."""
        return ()


class Steps(Schedule):
    """The learning rate is multiplied by gamma at each milestone."""

    kind = "steps"
    title = "steps"

    milestones: Annotated[
        tuple[Time, ...],
        WithJsonSchema(
            {
                "type": "array",
                "items": {
                    "type": ["number", "string"],
                    "minimum": 0,
                    "title": "a number of steps, or of epochs where those are the length",
                },
            }
        ),
    ] = Field(
        default=(32_000, 48_000),
        description="Steps at which lr is multiplied by gamma; epochs, where the length is "
        "in epochs.",
    )
    gamma: Positive = Field(default=0.1, description="Factor at each milestone.")

    def lr_at(self, lr: float, step: int, first: int, last: int) -> float:
        passed = sum(step >= milestone for milestone in self.milestones)
        return float(lr * self.gamma**passed)

    def stretched(self, factor: float) -> Mapping[str, Any]:
        return {"milestones": tuple(round(m * factor) for m in self.milestones)}

    @property
    def drops(self) -> tuple[float, ...]:
        return self.milestones

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if (count := len(self.milestones)) > MILESTONES:
            why = f"{count:,} milestones, and up to {MILESTONES:,} are taken"
            raise refused("milestones", "too-large", why, self.milestones)
        if list(self.milestones) != sorted(self.milestones):
            shown = ", ".join(f"{m:g}" for m in self.milestones)
            why = f"the milestones {shown} are not in order"
            raise refused("milestones", "invalid-number", why, self.milestones)
        return self


class _Annealed(Schedule):
    """A schedule that falls from lr to min_lr."""

    min_lr: Time = Field(
        default=0, description="Learning rate that a schedule ends at."
    )

    def lr_at(self, lr: float, step: int, first: int, last: int) -> float:
        share = (step - first) / max(1, last - first)
        return float(self.min_lr + (lr - self.min_lr) * self.left(share))

    def left(self, share: float) -> float:
        """What is left of the way down after a share of the time."""
        raise NotImplementedError


class Cosine(_Annealed):
    """Half a cosine from lr down to min_lr (Loshchilov and Hutter 2017)."""

    kind = "cosine"
    title = "cosine"

    def left(self, share: float) -> float:
        return (1 + math.cos(math.pi * share)) / 2


class Linear(_Annealed):
    """A straight line from lr down to min_lr."""

    kind = "linear"
    title = "linear"

    def left(self, share: float) -> float:
        return 1 - share


class OneCycle(Schedule):
    """Up to lr and down again, as torch's OneCycleLR (Smith and Topin 2018).

    From lr / div_factor up in the share pct_start of the steps, and down to
    lr / div_factor / final_div_factor, each by half a cosine.
    """

    kind = "one_cycle"
    title = "one cycle"
    suited: ClassVar = {"warmup_iterations": 0}

    pct_start: Share = Field(default=0.3, description="Share of the steps going up.")
    div_factor: Positive = Field(default=25, description="lr over the first rate.")
    final_div_factor: Positive = Field(
        default=10_000, description="The first rate over the last."
    )

    def lr_at(self, lr: float, step: int, first: int, last: int) -> float:
        step, end = step - first, max(1, last - first) - 1
        top = self.pct_start * (end + 1) - 1
        start = lr / self.div_factor
        if step <= top:
            return _between(start, lr, step / top if top else 1)
        return _between(lr, start / self.final_div_factor, (step - top) / (end - top))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(share, 1)))


OPTIMIZER = Choice("optimizer", (Sgd, AdamW))
SCHEDULE = Choice("schedule", (Steps, Cosine, Linear, OneCycle))
CHOICES = (SCHEDULE, OPTIMIZER)
