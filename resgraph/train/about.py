"""What run.json and metrics.jsonl hold: each key, what it may be, and errors that name it.

The files may be damaged, edited, or another's: they are checked here, once, when they are read.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    ValidationError,
)

from resgraph.diagnostics import ResgraphError, plain
from resgraph.files import finite, parse_json, read_bytes
from resgraph.limits import RECORDS_BYTES
from resgraph.recipe import Recipe
from resgraph.train.options import TrainOptions

FINISHED = "finished"
RUNNING = "running"
STOPPED = "stopped"
INTERRUPTED = "interrupted"
DIVERGED = "diverged"
FAILED = "failed"

_TOLD = 5  # findings in a message at most
_STRICT = ConfigDict(strict=True, extra="allow")
_Count = Annotated[int, Strict(), Field(ge=0, le=2**53)]
_Size = Annotated[int, Strict(), Field(ge=1, le=2**53)]
_Number = Annotated[float, Strict(), Field(ge=-1e300, le=1e300)]
_Positive = Annotated[float, Strict(), Field(gt=0, le=1e300)]
_Percent = Annotated[float, Strict(), Field(ge=0, le=100)]
_Seconds = Annotated[float, Strict(), Field(ge=0, le=1e300)]


def _name(value: str) -> str:
    """Of a network: its file's name, since `--overwrite` must not reach outside the folder."""
    if not value.isprintable() or "/" in value or value in ("", ".", ".."):
        raise ValueError("is no network's name")
    return value


def _recipe(value: dict[str, Any]) -> dict[str, Any]:
    try:
        recipe = Recipe.from_mapping(value)
    except ResgraphError as error:
        raise ValueError(error.message) from None
    if recipe.epochs or recipe.warmup_epochs is not None:
        raise ValueError("counts epochs, and a run's counts iterations")
    return value


def _options(value: dict[str, Any]) -> dict[str, Any]:
    try:
        TrainOptions.from_mapping(value)
    except ResgraphError as error:
        raise ValueError(f"has a wrong choice: {error.message}") from None
    return value


class Results(BaseModel):
    """How far the run had come when it last ended; see `events.Standing`."""

    model_config = _STRICT

    iteration: _Count = 0
    tested: _Count = 0
    recorded: _Count = 0
    train_loss: _Number | None = None
    test_error: _Percent | None = None
    test_error_ema: _Percent | None = None
    best_error: _Percent | None = None
    best_iteration: _Count | None = None
    seconds: _Seconds = 0.0


class Choices(BaseModel):
    """How a step is computed; see `execution.Execution`."""

    model_config = _STRICT

    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    channels_last: bool = True
    compile: bool = False
    cuda_graph: bool = False
    fused: bool = True
    fused_kernels: bool = False


class Start(BaseModel):
    """The weights that the run starts from; see `pretrained.Pretrained`."""

    model_config = _STRICT

    source: str
    how: str
    sha256: str
    taken: _Count
    new: list[str]
    classes: _Count | None


class About(BaseModel):
    """run.json; what a later resgraph may add is kept as it is."""

    model_config = _STRICT

    network: Annotated[str, Field(max_length=200), AfterValidator(_name)]
    generated: str
    spec: str
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    data: str
    data_digest: str
    train_images: _Size
    test_images: _Size
    classes: Annotated[list[str], Field(min_length=1)]
    mean: Annotated[list[_Number], Field(min_length=1)]
    std: Annotated[list[_Positive], Field(min_length=1)]
    input_shape: Annotated[list[_Size], Field(min_length=3, max_length=3)]
    seed: _Count
    status: Literal[
        "finished", "running", "stopped", "interrupted", "diverged", "failed"
    ]
    recipe: Annotated[dict[str, Any], AfterValidator(_recipe)]
    replaced: dict[str, list[Any]] = {}
    """What the data set replaced of the spec's recipe: by word, its value and the run's."""
    execution: Choices
    options: Annotated[dict[str, Any], AfterValidator(_options)] | None = None
    """As `TrainOptions` has them; None in run folders of before."""
    data_at: str | None = None
    """The data's path from the folder, where it was given from elsewhere."""
    sync_bn: bool
    parameters: _Count
    results: Results
    ranks: _Size = 1
    device: str = ""
    environment: dict[str, Any] | None = None
    earlier_environments: list[dict[str, Any] | None] = []
    memory: dict[str, Any] | None = None
    weights: Start | None = None
    failure: str | None = None
    files: dict[str, str] = {}
    """Of the files that were put into the folder as they were: SHA-256 by name."""


def fingerprint(text: str) -> str:
    """SHA-256 of a text in UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def checked(path: Path, value: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of a run.json, with the defaults of what it leaves out.

    Raises `ResgraphError` with all that is not as training writes it.
    """
    try:
        about = About.model_validate(dict(value))
    except ValidationError as error:
        raise ResgraphError(
            f"{path} is not as training writes it: {'; '.join(_found(error))}",
            f"resgraph fsck {path.parent.as_posix()} says what is whole",
        ) from None
    given = {name: getattr(about, name) for name in About.model_fields}
    shown = {
        k: v.model_dump() if isinstance(v, BaseModel) else v for k, v in given.items()
    }
    return {**value, **shown}


def _found(error: ValidationError) -> list[str]:
    """What pydantic found, as `key: should be a valid integer, not 'x'`."""
    found = [_sentence(each) for each in error.errors(include_url=False)]
    more = len(found) - _TOLD
    return [*found[:_TOLD], *([f"and {more} more"] if more > 0 else [])]


def _sentence(error: Mapping[str, Any]) -> str:
    key = ".".join(plain(part, 40) for part in error["loc"])
    if error["type"] == "missing":
        return f"it has no {key}"
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    if message.startswith(f"training {key}"):  # a recipe's own words, with the value
        return plain(message, 120)
    return f"{key} {plain(message)}, not {_shown(error['input'])}"


def _shown(value: object) -> str:
    """A value of the file; of what holds others, the kind alone."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
    return plain(repr(value) if isinstance(value, str) else value, 40)


# --- records ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """One line of metrics.jsonl: where the run stands after `iteration` steps."""

    iteration: _Count
    epoch: _Seconds
    """Passes over the training set so far."""
    lr: _Seconds
    """Of the last step."""
    train_loss: Annotated[float, Strict()]
    """Mean cross-entropy, in nats, over the steps since the record before; NaN where the
    file has null, which stands for a number that JSON lacks."""
    test_error: _Percent | None
    """Percent; None where nothing was tested."""
    seconds: _Seconds
    """Wall time of the run so far, tests included."""
    images_per_s: _Seconds
    """Training speed since the record before, tests excluded."""
    test_error_ema: _Percent | None = None
    """Of the average of the weights; None where there is none, or nothing was tested."""

    def line(self) -> str:
        """The record as the file has it, without what only some recipes have."""
        fields = finite(asdict(self))
        if fields["test_error_ema"] is None:
            del fields["test_error_ema"]
        return json.dumps(fields, allow_nan=False) + "\n"


@dataclass(frozen=True)
class Records:
    """The records of a file, up to the first line that is none."""

    records: tuple[Record, ...] = ()
    wrong: str | None = None
    """The file, that line and what is wrong with it."""
    torn: bool = False
    """Whether that is the last line, cut short, as when the process was killed."""


_RECORD = TypeAdapter(Record)


def read_records(path: Path) -> Records:
    """The records of a metrics.jsonl; none where the file is not there."""
    try:
        contents = read_bytes(path, RECORDS_BYTES)
    except FileNotFoundError:
        return Records()
    except (OSError, ValueError) as error:
        return Records(wrong=f"cannot read {path}: {plain(error)}")
    *lines, last = contents.split(b"\n")
    found: list[Record] = []
    for number, line in enumerate([*lines, *([last] if last else [])], 1):
        try:
            record = _record(line)
            if found and record.iteration <= found[-1].iteration:
                raise ValueError(
                    f"iteration {record.iteration} is not above the one before"
                )
        except ValueError as error:
            what = f"{path}:{number}: {_reason(error)}"
            return Records(tuple(found), what, torn=number > len(lines))
        found.append(record)
    return Records(tuple(found))


def _record(line: bytes) -> Record:
    """A line's record. Raises `ValueError`."""
    fields = parse_json(line)
    if isinstance(fields, dict) and fields.get("train_loss", 0) is None:
        fields["train_loss"] = math.nan
    return _RECORD.validate_python(fields)


def _reason(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(_found(error))
    return plain(error)
