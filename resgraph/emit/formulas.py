"""Channels and sides of a block's values as formulas of what its class is given.

One class serves many instances: a formula is used where it holds in all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from resgraph.emit.body import Body
from resgraph.emit.variants import Variant, unique
from resgraph.expr import Condition, Expr, ExprError, python_name
from resgraph.graph import Node
from resgraph.graph.scope import channels as channels_of
from resgraph.graph.uses import POSITION
from resgraph.names import INPUT
from resgraph.ops import Op, Shape
from resgraph.ops.given import Given
from resgraph.parser import Truth
from resgraph.syntax import Infix, Literal, Name, Prefix, Syntax, infix, names, replaced
from resgraph.values import Value

AXES = {"c": 0, "h": 1, "w": 2}
Formula = Expr | int


class NoFormula(Exception):
    """No formula holds in all instances: each needs a class of its own."""


@dataclass
class Formulas:
    """What the expressions of one class may read, and what its values' channels are.

    Expressions come with the names of the spec; here they get those of the class, so that
    all that is printed has these alone.
    """

    bodies: Sequence[Body]
    variant: Variant | None
    """None: the network, in which all is a number."""
    classes: Collection[str]
    """The names of classes, which a parameter would hide."""
    local: dict[str, str] = field(default_factory=dict)
    """By a parameter's name, or what else an expression reads, what the class calls it."""
    channels: dict[str, Formula] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inputs = self.bodies[0].inputs
        self.fixed: Mapping[str, Value] = self.variant.fixed if self.variant else {}
        self.params = (
            {p.name for p in self.variant.block.params} if self.variant else set()
        )
        for name in self.params_in_order():
            self.local[name] = unique(name, self.classes)
        for key in self._context():
            taken = {*self.classes, *self.local.values()}
            self.local[key] = unique(python_name(self.canonical(key)), taken)
        self.envs = [self._env(body) for body in self.bodies]
        for name in self.inputs:
            given = Expr(Name(self.local[self.side(name, "c")])) if self.variant else 0
            self.channels[name] = given or self.actual(self.bodies[0], name)[0]

    def params_in_order(self) -> Iterator[str]:
        """The parameters that are numbers, or lists of them."""
        block = self.variant.block if self.variant else None
        return (
            (p.name for p in block.params if p.name not in self.fixed)
            if block
            else iter(())
        )

    def _context(self) -> list[str]:
        """What the place of the block decides, as `side` and `at` name it."""
        if self.variant is None:
            return []
        sides = [self.side(name, axis) for axis in "chw" for name in self.inputs]
        return [*sides, *(self.at(name) for name in POSITION)]

    def side(self, value: str, axis: str) -> str:
        """The name of a side of an input: `in`, `in.h`, `skip.c`."""
        if value == self.inputs[0]:
            return "in" if axis == "c" else f"in.{axis}"
        return f"{value}.{axis}"

    def canonical(self, key: str) -> str:
        """The same, by the input's own name where there are several."""
        what, _, axis = key.partition(".")
        first = self.inputs[0]
        if what == "in" and len(self.inputs) > 1 and first != INPUT:
            return f"{first}.{axis or 'c'}"
        return key.removeprefix("@")

    def at(self, position: str) -> str:
        """The name of a position, which a parameter of the same name hides."""
        return f"@{position}" if position in self.params else position

    def _env(self, body: Body) -> dict[str, Any]:
        """The values of all names in an instance."""
        instance = body.instance
        found: dict[str, Any] = {}
        for key, name in self.local.items():
            if key in instance.scope:
                found[name] = instance.scope[key]
        for value in self.inputs:
            shape = instance.shapes[value]
            for axis, number in named_sides(shape).items():
                if (key := self.side(value, axis)) in self.local:
                    if key not in self.params:
                        found[self.local[key]] = Fraction(number)
        return found

    # --- expressions ----------------------------------------------------------------------

    def here(self, tree: Syntax, more: Mapping[str, Syntax] | None = None) -> Syntax:
        """An expression of the spec with the names of the class."""
        known: dict[str, Syntax] = {k: Name(v) for k, v in self.local.items()}
        known |= {k: _truth(v) for k, v in self.fixed.items()}
        first = self.inputs[0]
        if first != INPUT:
            known |= {
                f"{first}.{axis}": known[self.side(first, axis)]
                for axis in "chw"
                if self.variant and f"{first}.{axis}" not in self.params
            }
        return replaced(tree, known | dict(more or {}))

    def op(self, node: Node) -> Op:
        """The op with the names of the class, and with the values that the class is for."""
        op = node.op
        if isinstance(op, Given):
            chosen = self.fixed[op.param]
            assert isinstance(chosen, Op)
            return chosen
        fields, values = op.numbers(), dict[str, Any]()
        for name, value in op.attributes().items():
            if not isinstance(value, Expr):
                continue
            if set(value.names) <= self.fixed.keys():
                values[name] = fields[name].settle(value, self.fixed)  # type: ignore[arg-type]
            else:
                values[name] = Expr(self.here(value.tree))
        return op.having(values) if values else op

    def condition(self, when: Condition) -> Syntax:
        """The condition with the names of the class, without what is decided."""
        return _plain(self.here(when.tree))

    # --- what holds -----------------------------------------------------------------------

    def actual(self, body: Body, value: str) -> Shape:
        """A value's shape; of one that is not there, that of what it stands for."""
        shape = body.shape(value)
        while shape is None:
            value = self.read[value.partition(".")[0]]
            shape = body.shape(value)
        return shape

    @property
    def read(self) -> Mapping[str, str]:
        """What each node reads first."""
        return {node.name: node.inputs[0] for node in self.bodies[0].nodes}

    def note(self, value: str, *claims: Any) -> None:
        """Take the first formula of the value's channels that holds in all instances."""
        actual = [channels_of(self.actual(body, value)) for body in self.bodies]
        self.channels[value] = self.first(claims, actual)

    def first(self, claims: Iterable[Any], actual: Sequence[Any]) -> Any:
        """The first claim that holds in all instances, else the number that all have.

        Raises `NoFormula`.
        """
        for claim in claims:
            if holds(claim, zip(self.envs, actual, strict=True)):
                return claim
        if len(set(actual)) == 1:
            return actual[0]
        raise NoFormula

    def height_or_width(self, value: str, axis: str) -> Any:
        """A side of a value as a formula. Raises `NoFormula`."""
        place = AXES[axis]
        actual = [self.actual(body, value)[place] for body in self.bodies]
        return self.first(self._side_claims(axis), actual)

    def _side_claims(self, axis: str) -> Iterator[Expr]:
        if self.variant is None:
            return
        sides = [Name(self.local[self.side(name, axis)]) for name in self.inputs]
        yield from map(Expr, sides)
        for side in sides:
            for name in self.params_in_order():
                down = infix("//", Prefix("-", side), Name(self.local[name]))
                yield Expr(Prefix("-", down))
            yield from (Expr(infix("//", side, n)) for n in (2, 4, 8, 16))
            yield from (Expr(infix("*", n, side)) for n in (2, 4, 8, 16))


def named_sides(shape: Shape) -> dict[str, int]:
    """The sides of a value by the letters of their axes."""
    if len(shape) == 2:
        return {"c": shape[1]}
    return dict(zip("chw", shape, strict=False))


def holds(claim: Any, cases: Iterable[tuple[Mapping[str, Any], Any]]) -> bool:
    """Whether the formula comes out as told, whole as Python computes it, in all cases."""
    try:
        return all(value_of(claim, env) == actual for env, actual in cases)
    except ExprError:
        return False


def value_of(claim: Any, env: Mapping[str, Any]) -> Any:
    return claim.evaluate(env, whole=True) if isinstance(claim, Expr) else claim


def tree_of(formula: Any) -> Syntax:
    """The formula as Python, whole."""
    return formula.syntax() if isinstance(formula, Expr) else Literal(formula)


def _truth(value: Value) -> Syntax:
    """What a condition makes of a value that the class is written for."""
    return Truth(value) if isinstance(value, bool) else Name(str(value))


def _plain(tree: Syntax) -> Syntax:
    """A condition without what is true or false already."""
    if isinstance(tree, Prefix) and tree.operator == "not":
        inner = _plain(tree.operand)
        return (
            Truth(not inner.value) if isinstance(inner, Truth) else Prefix("not", inner)
        )
    if isinstance(tree, Infix) and tree.operator in ("and", "or"):
        decisive = tree.operator == "or"
        parts = [_plain(operand) for operand in tree.operands]
        if any(isinstance(p, Truth) and p.value is decisive for p in parts):
            return Truth(decisive)
        parts = [part for part in parts if not isinstance(part, Truth)]
        return infix(tree.operator, *parts) if parts else Truth(not decisive)
    return tree


def free(tree: Syntax, of: Collection[str]) -> list[str]:
    """The names in it that are among these, each once."""
    return [name for name in dict.fromkeys(names(tree)) if name in of]
