"""What a parameter may be: a number or arithmetic, true or false, a list, an op, a word."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from resgraph.expr import Expr
from resgraph.limits import LIST_ITEMS
from resgraph.ops import OPS, Op
from resgraph.ops.elsewhere import hint
from resgraph.ops.fields import NumberField

Written = int | float | bool | Expr | Op | tuple[int | float | Expr, ...]
"""A value as it is written. A word is an `Expr` of one name, until it is known for what."""

VALUE_SCHEMA: dict[str, Any] = {
    "type": ["number", "string", "boolean", "array", "object"],
    "description": "A number, or arithmetic over parameters such as `4 * width`: "
    "`+ - * / // % ( )`; true or false; a list of numbers; an op, with its attributes.",
}
"""Any value of the language, for JSON Schema."""


def defined(name: str) -> dict[str, Any]:
    """Stands in a schema for what `resgraph.spec.schema` defines once under that name."""
    return {"$comment": f"#/$defs/{name}"}


_NUMBER = NumberField()


class _ValueField:
    """Tells pydantic to take any value of the language."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(parse)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return defined("Value")


def parse(value: object) -> Written:
    """Take what the YAML holds. Raises `PydanticCustomError`, or pydantic's own error for
    the attributes of an op."""
    if isinstance(value, bool | Op):
        return value
    if isinstance(value, list):
        return _list(value)
    if isinstance(value, dict) and len(value) == 1:
        return _op(*value.items())
    if isinstance(value, dict):
        got = f"expected one op with its attributes, got {len(value)} keys"
        raise PydanticCustomError("wrong-form", "{why}", {"why": got})
    if value is None:
        message = "expected a value, got nothing"
        hint = "leave it out where its default is meant"
        raise PydanticCustomError("wrong-type", message, {"hint": hint})
    return _NUMBER.parse(value)


def _list(value: list[Any]) -> tuple[int | float | Expr, ...]:
    if not 0 < len(value) <= LIST_ITEMS:
        raise PydanticCustomError(
            "wrong-length",
            "a list has 1 to {most} numbers, not {count}",
            {"most": LIST_ITEMS, "count": len(value)},
        )
    items: list[int | float | Expr] = []
    wrong: list[InitErrorDetails] = []
    for i, item in enumerate(value):
        try:
            items.append(_NUMBER.parse(item))
        except PydanticCustomError as error:
            wrong.append(InitErrorDetails(type=error, loc=(i,), input=item))
    if wrong:
        raise ValidationError.from_exception_data("list", wrong)
    return tuple(items)


def _op(item: tuple[str, Any]) -> Op:
    kind, attributes = item
    if kind not in OPS:
        raise PydanticCustomError(
            "unknown-op", "unknown op '{kind}'", {"kind": kind, "hint": hint(kind)}
        )
    given = {kind: {} if attributes is None else attributes}
    return _holder(kind).validate_python(given)[kind]


@cache
def _holder(kind: str) -> TypeAdapter[dict[str, Op]]:
    """Takes an op by its name, so that errors have places below that name."""
    return TypeAdapter(dict[str, OPS[kind]])  # type: ignore[valid-type]


AnyValue = Annotated[Any, _ValueField]
"""The annotation of a field that may be any value; it then holds a `Written`."""
