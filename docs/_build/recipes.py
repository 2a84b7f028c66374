"""The words of a recipe: its fields, and those of its optimisers and schedules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from inspect import getdoc

from resgraph.recipe import Recipe
from resgraph.recipe.options import WORDS
from resgraph.recipe.parts import CHOICES
from resgraph.recipe.precedence import shown


def page() -> str:
    """The recipe's own words, and a section for each part."""
    return "\n".join([*_table(Recipe.model_fields), *_parts(), ""])


def _parts() -> Iterator[str]:
    for choice in CHOICES:
        for part in choice.kinds:
            yield f"\n## {choice.word}: {part.kind}\n"
            yield f"{getdoc(part)}\n"
            yield from _table(part.model_fields)
            if part.suited:
                pairs = (f"`{word}: {shown(v)}`" for word, v in part.suited.items())
                yield f"\nWith it by default: {', '.join(pairs)}.\n"


def _table(names: Iterable[str]) -> Iterator[str]:
    yield from ("| word | default | | option |", "|---|---|---|---|")
    for name in names:
        if (word := WORDS.get(name)) is not None:
            default = word.field.get_default()
            kind = getattr(default, "kind", None) or (
                "" if default is None else shown(default)
            )
            yield f"| `{name}` | {kind} | {word.help} | `{word.option}` |"
