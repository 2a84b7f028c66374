"""What a user may choose about a training run, and the recipe that follows from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from resgraph.data import Dataset
from resgraph.diagnostics import (
    OptionError,
    ResgraphError,
    UsageError,
    did_you_mean,
)
from resgraph.recipe.precedence import Chosen, chosen
from resgraph.recipe.telling import RecipeError
from resgraph.recipe.words import merged
from resgraph.train.module import Generated
from resgraph.train.optimizer import check_factors

AUTO = "auto"
WORDS = {"fp32": "float32", "tf32": "TF32", "bf16": "bfloat16 autocast"}
PRECISIONS = (AUTO, *WORDS)


def check_precision(name: str) -> None:
    """Raise `OptionError` for a name that is not in `PRECISIONS`."""
    if name not in PRECISIONS:
        what = f"{name!r} is none of {', '.join(PRECISIONS)}"
        raise OptionError("precision", what, did_you_mean(name, PRECISIONS))


DEVICES = ("auto", "cpu", "cuda")
OF_ONE_SESSION = ("out", "resume", "overwrite", "stop_at")
"""What is chosen anew each time that a run is gone on with; it keeps all else."""
OF_THE_RECIPE = ("iterations", "epochs", "schedule_scale", "batch", "lr", "recipe")
OF_THE_START = ("weights", "freeze", "lr_of")
"""What makes a run as its recipe does, and is never another one."""
_NAMED = ("iterations", "epochs", "batch", "lr")
"""Words of the recipe that have a field of their own."""
_LENGTHS = ("iterations", "epochs")


@dataclass(frozen=True)
class TrainOptions:
    """Choices for one run; None leaves a choice to the recipe or to the device."""

    data: str = "cifar10"
    """What to give `load_data`."""
    device: str = "auto"
    """`auto` is CUDA where there is a device for it, else the CPU."""
    iterations: int | None = None
    """Another length of the whole schedule, which keeps its proportions."""
    epochs: float | None = None
    """The same, in passes over the training set."""
    batch: int | None = None
    lr: float | None = None
    schedule_scale: float = 1.0
    """A factor on the schedule's length."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Any other words of the recipe, in place of the spec's and the data set's."""
    seed: int = 0
    """Decides the initial weights, the order of images, crops, flips and dropout."""
    out: Path | None = None
    """The run folder; by default runs/NAME-DATA-sSEED."""
    resume: bool = False
    """Go on with an unfinished run. A finished one is left as it is."""
    overwrite: bool = False
    """Replace an earlier run in the same folder."""
    precision: str = AUTO
    """`fp32`, `tf32` (CUDA alone), `bf16` (autocast), or `auto`: bf16 on CUDA, else fp32."""
    channels_last: bool | None = None
    """Lay out maps with their channels innermost; by default yes."""
    compile: bool | None = None
    """Compile each distinct unit with torch.compile; by default on a single CUDA device."""
    cuda_graph: bool | None = None
    """Record the step as a CUDA graph and replay it; by default on a single CUDA device."""
    fused: bool | None = None
    """The optimiser as one kernel over many parameters; by default yes."""
    fused_kernels: bool | None = None
    """BN-ReLU-convolutions by kernels of resgraph's own, on a single CUDA device, in place of
    compilation; by default no."""
    sync_bn: bool | None = None
    """With several ranks: whether BN's statistics are those of all; by default they are."""
    log_every: int = 50
    """Iterations between records in metrics.jsonl."""
    eval_every: int | None = None
    """Iterations between tests, by default an epoch; the end is always tested."""
    checkpoint_every: int | None = None
    """Iterations between checkpoints, from which a run is resumed; by default a test
    makes one if the last is a minute old. The end, and where the run is stopped, always make one."""
    monitor: bool = False
    """Look into the units at each record (`resgraph.train.monitor`)."""
    stop_at: int | None = None
    """Stop before the end, after so many iterations, to be resumed."""
    weights: str | None = None
    """What a new run starts from, as the command line names it; `train` is given them."""
    freeze: tuple[str, ...] = ()
    """Patterns of names: what is not trained (`resgraph.train.optimizer`)."""
    lr_of: Mapping[str, float] = field(default_factory=dict)
    """By such a pattern, a factor on the learning rate; the last that fits counts."""
    memory_budget: str = AUTO
    """What the planner that `train` is given was made with: an amount, or `auto`."""

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise OptionError(
                "device",
                f"{self.device!r} is none of {', '.join(DEVICES)}",
                did_you_mean(self.device, DEVICES),
            )
        check_precision(self.precision)
        for name in ("log_every", "eval_every", "checkpoint_every", "stop_at"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                what = f"must be a whole number of at least 1, not {value!r}"
                raise OptionError(name, what)
        if type(self.seed) is not int or self.seed < 0:
            what = f"must be a whole number of at least 0, not {self.seed!r}"
            raise OptionError("seed", what)
        if self.resume and self.overwrite:
            both = ("resume", "overwrite")
            raise OptionError(both, "exclude each other", "give one")
        check_factors(self.lr_of)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainOptions:
        """The options of a run.json, or others that came as JSON; all else is at its default.

        Raises `ResgraphError` for a value of a wrong type or out of range.
        """
        try:
            return _OPTIONS.validate_json(json.dumps(dict(values)), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name, what = str(first["loc"][0]), str(first["msg"]).removeprefix("Input ")
            raise OptionError(name, f"{what}, not {first['input']!r:.40}") from None

    def as_dict(self) -> dict[str, Any]:
        """All of them as JSON has them."""
        out = None if self.out is None else str(self.out)
        return asdict(self) | {"out": out, "freeze": [*self.freeze]}

    @property
    def kept(self) -> dict[str, Any]:
        """Those that a run keeps, for run.json."""
        return {k: v for k, v in self.as_dict().items() if k not in OF_ONE_SESSION}

    def with_chosen(self, chosen: Mapping[str, Any]) -> TrainOptions:
        """These with others in their places; of what says how long, the later alone holds."""
        given = {w: chosen[w] for w in _NAMED if chosen.get(w) is not None}
        given |= chosen.get("recipe", {})
        others = {k: v for k, v in chosen.items() if k not in (*_NAMED, "recipe")}
        made = replace(self, **others)
        before = self.words
        if "schedule_scale" in chosen:
            before = {w: v for w, v in before.items() if w not in _LENGTHS}
        elif {*_LENGTHS} & given.keys():
            made = replace(made, schedule_scale=1.0)
        if not given and before == self.words:
            return made
        return replace(made, **_defaults(_NAMED), recipe=merged(before, given))

    def without_recipe(self) -> TrainOptions:
        """These, and the recipe as it is."""
        return replace(self, **_defaults(OF_THE_RECIPE))

    @property
    def words(self) -> dict[str, Any]:
        """The words of the recipe that were chosen."""
        named = {w: getattr(self, w) for w in _NAMED}
        return {w: v for w, v in named.items() if v is not None} | dict(self.recipe)

    @property
    def changes_recipe(self) -> bool:
        """Whether any choice departs from the network's or the data's own recipe."""
        return self.schedule_scale != 1 or bool(self.words)

    def chosen_for(self, generated: Generated, data: Dataset) -> Chosen:
        """The recipe that a run with these choices follows, and what it replaces.

        Raises `UsageError` if a choice is out of range.
        """
        flips = {} if data.flip_ok else {"flip": False}
        words, size = {**(data.recipe or {}), **flips}, len(data.train_images)
        scale = self.schedule_scale
        try:
            return chosen(generated.recipe, words, self.words, size, scale)
        except RecipeError as error:  # the spec's own recipe is right by itself
            if named := tuple(word for word in error.words if word in self.words):
                what = f"cannot be: {error.what}"
                raise OptionError(named, what, error.hint) from None
            raise UsageError(error.message, error.hint) from None
        except OptionError:
            raise
        except ResgraphError as error:
            raise UsageError(error.message, error.hint) from None

    def folder_for(self, generated: Generated, data: Dataset) -> Path:
        """The run folder."""
        if self.out is not None:
            return Path(self.out)
        return Path("runs") / f"{generated.name}-{data.name}-s{self.seed}"


_OPTIONS = TypeAdapter(TrainOptions)


def _defaults(names: tuple[str, ...]) -> dict[str, Any]:
    return {
        f.name: f.default if f.default is not MISSING else {}
        for f in fields(TrainOptions)
        if f.name in names
    }


def pick_device(name: str) -> torch.device:
    """The device of that name in `DEVICES`.

    Raises `ResgraphError` if CUDA is asked for and there is none: never the CPU instead.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        if torch.version.cuda is None:
            why = f"the installed torch {torch.__version__} is built without it"
        else:
            why = "torch finds no NVIDIA device or no driver"
        raise ResgraphError(f"no CUDA here: {why}", "train with --device cpu")
    return torch.device(name)
