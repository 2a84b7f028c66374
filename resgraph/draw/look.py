"""What a drawing says beside what a unit is: names, marks, and which calls are unfolded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from resgraph.draw.cells import Cell, cells
from resgraph.draw.items import Mark
from resgraph.graph import Instance

ALL = "all"
NONE = "none"
"""In the place of units' names: every one of them is unfolded, or none."""
SMALL = 8
"""Ops of a unit that is unfolded unless something else is asked for."""


@dataclass(frozen=True)
class Look:
    """How the cells of a unit are shown; `inside` is the prefix of its layers."""

    marks: Mapping[str, Mark] = field(default_factory=dict)
    prefix: str = ""
    unfold: Collection[str] | None = None
    """Names of units; None: those that are small, used once and stand alone."""
    inside: str = ""

    def within(self, cell: Cell) -> Look:
        """The look of the cell's first unit."""
        return replace(self, inside=self.inside + cell.prefix)

    def data(self, name: str) -> str:
        """What programs find the node or the line by."""
        return f"{self.prefix}{self.inside}{name}"

    def mark(self, cell: Cell) -> Mark | None:
        """The mark of an op, or of folded units: then all that is said of what is in them."""
        own = self.marks.get(self.inside + cell.name)
        if cell.node is not None:
            return own
        return together([*([own] if own else []), *self._marked(cell)])

    def named(self, name: str) -> Mark | None:
        """The mark of what has that name."""
        return self.marks.get(self.inside + name)

    def unfolded(self, found: Iterable[Cell]) -> dict[str, Cell]:
        """The cells that are shown as the ops of their unit."""
        calls = [cell for cell in found if cell.instances]
        often = Counter(cell.unit for cell in calls)
        return {
            cell.name: cell for cell in calls if self._unfolds(cell, often[cell.unit])
        }

    def _unfolds(self, cell: Cell, often: int) -> bool:
        if self.unfold is not None:
            return not {ALL, cell.unit}.isdisjoint(self.unfold)
        if any(True for _ in self._marked(cell)):
            return True
        return cell.count == often == 1 and _is_small(cell)

    def _marked(self, cell: Cell) -> Iterable[Mark]:
        start = f"{self.inside}{cell.prefix}"
        return (mark for name, mark in self.marks.items() if name.startswith(start))


def shown(instance: Instance, marks: Mapping[str, Mark]) -> dict[str, Mark]:
    """The marks at what is drawn: of equal units in a row, that is the first one."""
    found: dict[str, list[Mark]] = {}
    for name, mark in marks.items():
        found.setdefault(_shown(instance, name), []).append(mark)
    return {name: together(told) or told[0] for name, told in found.items()}


def _shown(instance: Instance, name: str) -> str:
    cell = next((c for c in cells(instance) if c.row and c.holds(name)), None)
    if cell is None or cell.instance is None:
        return name
    return cell.prefix + _shown(cell.instance, cell.within(name))


def unfolded_units(instance: Instance, marks: Mapping[str, Mark]) -> set[str]:
    """The names of the units that are unfolded in a drawing of the unit with these marks."""
    names, left = set[str](), [(instance, Look(shown(instance, marks)))]
    while left:
        each, look = left.pop()
        for cell in look.unfolded(cells(each)).values():
            names.add(cell.unit)
            left.append((cell.instances[0], look.within(cell)))
    return names


def together(marks: Collection[Mark]) -> Mark | None:
    """Several marks as one."""
    if not marks:
        return None
    kinds = {mark.kind for mark in marks}
    notes = dict.fromkeys(mark.note for mark in marks if mark.note)
    return Mark(kinds.pop() if len(kinds) == 1 else "changed", "; ".join(notes))


def _is_small(cell: Cell) -> bool:
    instance = cell.instance
    return instance is not None and len(instance.block.nodes) <= SMALL >= instance.nodes


def units_in(found: Iterable[Cell]) -> list[str]:
    """The names of the units that the cells use, in whatever depth."""
    names: dict[str, None] = {}
    left = [*found]
    while left:
        cell = left.pop(0)
        if cell.node is None and cell.row is not None:
            names.setdefault(cell.unit)
        if cell.instance is not None:
            left += cells(cell.instance)
    return [*names]
