"""What `--set` makes: values of parameters, one network more with a name of its own."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from resgraph.diagnostics import UsageError, nearest
from resgraph.expr import Expr, ExprError, literal
from resgraph.limits import LIST_ITEMS
from resgraph.names import MAX_LENGTH, PATTERN
from resgraph.ops import OPS, Op
from resgraph.values import Value, written

_OP = re.compile(r"(?P<kind>[A-Za-z]\w*)\((?P<given>.*)\)", re.ASCII)
_TRUTHS = {"true": True, "false": False}
_LETTERS = str.maketrans({"-": "m", ".": "p", "/": "d"})
_NUMBER = r"m?\d+(?:p\d+)?(?:em?\d+)?(?:d\d+)?"
_PLAIN = re.compile(_NUMBER)
# A list has an x that a number does not have: 2x, 2x2.
_ITEMS = re.compile(rf"{_NUMBER}(?:(?:x{_NUMBER})+|x)")
# No capitals: files of some systems do not tell them apart.
_WORD = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")


# --- read and written -----------------------------------------------------------------------


def parse_settings(pairs: list[str]) -> dict[str, Value]:
    """`KEY=VALUE` pairs, each value without parameters. Raises `UsageError`."""
    settings: dict[str, Value] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip()
        try:
            if not equals:
                raise ExprError("expected KEY=VALUE, such as depth=1001")
            if key in settings:
                raise ExprError(f"'{key}' is set twice")
            settings[key] = _value(text.strip())
        except ExprError as error:
            raise UsageError(f"--set {pair}: {error}") from None
    return settings


def _value(text: str) -> Value:
    """A list, a truth value, a word, a text in quotes, an op, or arithmetic."""
    if text.startswith("[") and text.endswith("]"):
        return _items(text[1:-1])
    if text in _TRUTHS:
        return _TRUTHS[text]
    if _is_word(text):
        return text
    if text.startswith('"'):
        return _quoted(text)
    if op := _OP.fullmatch(text):
        return _op(op["kind"], op["given"])
    return Expr.parse(text).evaluate({})


def _items(text: str) -> tuple[Fraction, ...]:
    items = text.split(",") if text.strip() else []
    if "[" in text or "]" in text:
        raise ExprError("a list has numbers, and no lists")
    if not 0 < len(items) <= LIST_ITEMS:
        raise ExprError(f"a list has 1 to {LIST_ITEMS} numbers, not {len(items)}")
    return tuple(Expr.parse(item).evaluate({}) for item in items)


def _op(kind: str, given: str) -> Op | str:
    """An op with its attributes, `scale(factor=0.5)`; without any, its name."""
    if kind not in OPS:
        raise ExprError(f"unknown op '{kind}'{_near(kind, OPS)}")
    values: dict[str, Any] = {}
    for part in given.split(",") if given.strip() else []:
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if not equals or not text or name in values:
            raise ExprError(f"attributes are written {kind}(NAME=VALUE, ...)")
        values[name] = _attribute(text)
    try:
        op = OPS[kind].model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        strange = [each for each in errors if each["type"] == "extra_forbidden"]
        raise ExprError(_told(kind, (strange or errors)[0])) from None
    for name, value in op.attributes().items():
        if isinstance(value, Expr):
            raise ExprError(f"'{name}' of {kind}: {value} has no value here")
    return op if values else kind


def _attribute(text: str) -> bool | str | int | float:
    value = _value(text)
    if isinstance(value, bool | str):
        return value
    if isinstance(value, Fraction):
        return literal(value)
    raise ExprError(f"{text} is no attribute's value")


def _told(kind: str, error: ErrorDetails) -> str:
    """What is wrong with an op's attributes, in the user's words."""
    name = error["loc"][0] if error["loc"] else ""
    if error["type"] == "missing":
        return f"{kind} needs '{name}'"
    if error["type"] == "extra_forbidden":
        return f"{kind} has no '{name}'{_near(str(name), OPS[kind].model_fields)}"
    return f"'{name}' of {kind}: {error['msg']}"


def _near(word: str, known: Iterable[str]) -> str:
    near = nearest(word, known)
    return f": did you mean '{near}'?" if near else ""


def _is_word(text: str) -> bool:
    return bool(re.fullmatch(PATTERN, text, re.ASCII)) and text not in _TRUTHS


def _quoted(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, str):
        raise ExprError('text in quotes is written as in JSON: "two words"')
    return value


def options(network: str | None, settings: Mapping[str, Value]) -> str:
    """The options that make a network which the spec does not name, as a shell reads them."""
    if not settings:
        return ""
    base = f" --network {network}" if network else ""
    words = (f"{k}={shlex.quote(typed(v))}" for k, v in settings.items())
    return base + "".join(f" --set {word}" for word in words)


def typed(value: Value) -> str:
    """A value as `--set` takes it."""
    match value:
        case str() if _is_word(value):
            return value
        case tuple():
            return written(value).replace(" ", "")
    return written(value)


# --- names ----------------------------------------------------------------------------------


def name_with(
    base: str,
    settings: Mapping[str, Value],
    networks: Iterable[str],
    params: Iterable[str],
) -> str:
    """The name of network `base` with these settings: `resnet164_depth29`.

    Among a spec's networks and parameters no other settings have it: where the plain name
    could be read in two ways (`a1` = 2, `a` = 12), is too long, or cannot say a value, a
    digest of them follows.
    """
    if not settings:
        return base
    marks = [_mark(key, value) for key, value in settings.items()]
    name = "_".join([base, *(mark for mark in marks if mark)])
    if all(marks) and len(name) <= MAX_LENGTH:
        rank = max(map(_rank, settings.values()))
        bases = frozenset({base, *networks})
        if _readings(name, bases, tuple(params), rank) == 1:
            return name
    digest = hashlib.sha256(options(base, settings).encode()).hexdigest()
    return f"{base}_set{digest[:8]}"


def _mark(key: str, value: Value) -> str | None:
    """A setting in a name: `depth29`, `depths2x2x2`, `act_relu`; None where none is safe."""
    match value:
        case bool():
            return f"{key}_{written(value)}"
        case Fraction():
            return f"{key}{_digits(value)}"
        case tuple():
            items = "x".join(map(_digits, value))
            return f"{key}{items}{'' if len(value) > 1 else 'x'}"
        case str() if _WORD.fullmatch(value) and _is_word(value):
            return f"{key}_{value}"
    return None


def _digits(value: Fraction) -> str:
    return written(value).translate(_LETTERS)


def _rank(value: Value) -> int:
    """Whose the name is where values of several kinds could make it: the lowest kind's.

    Numbers come first, since there were no others once, and words of several parts last.
    """
    if isinstance(value, Fraction):
        return 0
    return 2 if isinstance(value, str) and "_" in value else 1


def _readings(
    name: str, bases: frozenset[str], params: tuple[str, ...], rank: int
) -> int:
    """How many settings of all networks, of values up to that rank, would have the name."""

    @cache
    def splits(at: int) -> int:
        """In how many ways `_a1_b2` is read as parameters with values."""
        if at == len(name):
            return 1
        starts = (at + len(p) + 1 for p in params if name.startswith(f"_{p}", at))
        return sum(splits(end) for start in starts for end in _ends(name, start, rank))

    return sum(splits(len(base)) for base in bases if name.startswith(base))


def _ends(name: str, start: int, rank: int) -> Iterator[int]:
    """Where in a name the values end that may start there."""
    first, *rest = name[start:].split("_")
    if _PLAIN.fullmatch(first) or (rank > 0 and _ITEMS.fullmatch(first)):
        yield start + len(first)
    if first or rank == 0:
        return
    end = start
    for part in rest if rank > 1 else rest[:1]:
        end += 1 + len(part)
        if _WORD.fullmatch(name, start + 1, end):
            yield end
