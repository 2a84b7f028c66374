"""How a network is trained: one model for specs, generated files, options and run folders.

The defaults are He, Zhang, Ren, Sun (ECCV 2016), the CIFAR experiments: SGD with momentum 0.9
and weight decay 1e-4, batch 128, 64,000 iterations, learning rate 0.1 divided by 10 at 32,000
and 48,000, a warm-up of 400 iterations at 0.01.

A recipe is written flat. The fields of its optimiser and of its schedule stand beside its own,
or inside them: `optimizer: adamw` and `eps: 1e-6`, or `optimizer: {adamw: {eps: 1e-6}}`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PrivateAttr,
    StrictBool,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from resgraph.diagnostics import OptionError, ResgraphError
from resgraph.recipe.fields import (
    STORED,
    Count,
    Positive,
    Share,
    Size,
    Time,
)
from resgraph.recipe.parts import (
    CHOICES,
    OPTIMIZER,
    SCHEDULE,
    AdamW,
    Cosine,
    Decay,
    Linear,
    OneCycle,
    Sgd,
    Steps,
    refusal,
    refused,
)
from resgraph.recipe.telling import RecipeError
from resgraph.recipe.words import EXPLICIT, RIVALS, folded, merged, with_defaults


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    if len({*values}) < len(values):
        raise PydanticCustomError("wrong-form", "each is named once")
    return values


Exempt = Annotated[
    tuple[Literal["bn", "bias"], ...],
    AfterValidator(_each_once),
    WithJsonSchema({"type": "array", "items": {"enum": ["bn", "bias"]}}),
]


class Recipe(BaseModel):
    """How the networks are trained; the defaults are those of the recipe `he2016`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    always: ClassVar[frozenset[str]] = frozenset(
        ("batch", "lr", "warmup_lr", "weight_decay", "pad", "flip")
    )
    """What is printed whatever it is; other fields only where they are not the default."""

    recipe: Literal["he2016"] = Field(
        default="he2016", description="Named defaults: the paper's CIFAR recipe."
    )
    version: Literal[1] = Field(
        default=1, description="Version of the words below; so far there is one."
    )
    iterations: Count = Field(default=64_000, description="Steps of training.")
    epochs: Positive | None = Field(
        default=None,
        description="The length in passes over the training set, in place of iterations.",
    )
    batch: Count = Field(default=128, description="Images per step.")
    lr: Positive = Field(default=0.1, description="Learning rate after the warm-up.")
    schedule: Annotated[Steps | Cosine | Linear | OneCycle, SCHEDULE] = Field(
        default=Steps(), description="How the learning rate falls after the warm-up."
    )
    warmup_iterations: Size = Field(default=400, description="Steps of warm-up.")
    warmup_epochs: Time | None = Field(
        default=None,
        description="The warm-up in passes, in place of warmup_iterations.",
    )
    warmup_lr: Time = Field(
        default=0.01, description="Learning rate that the warm-up starts with."
    )
    warmup: Literal["constant", "linear"] = Field(
        default="constant",
        description="Whether the warm-up stays at warmup_lr, or rises to lr in a line.",
    )
    optimizer: Annotated[Sgd | AdamW, OPTIMIZER] = Field(
        default=Sgd(), description="What makes an update of a gradient."
    )
    weight_decay: Share = Field(
        default=1e-4, description="L2 penalty of SGD, also on BN; AdamW's is decoupled."
    )
    no_weight_decay: Exempt = Field(
        default=(),
        description="Parameters without weight decay: bn (its weights and biases), bias.",
    )
    pad: Size = Field(
        default=4, description="Pixels of padding before the random crop."
    )
    flip: StrictBool = Field(default=True, description="Random horizontal flips.")
    label_smoothing: Share = Field(
        default=0, description="Share of the target that is spread over all classes."
    )
    clip_grad_norm: Positive | None = Field(
        default=None, description="Norm that all gradients together are cut to."
    )
    ema: Decay | None = Field(
        default=None,
        description="Decay of a running average of the weights, tested and saved beside them.",
    )
    ema_start: Time = Field(
        default=0,
        description="Where the average begins: a step, or an epoch where those are the length.",
    )
    _explicit: tuple[str, ...] = PrivateAttr(())

    # --- reading ------------------------------------------------------------------------

    @classmethod
    def of(cls, words: Mapping[str, Any], context: Any = None) -> Recipe:
        """The recipe of these words. Raises `ResgraphError` with all that is wrong."""
        try:
            return cls.model_validate(dict(words), context=context)
        except ValidationError as error:
            found = error.errors(include_url=False)
            raise RecipeError(found, [*cls.model_fields]) from None

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a generated file's RECIPE or of a run.json.

        Raises `ResgraphError` for a field that is unknown, missing, or of a wrong type or
        range.
        """
        words = {str(name): value for name, value in values.items()}
        explicit = words.pop(EXPLICIT, ())
        made = cls.of(words, context=STORED)
        if missing := [name for name in made.as_dict() if name not in words]:
            raise ResgraphError(f"training recipe: no {', '.join(missing)}")
        if not isinstance(explicit, (list, tuple)) or {*explicit} - {*made.as_dict()}:
            raise ResgraphError("training recipe: explicit must list fields of it")
        return made.marked(explicit)

    @model_validator(mode="before")
    @classmethod
    def _folded(cls, value: object) -> object:
        """The fields of its parts put into them, and the defaults that follow from them."""
        if not isinstance(value, dict):
            return value
        words, wrong = dict(value), list[InitErrorDetails]()
        for choice in CHOICES:
            wrong += folded(choice, words)
        for one, other in RIVALS:
            if one in words and other in words:
                wrong.append(
                    refusal(
                        other,
                        "wrong-form",
                        f"'{one}' and '{other}' both say how long: give one",
                    )
                )
        if wrong:
            raise ValidationError.from_exception_data("recipe", wrong)
        return with_defaults(words)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        end = self.epochs or self.iterations
        unit = "epoch" if self.epochs else "step"
        if self.ema_start and self.ema is None:
            why = "there is no average to start: 'ema' is not given"
            raise refused("ema_start", "invalid-number", why, self.ema_start)
        if self.ema is not None and self.ema_start >= end:
            why = (
                f"the average starts at {unit} {self.ema_start:g}, and training ends at "
                f"{unit} {end:g}: it would have no steps"
            )
            raise refused("ema_start", "invalid-number", why, self.ema_start)
        if self.epochs is None:
            self._whole()
        return self

    def _whole(self) -> None:
        """What is counted in steps is whole. Raises `ValidationError`."""
        counted = {"milestones": self.schedule.drops, "ema_start": (self.ema_start,)}
        for word, steps in counted.items():
            if broken := [step for step in steps if step != int(step)]:
                why = f"expected whole numbers of steps, got {broken[0]}"
                raise refused(word, "invalid-number", why, broken)

    # --- printing -----------------------------------------------------------------------

    def as_dict(self) -> dict[str, Any]:
        """The words by name, flat: those of the paper's recipe always, others where they
        are not the default. What a generated file and a run.json have."""
        told: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            choice = next((c for c in CHOICES if c.word == name), None)
            if choice is not None:
                default = type(value) is choice.kinds[0]
                told |= {} if default else {name: value.kind}
                told |= value.as_dict()
            elif name in self.always or name in self._lengths or value != field.default:
                told[name] = value
        told.pop("iterations" if self.epochs else "epochs", None)
        told.pop(
            "warmup_epochs" if self.warmup_epochs is None else "warmup_iterations", None
        )
        return told | ({EXPLICIT: self._explicit} if self._explicit else {})

    @property
    def _lengths(self) -> tuple[str, str]:
        return (
            "epochs" if self.epochs else "iterations",
            "warmup_iterations" if self.warmup_epochs is None else "warmup_epochs",
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The fields of the parts stand among the recipe's own."""
        made = handler.resolve_ref_schema(handler(schema))
        for choice in CHOICES:
            made["properties"][choice.word]["default"] = choice.kinds[0].kind
            for part in choice.kinds:
                more = part.model_json_schema()["properties"]
                made["properties"] |= more | made["properties"]
        return made

    # --- what was written ---------------------------------------------------------------

    def marked(self, written: Iterable[str]) -> Recipe:
        """The same, with the words that its spec writes out; see `explicit`."""
        own, mine, written = self._own_defaults(), self.as_dict(), {*written}
        kept = (w for w in mine if w in written and own.get(w, ...) == mine[w])
        made = self.model_copy()
        made._explicit = tuple(kept)
        return made

    @property
    def explicit(self) -> dict[str, Any]:
        """The words that its spec wrote: those that are not the defaults, and those that
        it wrote though they are."""
        own, mine = self._own_defaults(), self.as_dict()
        mine.pop(EXPLICIT, None)
        return {
            word: value
            for word, value in mine.items()
            if word in self._explicit or word not in own or own[word] != value
        }

    def _own_defaults(self) -> dict[str, Any]:
        """What a recipe of its optimiser, schedule and unit has if nothing else is given."""
        words: dict[str, Any] = {
            "optimizer": self.optimizer.kind,
            "schedule": self.schedule.kind,
        }
        if self.epochs:
            words["epochs"] = self.epochs
        own = Recipe.of(words).as_dict()
        return {k: v for k, v in own.items() if k not in words}

    # --- changing -----------------------------------------------------------------------

    def changed(self, **words: Any) -> Recipe:
        """The recipe with these words in place of its own; of a part that is left, the
        fields go with it. Raises `ResgraphError` for a value out of range."""
        return Recipe.of(merged(self.as_dict(), words))

    def settled(self, train_size: int) -> Recipe:
        """The recipe in steps, for a training set of so many images."""
        per_epoch = train_size / self.batch
        words: dict[str, Any] = {}
        if self.warmup_epochs is not None:
            words["warmup_iterations"] = round(self.warmup_epochs * per_epoch)
        if self.epochs is not None:
            length = max(1, math.ceil(self.epochs * per_epoch))
            words |= {"iterations": length, **self._stretched(per_epoch, length)}
        return self.changed(**words)

    def scaled(self, factor: float) -> Recipe:
        """The recipe, in steps, with all of its schedule `factor` times as long.

        Raises `ResgraphError` unless the factor is above 0.
        """
        if not _is_real(factor) or factor <= 0:
            raise OptionError(
                "schedule_scale",
                f"must be above 0, not {factor!r}",
                "0.1 trains a tenth of the recipe's iterations",
            )
        return self._lasting(max(1, round(self.iterations * factor)), factor)

    def lasting(self, iterations: int) -> Recipe:
        """The recipe, in steps, shortened or stretched in proportion to another length, so
        that a short run too ends at a low learning rate."""
        length = Recipe.of({"iterations": iterations}).iterations
        return self._lasting(length, length / self.iterations)

    def _lasting(self, iterations: int, factor: float) -> Recipe:
        return self.changed(
            iterations=iterations,
            warmup_iterations=round(self.warmup_iterations * factor),
            **self._stretched(factor, iterations),
        )

    def _stretched(self, factor: float, length: int) -> dict[str, Any]:
        words = dict(self.schedule.stretched(factor))
        if self.ema is not None and self.ema_start:
            words["ema_start"] = min(round(self.ema_start * factor), length - 1)
        return words

    # --- asking -------------------------------------------------------------------------

    def lr_at(self, iteration: int) -> float:
        """The learning rate of step `iteration`, counted from 0."""
        first = self.warmup_iterations
        if iteration >= first:
            return self.schedule.lr_at(self.lr, iteration, first, self.iterations)
        if self.warmup == "constant":
            return self.warmup_lr
        return self.warmup_lr + (self.lr - self.warmup_lr) * iteration / first

    @property
    def extras(self) -> list[str]:
        """What it has beside an optimiser and the paper's schedule, for the user."""
        found = [] if isinstance(self.schedule, Steps) else [self.schedule.title]
        found += ["labels smoothed"] if self.label_smoothing else []
        found += ["gradients clipped"] if self.clip_grad_norm else []
        return found + (["averaged weights"] if self.ema is not None else [])

    @property
    def copies(self) -> int:
        """How often training holds the weights' memory: the weights, their gradients, what
        the optimiser keeps of each, and their average."""
        return 2 + len(self.optimizer.moments) + (self.ema is not None)


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


HE2016 = Recipe()
"""How the paper trains on CIFAR."""
