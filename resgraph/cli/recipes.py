"""Options for the words of a recipe, made from the recipe's own fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Annotated, Any

import typer

from resgraph.recipe.options import WORDS, Word

PARAMETER = "recipe"
"""The command's parameter that gets the words which are given."""


def with_recipe(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each word of a recipe that it has no parameter for."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for name, p in signature.parameters.items() if name != PARAMETER]
    words = [word for name, word in WORDS.items() if name not in signature.parameters]
    parameters = [*own, *map(_parameter, words)]

    def run(*args: Any, **given: Any) -> None:
        typed = {word.name: given.pop(word.name, None) for word in words}
        command(*args, **given, **{PARAMETER: read(typed)})

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__dict__["__signature__"] = signature.replace(parameters=parameters)
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def read(typed: Mapping[str, Any]) -> dict[str, Any]:
    """The words that are given. Raises `UsageError` for what is none of a word's values."""
    given = {name: value for name, value in typed.items() if value is not None}
    return {name: WORDS[name].read(value) for name, value in given.items()}


def _parameter(word: Word) -> Parameter:
    kind: Any = bool | None if word.is_flag else str | None
    names = f"{word.option}/--no-{word.option[2:]}" if word.is_flag else word.option
    option = typer.Option(
        names,
        help=word.help,
        metavar=None if word.is_flag else word.metavar,
        rich_help_panel="Recipe",
    )
    return Parameter(
        word.name,
        Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind, option],
    )
