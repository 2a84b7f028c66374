"""An item of a list of ops: an op, a unit as an op, or a parameter that is one.

`bn`, `conv: {kernel: 3, channels: width}`, `se: {width: width}` with `repeat`, `name` and
`when` beside it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from inspect import getdoc
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from resgraph.expr import Condition, ExprError
from resgraph.names import LayerName, Reference
from resgraph.ops import OPS, Op
from resgraph.ops.base import Count
from resgraph.ops.fields import kind_of
from resgraph.spec.values import VALUE_SCHEMA, AnyValue

BESIDE = ("when", "repeat", "name")
"""The keys that may stand beside a unit's; beside an op's, the first alone."""
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


class Use(BaseModel):
    """A unit with its arguments, and how often it is repeated (None: it is not said)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: Reference
    args: dict[str, AnyValue] = {}
    repeat: Count | None = None
    name: LayerName | None = None


@dataclass(frozen=True)
class Item:
    """What stands in a list of ops, and the condition under which it is there.

    A text is the name of a parameter.
    """

    what: Op | Use | str
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
    """The item with what stands beside the op by itself. Raises `PydanticCustomError`."""
    names = info.context if isinstance(info.context, Names) else Names()
    what, when = item, {}
    if isinstance(item, dict) and len(item) > 1:
        keys = [key for key in item if key not in BESIDE]
        beside = {*item} - {*keys}
        if len(keys) == 1 and beside <= {*_allowed(keys[0], names)}:
            what = {keys[0]: item[keys[0]]}
            when = {"when": item["when"]} if "when" in item else {}
    kind = _kind(what)
    if kind is None:
        got = f"{len(item)} keys" if isinstance(item, dict) else kind_of(item)
        raise PydanticCustomError(
            "wrong-form",
            "expected one op, such as bn or conv: {...}, got {got}",
            {"got": got},
        )
    if kind in OPS:
        return {_OP: what} | when
    if kind in names.params and isinstance(what, str):
        return {_OP: {_GIVEN: kind}} | when
    if kind in names.units:
        return {_OP: {_USE: use_of(kind, item)}} | when
    return {_OP: what} | when


def _allowed(kind: str, names: Names) -> tuple[str, ...]:
    return BESIDE if kind in names.units and kind not in OPS else BESIDE[:1]


def use_of(unit: str, item: Any) -> dict[str, Any]:
    """The use of a unit as the model has it: `{body: {width: 16}, repeat: n}`."""
    if isinstance(item, str):
        return {"unit": unit}
    args = item[unit]
    found: dict[str, Any] = {"unit": unit, "args": {} if args is None else args}
    return found | {k: v for k, v in item.items() if k in ("repeat", "name")}


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
            _attributes, handler.generate_schema(Use)
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
            lambda parts: Item(parts[_OP], parts.get("when")), sorted_out
        )
        return core_schema.no_info_wrap_validator_function(
            lambda item, validate: (
                Item(item) if isinstance(item, Op) else validate(item)
            ),
            made,
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return dict(OP_REFERENCE)


OP_REFERENCE = {"$comment": "an op"}
"""Stands for an op in the schema of a list; `resgraph.spec.schema` defines it once."""

PATH_REFERENCE = {"$comment": "a path"}
"""Stands for a path, likewise."""

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
    "additionalProperties": VALUE_SCHEMA,
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
        "additionalProperties": ARGUMENTS_SCHEMA,
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


OpItem = Annotated[Item, _OpItem]

__all__ = ["Item", "Names", "OpItem", "Use", "condition", "use_of"]
