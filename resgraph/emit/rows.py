"""Rows of units as the constructor calls of their classes: loops, and formulas of arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING, Any

from resgraph.emit.body import Body
from resgraph.emit.formulas import Formula, Formulas, NoFormula, holds, named_sides
from resgraph.emit.variants import Stretch, unique
from resgraph.expr import Expr, ExprError, exact, literal
from resgraph.graph import Call, Instance, Row, Style
from resgraph.graph.scope import channels as channels_of
from resgraph.graph.scope import read
from resgraph.graph.uses import POSITION
from resgraph.syntax import (
    Infix,
    Listing,
    Literal,
    Name,
    Spread,
    Syntax,
    infix,
    names,
    replaced,
)
from resgraph.syntax import call as call_of

if TYPE_CHECKING:
    from resgraph.emit.class_source import ClassSource

SINGLES = 3
"""Units at the start of a row that may stand before its loop."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a class's constructor."""

    key: str
    """What expressions call it: a parameter of the unit, a side of an input, a position."""
    name: str
    kind: str
    default: Any = None

    @property
    def whole(self) -> bool:
        return "int" in self.kind

    def __str__(self) -> str:
        if self.default is None:
            return f"{self.name}: {self.kind}"
        return f"{self.name}: {self.kind} = {plain(self.default)}"


@dataclass(frozen=True)
class Segment:
    """Units of a row that one call, or one loop, makes."""

    callee: ClassSource
    values: Mapping[str, Any]
    """By the name of each of its parameters, a formula or a number."""
    variable: str = "_"
    over: Syntax | None = None
    """What the loop is over; None: there is one."""

    def item(self) -> Syntax:
        made = self.callee.construction(self.values)
        if self.over is None:
            return made
        variable = self.variable if self.variable in names(made) else "_"
        return Spread(made, variable, self.over)


def plain(value: Any) -> Syntax:
    """A value as Python has it."""
    if isinstance(value, tuple):
        return Listing(tuple(plain(item) for item in value))
    return Literal(value if isinstance(value, bool | str) else literal(value))


@dataclass
class Rows:
    """The rows of a class; `source` is the class that an instance in them is of."""

    formulas: Formulas
    source: Callable[[Instance], ClassSource]
    stretches: Callable[[Row, Sequence[Any]], Iterator[Stretch]]
    _known: dict[str, list[Segment]] = field(default_factory=dict)

    def items(self, row: Row) -> list[Syntax]:
        """What the row is made of, each unit or loop an argument."""
        return [segment.item() for segment in self.segments(row)]

    def segments(self, row: Row) -> list[Segment]:
        """The units of the row. Raises `NoFormula`."""
        if row.name not in self._known:
            in_unit = self.formulas.variant is not None
            made = self._in_unit(row) if in_unit else self._in_network(row)
            self._known[row.name] = made
        return self._known[row.name]

    def callees(self, row: Row) -> list[ClassSource]:
        """The classes of its units, in the first instance that has it."""
        every = (self._of(body, row) for body in self.formulas.bodies)
        return [self.source(s.instances[0]) for s in next(filter(None, every))]

    def _of(self, body: Body, row: Row) -> list[Stretch]:
        for instance in (body.instance, *body.inner.values()):
            if row.name in instance.runs:
                return list(self.stretches(row, instance.runs[row.name]))
        return []

    # --- in the network: numbers ----------------------------------------------------------

    def _in_network(self, row: Row) -> list[Segment]:
        made: list[Segment] = []
        stretches = self._of(self.formulas.bodies[0], row)
        for _, group in groupby(
            stretches, lambda s: (id(s.run.call), id(self._class(s)))
        ):
            made += self._numbers(list(group))
        return made

    def _class(self, stretch: Stretch) -> ClassSource:
        return self.source(stretch.instances[0])

    def _numbers(self, stretches: list[Stretch]) -> list[Segment]:
        """The units of one call and one class: in a loop where they read their number."""
        callee = self._class(stretches[0])
        places = [place for s in stretches for place in _places(s, callee)]
        asks = any(place.symbolic for place in places)
        if not asks:
            return [segment for s in stretches for segment in _stretch(s, callee)]
        for singles in range(min(SINGLES, len(places))):
            rest = places[singles:]
            fitted = _fitted(rest)
            if fitted is not None:
                count = sum(place.count for place in rest)
                first = rest[0].index
                loop = Segment(callee, fitted, "index", _range(first, first + count))
                alone = [Segment(callee, place.values) for place in places[:singles]]
                return (
                    [*alone, loop]
                    if count > 1
                    else [Segment(callee, p.values) for p in places]
                )
        return [segment for place in places for segment in place.each(callee)]

    # --- in a unit: formulas --------------------------------------------------------------

    def _in_unit(self, row: Row) -> list[Segment]:
        callees = {
            id(self._class(s)): self._class(s)
            for body in self.formulas.bodies
            for s in self._of(body, row)
        }
        if len(callees) == 1:
            (callee,) = callees.values()
            for attempt in (self._together, self._first_and_rest):
                try:
                    return attempt(row, callee)
                except NoFormula:
                    continue
        return self._by_stretch(row)

    def _together(self, row: Row, callee: ClassSource) -> list[Segment]:
        """One unit, or one loop."""
        inside = _Inside(self, row, callee, self._cases(row, lambda index: True))
        values = inside.values(inside.at_any)
        if row.style is not Style.NUMBERED or row.calls[0].repeat == 1:
            return [Segment(callee, inside.values(inside.at_first))]
        return [
            Segment(callee, values, inside.loop, call_of("range", self.repeat(row)))
        ]

    def _first_and_rest(self, row: Row, callee: ClassSource) -> list[Segment]:
        """The first one changes what comes in, and the others keep it."""
        if row.style is not Style.NUMBERED:
            raise NoFormula
        first = _Inside(self, row, callee, self._cases(row, lambda index: index == 0))
        rest = _Inside(self, row, callee, self._cases(row, lambda index: index > 0))
        values = rest.values(rest.at_rest)
        repeat = self.repeat(row)
        over: Syntax | None = call_of("range", 1, repeat)
        if rest.loop not in {n for v in values.values() for n in _names(v)}:
            over = call_of("range", _less_one(repeat))
        if repeat == Literal(2):
            values, over = rest.values(rest.at_rest, 1), None
        return [
            Segment(callee, first.values(first.at_first)),
            Segment(callee, values, rest.loop, over),
        ]

    def _by_stretch(self, row: Row) -> list[Segment]:
        """The units as they are in each instance, where these are alike."""
        made: list[Segment] = []
        every = [self._of(body, row) for body in self.formulas.bodies]
        if len({tuple((s.first, s.count) for s in each) for each in every}) != 1:
            raise NoFormula
        for stretches in zip(*every, strict=True):
            callee = self._class(stretches[0])
            if any(self._class(s) is not callee for s in stretches):
                raise NoFormula
            first, count = stretches[0].first, stretches[0].count
            alone = any(len(s.instances) > 1 for s in stretches)
            steps = (
                [(first + i, 1) for i in range(count)] if alone else [(first, count)]
            )
            for index, units in steps:
                cases = [
                    (
                        {**env, "index": Fraction(index)},
                        index,
                        s.instances[(index - first) % len(s.instances)],
                    )
                    for env, s in zip(self.formulas.envs, stretches, strict=True)
                ]
                inside = _Inside(self, row, callee, cases)
                over = None if units == 1 else _range(index, index + units)
                values = inside.values(inside.numbers, index if units == 1 else None)
                made.append(Segment(callee, values, inside.loop, over))
        return made

    def repeat(self, row: Row) -> Syntax:
        """How often the unit follows itself."""
        repeat = row.calls[0].repeat
        if isinstance(repeat, Expr):
            return Expr(self.formulas.here(repeat.tree)).syntax()
        return Literal(repeat)

    def _cases(self, row: Row, wanted: Callable[[int], bool]) -> list[Any]:
        """The names' values in each instance with each unit of the row that is wanted."""
        return [
            ({**env, _loop(self.formulas): Fraction(index)}, index, instance)
            for body, env in zip(self.formulas.bodies, self.formulas.envs, strict=True)
            for stretch in self._of(body, row)
            for index, instance in _distinct(stretch)
            if wanted(index)
        ]

    def note(self, row: Row) -> None:
        """Take formulas of the channels that the row's values have."""
        segments = self.segments(row)
        last = segments[-1]
        for name, output in last.callee.outputs.items():
            value = row.name if len(last.callee.outputs) == 1 else f"{row.name}.{name}"
            claims = list[Any]()
            if self.formulas.variant is not None:
                claims = [*self._claims(row, segments, output)]
            self.formulas.note(value, *claims)

    def _claims(
        self, row: Row, segments: list[Segment], output: Formula
    ) -> Iterator[Any]:
        """What the channels of an output of the row may be."""
        last = segments[-1]
        made = substituted(output, last.values)
        if made is not None and not (
            last.over and _loop(self.formulas) in _names(made)
        ):
            yield made
        yield self.formulas.channels[row.inputs[0]]
        if last.over is not None and (step := growth(last, output)):
            start = self.formulas.channels[row.inputs[0]]
            yield Expr(infix("+", _tree(start), infix("*", self.repeat(row), step)))


@dataclass
class _Inside:
    """The arguments of a class at some units of a row, which hold in all of the cases."""

    rows: Rows
    row: Row
    callee: ClassSource
    cases: list[tuple[Mapping[str, Any], int, Instance]]

    def __post_init__(self) -> None:
        self.formulas = self.rows.formulas
        self.loop = _loop(self.formulas)
        self.call: Call = self.row.calls[0]
        self.numbered = self.row.style is Style.NUMBERED

    def values(
        self, sides: Callable[[int, str], Iterator[Any]], index: int | None = None
    ) -> dict[str, Any]:
        """By parameter its formula; `sides` claims formulas of an input's channels."""
        first = sides == self.at_first
        at = 0 if first and index is None else index
        found = dict[str, Any]()
        for parameter in self.callee.takes:
            found[parameter.name] = self._value(parameter, sides, at)
        return found

    def _value(
        self,
        parameter: Parameter,
        sides: Callable[[int, str], Iterator[Any]],
        index: int | None,
    ) -> Any:
        key = parameter.key.removeprefix("@")
        if parameter.key in self.call.args and parameter.key in self.callee.params:
            return self._argument(parameter, self.call.args[parameter.key], index)
        if key in POSITION:
            return self._position(key, index)
        place, axis = self.callee.input_of(key)
        actual = [named_sides(_given(i, place))[axis] for _, _, i in self.cases]
        return self._first(sides(place, axis), actual)

    def _first(self, claims: Iterator[Any], actual: list[int]) -> Any:
        envs = [env for env, _, _ in self.cases]
        for claim in claims:
            if holds(claim, zip(envs, actual, strict=True)):
                return claim
        if len(set(actual)) == 1:
            return actual[0]
        raise NoFormula

    # --- arguments ------------------------------------------------------------------------

    def _argument(self, parameter: Parameter, value: Any, index: int | None) -> Any:
        if not isinstance(value, Expr):
            return value
        made = Expr(self.formulas.here(value.tree, self._around(index)))
        if not made.names and not isinstance(made.tree, Name):
            return made.evaluate({})
        if parameter.whole and not self._comes_out_whole(made):
            return call_of("round", made.syntax(whole=False))
        return made

    def _around(self, index: int | None) -> dict[str, Syntax]:
        """What `index` and `total` are for a unit of the row."""
        if not self.numbered:
            return {}
        own = self.formulas.params
        around = {"index": Name(self.loop) if index is None else Literal(index)}
        around["total"] = self._total()
        return {name: tree for name, tree in around.items() if name not in own}

    def _total(self) -> Syntax:
        repeat = self.call.repeat
        tree = repeat.tree if isinstance(repeat, Expr) else Literal(repeat)
        return self.formulas.here(tree)

    def _comes_out_whole(self, made: Expr) -> bool:
        try:
            for env, _, _ in self.cases:
                made.evaluate(env, whole=True)
        except ExprError:
            return any(
                isinstance(env.get(n), tuple)
                for env, _, _ in self.cases
                for n in made.names
            )
        return True

    def _position(self, name: str, index: int | None) -> Any:
        if self.numbered and name == "index":
            return Expr(Name(self.loop)) if index is None else index
        if self.numbered and name == "total":
            return Expr(self._total())
        return Expr(Name(self.formulas.local[self.formulas.at(name)]))

    # --- sides of inputs ------------------------------------------------------------------

    def at_first(self, place: int, axis: str) -> Iterator[Any]:
        """As the first unit gets it."""
        yield self._start(place, axis)

    def at_any(self, place: int, axis: str) -> Iterator[Any]:
        """As every unit gets it."""
        start = self._start(place, axis)
        yield start
        if axis == "c" and self.numbered and len(self.callee.outputs) == 1:
            (output,) = self.callee.outputs.values()
            args = Segment(self.callee, self._arguments())
            if step := growth(args, output):
                yield Expr(infix("+", _tree(start), infix("*", Name(self.loop), step)))

    def at_rest(self, place: int, axis: str) -> Iterator[Any]:
        """As the units get it that follow another one."""
        if axis != "c":
            name = self.row.name
            several = list(self.callee.outputs)
            yield from _attempt(
                lambda: self.formulas.height_or_width(
                    name if len(several) == 1 else f"{name}.{several[place]}", axis
                )
            )
            return
        output = list(self.callee.outputs.values())[place]
        before = infix("-", Name(self.loop), 1)
        if (made := substituted(output, self._arguments(before))) is not None:
            yield made

    def numbers(self, place: int, axis: str) -> Iterator[Any]:
        """As the first one gets it, or a number."""
        yield from _attempt(lambda: self._start(place, axis))

    def _start(self, place: int, axis: str) -> Any:
        given = self.row.inputs[place]
        if axis == "c":
            return self.formulas.channels[given]
        return self.formulas.height_or_width(given, axis)

    def _arguments(self, index: Syntax | None = None) -> dict[str, Any]:
        """The arguments that are given by name, and the channels that come in first."""
        found = dict[str, Any]()
        for parameter in self.callee.parameters():
            if parameter.key in self.callee.params and parameter.key in self.call.args:
                value = self.call.args[parameter.key]
                around = (
                    {"index": index}
                    if index and "index" not in self.formulas.params
                    else {}
                )
                if isinstance(value, Expr):
                    value = Expr(
                        self.formulas.here(value.tree, {**self._around(None), **around})
                    )
                found[parameter.name] = value
        return found


def substituted(formula: Formula, values: Mapping[str, Any]) -> Formula | None:
    """A class's formula with the arguments of a call; None where one is not known."""
    if not isinstance(formula, Expr):
        return formula
    if not set(formula.names) <= values.keys():
        return None
    try:
        return Expr(
            replaced(formula.tree, {n: _tree(values[n]) for n in formula.names})
        )
    except ValueError:
        return None


def growth(segment: Segment, output: Formula) -> Syntax | None:
    """By how much each unit of a loop adds to the channels that come in, if so it does."""
    callee = segment.callee
    own = callee.formulas.local.get("in", "")
    if not isinstance(output, Expr) or not isinstance(output.tree, Infix):
        return None
    terms = output.tree.operands
    if output.tree.operator != "+" or Name(own) not in terms:
        return None
    rest = [term for term in terms if term != Name(own)]
    if len(rest) != len(terms) - 1 or any(own in names(term) for term in rest):
        return None
    made = substituted(Expr(infix("+", *rest)), segment.values)
    return made.tree if isinstance(made, Expr) else None


def _attempt(made: Callable[[], Any]) -> Iterator[Any]:
    try:
        yield made()
    except NoFormula:
        return


def _tree(value: Any) -> Syntax:
    """A formula or an argument as the tree of an expression."""
    if isinstance(value, Expr):
        return value.tree
    return value if isinstance(value, Syntax) else plain(value)


def _names(value: Any) -> tuple[str, ...]:
    return tuple(names(_tree(value)))


def _less_one(repeat: Syntax) -> Syntax:
    match repeat:
        case Literal(value=int(number)):
            return Literal(number - 1)
        case Infix("+", (*terms, Literal(value=int(number)))):
            return infix("+", *terms, *([number - 1] if number > 1 else []))
    return infix("-", repeat, 1)


def _range(first: int, end: int) -> Syntax:
    return call_of("range", first, end) if first else call_of("range", end)


def _loop(formulas: Formulas) -> str:
    """The variable of a loop over the units of a row."""
    taken = {formulas.local[name] for name in formulas.params if name in formulas.local}
    return unique("index", taken)


def _given(instance: Instance, place: int) -> tuple[int, ...]:
    return instance.shapes[instance.block.inputs[place]]


def _distinct(stretch: Stretch) -> Iterator[tuple[int, Instance]]:
    """The units of a stretch with their numbers; of equal ones, the first two."""
    instances = stretch.instances
    count = len(instances) if len(instances) > 1 else min(2, stretch.count)
    for i in range(count):
        yield stretch.first + i, instances[i % len(instances)]


# --- numbers ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Equal units of the network's rows, with the numbers that their class gets."""

    index: int
    count: int
    values: Mapping[str, Any]
    symbolic: Mapping[str, Any]
    """Those that read the unit's number, as formulas of it."""
    run: Any
    callee: Any

    def each(self, callee: ClassSource) -> Iterator[Segment]:
        """One by one."""
        for i in range(self.index, self.index + self.count):
            instance = self.run[i - self.run.first]
            yield Segment(callee, _values(callee, self.run, i, instance))


def _places(stretch: Stretch, callee: ClassSource) -> Iterator[_Place]:
    run, several = stretch.run, len(stretch.instances) > 1
    for i, instance in enumerate(stretch.instances):
        index = stretch.first + i
        count = 1 if several else stretch.count
        values = _values(callee, run, index, instance)
        symbolic = dict(_symbolic(callee, run, index))
        yield _Place(index, count, values, symbolic, run, callee)


def _values(
    callee: ClassSource, run: Any, index: int, instance: Instance
) -> dict[str, Any]:
    """The numbers that the class gets for the unit of that number."""
    there = run.place.context_at(index)
    found = dict[str, Any]()
    for parameter in callee.takes:
        key = parameter.key.removeprefix("@")
        if parameter.key in callee.params:
            found[parameter.name] = instance.args[parameter.key]
        elif key in POSITION:
            found[parameter.name] = there[key]
        else:
            place, axis = callee.input_of(key)
            found[parameter.name] = named_sides(_given(instance, place))[axis]
    return found


def _symbolic(callee: ClassSource, run: Any, index: int) -> Iterator[tuple[str, Any]]:
    """The arguments that read the unit's number; None for one that has no formula."""
    there = run.place.context_at(index)
    if run.place.row.style is not Style.NUMBERED:
        return
    known = {**there, **run.place.outer, **run.call.given}
    hidden = "index" in run.call.given
    for parameter in callee.takes:
        if parameter.key == "index" and "index" not in callee.params:
            yield parameter.name, Expr(Name("index"))
        value = run.call.args.get(parameter.key)
        if parameter.key in callee.params and "index" in read(value) and not hidden:
            trees = {n: plain(v) for n, v in known.items() if n != "index"}
            formula = None
            if isinstance(value, Expr) and set(value.names) <= {*trees, "index"}:
                formula = substituted(value, {**trees, "index": Name("index")})
            if formula is not None and parameter.whole:
                yield parameter.name, formula
            else:
                yield parameter.name, formula


def _fitted(places: list[_Place]) -> dict[str, Any] | None:
    """The arguments of the units as one call in a loop, if there is one."""
    found = dict[str, Any]()
    for name in places[0].values:
        symbolic = [place.symbolic.get(name) for place in places]
        if name in places[0].symbolic:
            if None in symbolic or len(set(symbolic)) != 1:
                return None
            found[name] = symbolic[0]
            continue
        numbers = [(place.index, place.values[name]) for place in places]
        made = (
            _constant(numbers) if len({v for _, v in numbers}) == 1 else _line(numbers)
        )
        if made is None or (
            isinstance(made, Expr) and any(p.count > 1 for p in places)
        ):
            return None
        found[name] = made
    return found


def _constant(numbers: list[tuple[int, Any]]) -> Any:
    return numbers[0][1]


def _line(numbers: list[tuple[int, Any]]) -> Expr | None:
    """Numbers that grow by one step: `16 + 4 * index`."""
    if len(numbers) < 3 or isinstance(numbers[0][1], tuple):
        return None
    (first, start), (_, second), *_ = numbers
    step = second - start
    if any(value != start + step * (index - first) for index, value in numbers):
        return None
    offset = start - step * first
    slope = infix("*", plain(step), Name("index")) if step != 1 else Name("index")
    return Expr(infix("+", plain(offset), slope) if offset else slope)


def _stretch(stretch: Stretch, callee: ClassSource) -> list[Segment]:
    """One unit, a loop over equal ones, or over ones whose input grows."""
    places = list(_places(stretch, callee))
    first = places[0]
    if len(places) == 1:
        over = None if stretch.count == 1 else _range(0, stretch.count)
        return [Segment(callee, first.values, "_", over)]
    vary = [n for n in first.values if len({p.values[n] for p in places}) > 1]
    if not vary:
        return [Segment(callee, first.values, "_", _range(0, len(places)))]
    if [callee.key_of(name) for name in vary] == ["in"]:
        given = [exact(place.values[vary[0]]) for place in places]
        step = given[1] - given[0]
        steps = [plain(n) for n in (given[0], given[0] + step * len(places), step)]
        values = {**first.values, vary[0]: Expr(Name("channels"))}
        return [Segment(callee, values, "channels", call_of("range", *steps))]
    return [segment for place in places for segment in place.each(callee)]


__all__ = ["Parameter", "Rows", "Segment", "channels_of", "plain"]
