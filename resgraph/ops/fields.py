"""The number types of op attributes: a literal or an expression over the unit's parameters."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from resgraph.expr import Expr, ExprError, KindError, exact, literal
from resgraph.limits import EXPRESSION_MAGNITUDE
from resgraph.syntax import Name
from resgraph.values import show

WANTED = {
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "string_type": "text",
    "bool_type": "true or false",
}
"""The kinds of values by pydantic's word for what is none."""


class _Field(ABC):
    """A pydantic annotation of an attribute that a parameter may give."""

    @property
    @abstractmethod
    def wanted(self) -> str:
        """What it takes, in words."""

    @abstractmethod
    def parse(self, value: object) -> Any:
        """Take what the YAML holds. Raises `PydanticCustomError` in the user's words."""

    def wrong(self, value: object) -> PydanticCustomError:
        """The error for a value of another kind."""
        got = {"wanted": self.wanted, "got": kind_of(value)}
        return PydanticCustomError("wrong-type", "expected {wanted}, got {got}", got)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)


@dataclass(frozen=True)
class NumberField(_Field):
    """A pydantic annotation: a number in a range, or an expression that comes out in it.

    Before `settle` a field of this kind may hold an `Expr`; after it, plain numbers.
    """

    minimum: float | None = None
    maximum: float | None = None
    whole: bool = False
    channels: bool = False
    """Whether it counts channels, or groups of them: what grows where units grow."""

    @property
    def magnitude(self) -> float:
        """The largest number that is taken."""
        return EXPRESSION_MAGNITUDE

    def parse(self, value: object) -> int | float | Expr:
        """Take what the YAML holds. Raises `PydanticCustomError` in the user's words."""
        if isinstance(value, bool) or not isinstance(value, int | float | str | Expr):
            raise self.wrong(value)
        written = _expression(value) if isinstance(value, str) else value
        if isinstance(written, Expr) and written.names:
            return written
        try:
            if isinstance(written, Expr):
                return self.settle(written, {})
            return self.check(written)
        except ExprError as error:
            why = {"why": str(error)}
            raise PydanticCustomError("invalid-number", "{why}", why) from None

    def settle(self, value: int | float | Expr, env: Mapping[str, Any]) -> int | float:
        """The plain number that `value` is under `env`. Raises `ExprError`."""
        if not isinstance(value, Expr):
            return value
        number = value.evaluate(env, self.whole)
        try:
            return self.check(literal(number))
        except ExprError:
            where = ", ".join(f"{n} = {show(env[n])}" for n in value.names)
            came = f"'{value}' comes out as {show(number)}"
            given = f" with {where}" if where else ""
            raise ExprError(f"{came}{given}, and must be {self.wanted}") from None

    def check(self, value: int | float) -> int | float:
        """`value` if it is finite, in range and whole where asked. Raises `ExprError`."""
        if abs(value) > self.magnitude and value not in (math.inf, -math.inf):
            got = f"{value:.3g}" if abs(value) < 1e300 else "a larger one"
            raise ExprError(f"expected a number up to {self.magnitude:.0e}, got {got}")
        if not math.isfinite(value):
            raise ExprError(f"expected {self.wanted}, got {value}")
        number = literal(value)
        low = self.minimum is not None and number < self.minimum
        high = self.maximum is not None and number > self.maximum
        if low or high or (self.whole and not isinstance(number, int)):
            raise ExprError(f"expected {self.wanted}, got {show(exact(value))}")
        return number

    @property
    def wanted(self) -> str:
        """The field's range in words."""
        if self.whole:
            return {0: "a whole number, 0 or more", 1: "a positive whole number"}.get(
                int(self.minimum or 0), f"a whole number from {self.minimum}"
            )
        if self.minimum is not None and self.maximum is not None:
            return f"a number from {show(self.minimum)} to {show(self.maximum)}"
        return "a positive number" if self.minimum is not None else "a finite number"

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        number: dict[str, Any] = {
            "type": ["integer" if self.whole else "number", "string"],
            "title": f"{self.wanted}, or arithmetic over parameters",
        }
        if self.minimum is not None:
            number["minimum"] = self.minimum
        if self.maximum is not None:
            number["maximum"] = self.maximum
        return number


@dataclass(frozen=True)
class FlagField(_Field):
    """A pydantic annotation: true or false, or the name of a parameter that is."""

    whole: ClassVar[bool] = False

    @property
    def wanted(self) -> str:
        return "true or false"

    def parse(self, value: object) -> bool | Expr:
        """Take what the YAML holds. Raises `PydanticCustomError` in the user's words."""
        if isinstance(value, bool | Expr):
            return value
        if isinstance(value, str) and _NAME.fullmatch(value):
            return Expr(Name(value))
        raise self.wrong(value)

    def settle(self, value: bool | Expr, env: Mapping[str, Any]) -> bool:
        """The truth value that `value` is under `env`. Raises `ExprError`."""
        found = env[str(value)] if isinstance(value, Expr) else value
        if not isinstance(found, bool):
            why = f"'{value}' must be true or false, and is {show(found)}"
            raise KindError(why)
        return found

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "type": ["boolean", "string"],
            "title": "true or false, or a parameter that is",
        }


@dataclass(frozen=True)
class WordField(_Field):
    """A pydantic annotation: one of a few words, or the name of a parameter that is one."""

    choices: tuple[str, ...]
    whole: ClassVar[bool] = False

    @property
    def wanted(self) -> str:
        return f"one of {', '.join(self.choices)}"

    def parse(self, value: object) -> str | Expr:
        """Take what the YAML holds. Raises `PydanticCustomError` in the user's words."""
        if isinstance(value, Expr):
            return value
        if isinstance(value, str) and value in self.choices:
            return value
        if isinstance(value, str) and _NAME.fullmatch(value):
            return Expr(Name(value))
        raise self.wrong(value)

    def settle(self, value: str | Expr, env: Mapping[str, Any]) -> str:
        """The word that `value` is under `env`. Raises `ExprError`."""
        found = env[str(value)] if isinstance(value, Expr) else value
        if found not in self.choices:
            raise ExprError(f"'{value}' must be {self.wanted}, and is {found}")
        return str(found)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "title": self.wanted, "examples": [*self.choices]}


AnyField = NumberField | FlagField | WordField
"""An attribute that may be given by a parameter."""
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def _expression(text: str) -> Expr:
    """The text as arithmetic. Raises `PydanticCustomError`."""
    try:
        return Expr.parse(text)
    except ExprError as error:
        why = {"why": str(error)}
        raise PydanticCustomError("invalid-expression", "{why}", why) from None


def kind_of(value: object) -> str:
    """A YAML value's kind, in the words of the diagnostics."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {value[:40]!r}"
        case list():
            return "a list"
        case dict():
            return "a mapping"
    return type(value).__name__
