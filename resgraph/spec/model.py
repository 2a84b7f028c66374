"""The spec language as pydantic models; `resgraph schema` is their JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from resgraph.allow import ALLOWABLE
from resgraph.names import Name, NetworkName, Reference, UnitName
from resgraph.ops.base import Count, Real
from resgraph.ops.fields import NUMBER_SCHEMA, kind_of
from resgraph.recipe import Recipe
from resgraph.spec.opitem import OpItem


def _title(text: str) -> str:
    if not text.isprintable() or not 0 < len(text.strip()) <= 200:
        raise PydanticCustomError(
            "invalid-title", "a title is one line of 1 to 200 printable characters"
        )
    return text


Title = Annotated[StrictStr, AfterValidator(_title)]


class Model(BaseModel):
    """Base of the language's mappings: unknown keys are findings."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _params(value: object) -> object:
    """`[width, {stride: 1}]` as a mapping of names to defaults (None: must be given).

    An item `...` stands for one with findings.
    """
    if not isinstance(value, list):
        return value
    params: dict[str, Any] = {}
    wrong: list[InitErrorDetails] = []
    for i, item in enumerate(value):
        pairs = {item: None} if isinstance(item, str) else item
        if item is ...:
            continue
        if error := _wrong_param(pairs, params):
            wrong.append(InitErrorDetails(type=error, loc=(i,), input=item))
        else:
            params |= pairs
    if wrong:
        raise ValidationError.from_exception_data("params", wrong)
    return params


def _wrong_param(pairs: Any, earlier: Mapping[str, Any]) -> PydanticCustomError | None:
    if not isinstance(pairs, dict) or len(pairs) != 1:
        return PydanticCustomError(
            "wrong-form", "a parameter is a name, or one {name: default}"
        )
    (name,) = pairs
    if name not in earlier:
        return None
    message = "the parameter '{name}' is listed twice"
    return PydanticCustomError("duplicate-key", message, {"name": name})


UnitParams = Annotated[
    dict[Name, Real | None],
    BeforeValidator(_params),
    WithJsonSchema(
        {
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "additionalProperties": NUMBER_SCHEMA,
                        "minProperties": 1,
                        "maxProperties": 1,
                    },
                ]
            },
        }
    ),
]


def _sources(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Path(Model):
    """A chain of ops that starts from one earlier value, or merges several."""

    from_: Annotated[
        list[Reference],
        BeforeValidator(_sources),
        Field(min_length=1),
        WithJsonSchema(
            {
                "type": ["string", "array"],
                "items": {"type": "string"},
                "minItems": 1,
            }
        ),
    ] = Field(
        alias="from", description="The value (or values, for a merge) it starts from."
    )
    ops: list[OpItem] = Field(min_length=1, description="The ops, in reading order.")


class Unit(Model):
    """A residual unit, or any other part: a DAG of paths from `x` to `out`."""

    title: Title | None = Field(default=None, description="A line for its docstring.")
    params: UnitParams = Field(
        default={}, description="Names, or {name: default}, that ops may compute with."
    )
    paths: dict[Name, Path] = Field(
        min_length=1, description="Named chains of ops; 'out' is what the unit returns."
    )


class StageItem(Model):
    """A unit with its arguments, and how often it is repeated."""

    unit: Reference
    args: dict[str, Real]
    repeat: Count = 1


def _stage_item(value: object) -> object:
    """`{body: {width: 16}, repeat: n}` as unit, arguments and repeat."""
    if isinstance(value, str):
        return {"unit": value, "args": {}}
    if not isinstance(value, dict):
        raise PydanticCustomError(
            "wrong-form",
            "expected a unit with its arguments, such as body: {width: 16}, got {got}",
            {"got": kind_of(value)},
        )
    units = [key for key in value if key != "repeat"]
    if len(units) != 1:
        named = ", ".join(units) or "none"
        raise PydanticCustomError(
            "wrong-form",
            "an item of a stage names one unit, not {named}",
            {"named": named},
        )
    args = value[units[0]]
    item: dict[str, Any] = {"unit": units[0], "args": {} if args is None else args}
    return item | {k: v for k, v in value.items() if k == "repeat"}


StageItemField = Annotated[
    StageItem,
    BeforeValidator(_stage_item),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 2,
                    "properties": {
                        "repeat": {
                            "title": "a positive whole number, or arithmetic",
                            "description": "How many such units follow one another.",
                            "type": ["integer", "string"],
                            "minimum": 1,
                        }
                    },
                    "additionalProperties": {
                        "title": "unit",
                        "description": "A unit's arguments.",
                        "type": ["object", "null"],
                        "additionalProperties": NUMBER_SCHEMA,
                    },
                },
            ]
        }
    ),
]


class Network(Model):
    """Stem, stages of units, head."""

    params: dict[Name, Real] = Field(
        default={}, description="Numbers, or arithmetic over the parameters above them."
    )
    input: list[Count] = Field(
        min_length=3, max_length=3, description="Shape of one image: [C, H, W]."
    )
    stem: list[OpItem] = Field(default=[], description="Ops before the first stage.")
    stages: list[Annotated[list[StageItemField], Field(min_length=1)]] = Field(
        min_length=1, description="Stages, each a list of units."
    )
    head: list[OpItem] = Field(min_length=1, description="Ops after the last stage.")


AllowedCode = Annotated[
    StrictStr, WithJsonSchema({"type": "string", "enum": [*ALLOWABLE]})
]


def _listed(value: object) -> object:
    return value if value is None or isinstance(value, list) else [value]


Extends = Annotated[
    Annotated[list[StrictStr], Field(min_length=1)] | None,
    BeforeValidator(_listed),
    WithJsonSchema(
        {"type": ["string", "array"], "items": {"type": "string"}, "minItems": 1}
    ),
]


class Spec(Model):
    """A unit topology, the networks built from it, and how they are trained."""

    resgraph: Literal[1] = Field(description="Version of the language.")
    title: Title = Field(description="A line for the generated files' docstrings.")
    extends: Extends = Field(
        default=None,
        description="The spec, or the specs, of which this one is a change: later ones of "
        "a list over earlier ones.",
    )
    units: dict[UnitName, Unit] = Field(min_length=1, description="The units by name.")
    network: Network
    networks: dict[NetworkName, dict[str, Real]] = Field(
        default={},
        description="What compile builds: names, and the parameters they set.",
    )
    train: Recipe = Field(default_factory=Recipe, description="The training recipe.")
    allow: list[AllowedCode] = Field(
        default=[],
        description="Codes of warnings and notes that are meant, and not told any more.",
    )
