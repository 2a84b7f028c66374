"""The rows of the network: what their classes are given, as numbers, and loops over those."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING, Any

from resgraph.emit.rows import (
    INDEX,
    Parameter,
    Rows,
    Segment,
    counted,
    given,
    plain,
    substituted,
    tree,
)
from resgraph.emit.variants import Stretch
from resgraph.expr import Expr, ExprError, exact
from resgraph.graph import Call, Instance, Row, Run, Style
from resgraph.graph.uses import OWN, POSITION, is_default, read, renamed
from resgraph.syntax import Name, Syntax, call, infix

if TYPE_CHECKING:
    from resgraph.emit.class_source import ClassSource

SINGLES = 3
"""Units that may stand before the loop over the others."""


def segments(rows: Rows, row: Row) -> list[Segment]:
    """The units of the row, with numbers for all that their classes are given."""
    made: list[Segment] = []
    stretches = rows.stretches(rows.formulas.bodies[0], row)
    for _, group in groupby(stretches, lambda s: (id(s.run.call), id(rows.callee(s)))):
        several = list(group)
        callee = rows.callee(several[0])
        units = [units for s in several for units in _units(s, callee)]
        if any(each.by_index for each in units):
            made += _by_index(units, callee)
        else:
            made += (segment for s in several for segment in _stretch(s, callee))
    return made


@dataclass(frozen=True)
class _Units:
    """Equal units, with the numbers that their class gets."""

    run: Run
    index: int
    count: int
    values: Mapping[str, Any]
    by_index: Mapping[str, Any]
    """The arguments that read the unit's number, as formulas of it; None: there is none."""

    def apart(self, callee: ClassSource) -> Iterator[Segment]:
        """One by one."""
        for index in range(self.index, self.index + self.count):
            instance = self.run[index - self.run.first]
            yield Segment(callee, _values(callee, self.run, index, instance))


def _units(stretch: Stretch, callee: ClassSource) -> Iterator[_Units]:
    run, several = stretch.run, len(stretch.instances) > 1
    for index, instance in enumerate(stretch.instances, stretch.first):
        values = _values(callee, run, index, instance)
        by_index = dict(_formulas(callee, run, index))
        yield _Units(run, index, 1 if several else stretch.count, values, by_index)


def _values(
    callee: ClassSource, run: Run, index: int, instance: Instance
) -> dict[str, Any]:
    """The numbers that the class gets for a unit."""
    there = run.place.context_at(index)

    def value(parameter: Parameter) -> Any:
        key = parameter.key.removeprefix("@")
        if parameter.key in callee.params:
            return instance.args[parameter.key]
        return there[key] if key in POSITION else given(instance, *callee.input_of(key))

    return {parameter.name: value(parameter) for parameter in callee.takes}


def _formulas(callee: ClassSource, run: Run, index: int) -> Iterator[tuple[str, Any]]:
    """What the class gets that depends on the unit's number, as formulas of that."""
    place = run.place
    if place.row.style is not Style.NUMBERED:
        return
    known = {**place.context_at(index), **place.outer, **run.call.given}
    hidden, args = INDEX in run.call.given, _written_out(run.call)
    for parameter in callee.takes:
        value = args.get(parameter.key)
        if parameter.key == INDEX and INDEX not in callee.params:
            yield parameter.name, Expr(Name(INDEX))
        elif parameter.key in callee.params and INDEX in read(value) and not hidden:
            around = {n: plain(known[n]) for n in read(value) if n in known}
            around[INDEX] = Name(INDEX)
            made = substituted(value, around) if isinstance(value, Expr) else None
            yield (
                parameter.name,
                made if made and _is_whole(made, index, parameter) else None,
            )


def _written_out(made: Call) -> dict[str, Any]:
    """The arguments, with what stands for a default in the names of the row."""
    found, own = dict[str, Any](), dict[str, Syntax]()
    positions: dict[str, Syntax] = {OWN + name: Name(name) for name in POSITION}
    for name, value in made.args.items():
        if is_default(value):
            try:
                value = renamed(value, {**positions, **own})
            except ValueError:  # an element of a list, whose place is not known
                value = renamed(value, positions)
        found[name] = value
        if isinstance(value, Expr | Fraction | tuple):
            own[OWN + name] = tree(value)
    return found


def _is_whole(made: Any, index: int, parameter: Parameter) -> bool:
    """Whether a formula comes out whole with every division in it, where that is needed."""
    try:
        return (
            not parameter.whole or made.evaluate({INDEX: index}, whole=True) is not None
        )
    except ExprError:
        return False


def _by_index(units: list[_Units], callee: ClassSource) -> Iterator[Segment]:
    """Units of one call that ask for their number: in one loop, but for the first ones."""
    for singles in range(min(SINGLES, len(units))):
        alone, rest = units[:singles], units[singles:]
        first, end = rest[0].index, rest[-1].index + rest[-1].count
        values = _fitted(rest)
        if values is not None and end > first + 1:
            yield from (segment for each in alone for segment in each.apart(callee))
            yield Segment(callee, values, counted(first, end))
            return
    yield from (segment for each in units for segment in each.apart(callee))


def _fitted(units: list[_Units]) -> dict[str, Any] | None:
    """The arguments of all these units as formulas of their number; None if there are none."""
    found: dict[str, Any] = {}
    for name in units[0].values:
        if name in units[0].by_index:
            made, *others = {each.by_index[name] for each in units}
        else:
            made, *others = [_line([(each.index, each.values[name]) for each in units])]
            if isinstance(made, Expr) and any(each.count > 1 for each in units):
                return None
        if made is None or others:
            return None
        found[name] = made
    return found


def _line(numbers: list[tuple[int, Any]]) -> Any:
    """The one number, or numbers that grow by one step: `16 + 4 * index`; else None."""
    (first, start), *rest = numbers
    if all(value == start for _, value in rest):
        return start
    if len(rest) < 2 or isinstance(start, tuple):
        return None
    step = exact(rest[0][1]) - exact(start)
    if any(value != start + step * (index - first) for index, value in rest):
        return None
    offset = exact(start) - step * first
    slope = Name(INDEX) if step == 1 else infix("*", plain(step), Name(INDEX))
    return Expr(infix("+", plain(offset), slope) if offset else slope)


def _stretch(stretch: Stretch, callee: ClassSource) -> Iterator[Segment]:
    """One unit, a loop over equal ones, or over ones whose input grows."""
    units = [*_units(stretch, callee)]
    values = units[0].values
    vary = [n for n, v in values.items() if any(each.values[n] != v for each in units)]
    if not vary:
        over = None if stretch.count == 1 else counted(0, stretch.count)
        yield Segment(callee, values, over)
    elif vary == [callee.formulas.local["in"]]:
        start, second = (exact(each.values[vary[0]]) for each in units[:2])
        step = second - start
        steps = (plain(n) for n in (start, start + step * stretch.count, step))
        channels = {**values, vary[0]: Expr(Name("channels"))}
        yield Segment(callee, channels, call("range", *steps), "channels")
    else:
        yield from (segment for each in units for segment in each.apart(callee))
