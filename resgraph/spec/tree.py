"""A tree of values that know where they stand in the file."""

from __future__ import annotations

import re
from collections import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resgraph.diagnostics import Span


@dataclass(frozen=True)
class Scalar:
    """A leaf: text, number, truth value or nothing."""

    value: Any
    span: Span
    size: int = 1


@dataclass(frozen=True)
class Entry:
    """A key with its place, and its value."""

    key_span: Span
    value: Tree


@dataclass(frozen=True)
class Mapping:
    """Keys in the order of the text."""

    entries: dict[str, Entry]
    span: Span
    size: int = 1


@dataclass(frozen=True)
class Items:
    """Items in the order of the text."""

    items: tuple[Tree, ...]
    span: Span
    size: int = 1


Tree = Scalar | Mapping | Items
Loc = tuple[str | int, ...]


def plain(tree: Tree) -> Any:
    """The tree as dicts, lists and scalars."""
    match tree:
        case Scalar(value=value):
            return value
        case Mapping(entries=entries):
            return {key: plain(entry.value) for key, entry in entries.items()}
        case Items(items=items):
            return [plain(item) for item in items]


def at(tree: Tree, loc: Sequence[str | int]) -> Tree:
    """The value at `loc`, or the deepest one on the way there that exists."""
    for step in loc:
        if isinstance(tree, Mapping) and step in tree.entries:
            tree = tree.entries[str(step)].value
        elif isinstance(tree, Items) and step in range(len(tree.items)):
            tree = tree.items[int(step)]
    return tree


def key_span(tree: Tree, loc: Sequence[str | int]) -> Span:
    """The place of the key that `loc` ends in, or of what holds it."""
    parent = at(tree, loc[:-1])
    if isinstance(parent, Mapping) and loc and loc[-1] in parent.entries:
        return parent.entries[str(loc[-1])].key_span
    return at(tree, loc).span


def unit_names(tree: Tree) -> Sequence[str]:
    """What the units of a spec are called; none where it has none, or no mapping of them."""
    match tree:
        case Mapping(entries={"units": Entry(value=Mapping(entries=units))}):
            return [*units]
    return ()


def param_names(tree: Tree, holder: Loc) -> list[str]:
    """What the parameters of a unit, or of the network, are called; in a list or as keys."""
    written = dict(below(at(tree, holder))).get("params")
    found = list[str]()
    for step, item in below(written) if written else ():
        match item:
            case _ if isinstance(step, str):
                found.append(step)
            case Scalar(value=str(name)):
                found.append(name)
            case Mapping(entries=entries):
                found += entries
    return found


def param_place(params: Tree, name: str) -> Loc | None:
    """Where parameters have one: under its key, in a list as an item or as a key of one."""
    for step, item in below(params):
        match item:
            case _ if step == name:
                return (step,)
            case Mapping(entries=entries) if isinstance(step, int) and name in entries:
                return (step, name)
            case Scalar(value=value) if isinstance(step, int) and str(value) == name:
                return (step,)
    return None


def param_span(tree: Tree, unit: str, param: str) -> Span:
    """The place of a unit's parameter, in a list or as a key."""
    params = at(tree, ("units", unit, "params"))
    match param_place(params, param):
        case (int() as item, *_):
            return at(params, (item,)).span
        case (key,):
            return key_span(params, (key,))
    return params.span


def walk(data: Any, loc: Sequence[str | int]) -> Any:
    """The plain value at `loc`. Raises `LookupError`."""
    try:
        for step in loc:
            data = data[step]
    except TypeError as error:  # a value without parts, or a list without keys
        raise LookupError(step) from error
    return data


def below(tree: Tree) -> Iterator[tuple[str | int, Tree]]:
    """The values that a tree holds, each with its key or its number."""
    match tree:
        case Mapping(entries=entries):
            yield from ((key, entry.value) for key, entry in entries.items())
        case Items(items=items):
            yield from enumerate(items)


def renamed(tree: Mapping, loc: Loc, key: str) -> Mapping:
    """The tree with the key at `loc` called otherwise; it stands where it stood."""
    return _rekeyed(tree, loc, {loc[-1]: key})


def without(tree: Mapping, loc: Loc) -> Mapping:
    """The tree without the key at `loc`, if it has it."""
    return _rekeyed(tree, loc, {loc[-1]: None})


def _rekeyed(
    tree: Mapping, loc: Loc, names: abc.Mapping[str | int, str | None]
) -> Mapping:
    holder = at(tree, loc[:-1])
    if not isinstance(holder, Mapping) or loc[-1] not in holder.entries:
        return tree
    called = {key: names.get(key, key) for key in holder.entries}
    entries = {n: holder.entries[k] for k, n in called.items() if n is not None}
    mended = _with(tree, loc[:-1], replace(holder, entries=entries))
    return mended if isinstance(mended, Mapping) else tree


def _with(tree: Tree, loc: Sequence[str | int], value: Tree) -> Tree:
    """The tree with another value at `loc`."""
    if not loc:
        return value
    step, rest = loc[0], loc[1:]
    match tree:
        case Mapping(entries=entries):
            entry = entries[str(step)]
            entry = replace(entry, value=_with(entry.value, rest, value))
            return replace(tree, entries=entries | {str(step): entry})
        case Items(items=items):
            changed = [
                _with(item, rest, value) if i == step else item
                for i, item in enumerate(items)
            ]
            return replace(tree, items=tuple(changed))
    return tree


def words(value: Any) -> frozenset[str]:
    """The names that a plain value mentions, in its texts and its keys."""
    match value:
        case str():
            return frozenset(_WORD.findall(value))
        case dict():
            return words([*value, *value.values()])
        case list():
            return frozenset().union(*map(words, value))
    return frozenset()


_WORD = re.compile(r"[^\W\d]\w*")
