"""A recipe's words as they are written: flat, in parts, and one set of them over another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import InitErrorDetails, PydanticCustomError

from resgraph.expr import Expr
from resgraph.recipe.fields import Choice, Constant, Part
from resgraph.recipe.parts import CHOICES, SCHEDULE, Steps, refusal

EXPLICIT = "explicit"
"""The key of a generated file's RECIPE that `Recipe.explicit` is kept under."""
Loc = tuple[str | int, ...]
RIVALS = (("iterations", "epochs"), ("warmup_iterations", "warmup_epochs"))
"""Words that say the same in other units."""
PLACES = ("milestones", "ema_start", "warmup_iterations", "warmup_epochs")
"""Words that count steps, or epochs."""
_WARM = 400 / 64_000  # of the whole, as the paper's
_DROPS = (0.5, 0.75)


def merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Words over words: what is above replaces, and what does not go with it falls."""
    kept = {k: v for k, v in lower.items() if k not in (*upper, EXPLICIT)}
    for one, other in RIVALS:
        for word, rival in ((one, other), (other, one)):
            if word in upper:
                kept.pop(rival, None)
    if upper.get("ema", ...) is None:
        kept.pop("ema_start", None)
    for choice in CHOICES:
        if choice.word in upper:
            name, _ = choice.opened(upper[choice.word])
            here = choice.by_name[name].model_fields
            kept = {k: v for k, v in kept.items() if k in here or k not in choice.words}
    return kept | dict(upper)


def surviving(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> frozenset[str]:
    """The words of a recipe that stay where another one extends it.

    A part that is removed there, `optimizer: ~`, is the one by default again.
    """
    first = {choice.word: choice.kinds[0].kind for choice in CHOICES}
    upper = {w: first.get(w) if v is None else v for w, v in upper.items()}
    try:
        kept = {*merged(lower, upper)}
    except PydanticCustomError:  # told at the part itself
        return frozenset(lower)
    for choice in CHOICES:
        both = _part(choice, lower), _part(choice, upper)
        if choice.word in upper and both[0] is not both[1]:
            kept.discard(choice.word)
    return frozenset(word for word in lower if word in kept)


def keys(loc: Sequence[str | int], own: Sequence[str]) -> list[str]:
    """The words that may stand at a place: the recipe's `own` and its parts', or a part's."""
    match loc:
        case [group, kind]:
            found = (c.by_name.get(str(kind)) for c in CHOICES if c.word == group)
            return [word for part in found if part for word in part.model_fields]
    return [*own, *(word for choice in CHOICES for word in sorted(choice.words))]


def where(word: str, written: object) -> Loc:
    """The place of a word in a recipe as it is written; empty where it is not."""
    if not isinstance(written, Mapping):
        return ()
    if word in written:
        return (word,)
    for choice in CHOICES:
        inside = written.get(choice.word)
        for name, given in inside.items() if isinstance(inside, Mapping) else ():
            if isinstance(given, Mapping) and word in given:
                return (choice.word, str(name), word)
    return ()


def place(loc: Loc, written: object) -> Loc:
    """Where that is written which pydantic finds inside a part."""
    match loc:
        case (group, str(), str() as word, *rest):
            inside = any(group == c.word and word in c.words for c in CHOICES)
            if inside and where(word, written) == (word,):
                return (word, *rest)
    return loc


def folded(choice: Choice, words: dict[str, Any]) -> list[InitErrorDetails]:
    """Put the fields that stand beside a part into it; tell what does not go with it."""
    beside = {w: words.pop(w) for w in [*words] if w in choice.words}
    part = words.get(choice.word, choice.kinds[0].kind)
    try:
        name, given = choice.opened(part)
    except PydanticCustomError:
        return []  # told at the part itself
    if not isinstance(given, dict):
        return []
    here = [*choice.by_name[name].model_fields]
    words[choice.word] = {name: {w: v for w, v in beside.items() if w in here} | given}
    return [
        _misplaced(word, value, choice, name)
        for word, value in beside.items()
        if word in given or word not in here
    ]


def _misplaced(word: str, value: object, choice: Choice, name: str) -> InitErrorDetails:
    """A field that is given twice, or is another part's."""
    owners = [k for k, part in choice.by_name.items() if word in part.model_fields]
    if name in owners:
        why, hint = f"'{word}' stands in {name} as well", "write it once"
    else:
        of = f"{choice.word} {' and '.join(owners)}"
        why = f"'{word}' is a field of the {of}, and this is {name}"
        hint = f"{name} has {', '.join(choice.by_name[name].model_fields)}"
    return refusal(word, "unknown-key", why, value, hint)


def suited(words: Mapping[str, Any]) -> dict[str, Any]:
    """The words that are by default otherwise with the parts that are chosen."""
    found = dict[str, Any]()
    for choice in CHOICES:
        if part := _part(choice, words):
            found |= part.suited
    return found


def with_defaults(words: dict[str, Any]) -> dict[str, Any]:
    """The words, with those that are by default otherwise with what is chosen."""
    found = suited(words)
    if epochs := _number(words.get("epochs")):
        if not {"warmup_iterations", "warmup_epochs"} & {*found, *words}:
            found["warmup_epochs"] = _WARM * epochs
        if _part(SCHEDULE, words) is Steps:
            drops = {"milestones": [share * epochs for share in _DROPS]}
            words["schedule"] = {"steps": drops | words["schedule"]["steps"]}
    lr = _number((found | words).get("lr"))
    if lr and "lr" in found:
        found["warmup_lr"] = lr / 10
    return found | words


def _part(choice: Choice, words: Mapping[str, Any]) -> type[Part] | None:
    """What is chosen, if it is one of the parts, with its fields in place."""
    try:
        name, fields = choice.opened(words.get(choice.word))
    except PydanticCustomError:
        return None
    return choice.by_name[name] if isinstance(fields, dict) else None


def _number(value: object) -> float:
    """A positive number, if it is one as the language has them; else 0."""
    try:
        number = Constant(minimum=0).parse(value)
    except PydanticCustomError:
        return 0
    return 0 if isinstance(number, Expr) else number
