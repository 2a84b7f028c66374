"""What of a spec is not known, and what stands in its place, so that the rest is checked.

Where a value has a finding, a *gap* is noted and a stand-in of the right form takes its
place. Whoever goes on with the spec asks for the gaps, and tells nothing that follows from
them: a gap may be anything, and may mean any of the names that its text mentions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import PydanticCustomError

from resgraph.diagnostics import ANY, nearest
from resgraph.expr import Condition
from resgraph.names import SOMETHING
from resgraph.ops import OPS
from resgraph.ops.unknown import NAMELESS, unknown
from resgraph.spec.opitem import BESIDE, OpEntry, condition
from resgraph.spec.tree import Loc, Tree, below, walk, words


@dataclass
class Gaps:
    """The places of a spec that are not known, each with the names that may be meant there.

    `names` are those that cannot be names, and are told: they stand for themselves.
    """

    places: dict[Loc, frozenset[str]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    strange: list[frozenset[str]] = field(default_factory=list)
    """What is given to each op of which the name is nobody's: it may be a unit."""
    _filled: set[Loc] = field(default_factory=set)
    """Where a stand-in is: at some places what is written stays, and may mean more."""

    def at(self, *loc: str | int) -> bool:
        """Whether the value there is not known, though what holds it may be."""
        return loc in self.places

    def within(self, *loc: str | int) -> bool:
        """Whether something there, or below, is not known."""
        return any(place[: len(loc)] == loc for place in self.places)

    def mentioned(self, *loc: str | int) -> frozenset[str]:
        """The names that the gaps there and below may mean."""
        found = [w for p, w in self.places.items() if p[: len(loc)] == loc]
        return frozenset[str]().union(*found)

    def add(self, loc: Loc, mentioned: Iterable[str]) -> None:
        """What is there is not known; it may mean these names."""
        self.places[loc] = self.places.get(loc, frozenset()).union(mentioned)

    # --- filling ----------------------------------------------------------------------

    def fill(self, data: Any, loc: Loc) -> None:
        """Put a stand-in at the place, or at the nearest one above that can have one."""
        if self._replaced(loc):
            return
        fitting = (
            (loc[: len(pattern)], pattern, stand_in)
            for pattern, stand_in in _STAND_INS
            if _fits(loc[: len(pattern)], pattern)
        )
        place, pattern, stand_in = next(
            found for found in fitting if _can_hold(_written(data, found[0][:-1]))
        )
        value = _written(data, place)
        if pattern not in _SLOTS or not self._fill_slot(data, place, value):
            self.add(place, _mentioned(value))
            self._filled.add(place)
            _put(walk(data, place[:-1]), place[-1], stand_in())

    def _replaced(self, loc: Loc) -> bool:
        """Whether what holds it has a stand-in already."""
        return any(loc[:depth] in self._filled for depth in range(len(loc)))

    def _fill_slot(self, data: Any, place: Loc, item: Any) -> bool:
        """Keep the one known unit that an item of a stage names beside other keys."""
        units = (
            [key for key in item if key in data["units"]]
            if isinstance(item, dict)
            else []
        )
        if len(units) != 1:
            return False
        self.add(
            (*place, "repeat"), words({k: v for k, v in item.items() if k != units[0]})
        )
        walk(data, place[:-1])[place[-1]] = {units[0]: item[units[0]]}
        return True

    def remove(self, data: Any, loc: Loc) -> None:
        """Leave out a key that nobody knows; it may be one that is missing beside it."""
        if self._replaced(loc):
            return
        *above, key = loc
        value = walk(data, above).pop(key)
        self.add(loc, words(value))
        match above:
            case ["units", _] | ["network"]:
                if words(value) and "params" not in walk(data, above):
                    self.add((*above, "params"), ())

    def remove_beside(self, data: Any, loc: Loc) -> None:
        """Leave out a key beside a unit or an op, a wrong one or a misspelt one: of what it
        is, or of the key that is meant, nothing is known."""
        if self._replaced(loc):
            return
        *above, key = loc
        meant = key if key in BESIDE else nearest(str(key), BESIDE)
        self.add((*above, meant or key), _mentioned(walk(data, above).pop(key)))

    def fill_op(self, data: Any, loc: Loc, wrong: Iterable[str]) -> None:
        """Put an unknown op in the place of one with these wrong attributes."""
        if self._replaced(loc):
            return
        ops, index = walk(data, loc[:-1]), loc[-1]
        item, wrong = ops[index], {*wrong}
        if isinstance(item, OpEntry):
            return
        kind, given = _parts(item)
        if kind not in OPS and kind in data["units"] and wrong and wrong <= {*given}:
            for name in wrong:
                self.add((*loc, kind, name), words(given[name]) or {ANY})
                given[name] = 1
            return
        if wrong == {"name"} and "name" in given:
            given.pop("name")  # the layer then has the name that it has by default
            return
        if kind not in OPS and given:
            self.strange.append(frozenset(given))
        right, mentioned = _sorted(kind, given, wrong)
        beside = _beside(item)
        one = isinstance(item, str) or (isinstance(item, dict) and len(item) == 1)
        one = one or {*beside} == {"when"}
        mentioned |= {kind} | words(kind) | words(beside)
        self.add(loc, mentioned if one else words(item) or {ANY})
        op = unknown(kind, right, any_inputs=not one)
        ops[index] = OpEntry(op, _condition(beside.get("when")))


def _beside(item: Any) -> dict[str, Any]:
    """What stands beside the op, where there is one."""
    if not isinstance(item, dict) or len({*item} - {*BESIDE}) != 1:
        return {}
    return {key: value for key, value in item.items() if key in BESIDE}


def _condition(value: Any) -> Condition | None:
    """The condition that is written, if it is one; nothing is known of the op anyhow."""
    try:
        return None if value is None else condition(value)
    except PydanticCustomError:
        return None


def _mentioned(value: Any) -> frozenset[str]:
    """The names that may be meant by a value, or by each item of a list: any, where there
    is no text."""
    parts = value if isinstance(value, list) and value else [value]
    return frozenset().union(*(words(part) or {ANY} for part in parts))


def doubtful(
    tree: Tree, doubts: Mapping[Any, frozenset[str]], loc: Loc = ()
) -> Iterator[tuple[Loc, frozenset[str]]]:
    """The places of a tree that its YAML puts in doubt, the deepest ones first."""
    for step, value in below(tree):
        yield from doubtful(value, doubts, (*loc, step))
    if tree.span in doubts:
        yield loc, doubts[tree.span]


def op_place(loc: Loc) -> Loc | None:
    """The place of the op in which `loc` is, if it is in one."""
    match loc:
        case ("units", _, "paths", _, "ops", int(), *_):
            return loc[:6]
        case ("network", "stem" | "head", "paths", _, "ops", int(), *_):
            return loc[:6]
        case ("network", "stem" | "head", "ops", int(), *_):
            return loc[:4]
        case ("network", "stem" | "head", int(), *_):
            return loc[:3]
    return None


# --- ops --------------------------------------------------------------------------------


def _parts(item: Any) -> tuple[str, dict[str, Any]]:
    """The name and the attributes of an op as it is written, as far as it has them."""
    if isinstance(item, str):
        return item, {}
    if isinstance(item, dict) and item:
        kind = next((key for key in item if key not in BESIDE), next(iter(item)))
        given = item[kind]
        return kind, given if isinstance(given, dict) else {}
    return NAMELESS, {}


def _sorted(
    kind: str, given: Mapping[str, Any], wrong: set[str]
) -> tuple[dict[str, Any], set[str]]:
    """The right attributes, parsed, and what the wrong and the missing ones may mean."""
    if kind not in OPS:
        return {}, {*words(dict(given))}
    op, right, mentioned = OPS[kind], dict[str, Any](), set[str]()
    numbers = op.numbers()
    for name, value in given.items():
        if name not in wrong and name in op.model_fields:
            try:
                right[name] = numbers[name].parse(value) if name in numbers else value
                continue
            except PydanticCustomError:
                pass
        mentioned |= words(value) or ({ANY} if name in numbers else set())
    if any(f.is_required() and n not in given for n, f in op.model_fields.items()):
        mentioned.add(ANY)
    return right, mentioned


# --- stand-ins --------------------------------------------------------------------------


def _path() -> Any:
    return {"from": SOMETHING, "ops": _ops()}


def _ops() -> Any:
    return [OpEntry(unknown(NAMELESS))]


def _unit() -> Any:
    return {"paths": {"out": _path()}}


def _network() -> Any:
    return {"input": [1, 1, 1], "stages": [[SOMETHING]], "head": _ops()}


_ABSENT = object()
_EACH = object()
"""Any step of a place."""
_STAGE = ("network", "stages", _EACH)
_SLOTS = ((*_STAGE, int), (*_STAGE, "units", int))

_STAND_INS: tuple[tuple[tuple[Any, ...], Callable[[], Any]], ...] = (
    (("units", _EACH, "paths", _EACH, "from", int), lambda: SOMETHING),
    (("units", _EACH, "paths", _EACH, "from"), lambda: SOMETHING),
    (("units", _EACH, "paths", _EACH, "ops"), _ops),
    (("units", _EACH, "paths", _EACH, "when"), lambda: _ABSENT),
    (("units", _EACH, "paths", _EACH), _path),
    (("units", _EACH, "paths"), lambda: {"out": _path()}),
    (("units", _EACH, "params", int, str), lambda: None),
    (("units", _EACH, "params", int), lambda: ...),
    (("units", _EACH, "params", str), lambda: None),
    (("units", _EACH, "params"), list),
    (("units", _EACH, "title"), lambda: _ABSENT),
    (("units", _EACH, "inputs"), lambda: _ABSENT),
    (("units", _EACH, "outputs"), lambda: _ABSENT),
    (("units", _EACH), _unit),
    (("units",), lambda: {SOMETHING: _unit()}),
    (("network", "params", _EACH), lambda: 1),
    (("network", "params"), dict),
    (("network", "input", int), lambda: 1),
    (("network", "input"), lambda: [1, 1, 1]),
    *(
        (("network", end, *place), stand_in)
        for end in ("stem", "head")
        for place, stand_in in (
            (("paths", _EACH, "ops"), _ops),
            (("paths", _EACH, "from", int), lambda: SOMETHING),
            (("paths", _EACH, "from"), lambda: SOMETHING),
            (("paths", _EACH, "when"), lambda: _ABSENT),
            (("paths", _EACH), _path),
            ((), _ops),
        )
    ),
    (("network", "outputs"), lambda: {"out": "stem"}),
    *(
        filling
        for slot in _SLOTS
        for filling in (
            ((*slot, "repeat"), lambda: 1),
            ((*slot, _EACH, _EACH), lambda: 1),
            ((*slot, _EACH), dict),
            (slot, lambda: SOMETHING),
        )
    ),
    ((*_STAGE, "units"), lambda: [SOMETHING]),
    ((*_STAGE, "from"), lambda: _ABSENT),
    (_STAGE, lambda: [SOMETHING]),
    (("network", "stages"), lambda: [[SOMETHING]]),
    (("network",), _network),
    (("networks", _EACH, _EACH), lambda: 1),
    (("networks", _EACH), dict),
    (("networks",), dict),
    (("train", _EACH), lambda: _ABSENT),
    (("train",), dict),
    (("allow",), list),
    (("resgraph",), lambda: 1),
    (("title",), lambda: "untitled"),
    (("extends",), lambda: _ABSENT),
)
"""By place, longest first, what takes the place of a value with findings."""


def _fits(place: Loc, pattern: tuple[Any, ...]) -> bool:
    return len(place) == len(pattern) and all(
        want is _EACH
        or (isinstance(step, want) if isinstance(want, type) else step == want)
        for step, want in zip(place, pattern, strict=True)
    )


def _can_hold(value: Any) -> bool:
    """Whether it has parts; a list may be written as its one item."""
    return isinstance(value, (dict, list))


def _written(data: Any, place: Loc) -> Any:
    """The value there; None where there is none."""
    try:
        return walk(data, place)
    except LookupError:
        return None


def _put(holder: Any, step: str | int, value: Any) -> None:
    if value is _ABSENT:
        holder.pop(step)
    else:
        holder[step] = value
