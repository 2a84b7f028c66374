"""Mistakes planted into valid specs, each with the findings that it must have, and no others.

A spec is plain data here. It is written with every key and item on a line of its own, so
that a line says which value a finding is at.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from resgraph.ops import OPS
from resgraph.ops.fields import NumberField
from resgraph.spec.opitem import BESIDE
from resgraph.spec.tree import Loc, walk

NOWHERE = "zzqx"
"""A name that is like none of any spec."""


@dataclass(frozen=True)
class Raw:
    """YAML text that stands for a value."""

    text: str


# --- writing ----------------------------------------------------------------------------


@dataclass
class Line:
    """A line of YAML, with what begins there."""

    text: str
    keys: list[Loc]
    values: list[Loc]


@dataclass(frozen=True)
class Written:
    """A spec's text, and the lines on which keys (or items) and their values begin."""

    text: str
    keys: dict[Loc, int]
    values: dict[Loc, int]


def write(data: dict[str, Any]) -> Written:
    """The data as YAML. What follows a NUL in a key tells twins apart, and is not written."""
    lines = _lines(data, ())
    return Written(
        "".join(f"{line.text}\n" for line in lines),
        {loc: n for n, line in enumerate(lines, 1) for loc in line.keys},
        {loc: n for n, line in enumerate(lines, 1) for loc in line.values},
    )


def _lines(value: Any, loc: Loc) -> list[Line]:
    if isinstance(value, dict) and value:
        return [
            line for key, below in value.items() for line in _entry(key, below, loc)
        ]
    if isinstance(value, list) and value:
        return [line for i, item in enumerate(value) for line in _item(item, (*loc, i))]
    return [Line(_scalar(value), [], [loc])]


def _entry(key: str, value: Any, loc: Loc) -> list[Line]:
    here, name = (*loc, key), _scalar(key.split("\0")[0])
    below = _lines(value, here)
    if isinstance(value, (dict, list)) and value:
        for line in below:
            line.text = f"  {line.text}"
        below[0].values.append(here)
        return [Line(f"{name}:", [here], []), *below]
    return [Line(f"{name}: {below[0].text}", [here], [here])]


def _item(value: Any, loc: Loc) -> list[Line]:
    first, *rest = _lines(value, loc)
    first.text = f"- {first.text}"
    first.keys.append(loc)
    first.values.append(loc)
    for line in rest:
        line.text = f"  {line.text}"
    return [first, *rest]


def _scalar(value: Any) -> str:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_ .+*/-]*", value):
        return value
    return json.dumps(value)


# --- planting ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """A finding that there must be: its code, at the line of a key or of its value."""

    code: str
    loc: Loc
    at_key: bool = False


@dataclass(frozen=True)
class Mistake:
    """A change of a valid spec, what must be told of it, and what it touches.

    No other mistake may be planted inside of what it touches. With `needs`, it is told only
    where nothing in these places is wrong otherwise.
    """

    kind: str
    touched: tuple[Loc, ...]
    told: tuple[Told, ...]
    apply: Callable[[dict[str, Any]], None]
    needs: tuple[Loc, ...] = ()

    def goes_with(self, other: Mistake) -> bool:
        return not any(
            _apart(a, b) for a in self.touched + self.needs for b in other.touched
        ) and not any(_apart(a, b) for a in self.touched for b in other.needs)


def _apart(a: Loc, b: Loc) -> bool:
    """Whether one of the places is in the other."""
    size = min(len(a), len(b))
    return a[:size] == b[:size]


def planted(data: dict[str, Any], mistakes: list[Mistake]) -> dict[str, Any]:
    """A copy of the spec with the mistakes in it."""
    data = copy.deepcopy(data)
    for mistake in mistakes:
        mistake.apply(data)
    return data


def expected(written: Written, mistakes: list[Mistake]) -> set[tuple[int, str]]:
    """The line and the code of every finding that there must be."""
    return {
        ((written.keys if told.at_key else written.values)[told.loc], told.code)
        for mistake in mistakes
        for told in mistake.told
    }


def put(*loc_and_value: Any) -> Callable[[dict[str, Any]], None]:
    """Set what is at a place."""
    *above, key, value = loc_and_value

    def apply(data: dict[str, Any]) -> None:
        walk(data, above)[key] = copy.deepcopy(value)

    return apply


def drop(*loc: str | int) -> Callable[[dict[str, Any]], None]:
    """Take away what is at a place."""

    def apply(data: dict[str, Any]) -> None:
        del walk(data, loc[:-1])[loc[-1]]

    return apply


def rename(*loc_and_name: Any) -> Callable[[dict[str, Any]], None]:
    """Call a key otherwise, where it stands."""
    *above, old, new = loc_and_name

    def apply(data: dict[str, Any]) -> None:
        holder = walk(data, above)
        items = [(new if k == old else k, v) for k, v in holder.items()]
        holder.clear()
        holder.update(items)

    return apply


def both(
    *changes: Callable[[dict[str, Any]], None],
) -> Callable[[dict[str, Any]], None]:
    def apply(data: dict[str, Any]) -> None:
        for change in changes:
            change(data)

    return apply


# --- the places of a spec ---------------------------------------------------------------


@dataclass(frozen=True)
class OpPlace:
    """An op, or a unit as one: where it is, its kind, what it is given, what is beside."""

    loc: Loc
    kind: str
    given: dict[str, Any]
    index: int
    beside: dict[str, Any]

    @property
    def inside(self) -> Loc:
        """The place of its attributes."""
        return (*self.loc, self.kind)

    def item(self, kind: str, given: dict[str, Any]) -> Any:
        """What stands there with another name and other attributes."""
        plain = kind if not given and not self.beside else {kind: given or None}
        return plain if isinstance(plain, str) else plain | self.beside


def ops(data: dict[str, Any]) -> Iterator[OpPlace]:
    """The ops; `uses` has the units that stand as ops."""
    return (item for item in _items(data) if item.kind in OPS)


def uses(data: dict[str, Any]) -> Iterator[OpPlace]:
    return (item for item in _items(data) if item.kind in data["units"])


def _items(data: dict[str, Any]) -> Iterator[OpPlace]:
    for loc, _ in paths(data):
        yield from _chain(data, (*loc, "ops"))
    for end in ("stem", "head"):
        written = data["network"].get(end, [])
        keyed = ("ops",) if "ops" in written else ()
        if isinstance(written, list) or keyed:
            yield from _chain(data, ("network", end, *keyed))


def _chain(data: dict[str, Any], loc: Loc) -> Iterator[OpPlace]:
    for i, item in enumerate(walk(data, loc)):
        kind = item
        if not isinstance(item, str):
            kind = next(key for key in item if key not in BESIDE)
        given = {} if isinstance(item, str) else item[kind] or {}
        rest = {} if isinstance(item, str) else {k: item[k] for k in item if k != kind}
        yield OpPlace((*loc, i), kind, given, i, rest)


def paths(data: dict[str, Any]) -> Iterator[tuple[Loc, dict[str, Any]]]:
    for name, unit in data["units"].items():
        for path, value in unit["paths"].items():
            yield ("units", name, "paths", path), value
    for end in ("stem", "head"):
        written = data["network"].get(end, [])
        for path, value in written["paths"].items() if "paths" in written else ():
            yield ("network", end, "paths", path), value


def stages(data: dict[str, Any]) -> Iterator[tuple[Loc, Any]]:
    """The stages, listed or named, as they are written."""
    written = data["network"]["stages"]
    pairs = written.items() if isinstance(written, dict) else enumerate(written)
    for key, stage in pairs:
        yield ("network", "stages", key), stage


def units(data: dict[str, Any]) -> Iterator[tuple[Loc, dict[str, Any]]]:
    for name, unit in data["units"].items():
        yield ("units", name), unit


def slots(data: dict[str, Any]) -> Iterator[tuple[Loc, str, dict[str, Any]]]:
    """The items of the stages that are mappings, each with its unit and its arguments."""
    for loc, stage in stages(data):
        place = loc if isinstance(stage, list) else (*loc, "units")
        for i, item in enumerate(walk(data, place)):
            unit = next(key for key in item if key != "repeat")
            yield (*place, i), unit, item[unit]


def sources(path: dict[str, Any]) -> list[str]:
    return [path["from"]] if isinstance(path["from"], str) else path["from"]


def reads(value: Any) -> set[str]:
    """The names in the texts of a value."""
    return {*re.findall(r"[A-Za-z_]\w*", json.dumps(value))}


NUMBERS = {
    kind: {name for name, f in op.numbers().items() if isinstance(f, NumberField)}
    for kind, op in OPS.items()
}


# --- kinds ------------------------------------------------------------------------------

Spec = dict[str, Any]
Mistakes = Iterator[Mistake]
NO_VALUE = [[1]]
"""What no parameter can be."""


def at(kind: str, code: str, loc: Loc, value: Any, *needs: Loc) -> Mistake:
    """A wrong value, told where it stands."""
    return Mistake(kind, (loc,), (Told(code, loc),), put(*loc, value), needs)


def new_key(kind: str, code: str, loc: Loc, value: Any, *needs: Loc) -> Mistake:
    """A new key, told where it stands."""
    return Mistake(
        kind, (loc,), (Told(code, loc, at_key=True),), put(*loc, value), needs
    )


def gone(kind: str, loc: Loc) -> Mistake:
    """A key that must be there, told where what held it begins."""
    return Mistake(kind, (loc[:-1],), (Told("missing-key", loc[:-1]),), drop(*loc))


def ops_of(spec: Spec, loc: Loc) -> list[OpPlace]:
    """The ops of a path."""
    return [op for op in ops(spec) if op.loc[:4] == loc]


def kinds_of(module: dict[str, Any]) -> list[Callable[[Spec], Mistakes]]:
    """The functions of a module's own that yield mistakes."""
    return [
        value
        for name, value in list(module.items())
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", "") == module["__name__"]
        and value.__annotations__.get("return") == "Mistakes"
    ]
