"""The rows of a unit: what their classes are given, as formulas of what the unit is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

from resgraph.emit.formulas import Formula, NoFormulaError, attempt, first
from resgraph.emit.rows import (
    INDEX,
    Parameter,
    Rows,
    Segment,
    counted,
    given,
    grows,
    growth,
    substituted,
    tree,
)
from resgraph.emit.simple import simplified
from resgraph.emit.variants import Stretch, unique
from resgraph.expr import Expr, ExprError
from resgraph.graph import Instance, Row, Style
from resgraph.graph.uses import OWN, POSITION, read
from resgraph.syntax import Listing, Literal, Name, Syntax, call, infix, names

if TYPE_CHECKING:
    from resgraph.emit.class_source import ClassSource

Place = tuple[Mapping[str, Any], Instance]
"""The values of the class's names at a unit of the row, and the unit."""
Claims = Callable[[int, str], Iterable[Formula]]
"""What a side of an input may be."""


def segments(rows: Rows, row: Row) -> list[Segment]:
    """The units of the row. Raises `NoFormulaError`."""
    callees = {
        id(rows.callee(s)): rows.callee(s)
        for body in rows.formulas.bodies
        for s in rows.stretches(body, row)
    }
    if len(callees) == 1:
        (callee,) = callees.values()
        ways = (
            (_together, _first_and_rest) if row.style is Style.NUMBERED else (_single,)
        )
        for way in ways:
            try:
                return way(rows, row, callee)
            except NoFormulaError:
                continue
    return [*_by_stretch(rows, row)]


def _single(rows: Rows, row: Row, callee: ClassSource) -> list[Segment]:
    arguments = _Arguments(rows, row, callee, _places(rows, row))
    return [Segment(callee, arguments.values(arguments.start))]


def _together(rows: Rows, row: Row, callee: ClassSource) -> list[Segment]:
    """One loop; or one unit, where it never follows itself."""
    arguments = _Arguments(rows, row, callee, _places(rows, row))
    repeat = rows.repeat(row)
    if repeat == Literal(1):
        return [Segment(callee, arguments.values(arguments.start, 0))]
    over = call("range", Expr(repeat).syntax())
    values = arguments.values(arguments.every)
    return [Segment(callee, values, over, arguments.loop, _less_one(repeat))]


def _first_and_rest(rows: Rows, row: Row, callee: ClassSource) -> list[Segment]:
    """The first one changes what comes in, and the others keep it."""
    one = _Arguments(rows, row, callee, _places(rows, row, lambda index: index == 0))
    rest = _Arguments(rows, row, callee, _places(rows, row, lambda index: index > 0))
    start = Segment(callee, one.values(one.start, 0))
    repeat = Expr(rows.repeat(row)).syntax()
    if repeat == Literal(2):
        return [start, Segment(callee, rest.values(rest.after, 1))]
    others = Segment(
        callee, rest.values(rest.after), variable=rest.loop, last=_less_one(repeat)
    )
    reads = any(rest.loop in names(tree(value)) for value in others.taken.values())
    over = call("range", 1, repeat) if reads else call("range", _less_one(repeat))
    return [start, replace(others, over=over)]


def _less_one(repeat: Syntax) -> Syntax:
    return simplified(infix("-", repeat, 1))


def _by_stretch(rows: Rows, row: Row) -> Iterator[Segment]:
    """The units as they are in each instance, where these are alike."""
    bodies = [body for body in rows.formulas.bodies if body.runs(row)]
    every = [rows.stretches(body, row) for body in bodies]
    if len({tuple((s.first, s.count) for s in each) for each in every}) != 1:
        raise NoFormulaError
    envs = [
        env
        for b, env in zip(rows.formulas.bodies, rows.formulas.envs, strict=True)
        if b.runs(row)
    ]
    before: Segment | None = None
    for stretches in zip(*every, strict=True):
        if len({id(rows.callee(s)) for s in stretches}) != 1:
            raise NoFormulaError
        for made in _stretch(rows, row, stretches, envs, before):
            yield made
            before = made


def _stretch(
    rows: Rows,
    row: Row,
    stretches: Sequence[Stretch],
    envs: Sequence[Mapping[str, Any]],
    before: Segment | None,
) -> Iterator[Segment]:
    """Units that follow one another in all instances alike: one by one if they differ."""
    callee, (one, *_) = rows.callee(stretches[0]), stretches
    apart = any(len(s.instances) > 1 for s in stretches)
    loop = _loop(rows, row)
    for i in range(one.count if apart else 1):
        index, count = one.first + i, 1 if apart else one.count
        places = [
            ({**env, loop: Fraction(index)}, s.instances[i % len(s.instances)])
            for env, s in zip(envs, stretches, strict=True)
        ]
        arguments = _Arguments(rows, row, callee, places)
        claims = partial(arguments.behind, before) if before else arguments.start
        at = index if count == 1 else None
        values = arguments.values(claims, at, numbers=True)
        over = None if count == 1 else counted(index, index + count)
        before = Segment(callee, values, over, loop, Literal(index + count - 1))
        yield before


def _places(
    rows: Rows, row: Row, wanted: Callable[[int], bool] = lambda index: True
) -> list[Place]:
    """The units of the row in each instance; of equal ones that follow, the first two."""
    loop = _loop(rows, row)
    return [
        ({**env, loop: Fraction(index)}, instance)
        for body, env in zip(rows.formulas.bodies, rows.formulas.envs, strict=True)
        for stretch in rows.stretches(body, row)
        for index, instance in _distinct(stretch)
        if wanted(index)
    ]


def _distinct(stretch: Stretch) -> Iterator[tuple[int, Instance]]:
    instances = stretch.instances
    several = len(instances) if len(instances) > 1 else min(2, stretch.count)
    for i in range(several):
        yield stretch.first + i, instances[i % len(instances)]


def _loop(rows: Rows, row: Row) -> str:
    """The variable of a loop over the units of a row: nothing that is read within."""
    formulas = rows.formulas
    taken = [formulas.local[n] for n in formulas.params if n in formulas.local]
    around = [tree(formulas.channels[value]) for value in row.inputs]
    read = (name for each in (*around, rows.repeat(row)) for name in names(each))
    return unique(INDEX, [*taken, *read])


_NONE: Mapping[tuple[int, str], Formula] = {}


@dataclass(frozen=True)
class _At:
    """At which unit of the row: its index (None: any), and the sides of what it gets.

    `side` raises `NoFormulaError` where there is no formula.
    """

    index: Syntax | None
    side: Callable[[int, str], Formula]


@dataclass
class _Arguments:
    """The arguments of a class at some units of a row."""

    rows: Rows
    row: Row
    callee: ClassSource
    places: Sequence[Place]

    def __post_init__(self) -> None:
        self.formulas = self.rows.formulas
        self.call = self.row.calls[0]
        self.numbered = self.row.style is Style.NUMBERED
        self.loop = _loop(self.rows, self.row)

    def values(
        self, claims: Claims, index: int | None = None, numbers: bool = False
    ) -> dict[str, Any]:
        """By parameter its formula, which holds at all of the units.

        `claims` has formulas of a side of an input; the unit is the one of that index, or
        any. Only with `numbers` may it be a number that all happen to have. Also has what
        only the formulas of the outputs read. Raises `NoFormulaError`.
        """
        at = None if index is None else Literal(index)
        outputs = (f for f in self.callee.outputs.values() if isinstance(f, Expr))
        read = {name for formula in outputs for name in formula.names}
        return {
            p.name: self._value(p, claims, at, numbers)
            for p in self.callee.parameters
            if p in self.callee.takes or p.name in read
        }

    def _value(
        self, parameter: Parameter, claims: Claims, index: Syntax | None, numbers: bool
    ) -> Any:
        key = parameter.key.removeprefix("@")

        def side(place: int, axis: str) -> Formula:
            cases = [(env, given(i, place, axis)) for env, i in self.places]
            found: Formula = first(cases, claims(place, axis), numbers)
            return found

        if parameter.key in self.callee.params:
            return self._argument(parameter, _At(index, side), numbers)
        if key in POSITION:
            return self._position(key, index)
        return side(*self.callee.input_of(key))

    # --- arguments and positions ----------------------------------------------------------

    def _argument(self, parameter: Parameter, at: _At, numbers: bool) -> Any:
        try:
            made = self._here(self.call.args[parameter.key], at)
            return self._made_whole(made, parameter)
        except NoFormulaError:
            actual = [(env, i.args[parameter.key]) for env, i in self.places]
            return first(actual, (), numbers)

    def _made_whole(self, made: Any, parameter: Parameter) -> Any:
        """A formula that comes out whole in Python too, where whole numbers are needed."""
        if isinstance(made, tuple):
            items = [tree(self._made_whole(item, parameter)) for item in made]
            return Listing(tuple(items)) if any(map(read, made)) else made
        if not isinstance(made, Expr):
            return made
        if not made.names:
            return made.evaluate({})
        if parameter.whole and not self._comes_out_whole(made):
            return call("round", made.syntax(whole=False))
        return made

    def _here(self, value: Any, at: _At) -> Any:
        """An argument with the names of the class; in a row, `index` and `total` are its own.

        Raises `NoFormulaError` for a default of which a name cannot be said here.
        """
        if isinstance(value, tuple):
            return tuple(self._here(item, at) for item in value)
        if not isinstance(value, Expr):
            return value
        around = {
            "index": at.index or Name(self.loop),
            "total": self.rows.repeat(self.row),
        }
        own = self.formulas.params
        more = {n: t for n, t in around.items() if self.numbered and n not in own}
        called = (name for name in value.names if name.startswith(OWN))
        more |= {name: self._of_callee(name.removeprefix(OWN), at) for name in called}
        try:
            made = self.formulas.here(value.tree, more)
        except ValueError:  # a list without a name
            raise NoFormulaError from None
        return Expr(made if at.index is None else simplified(made))

    def _of_callee(self, name: str, at: _At) -> Syntax:
        """What a default reads of its own unit, in the names of the class."""
        if name in self.callee.params:
            return tree(self._here(self.call.args[name], at))
        if name in POSITION:
            return tree(self._position(name, at.index))
        if name.startswith(OWN):
            raise NoFormulaError
        return tree(at.side(*self.callee.input_of(name)))

    def _comes_out_whole(self, made: Expr) -> bool:
        """Whether it does with every division in it."""
        try:
            return all(
                made.evaluate(env, whole=True) is not None for env, _ in self.places
            )
        except ExprError:  # also of a list, which has no number
            return any(
                isinstance(env.get(n), tuple)
                for env, _ in self.places
                for n in made.names
            )

    def _position(self, name: str, index: Syntax | None) -> Any:
        if self.numbered and name == "index":
            return Expr(index or Name(self.loop))
        if self.numbered and name == "total":
            return Expr(self.rows.repeat(self.row))
        return Expr(Name(self.formulas.local[self.formulas.at(name)]))

    # --- sides of inputs ------------------------------------------------------------------

    def start(self, place: int, axis: str) -> Iterator[Formula]:
        """As the first unit gets it."""
        value = self.row.inputs[place]
        if axis == "c":
            yield self.formulas.channels[value]
        else:
            yield from attempt(lambda: self.formulas.length(value, axis))

    def every(self, place: int, axis: str) -> Iterator[Formula]:
        """As any unit gets it, where each keeps it, or adds to it."""
        formula, given = self._made(place, axis), self._given(None)
        if formula is None:
            return
        for start in self.start(place, axis):
            made = substituted(formula, self._given(None, {(place, axis): start}))
            step = growth(self.callee, place, formula, given) if axis == "c" else None
            if made is not None and tree(made) == tree(start):
                yield start
            elif step and (grown := grows(start, step, self.loop, Name(self.loop))):
                yield grown

    def after(self, place: int, axis: str) -> Iterator[Formula]:
        """As a unit gets it from the one before it."""
        formula = self._made(place, axis)
        before = self._given(simplified(infix("-", Name(self.loop), 1)))
        made = None if formula is None else substituted(formula, before)
        yield from self.every(place, axis) if made is None else (made,)

    def behind(self, before: Segment, place: int, axis: str) -> Iterator[Formula]:
        """As a unit gets it from the units before it."""
        made = None
        if axis == "c" and place < len(before.callee.outputs):
            made = before.made([*before.callee.outputs.values()][place])
        yield from () if made is None else (made,)

    def _made(self, place: int, axis: str) -> Formula | None:
        """A side of what a unit makes for that input of the next one, as its class has it."""
        instance = self.callee.bodies[0].instance
        values = [*(instance.source or instance.block).results.values()]
        if place >= len(values):
            return None
        formulas = self.callee.formulas
        if axis == "c":
            return formulas.channels[values[place]]
        return next(attempt(lambda: formulas.length(values[place], axis)), None)

    def _given(
        self, index: Syntax | None, sides: Mapping[tuple[int, str], Formula] = _NONE
    ) -> dict[str, Any]:
        """What the unit of that index is given, by name: what follows from these sides."""

        def side(place: int, axis: str) -> Formula:
            if (place, axis) not in sides:
                raise NoFormulaError
            return sides[place, axis]

        found, at = dict[str, Any](), _At(index, side)
        for p in self.callee.parameters:
            key = p.key.removeprefix("@")
            with suppress(NoFormulaError):
                if p.key in self.callee.params:
                    found[p.name] = self._here(self.call.args[p.key], at)
                elif key in POSITION:
                    found[p.name] = self._position(key, index)
                else:
                    found[p.name] = side(*self.callee.input_of(key))
        return found
