"""The spec language as pydantic models; `resgraph schema` is their JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from resgraph.allow import ALLOWABLE
from resgraph.diagnostics import nearest
from resgraph.expr import Condition
from resgraph.names import (
    INPUT,
    PATTERN,
    Name,
    NetworkName,
    PathName,
    Reference,
    ResultName,
    StageName,
    UnitName,
)
from resgraph.ops.base import Count
from resgraph.ops.fields import kind_of
from resgraph.recipe import Recipe
from resgraph.spec.opitem import (
    BESIDE,
    IN_STAGES,
    REPEAT_SCHEMA,
    WHEN_SCHEMA,
    Names,
    OpEntry,
    OpItem,
    UnitUse,
    condition,
    refuse_keys,
    use_of,
)
from resgraph.spec.tree import Loc
from resgraph.spec.values import AnyValue, defined


def _title(text: str) -> str:
    if not text.isprintable() or not 0 < len(text.strip()) <= 200:
        raise PydanticCustomError(
            "invalid-title", "a title is one line of 1 to 200 printable characters"
        )
    return text


def _distinct(names: list[str]) -> list[str]:
    wrong = [
        InitErrorDetails(type=_listed_twice(name), loc=(i,), input=name)
        for i, name in enumerate(names)
        if name in names[:i]
    ]
    if wrong:
        raise ValidationError.from_exception_data("names", wrong)
    return names


def _listed_twice(name: str, what: str = "name") -> PydanticCustomError:
    context = {"what": what, "name": name}
    message = "the {what} '{name}' is listed twice"
    return PydanticCustomError("duplicate-key", message, context)


Title = Annotated[StrictStr, AfterValidator(_title)]


class Model(BaseModel):
    """Base of the language's mappings: unknown keys are findings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    return _listed_twice(name, "parameter") if name in earlier else None


UnitParams = Annotated[
    dict[Name, AnyValue | None],
    BeforeValidator(_params),
    WithJsonSchema(
        {
            "type": ["array", "object"],
            "items": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "additionalProperties": defined("Value"),
                        "minProperties": 1,
                        "maxProperties": 1,
                    },
                ]
            },
            "additionalProperties": defined("Value"),
        }
    ),
]


def _sources(value: object) -> object:
    return [value] if isinstance(value, str) else value


_SOURCES_SCHEMA: dict[str, Any] = {
    "type": ["string", "array"],
    "items": {"type": "string"},
    "minItems": 1,
}
Sources = Annotated[
    list[Reference],
    BeforeValidator(_sources),
    Field(min_length=1),
    WithJsonSchema(_SOURCES_SCHEMA),
]
When = Annotated[
    Condition | None, PlainValidator(condition), WithJsonSchema(WHEN_SCHEMA)
]


class Path(Model):
    """A chain of ops that starts from one earlier value, or merges several."""

    from_: Sources = Field(
        alias="from", description="The value (or values, for a merge) it starts from."
    )
    when: When = None
    ops: list[OpItem] = Field(min_length=1, description="The ops, in reading order.")


def _outputs(value: object) -> object:
    """`[a, s.b]` as a mapping: the outputs are called as the values are, a and b."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return value
    named: dict[str, str] = {}
    wrong: list[InitErrorDetails] = []
    for i, item in enumerate(value):
        name = item.rpartition(".")[2]
        if name in named:
            error = _output_again(item, name, named[name])
            wrong.append(InitErrorDetails(type=error, loc=(i,), input=item))
        named.setdefault(name, item)
    if wrong:
        raise ValidationError.from_exception_data("outputs", wrong)
    return named


def _output_again(item: str, name: str, earlier: str) -> PydanticCustomError:
    """What is wrong with an output that would be called as an earlier one is."""
    if item == earlier:
        return _listed_twice(item)
    return PydanticCustomError(
        "name-clash",
        "'{earlier}' and '{item}' would both be called '{name}'",
        {
            "earlier": earlier,
            "item": item,
            "name": name,
            "hint": f"name them: outputs: {{NAME: {earlier}, ...}}",
        },
    )


Inputs = Annotated[list[PathName], Field(min_length=1), AfterValidator(_distinct)]
_OUTPUTS_SCHEMA = WithJsonSchema(
    {
        "type": ["object", "array"],
        "additionalProperties": {"type": "string"},
        "items": {"type": "string"},
    }
)
_SOME = Field(min_length=1)
Outputs = Annotated[
    dict[PathName, Reference], BeforeValidator(_outputs), _SOME, _OUTPUTS_SCHEMA
]
Results = Annotated[
    dict[ResultName, Reference], BeforeValidator(_outputs), _SOME, _OUTPUTS_SCHEMA
]
_INPUTS = "What it calls the values that come in; x where nothing is said."
_OUTPUTS = "Names, and the values that are returned under them; the path out otherwise."


class Unit(Model):
    """A residual unit, or any other part: a DAG of paths from its inputs to its outputs."""

    title: Title | None = Field(default=None, description="A line for its docstring.")
    params: UnitParams = Field(
        default={}, description="Names, or {name: default}, that ops may compute with."
    )
    inputs: Inputs = Field(default=[INPUT], description=_INPUTS)
    paths: dict[PathName, Path] = Field(
        min_length=1, description="Named chains of ops; 'out' is what the unit returns."
    )
    outputs: Outputs = Field(default={}, description=_OUTPUTS)


def _stage_item(value: object, info: ValidationInfo) -> object:
    """`{body: {width: 16}, repeat: n}` as unit, arguments and repeat."""
    if isinstance(value, str):
        return {"unit": value}
    if not isinstance(value, dict):
        raise PydanticCustomError(
            "wrong-form",
            "expected a unit with its arguments, such as body: {width: 16}, got {got}",
            {"got": kind_of(value)},
        )
    units = [key for key in value if key != "repeat"]
    names = info.context if isinstance(info.context, Names) else Names()
    known = [key for key in units if key in names.units]
    others = [key for key in units if key not in known]
    strange = [key for key in others if key in BESIDE or nearest(key, ["repeat"])]
    if len(known) == 1 and others and others == strange:
        refuse_keys(value, {key: IN_STAGES.get(key, _REPEATED) for key in others})
    if len(units) != 1:
        named = ", ".join(units) or "none"
        raise PydanticCustomError(
            "wrong-form",
            "an item of a stage names one unit, not {named}",
            {"named": named},
        )
    return use_of(units[0], value)


_REPEATED = "did you mean 'repeat'?"

StageItem = Annotated[UnitUse, BeforeValidator(_stage_item)]
_UNITS_SCHEMA: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": ["string", "object"],
        "minProperties": 1,
        "maxProperties": 2,
        "properties": {"repeat": REPEAT_SCHEMA},
        "additionalProperties": defined("Arguments"),
    },
    "description": "The units, one after the other.",
}


class Stage(Model):
    """Units one after the other, from the stage before it or from other ones."""

    name: Annotated[StageName | None, Field(alias="[name]")] = None
    from_: Sources = Field(default=[], alias="from")
    units: Annotated[list[StageItem], Field(min_length=1)] = Field(alias="[units]")


STAGE_SCHEMA: dict[str, Any] = {
    **_UNITS_SCHEMA,
    "type": ["array", "object"],
    "title": "stage",
    "description": "Units one after the other, or these with what the stage starts from.",
    "properties": {
        "from": _SOURCES_SCHEMA
        | {"description": "Earlier stages, stem, or x, the network's input."},
        "units": _UNITS_SCHEMA,
    },
    "required": ["units"],
    "additionalProperties": False,
}
_STAGES_SCHEMA: dict[str, Any] = {
    "type": ["array", "object"],
    "minItems": 1,
    "items": defined("Stage"),
    "minProperties": 1,
    "patternProperties": {PATTERN: defined("Stage")},
}


KEYED = frozenset({"units", "ops", "paths", "from", "inputs"})
"""Keys of which a stage, the stem or the head has one where it is no list."""


def is_keyed(value: object) -> bool:
    """Whether a stage, the stem or the head is written with keys, if misspelt ones."""
    keys = value if isinstance(value, Mapping) else ()
    return any(nearest(str(key), KEYED) for key in keys)


def _stages(value: object) -> object:
    """Stages in a list, or by name, as a list of mappings."""
    if isinstance(value, dict):
        return [_stage(stage) | {"[name]": name} for name, stage in value.items()]
    return [_stage(stage) for stage in value] if isinstance(value, list) else value


def _stage(value: Any) -> dict[str, Any]:
    if isinstance(value, dict) and is_keyed(value):
        return {"[units]" if k == "units" else k: v for k, v in value.items()}
    return {"[units]": value}


class End(Model):
    """The stem or the head: ops in a row, or paths as a unit has them."""

    from_: Sources = Field(default=[], alias="from")
    inputs: Inputs = [INPUT]
    ops: list[OpItem] = Field(default=[], alias="[ops]")
    paths: dict[PathName, Path] = {}
    keyed: bool = Field(default=False, alias="[keyed]")
    """Whether its ops are written under a key of their own."""

    @model_validator(mode="after")
    def _one_of_both(self) -> End:
        if self.keyed and bool(self.ops) == bool(self.paths):
            raise PydanticCustomError(
                "wrong-form", "it has ops, which stand in a row, or it has paths"
            )
        return self


def _end(value: object) -> object:
    if isinstance(value, dict) and is_keyed(value):
        given = {"[ops]" if k == "ops" else k: v for k, v in value.items()}
        return given | {"[keyed]": True}
    return {"[ops]": value}


_END_SCHEMA: dict[str, Any] = {
    "type": ["array", "object"],
    "items": defined("Op"),
    "properties": {
        "from": _SOURCES_SCHEMA
        | {"description": "Of the head: the stages (or stem) it starts from."},
        "inputs": {
            "type": "array",
            "items": {"type": "string"},
            "description": _INPUTS,
        },
        "ops": {
            "type": "array",
            "items": defined("Op"),
            "description": "The ops, in reading order.",
        },
        "paths": {
            "type": "object",
            "description": "Named chains of ops; 'out' is what is returned.",
            "additionalProperties": defined("Path"),
        },
    },
    "additionalProperties": False,
}
EndField = Annotated[End | None, BeforeValidator(_end), WithJsonSchema(_END_SCHEMA)]


class Network(Model):
    """Stem, stages of units, head."""

    params: dict[Name, AnyValue] = Field(
        default={}, description="Numbers, or arithmetic over the parameters above them."
    )
    input: list[Count] = Field(
        min_length=1,
        max_length=3,
        description="Shape of one image: [C, H, W]; of tokens [T, C], of a vector [C].",
    )
    stem: EndField = Field(default=None, description="Ops before the first stage.")
    stages: Annotated[
        list[Stage],
        BeforeValidator(_stages),
        WithJsonSchema(_STAGES_SCHEMA),
    ] = Field(min_length=1, description="Stages, each a list of units.")
    head: EndField = Field(default=None, description="Ops after the last stage.")
    outputs: Results = Field(
        default={},
        description="Names, and the stages (or head) whose values the network returns.",
    )

    @field_validator("stem")
    @classmethod
    def _first(cls, stem: End | None) -> End | None:
        if stem is not None and stem.from_:
            why = "the stem starts from the network's input: it has no 'from'"
            raise PydanticCustomError("wrong-form", "{why}", {"why": why})
        return stem

    @model_validator(mode="before")
    @classmethod
    def _ends(cls, value: Any) -> Any:
        """A network without outputs ends in its head."""
        ends = {"head", "outputs"}
        written = {*value} if isinstance(value, dict) else ends
        if not any(key in ends or nearest(str(key), ends) for key in written):
            missing = InitErrorDetails(type="missing", loc=("head",), input=value)
            raise ValidationError.from_exception_data("network", [missing])
        return value


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
    networks: dict[NetworkName, dict[str, AnyValue]] = Field(
        default={},
        description="What compile builds: names, and the parameters they set.",
    )
    train: Recipe = Field(default_factory=Recipe, description="The training recipe.")
    allow: list[AllowedCode] = Field(
        default=[],
        description="Codes of warnings and notes that are meant, and not told any more.",
    )


def items(spec: Spec) -> Iterator[tuple[Loc, OpEntry]]:
    """Every item of every list of ops, with its place."""
    for name, unit in spec.units.items():
        yield from _in_paths(("units", name), unit.paths)
    for name in ("stem", "head"):
        end: End | None = getattr(spec.network, name)
        if end is not None:
            keyed = ("ops",) if end.keyed else ()
            for i, item in enumerate(end.ops):
                yield ("network", name, *keyed, i), item
            yield from _in_paths(("network", name), end.paths)


def _in_paths(loc: Loc, paths: Mapping[str, Path]) -> Iterator[tuple[Loc, OpEntry]]:
    for name, path in paths.items():
        for i, item in enumerate(path.ops):
            yield (*loc, "paths", name, "ops", i), item
