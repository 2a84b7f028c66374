"""An op as an item of a list: `bn`, or `conv: {kernel: 3, channels: width}`."""

from __future__ import annotations

from inspect import getdoc
from typing import Annotated, Any

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidatorFunctionWrapHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from resgraph.ops import OPS, Op
from resgraph.ops.fields import kind_of


def _kind(item: object) -> str | None:
    """The op's name, or None where the item is not of that form."""
    if isinstance(item, str):
        return item
    if isinstance(item, dict) and len(item) == 1:
        return str(next(iter(item)))
    return None


def _checked(item: object) -> object:
    """The item, if it names one op. Raises `PydanticCustomError`."""
    if _kind(item) is not None:
        return item
    got = f"{len(item)} keys" if isinstance(item, dict) else kind_of(item)
    raise PydanticCustomError(
        "wrong-form",
        "expected one op, such as bn or conv: {...}, got {got}",
        {"got": got},
    )


def _attributes(item: object) -> object:
    """The op's attributes; a bare name has none."""
    if isinstance(item, dict):
        (value,) = item.values()
        return {} if value is None else value
    return {} if isinstance(item, str) else item


def _unless_unknown(item: object, handler: ValidatorFunctionWrapHandler) -> Any:
    """An op that stands for one with findings is taken as it is."""
    return item if isinstance(item, Op) else handler(item)


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
        union = core_schema.tagged_union_schema(choices, discriminator=_kind)
        checked = core_schema.no_info_before_validator_function(_checked, union)
        return core_schema.no_info_wrap_validator_function(_unless_unknown, checked)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return dict(OP_REFERENCE)


OP_REFERENCE = {"$comment": "an op"}
"""Stands for an op in the schema of a list; `resgraph.spec.schema` defines it once."""


def op_schema() -> JsonSchemaValue:
    """An op in JSON Schema: a bare name, or one key with the op's attributes."""
    bare = [_bare(kind, op) for kind, op in OPS.items() if not _needs(op)]
    keyed = {
        "type": "object",
        "properties": {kind: _keyed(kind, op) for kind, op in OPS.items()},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"anyOf": [*bare, keyed]}


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


OpItem = Annotated[Op, _OpItem]
