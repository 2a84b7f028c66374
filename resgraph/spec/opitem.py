"""An item of a list of ops: an op, a unit as an op, or a parameter that is one.

`bn`, `conv: {kernel: 3, channels: width}`, `se: {width: width}` with `repeat`, `name` and
`when` beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import getdoc
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import (
    CoreSchema,
    InitErrorDetails,
    PydanticCustomError,
    core_schema,
)

from resgraph.diagnostics import did_you_mean, nearest, plain
from resgraph.expr import Condition, ExprError
from resgraph.names import LayerName, Reference
from resgraph.ops import OPS, Op
from resgraph.ops.fields import NumberField, kind_of
from resgraph.spec.values import AnyValue, defined

BESIDE = ("when", "repeat", "name")
"""The keys that may stand beside a unit's."""
BESIDE_OPS = ("when",)
"""Those that may stand beside an op's."""
IN_STAGES = {
    "name": "units of a stage are numbered; the stage may have a name: c1: [...]",
    "when": "a unit of a stage is always there; within a unit, it may be left out",
}
"""Why those may not that stand beside no unit of a stage."""
_OP, _USE, _GIVEN = "[op]", "[unit]", "[parameter]"
"""Steps of pydantic's locations that are no keys of the file."""


@dataclass
class Names:
    """What of a spec must be known to read its lists: the names of its units and of all
    parameters, and the names that cannot be names but are told already."""

    told: set[str] = field(default_factory=set)
    units: Collection[str] = ()
    params: Collection[str] = ()

    def __contains__(self, name: object) -> bool:
        return name in self.told


class UnitUse(BaseModel):
    """A unit with its arguments, and how often it is repeated (None: it is not said)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: Reference
    args: dict[str, AnyValue] = {}
    repeat: Annotated[int | None, NumberField(minimum=1, whole=True)] = None
    name: LayerName | None = None


@dataclass(frozen=True)
class OpEntry:
    """What stands in a list of ops, and the condition under which it is there.

    A text is the name of a parameter, and so may be a unit of which nothing more is said.
    """

    what: Op | UnitUse | str
    when: Condition | None = None


def condition(value: object) -> Condition:
    """What stands behind `when`. Raises `PydanticCustomError`."""
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str):
        message = "expected a condition, such as stride != 1, got {got}"
        raise PydanticCustomError("wrong-type", message, {"got": kind_of(value)})
    try:
        return Condition.parse(value)
    except ExprError as error:
        why = {"why": str(error)}
        raise PydanticCustomError("invalid-expression", "{why}", why) from None


def _kind(item: object) -> str | None:
    """The op's name, or None where the item is not of that form."""
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and len(item) == 1:
        return str(next(iter(item)))
    return None


def _sorted_out(item: object, info: ValidationInfo) -> object:
    """The item with what stands beside the op by itself. Raises pydantic's errors."""
    names = info.context if isinstance(info.context, Names) else Names()
    what, when = item, {}
    if isinstance(item, dict) and len(item) > 1:
        subject = _subject(item, names)
        if subject is not None and _all_beside(item, subject, names):
            what = {subject: item[subject]}
            when = {"when": item["when"]} if "when" in item else {}
    kind = _kind(what)
    if kind is None or (kind in BESIDE and kind not in names.units):
        got = f"{len(item)} keys" if isinstance(item, dict) else kind_of(item)
        raise PydanticCustomError(
            "wrong-form",
            "expected one op, such as bn or conv: {...}, got {got}",
            {"got": got if kind is None else f"'{kind}' alone"},
        )
    if kind in OPS:
        return {_OP: what} | when
    if kind in names.units:
        return {_OP: {_USE: use_of(kind, item)}} | when
    plain_name = not (isinstance(what, dict) and what[kind])
    if kind in names.params and plain_name:
        return {_OP: {_GIVEN: kind}} | when
    return {_OP: what} | when


def _subject(item: dict[str, Any], names: Names) -> str | None:
    """The key that is the op or the unit: the only one that can be."""
    keys = [key for key in item if key not in BESIDE]
    known = [key for key in keys if key in OPS or key in names.units]
    found = known if known or len(keys) > 1 else keys
    return found[0] if len(found) == 1 else None


def _all_beside(item: dict[str, Any], subject: str, names: Names) -> bool:
    """Whether all else may stand beside the op or the unit. Raises pydantic's errors for
    what is meant for another place, and for misspelt keys."""
    given = subject in names.params and subject not in names.units
    allowed = BESIDE_OPS if subject in OPS or given else BESIDE
    others = [key for key in item if key != subject and key not in allowed]
    attributes = OPS[subject].model_fields if subject in OPS else {}
    if others and all(key in attributes and key not in BESIDE for key in others):
        raise PydanticCustomError(
            "wrong-form",
            "{keys} beside '{op}', not in it",
            {
                "keys": _standing([f"'{key}'" for key in others]),
                "op": subject,
                "hint": f"indent it further than '{subject}:', or use braces",
            },
        )
    if all(key in BESIDE or nearest(key, allowed) for key in others):
        hints = {key: _why_not(item, key, subject, allowed) for key in others}
        refuse_keys(item, hints)
    return not others


def _standing(keys: Sequence[str]) -> str:
    return f"{' and '.join(keys)} {'stands' if len(keys) == 1 else 'stand'}"


def _why_not(
    item: dict[str, Any], key: str, subject: str, allowed: Sequence[str]
) -> str | None:
    """A hint for a key beside an op."""
    if key == "name" and subject not in OPS:
        return f"'{subject}' is a parameter: its name stands where it gets its value"
    if key == "name":
        return f"an op has it inside: {subject}: {{name: {plain(str(item[key]), 48)}}}"
    if key == "repeat":
        return "units are repeated: make one of the ops"
    return did_you_mean(key, allowed)


def refuse_keys(item: dict[str, Any], hints: Mapping[str, str | None]) -> None:
    """Raises `ValidationError` with these keys of an item, if there are any."""
    if not hints:
        return
    wrong = [
        InitErrorDetails(
            type=PydanticCustomError(
                "unknown-key", "unknown key '{key}'", {"key": key, "hint": hint}
            ),
            loc=(key,),
            input=item[key],
        )
        for key, hint in hints.items()
    ]
    raise ValidationError.from_exception_data("item", wrong)


def use_of(unit: str, item: Any) -> dict[str, Any]:
    """The use of a unit as the model has it: `{body: {width: 16}, repeat: n}`."""
    if isinstance(item, str):
        return {"unit": unit}
    args = item[unit]
    found: dict[str, Any] = {"unit": unit, "args": {} if args is None else args}
    return found | {k: v for k, v in item.items() if k in BESIDE[1:] and k != unit}


def _attributes(item: object) -> object:
    """The op's attributes; a bare name has none."""
    if isinstance(item, dict):
        (value,) = item.values()
        return {} if value is None else value
    return {} if isinstance(item, str) else item


class _OpItem:
    """Tells pydantic to choose the op's class by the item's key, and to report under it."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        choices: dict[Any, CoreSchema] = {
            kind: core_schema.no_info_before_validator_function(
                _attributes, handler.generate_schema(op)
            )
            for kind, op in OPS.items()
        }
        choices[_USE] = core_schema.no_info_before_validator_function(
            _attributes, handler.generate_schema(UnitUse)
        )
        choices[_GIVEN] = core_schema.no_info_before_validator_function(
            _attributes, core_schema.str_schema()
        )
        union = core_schema.tagged_union_schema(choices, discriminator=_kind)
        parts = core_schema.typed_dict_schema(
            {
                _OP: core_schema.typed_dict_field(union),
                "when": core_schema.typed_dict_field(
                    core_schema.no_info_plain_validator_function(condition),
                    required=False,
                ),
            }
        )
        sorted_out = core_schema.with_info_before_validator_function(_sorted_out, parts)
        made = core_schema.no_info_after_validator_function(
            lambda parts: OpEntry(parts[_OP], parts.get("when")), sorted_out
        )
        return core_schema.no_info_wrap_validator_function(
            lambda item, validate: (
                item if isinstance(item, OpEntry) else validate(item)
            ),
            made,
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return defined("Op")


WHEN_SCHEMA: dict[str, Any] = {
    "type": ["string", "boolean"],
    "title": "a condition",
    "description": "It is there only where this holds: comparisons, and, or, not.",
}
REPEAT_SCHEMA: dict[str, Any] = {
    "title": "a positive whole number, or arithmetic",
    "description": "How many such units follow one another.",
    "type": ["integer", "string"],
    "minimum": 1,
}
ARGUMENTS_SCHEMA: dict[str, Any] = {
    "title": "unit",
    "description": "A unit's arguments.",
    "type": ["object", "null"],
    "additionalProperties": defined("Value"),
}


def op_schema() -> JsonSchemaValue:
    """An op in JSON Schema: a bare name, or one key with the op's attributes.

    Any other name is a unit's, or of a parameter that is an op.
    """
    bare = [_bare(kind, op) for kind, op in OPS.items() if not _needs(op)]
    keyed = {
        "type": "object",
        "properties": {kind: _keyed(kind, op) for kind, op in OPS.items()}
        | {
            "when": WHEN_SCHEMA,
            "repeat": REPEAT_SCHEMA,
            "name": {"type": "string", "description": "The name of a unit's layers."},
        },
        "additionalProperties": defined("Arguments"),
        "minProperties": 1,
        "maxProperties": 4,
    }
    return {"anyOf": [*bare, {"type": "string"}, keyed]}


def _needs(op: type[Op]) -> bool:
    """Whether the op cannot stand without attributes."""
    return any(field.is_required() for field in op.model_fields.values())


def _bare(kind: str, op: type[Op]) -> JsonSchemaValue:
    return {"const": kind, "title": kind, "description": getdoc(op)}


def _keyed(kind: str, op: type[Op]) -> JsonSchemaValue:
    body = op.model_json_schema() | {"title": kind}
    if not _needs(op):
        body["type"] = ["object", "null"]
    if set(op.model_fields) == {"name"}:
        body["doNotSuggest"] = True  # its bare name is what to complete
    return body


OpItem = Annotated[OpEntry, _OpItem]

__all__ = [
    "Names",
    "OpEntry",
    "OpItem",
    "UnitUse",
    "condition",
    "refuse_keys",
    "use_of",
]
