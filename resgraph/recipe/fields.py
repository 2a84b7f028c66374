"""The kinds of values that a recipe holds: plain numbers, and one of several parts by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import getdoc
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from resgraph.diagnostics import plain
from resgraph.expr import Expr
from resgraph.ops.fields import NumberField, kind_of
from resgraph.recipe.foreign import hint_for

STORED = {"stored": True}
"""The context of validation for what was printed before: there numbers are no text."""


@dataclass(frozen=True)
class Constant(NumberField):
    """A number, or arithmetic without parameters, since none are in scope here."""

    @property
    def magnitude(self) -> float:
        return super().magnitude if self.whole else 1e100

    @property
    def wanted(self) -> str:
        if self.minimum == 0 and self.maximum is None and not self.whole:
            return "a number, 0 or more"
        return super().wanted

    def constant(self, value: object, info: core_schema.ValidationInfo) -> int | float:
        """Raises `PydanticCustomError` in the user's words."""
        if info.context is STORED and isinstance(value, str):
            raise self.wrong(value)
        number = self.parse(value)
        if isinstance(number, Expr):
            message = "'{text}' has parameters, and train takes plain numbers"
            raise PydanticCustomError("not-constant", message, {"text": str(number)})
        return number

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self.constant)


Count = Annotated[int, Constant(minimum=1, whole=True)]
Size = Annotated[int, Constant(minimum=0, whole=True)]
Positive = Annotated[float, Constant(minimum=1e-12)]
Time = Annotated[float, Constant(minimum=0)]
"""A number of steps or of epochs."""
Share = Annotated[float, Constant(minimum=0, maximum=1)]


class Part(BaseModel):
    """Base of what is chosen by name; unknown fields are findings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ClassVar[str]
    title: ClassVar[str]
    """What texts and tables call it."""
    suited: ClassVar[Mapping[str, Any]] = {}
    """The recipe's own words that are by default otherwise with it."""

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {name: getattr(self, name) for name in type(self).model_fields}


@dataclass(frozen=True)
class Choice:
    """A pydantic annotation: one of several parts, as `adamw` or `{adamw: {eps: 1e-6}}`."""

    word: str
    kinds: tuple[type[Part], ...]
    """The first is the one by default."""

    @property
    def by_name(self) -> dict[str, type[Part]]:
        """The parts by their names."""
        return {part.kind: part for part in self.kinds}

    @property
    def words(self) -> frozenset[str]:
        """The fields of all of them."""
        return frozenset(field for part in self.kinds for field in part.model_fields)

    def opened(self, value: object) -> tuple[str, Any]:
        """Name and fields of what is written. Raises `PydanticCustomError`."""
        match value:
            case str():
                name, given = value, dict[str, Any]()
            case dict() if len(value) == 1:
                ((name, given),) = value.items()
                given = {} if given is None else given
            case _:
                raise PydanticCustomError(
                    "wrong-form",
                    "expected one {word}, such as {example}, got {got}",
                    {
                        "word": self.word,
                        "example": f"{self.kinds[0].kind} or {self.kinds[0].kind}: {{...}}",
                        "got": kind_of(value),
                        "hint": f"the {self.word}s: {', '.join(self.by_name)}",
                    },
                )
        if name not in self.by_name:
            shown = {"word": self.word, "name": plain(name, 40)}
            hint = {"hint": hint_for(str(name), list(self.by_name), self.word)}
            raise PydanticCustomError(
                "unknown-choice", "unknown {word} '{name}'", shown | hint
            )
        return str(name), given

    def _tagged(self, value: object) -> object:
        if isinstance(value, self.kinds):
            return value
        name, given = self.opened(value)
        return {name: given}

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        choices: dict[Any, CoreSchema] = {
            name: core_schema.no_info_before_validator_function(
                _fields, handler.generate_schema(part)
            )
            for name, part in self.by_name.items()
        }
        union = core_schema.tagged_union_schema(choices, discriminator=_name)
        return core_schema.no_info_before_validator_function(self._tagged, union)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        bare = [
            {"const": name, "title": name, "description": getdoc(part)}
            for name, part in self.by_name.items()
        ]
        keyed = {
            "type": "object",
            "properties": {
                name: part.model_json_schema() | {"title": name}
                for name, part in self.by_name.items()
            },
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        }
        return {"anyOf": [*bare, keyed]}


def _name(value: Any) -> str:
    return value.kind if isinstance(value, Part) else str(next(iter(value)))


def _fields(value: Any) -> Any:
    return next(iter(value.values())) if isinstance(value, dict) else value
