"""The words of a recipe as options of a command line, each made from its field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from resgraph.diagnostics import UsageError
from resgraph.recipe.fields import STORED, Part
from resgraph.recipe.model import Recipe
from resgraph.recipe.parts import CHOICES
from resgraph.recipe.telling import first_hint, sentences

NONE = "none"
"""What turns a word off that may be left out."""


@dataclass(frozen=True)
class Word:
    """A word, with all that an option needs to know of it."""

    name: str
    field: FieldInfo

    @property
    def option(self) -> str:
        """As one types it."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def help(self) -> str:
        """What it is, and what there is to choose from."""
        text = str(self.field.description)
        return f"{text[:-1]}: {', '.join(self.choices)}." if self.choices else text

    @cached_property
    def choices(self) -> tuple[str, ...]:
        """The parts, or the texts, that one can choose from."""
        for choice in CHOICES:
            if choice.word == self.name:
                return tuple(choice.by_name)
        return tuple(a for a in get_args(self.field.annotation) if isinstance(a, str))

    @property
    def is_flag(self) -> bool:
        """Whether it is on or off."""
        return self.field.annotation is bool

    @property
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return get_origin(self.field.annotation) is tuple

    @property
    def metavar(self) -> str:
        """What stands for its value."""
        if self.choices:
            return "NAME"
        return "X,Y,..." if self.is_list else "X"

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        kind: Any = self.field.annotation
        for condition in self.field.metadata:
            kind = Annotated[kind, condition]
        return TypeAdapter(kind)

    def read(self, text: str | float | bool) -> Any:
        """The value that is typed. Raises `UsageError`."""
        if text == NONE and self.field.default is None:
            return None
        value: Any = _value(text) if isinstance(text, str) else text
        if self.is_list and isinstance(text, str):
            value = [_value(part) for part in text.split(",") if part.strip()]
        try:
            found = self._adapter.validate_python(value, context=STORED)
        except ValidationError as error:
            wrong = [
                {**each, "loc": (self.option,)}
                for each in error.errors(include_url=False)
            ]
            what = "; ".join(sentences(wrong))
            raise UsageError(what, first_hint(wrong, [])) from None
        return found.kind if isinstance(found, Part) else found


def _value(text: str) -> float | str:
    """A number where it is one."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text.strip()


def _words() -> Iterator[Word]:
    for name, field in Recipe.model_fields.items():
        if name not in ("recipe", "version"):
            yield Word(name, field)
            for choice in CHOICES:
                if choice.word == name:
                    fields = (p.model_fields for p in choice.kinds)
                    yield from (Word(n, f) for part in fields for n, f in part.items())


WORDS: Mapping[str, Word] = {word.name: word for word in _words()}
"""All of them, by name."""
