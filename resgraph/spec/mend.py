"""A spec's tree to a `Spec`, whatever is wrong with it: every finding, and stand-ins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from resgraph.diagnostics import ANY, Diagnostic, SpecError, nearest
from resgraph.names import SOMETHING
from resgraph.ops import OPS
from resgraph.spec.errors import Idle, explain, in_yaml, location, misspelt
from resgraph.spec.extends import Stack
from resgraph.spec.gaps import Gaps, doubtful, op_place
from resgraph.spec.model import Spec
from resgraph.spec.opitem import BESIDE, Names
from resgraph.spec.tree import (
    Items,
    Loc,
    Mapping,
    Scalar,
    at,
    below,
    param_names,
    plain,
    renamed,
    unit_names,
    walk,
    words,
)

_OPS = [(kind,) for kind in OPS]
"""Above an attribute of an op that is the value of a parameter, which is one value."""
MOST_ROUNDS = 50
"""Each round mends all that it finds; what a wrong value hid comes with the next one."""


@dataclass
class Mender:
    """Validates a tree again and again, each time with what was wrong mended.

    `stack` says what the YAML of its files puts in doubt, and whether all could be read.
    `idle` are the nulls that nothing is below, as `Merged` has them. Afterwards `tree` has misspelt keys under their right names.
    """

    tree: Mapping
    stack: Stack
    idle: Idle
    gaps: Gaps = field(default_factory=Gaps)
    findings: list[Diagnostic] = field(default_factory=list)

    def spec(self) -> Spec:
        """The spec, with stand-ins at the gaps; the findings are told by `findings`."""
        self._data = plain(self.tree)
        self._doubts, self._whole = self.stack.doubts, self.stack.whole
        self._unsure: defaultdict[Loc, set[str]] = defaultdict(set)
        for mend in (self._rename_keys, self._fill, self._doubt):
            for _ in range(MOST_ROUNDS):
                spec, errors = self._validated()
                if not mend(errors):
                    break
        if spec is None:
            raise SpecError(self.findings)
        return spec

    def _validated(self) -> tuple[Spec | None, list[Any]]:
        try:
            return Spec.model_validate(self._data, context=self._names()), []
        except ValidationError as error:
            errors = error.errors(include_url=False)
        refused = {
            location(error)[:-1] for error in errors if error["loc"][-1] == "[key]"
        }
        names = {*map(_refused_name, errors)}
        told = [
            error
            for error in errors
            if not self._follows(error)
            and not self._may_be_there(error, refused)
            and not self._is_called_as(error, names)
        ]
        self.findings += explain(told, self.tree, self.idle)
        return None, errors

    def _names(self) -> Names:
        """The names without which lists of ops cannot be read."""
        units = self._data.get("units")
        names = [*map(str, units)] if isinstance(units, dict) else []
        params = set[str]()
        for holder in (("network",), *(("units", name) for name in names)):
            for key, value in below(at(self.tree, holder)):
                if key == "params" or nearest(str(key), ["params"]):
                    params |= words(plain(value))
        return Names(self.gaps.names, names, params)

    def _is_called_as(self, error: Any, names: Collection[str | None]) -> bool:
        """Whether an output cannot be called as a stage or a path is, whose name is told."""
        *holder, name = location(error)
        listed = isinstance(at(self.tree, holder), Items)
        return listed and holder[-1:] == ["outputs"] and name in names

    def _may_be_there(self, error: Any, refused: Collection[Loc]) -> bool:
        """Whether an unknown op may be a unit or a parameter of which the name is refused,
        or a unit of a spec that cannot be read."""
        if error["type"] != "union_tag_invalid":
            return False
        params = (*location(error)[:2], "params")
        unsure = not self._whole or ("units",) in refused or params in refused
        return unsure and nearest(str(error["ctx"]["tag"]), OPS) is None

    def _follows(self, error: Any) -> bool:
        """Whether the error follows from what is told already: from the YAML, or since
        what is missing, or is to be removed, may stand in a spec that this one extends."""
        loc = in_yaml(location(error), self.tree)
        lacking = error["type"] == "missing" and op_place(loc) is None
        value = at(self.tree, loc)
        doubtful = value == Scalar(None, value.span) and value.span in self._doubts
        told = value.span in self.stack.unread or doubtful or self._is_among_args(loc)
        return told or (not self._whole and (lacking or value.span in self.idle))

    def _is_among_args(self, loc: Loc) -> bool:
        """Whether a unit's condition is among its arguments, which is told at its key."""
        match loc:
            case (*_, str(unit), "when") if unit in unit_names(self.tree):
                return "when" not in param_names(self.tree, ("units", unit))
        return False

    def _rename_keys(self, errors: list[Any]) -> bool:
        """Take each misspelt key for the one that is missing beside it."""
        keys = misspelt(errors, self.tree)
        for loc, key in keys.items():
            self.tree = renamed(self.tree, loc, key)
            if op := op_place(loc):
                self._unsure[op].update()
        self._data = plain(self.tree)
        return bool(keys)

    def _fill(self, errors: list[Any]) -> bool:
        """Note a gap for every error, and put a stand-in there."""
        self.gaps.names.add(SOMETHING)
        ops: defaultdict[Loc, set[str]] = defaultdict(set)
        for error in errors:
            loc = in_yaml(location(error), self.tree)
            op = op_place(loc)
            beside = op is not None and loc[:-1] == op and loc[-1] in BESIDE
            if beside or error["type"] == "unknown-key":
                self.gaps.remove_beside(self._data, loc)
            elif op is not None:
                ops[op].update(map(str, loc[len(op) + 1 : len(op) + 2]))
            elif at(self.tree, loc).span in self.idle and error["type"] != "missing":
                self.gaps.remove(self._data, loc)
                self.gaps.add(loc, {str(loc[-1])})
            elif error["loc"][-1] == "[key]":
                self._refuse(location(error))
            elif error["type"] == "extra_forbidden" and loc[-2:-1] not in _OPS:
                self.gaps.remove(self._data, loc)
            else:
                self.gaps.fill(self._data, loc)
        for op, wrong in ops.items():
            self.gaps.fill_op(self._data, op, wrong)
        return bool(errors)

    def _refuse(self, loc: Loc) -> None:
        """Go on with a name that cannot be one; where nothing names it, another is meant."""
        *scope, name = loc
        self.gaps.names.add(str(name))
        readers: Any = ()
        match scope:
            case ["units"]:
                readers = [("network", "stages")]
            case ["units", unit, "params"]:
                readers = [("units", unit, "paths")]
            case ["units", unit, "paths"]:
                paths = walk(self._data, scope)
                readers = [(*scope, path, "from") for path in paths]
            case ["network", "params"]:
                readers = [
                    ("network", key) for key in ("input", "stem", "stages", "head")
                ]
        found = (words(self._plain(*place)) for place in readers)
        if readers and not any(name in each for each in found):
            self.gaps.add(tuple(scope), {str(name)})

    def _plain(self, *loc: str | int) -> Any:
        """What is written there, if anything is."""
        tree = at(self.tree, loc)
        return plain(tree) if tree is not at(self.tree, loc[:-1]) else None

    def _doubt(self, errors: list[Any]) -> bool:
        """Once all is valid: gaps at what may be valid, and be meant otherwise."""
        for loc, mentioned in doubtful(self.tree, self._doubts):
            self._doubt_at(loc, mentioned)
        if not self._whole:
            self._open()
        for op, wrong in self._unsure.items():
            self.gaps.fill_op(self._data, op, wrong)
        changed = bool(self._unsure)
        self._doubts, self._whole = {}, True
        self._unsure.clear()
        return changed

    def _doubt_at(self, loc: Loc, mentioned: frozenset[str]) -> None:
        self.gaps.add(loc, mentioned)
        match loc:
            case ("network",):
                for key in ("params", "input", "stages"):
                    self.gaps.add((*loc, key), mentioned)
                self._doubt_end(("network", "head"))
            case ("units", _):
                for key in ("params", "paths"):
                    self.gaps.add((*loc, key), mentioned)
                self._doubt_end((*loc, "paths", "out", "ops"))
            case ("units", _, "paths"):
                self._doubt_end((*loc, "out", "ops"))
            case ("units", _, "paths", _):
                self._doubt_end((*loc, "ops"))
            case ("units", _, "paths", _, "ops") | ("network", "stem" | "head"):
                self._doubt_end(loc)
            case ("network", "stem" | "head", "paths", _, "ops"):
                self._doubt_end(loc)
            case _ if op := op_place(loc):
                self._unsure[op].update(map(str, loc[len(op) + 1 : len(op) + 2]))

    def _doubt_end(self, ops: Loc) -> None:
        """What the last of these ops gives out is not known."""
        try:
            last = len(walk(self._data, ops)) - 1
        except LookupError:
            return
        if last >= 0:
            self._unsure[*ops, last].update()

    def _open(self) -> None:
        """What the spec extends cannot be read: it may have more of everything."""
        self.gaps.add(("units",), ())
        self.gaps.add(("network", "params"), {ANY})
        for name in self._data["units"]:
            self.gaps.add(("units", name, "params"), ())
            self.gaps.add(("units", name, "paths"), {ANY})


def _refused_name(error: Any) -> str | None:
    """The name that a stage, a path or the like cannot have, if that is the error."""
    *holder, name = location(error)
    if error["loc"][-1] == "[name]":
        return str(error["input"])
    if error["loc"][-1] == "[key]" and holder[-1:] != ["outputs"]:
        return str(name)
    return None
