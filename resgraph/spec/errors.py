"""pydantic's errors in the words of the language, each at its place in the file."""

from __future__ import annotations

from collections import abc
from collections.abc import Iterable, Sequence, Set
from typing import Any

from pydantic import BaseModel

from resgraph import codes
from resgraph.diagnostics import Diagnostic, Span, did_you_mean, nearest
from resgraph.ops import OPS, elsewhere
from resgraph.ops.fields import WANTED, kind_of
from resgraph.recipe import Recipe
from resgraph.recipe.foreign import called_here, hint_for
from resgraph.recipe.words import keys
from resgraph.recipe.words import place as placed
from resgraph.spec import model
from resgraph.spec.opitem import BESIDE, BESIDE_OPS
from resgraph.spec.tree import (
    Loc,
    Mapping,
    at,
    below,
    key_span,
    param_names,
    param_place,
    plain,
    unit_names,
)

Idle = abc.Mapping[Span, Set[str]]
"""Nulls that may be to remove something, each with the keys that it could remove."""


def explain(
    errors: Sequence[Any], tree: Mapping, idle: Idle | None = None
) -> list[Diagnostic]:
    """One diagnostic per error, with a place, and a hint where one is known.

    Where an `idle` null is no value, it was to remove something.
    """
    meant = {(*loc[:-1], key) for loc, key in misspelt(errors, tree).items()}
    return [
        _in_vain(e, tree, idle or {}) or _explain(e, tree)
        for e in errors
        if not (e["type"] == "missing" and _in_network(location(e), tree) in meant)
    ]


def misspelt(errors: Iterable[Any], tree: Mapping) -> dict[Loc, str]:
    """The place of each unknown key that is like one which is not there, and that one.

    A key of another framework is none of these: what stands there may be of another form.
    """
    meant: dict[Loc, str] = {}
    unknown = (location(e) for e in errors if e["type"] == "extra_forbidden")
    for loc in (_in_network(loc, tree) for loc in unknown):
        holder, taken = at(tree, loc[:-1]), {(*k[:-1], v) for k, v in meant.items()}
        free = [
            key
            for key in _keys(loc[:-1])
            if key not in dict(below(holder)) and (*loc[:-1], key) not in taken
        ]
        foreign = loc[0] == "train" and called_here(str(loc[-1])) is not None
        if not foreign and (key := nearest(str(loc[-1]), free)):
            meant[loc] = key
    return meant


def _in_network(loc: Loc, tree: Mapping) -> Loc:
    """The place as it is written, of what stands in the network."""
    return in_yaml(loc, tree) if loc[:1] == ("network",) else loc


def _in_vain(error: Any, tree: Mapping, idle: Idle) -> Diagnostic | None:
    """The finding on a key that was to be removed, and is not inherited."""
    loc = in_yaml(location(error), tree)
    null = at(tree, loc).span
    if error["type"] == "extra_forbidden" or null not in idle:
        return None
    message = f"there is no '{loc[-1]}' here to remove"
    hint = did_you_mean(str(loc[-1]), idle[null])
    return Diagnostic(codes.UNKNOWN_KEY, message, key_span(tree, loc), hint)


def _explain(error: Any, tree: Mapping) -> Diagnostic:
    loc = in_yaml(location(error), tree)
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    name = str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        known = _keys(loc[:-1])
        span = key_span(tree, loc)
        message = f"unknown key '{name}'"
        hint = (hint_for if loc[0] == "train" else did_you_mean)(name, known)
        if name in BESIDE_OPS and _is_listed_op(loc[:-1]):
            hint = f"write it beside the op: {{{loc[-2]}: {{...}}, {name}: ...}}"
        return Diagnostic(codes.UNKNOWN_KEY, message, span, hint)
    if kind == "missing":
        message = f"{_owner(loc[:-1])} needs '{name}'"
        span = at(tree, loc[:-1]).span
        missing = codes.MISSING_KEY
        return Diagnostic(missing, message, span, _example(loc), missing=loc)
    span = at(tree, loc).span
    if kind == "unknown-key" or error["loc"][-1:] in (("[key]",), ("[name]",)):
        span = key_span(tree, loc)
    if kind == "union_tag_invalid":
        word = str(context["tag"])
        message = f"unknown op '{word}'"
        why, place = _meant(word, loc, tree) or elsewhere.hint(word), ("units", word)
        if "[" in word:
            why = "lists are of numbers: let each op be a parameter, params: [{act: relu}]"
        return Diagnostic(codes.UNKNOWN_OP, message, span, why, missing=place)
    if kind in WANTED:
        message = f"expected {WANTED[kind]}, got {kind_of(value)}"
        return Diagnostic(codes.WRONG_TYPE, message, span, _form(loc))
    if kind == "literal_error":
        message = f"'{name}' is {context['expected']}, not {_got(value)}"
        return Diagnostic(codes.UNKNOWN_CHOICE, message, span)
    if kind in ("too_short", "too_long"):
        limit = context.get("min_length", context.get("max_length"))
        amount = "at least" if kind == "too_short" else "at most"
        got = f"got {context['actual_length']}"
        message = f"expected {amount} {limit} here, {got}"
        return Diagnostic(codes.WRONG_LENGTH, message, span, _form(loc))
    code = codes.CODES.get(kind, codes.WRONG_TYPE)
    hint = context.get("hint")
    if code is codes.UNKNOWN_OP and context["kind"] in unit_names(tree):
        hint = elsewhere.unit_for_op(context["kind"])
    return Diagnostic(code, error["msg"], span, hint)


_MARKERS = {"[key]", "[op]", "[unit]", "[parameter]", "[name]"}
"""Steps of pydantic's locations that are no keys of the file."""
_LISTS = {"[units]": "units", "[ops]": "ops"}
"""Lists that may be written under these keys, or alone."""
_ARGUMENTS = "[args]"
"""Stands for the name of a unit, below which its arguments are."""


def location(error: Any) -> Loc:
    """Where in the YAML the error is: pydantic's location without the models' own steps."""
    steps, found = error["loc"], list[str | int]()
    for i, step in enumerate(steps):
        used = steps[i - 1] == "[unit]" or (i > 1 and steps[i - 2] == "[units]")
        if step == "args" and used:
            found.append(_ARGUMENTS)
        elif step not in _MARKERS:
            found.append(_LISTS.get(str(step), step))
    return tuple(found)


def in_yaml(loc: Loc, tree: Mapping) -> Loc:
    """The location as it is written: stages under their names, a unit's arguments under
    its own, a parameter where the list has it, a field of an optimiser beside it."""
    match loc:
        case ("train", *rest):
            return ("train", *placed(tuple(rest), plain(at(tree, ("train",)))))
        case ("network", "stages", int() as number, *rest):
            names = [name for name, _ in below(at(tree, loc[:2]))]
            key = names[number] if number < len(names) else number
            loc = _listed("units", ("network", "stages", key), tuple(rest), tree)
        case ("network", "stem" | "head", *rest):
            loc = _listed("ops", loc[:2], tuple(rest), tree)
        case ("units", _, "params", str() as name, *rest):
            match param_place(at(tree, loc[:3]), name):
                case (int() as number,):
                    return (*loc[:3], number)
                case (int() as number, key):
                    return (*loc[:3], number, key, *rest)
        case (*holder, "outputs", str() as name):
            for i, item in below(at(tree, loc[:-1])):
                if isinstance(i, int) and output_name(plain(item)) == name:
                    return (*holder, "outputs", i)
    return _argument(loc, tree)


def output_name(value: object) -> str:
    """What an output of a list is called: `s.b` is b."""
    return str(value).rpartition(".")[2]


def _listed(key: str, loc: Loc, rest: Loc, tree: Mapping) -> Loc:
    """A place in a list that may be written without a key of its own."""
    holder = at(tree, loc)
    keyed = isinstance(holder, Mapping) and model.is_keyed(holder.entries)
    return (*loc, *rest[1:]) if rest[:1] == (key,) and not keyed else (*loc, *rest)


def _argument(loc: Loc, tree: Mapping) -> Loc:
    """Arguments stand under the unit's name; what is said of the unit is said of the item."""
    if _ARGUMENTS in loc:
        place = loc.index(_ARGUMENTS)
        item = at(tree, loc[:place])
        keys = [key for key, _ in below(item) if key not in BESIDE]
        return (*loc[:place], *keys[:1], *loc[place + 1 :])
    match loc:
        case ("network", "stages", *_, int(), "unit"):
            return loc[:-1]
    return loc


def _meant(word: str, loc: Loc, tree: Mapping) -> str | None:
    """A hint at the unit or the parameter that is meant by an op's name."""
    holder = loc[:2] if loc[0] == "units" else loc[:1]
    params = param_names(tree, holder)
    if word in params:
        return f"'{word}' is a parameter: its attributes stand where it gets its value"
    if meant := nearest(word, unit_names(tree)):
        return f"did you mean the unit '{meant}'?"
    meant = nearest(word, params) if nearest(word, OPS) is None else None
    return None if meant is None else f"did you mean the parameter '{meant}'?"


def _is_listed_op(loc: Loc) -> bool:
    return len(loc) > 1 and loc[-1] in OPS and isinstance(loc[-2], int)


def _got(value: object) -> str:
    """A value that none of some choices is."""
    if isinstance(value, str):
        return f"'{value}'"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value}" if number else kind_of(value)


def _owner(loc: Loc) -> str:
    """What lacks a key, in words."""
    if not loc:
        return "a spec"
    if loc[-1] in OPS:
        return str(loc[-1])
    if len(loc) == 2 and loc[0] == "units":
        return f"the unit '{loc[1]}'"
    if len(loc) > 2 and loc[-2] == "paths":
        return f"the path '{loc[-1]}'"
    if len(loc) == 3 and loc[1] == "stages":
        return "a stage" if isinstance(loc[-1], int) else f"the stage '{loc[-1]}'"
    return f"'{loc[-1]}'"


def _example(loc: Loc) -> str | None:
    examples = {
        "resgraph": "the first line is 'resgraph: 1'",
        "title": "title: what this topology is, in a line",
        "from": "from: x starts at the unit's input; from: [x, F] merges two values",
        "out": "out: {from: [x, F], ops: [add]}",
        "input": "input: [3, 32, 32]",
        "kernel": "conv: {kernel: 3, channels: width}",
        "channels": "conv: {kernel: 3, channels: width}",
        "features": "linear: {features: classes}",
        "head": "head: [bn, relu, global_avg_pool, {linear: {features: classes}}], or "
        "outputs: [STAGE]",
    }
    return examples.get(str(loc[-1]))


def _form(loc: Loc) -> str | None:
    """How a value is written that others write in many ways."""
    if loc == ("network", "input"):
        return (
            "the shape of one image, [C, H, W], without the batch: input: [3, 32, 32]"
        )
    if loc[-1:] == ("outputs",):
        return "outputs: [a, b], or with names of their own, outputs: {p: a, q: b}"
    if loc[:1] == ("units",) and loc[2:] == ("params",):
        return "params: [width, {stride: 1}]"
    if loc[:2] == ("network", "stages") and len(loc) == 3:
        return "a stage is a list of units: [{body: {width: 16}, repeat: 3}]"
    in_list = len(loc) > 1 and isinstance(loc[-2], int)
    if loc[:1] == ("units",) and in_list and loc[-1] not in BESIDE:
        return f"what it is given has names: {loc[-1]}: {{NAME: VALUE}}"
    return None


def _keys(loc: Loc) -> list[str]:
    """The keys that the mapping at `loc` may have."""
    names: dict[str, type[BaseModel]] = {
        "network": model.Network,
    }
    owner: type[BaseModel] = model.Spec
    if loc[:1] == ("train",):
        return keys(loc[1:], [*Recipe.model_fields])
    if loc and loc[-1] in OPS:
        owner = OPS[str(loc[-1])]
    elif len(loc) == 1:
        owner = names.get(str(loc[0]), model.Spec)
    elif len(loc) == 2 and loc[0] == "units":
        owner = model.Unit
    elif len(loc) > 3 and loc[-2] == "paths":
        owner = model.Path
    elif len(loc) == 2 and loc[0] == "network":
        owner = model.End
    elif len(loc) == 3 and loc[1] == "stages":
        owner = model.Stage
    keyed = [field.alias or name for name, field in owner.model_fields.items()]
    return [key.strip("[]") for key in keyed if key not in ("[name]", "[keyed]")]
