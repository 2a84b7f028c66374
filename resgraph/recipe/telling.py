"""What pydantic finds in a recipe, as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resgraph.diagnostics import ResgraphError, plain
from resgraph.ops.fields import WANTED, kind_of
from resgraph.recipe.foreign import hint_for
from resgraph.recipe.words import keys


class RecipeError(ResgraphError):
    """All that is wrong with a recipe, and with which of its words."""

    def __init__(self, errors: Sequence[Mapping[str, Any]], own: Sequence[str]) -> None:
        self.words = [_word(error) for error in errors]
        self.what = "; ".join(sentences(errors))
        super().__init__(f"training recipe: {self.what}", first_hint(errors, own))


def _word(error: Mapping[str, Any]) -> str:
    return next((s for s in reversed(error["loc"]) if isinstance(s, str)), "")


def sentences(errors: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Each error with its field in front."""
    for error in errors:
        yield _sentence(error, plain(_word(error)))


def _sentence(error: Mapping[str, Any], name: str) -> str:
    match error["type"]:
        case "extra_forbidden":
            return f"unknown field '{name}'"
        case "unknown-key" | "unknown-choice" | "wrong-form":
            return str(error["msg"])
        case "literal_error":
            expected = error["ctx"]["expected"]
            return f"{name} is {expected}, not {plain(repr(error['input']), 40)}"
        case kind if kind in WANTED:
            return f"{name}: expected {WANTED[kind]}, got {kind_of(error['input'])}"
    message = str(error["msg"])
    return message if name in message else f"{name}: {message}"


def first_hint(errors: Sequence[Mapping[str, Any]], own: Sequence[str]) -> str | None:
    """The first hint that there is; `own` are the recipe's own words."""
    return next(filter(None, (hint_of(error, own) for error in errors)), None)


def hint_of(error: Mapping[str, Any], own: Sequence[str]) -> str | None:
    """What to write instead, where that is known."""
    if error["type"] == "extra_forbidden":
        *above, word = error["loc"]
        return hint_for(str(word), keys(above, own))
    hint = error.get("ctx", {}).get("hint")
    return None if hint is None else str(hint)
