"""Rows of units as constructor calls: units, and loops over equal ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from resgraph.emit.body import Body
from resgraph.emit.formulas import Formula, Formulas
from resgraph.emit.simple import added_up, put
from resgraph.emit.variants import Stretch
from resgraph.expr import Expr, literal
from resgraph.graph import Instance, Row, Run
from resgraph.graph.ir import row_values
from resgraph.graph.scope import named_sides
from resgraph.syntax import (
    Infix,
    Listing,
    Literal,
    Name,
    Spread,
    Syntax,
    call,
    infix,
    names,
)

if TYPE_CHECKING:
    from resgraph.emit.class_source import ClassSource

INDEX = "index"


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
        """Whether it is a whole number, or a list of these."""
        return "int" in self.kind

    def __str__(self) -> str:
        default = "" if self.default is None else f" = {plain(self.default)}"
        return f"{self.name}: {self.kind}{default}"


@dataclass(frozen=True)
class Segment:
    """Units of a row that one call, or one loop, makes."""

    callee: ClassSource
    values: Mapping[str, Any]
    """By the name of each of its parameters, a formula or a number."""
    over: Syntax | None = None
    """What the loop is over; None: there is one unit."""
    variable: str = INDEX
    last: Syntax | None = None
    """The number of the loop's last unit."""

    @property
    def taken(self) -> dict[str, Any]:
        """What the constructor is given: the values without those that only others read."""
        return {p.name: self.values[p.name] for p in self.callee.takes}

    def made(self, output: Formula) -> Formula | None:
        """What the last unit makes of the formula of an output; None where it is not known."""
        made = substituted(output, self.values)
        if self.over is None or made is None or self.variable not in names(tree(made)):
            return made
        if self.last is None:
            return None
        return Expr(put(tree(made), {self.variable: self.last}))

    def item(self) -> Syntax:
        """The unit, or the loop, as an argument of a call."""
        made = self.callee.construction(self.values)
        if self.over is None:
            return made
        variable = self.variable if self.variable in names(made) else "_"
        return Spread(made, variable, self.over)


@dataclass
class Rows:
    """The rows of a class."""

    formulas: Formulas
    classes: Mapping[int, ClassSource]
    """By the id of an instance, its class."""
    split: Callable[[Sequence[Run]], list[Stretch]]
    _known: dict[str, list[Segment]] = field(default_factory=dict)
    _callees: dict[str, list[tuple[ClassSource, int]]] = field(default_factory=dict)

    def segments(self, row: Row) -> list[Segment]:
        """The units of the row. Raises `NoFormulaError`."""
        if row.name not in self._known:
            from resgraph.emit import network_rows, unit_rows

            unit = self.formulas.variant is not None
            made = unit_rows if unit else network_rows
            self._known[row.name] = made.segments(self, row)
        return self._known[row.name]

    def stretches(self, body: Body, row: Row) -> list[Stretch]:
        """The units of the row in one instance, those of one class together."""
        return self.split(body.runs(row))

    def callee(self, stretch: Stretch) -> ClassSource:
        """The class of the units."""
        return self.classes[id(stretch.instances[0])]

    def callees(self, row: Row) -> list[tuple[ClassSource, int]]:
        """The classes of its units with their numbers, in the first instance that has it."""
        if row.name not in self._callees:
            every = (self.stretches(body, row) for body in self.formulas.bodies)
            found = [(self.callee(s), s.count) for s in next(filter(None, every))]
            self._callees[row.name] = found
        return self._callees[row.name]

    def repeat(self, row: Row) -> Syntax:
        """How often the unit of a unit's row follows itself."""
        repeat = row.calls[0].repeat
        return (
            self.formulas.here(repeat.tree)
            if isinstance(repeat, Expr)
            else Literal(repeat)
        )

    def note(self, row: Row) -> None:
        """Take formulas of the channels that the row's values have."""
        segments = self.segments(row)
        outputs = segments[-1].callee.outputs
        values = row_values(row.name, outputs)
        for name, value in zip(outputs, values, strict=True):
            numbers = self.formulas.variant is None
            claims = () if numbers else self._claims(row, segments, name)
            self.formulas.note(value, claims)

    def _claims(
        self, row: Row, segments: Sequence[Segment], output: str
    ) -> Iterator[Formula]:
        """What the channels of an output of the row are, as the program has it."""
        last, place = segments[-1], [*segments[-1].callee.outputs].index(output)
        formula = last.callee.outputs[output]
        start = self.formulas.channels[row.inputs[min(place, len(row.inputs) - 1)]]
        alike = all(each.callee is last.callee for each in segments)
        if last.over is not None and alike and place < len(row.inputs):
            given = last.callee.arguments(last.values)
            step = growth(last.callee, place, formula, given)
            grown = step and grows(start, step, last.variable, self.repeat(row))
            yield from [grown] if grown else []
        made = last.made(formula)
        yield from () if made is None else (made,)
        if row.when is not None:
            yield start


def plain(value: Any) -> Syntax:
    """A value as Python has it."""
    if isinstance(value, tuple):
        return Listing(tuple(tree(item) for item in value))
    return Literal(value if isinstance(value, bool | str) else literal(value))


def tree(value: Any) -> Syntax:
    """A formula or an argument as the tree of an expression."""
    if isinstance(value, Expr):
        return value.tree
    return value if isinstance(value, Syntax) else plain(value)


def shown(value: Any, whole: bool) -> Syntax:
    """An argument as Python has it."""
    return value.syntax(whole=whole) if isinstance(value, Expr) else tree(value)


def counted(first: int, end: int) -> Syntax:
    """`range(first, end)`"""
    return call("range", first, end) if first else call("range", end)


def given(instance: Instance, place: int, axis: str) -> int:
    """A side of an input of an instance."""
    return named_sides(instance.shapes[instance.block.inputs[place]])[axis]


def substituted(formula: Formula, values: Mapping[str, Any]) -> Formula | None:
    """A class's formula with the arguments of a call; None where one is not known."""
    if not isinstance(formula, Expr):
        return formula
    if not set(formula.names) <= values.keys():
        return None
    try:
        return Expr(put(formula.tree, {n: tree(values[n]) for n in formula.names}))
    except ValueError:
        return None


def growth(
    callee: ClassSource, place: int, output: Formula, values: Mapping[str, Any]
) -> Syntax | None:
    """What each unit adds to the channels of an input; None where it does not add.

    `values` has the arguments of each unit.
    """
    own = Name(callee.side(place, "c"))
    match output:
        case Expr(Infix("+", terms)) if terms.count(own) == 1:
            rest = Expr(infix("+", *(t for t in terms if t != own)))
            made = None if own.text in rest.names else substituted(rest, values)
            return None if made is None else tree(made)
    return None


def grows(start: Formula, step: Syntax, variable: str, count: Syntax) -> Formula | None:
    """The channels after so many units, to which the one of that number adds the step."""
    terms = added_up(step, variable, count)
    return None if terms is None else Expr(infix("+", tree(start), *terms))
