"""Channels and sides of a block's values as formulas of what its class is given.

One class serves many instances: a formula is used where it holds in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from resgraph.emit.body import Body
from resgraph.emit.variants import Variant, unique
from resgraph.expr import Condition, Expr, ExprError, python_name
from resgraph.graph import INPUT, Node
from resgraph.graph.scope import AXES
from resgraph.graph.scope import channels as channels_of
from resgraph.graph.scope import sides as sides_of
from resgraph.graph.uses import POSITION
from resgraph.ops import Op, Shape
from resgraph.ops.given import Given
from resgraph.parser import Truth
from resgraph.syntax import Infix, Name, Prefix, Syntax, infix, replaced
from resgraph.values import Value

Formula = Expr | int
Case = tuple[Mapping[str, Any], Any]
"""The values of names, and what a formula must come out as with them."""
STRIDE = "stride"
_OPPOSITES = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_RATIOS = (2, 4, 8, 16, 32)


class NoFormulaError(Exception):
    """No formula holds in all instances: each needs a class of its own."""


@dataclass
class Formulas:
    """What the expressions of one class may read, and its values' channels.

    Expressions come with the names of the spec. Here they get those of the class, in which
    all that is printed is written.
    """

    bodies: Sequence[Body]
    variant: Variant | None
    """None: the network, in which all is a number."""
    classes: Collection[str] = ()
    """The names of the module's classes, which no variable may hide."""
    local: dict[str, str] = field(default_factory=dict)
    """By what an expression may read, what the class calls it."""
    channels: dict[str, Formula] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inputs = self.bodies[0].inputs
        self.params = (
            {p.name for p in self.variant.block.params} if self.variant else set()
        )
        self.fixed: Mapping[str, Value] = self.variant.fixed if self.variant else {}
        self._last_read = {
            n.name: n.inputs[-1] for n in self.bodies[0].nodes if n.inputs
        }
        for key in [*self.numbers, *self._context()]:
            taken = {*self.classes, *self.local.values()}
            self.local[key] = unique(python_name(self._spelled(key)), taken)
        self.envs = [self._env(body) for body in self.bodies]
        for name in self.inputs:
            self.channels[name] = self._input(name)

    @property
    def numbers(self) -> list[str]:
        """The parameters that are numbers, or lists of them."""
        params = self.variant.block.params if self.variant else ()
        return [param.name for param in params if param.name not in self.fixed]

    @cached_property
    def strides(self) -> list[str]:
        """Those by which the sides of maps are divided."""
        read: set[str] = set()
        for node in self.bodies[0].nodes:
            if isinstance(node, Node):
                given = [node.op.attributes().get(STRIDE)]
            else:
                given = [call.args.get(STRIDE) for call in node.calls]
            read |= {
                n for value in given if isinstance(value, Expr) for n in value.names
            }
        return [name for name in self.numbers if name in read]

    def side(self, value: str, axis: str) -> str:
        """What an expression calls a side of an input: `in`, `in.h`, `skip.c`."""
        if value == self.inputs[0]:
            return "in" if axis == "c" else f"in.{axis}"
        return f"{value}.{axis}"

    def at(self, position: str) -> str:
        """The key of a position; a parameter of the same name hides it from expressions."""
        return f"@{position}" if position in self.params else position

    def _context(self) -> list[str]:
        """What the place of the block decides."""
        if self.variant is None:
            return []
        sides = [self.side(name, axis) for axis in AXES for name in self.inputs]
        return [*sides, *map(self.at, POSITION)]

    def _spelled(self, key: str) -> str:
        """A key as Python's name is made of it: one of several inputs goes by its own name."""
        what, _, axis = key.partition(".")
        if what == "in" and len(self.inputs) > 1 and self.inputs[0] != INPUT:
            return f"{self.inputs[0]}.{axis or 'c'}"
        return key.removeprefix("@")

    def _env(self, body: Body) -> dict[str, Any]:
        """The values of all names in an instance."""
        scope = body.instance.scope
        found = {name: scope[k] for k, name in self.local.items() if k in scope}
        shapes = [body.instance.shapes[value] for value in self.inputs]
        for key, number in sides_of(self.inputs, shapes):
            if key in self.local and key not in self.params:
                found[self.local[key]] = Fraction(number)
        return found

    def _input(self, name: str) -> Formula:
        if self.variant is None:
            return channels_of(self.shape(self.bodies[0], name))
        return Expr(Name(self.local[self.side(name, "c")]))

    # --- expressions ----------------------------------------------------------------------

    def here(self, tree: Syntax, more: Mapping[str, Syntax] | None = None) -> Syntax:
        """An expression of the spec with the names of the class, and `more`."""
        return replaced(tree, {**self._known, **more} if more else self._known)

    @cached_property
    def _known(self) -> dict[str, Syntax]:
        """By what the spec calls it, what it is in the class."""
        known: dict[str, Syntax] = {k: Name(v) for k, v in self.local.items()}
        known |= {k: Truth(v) for k, v in self.fixed.items() if isinstance(v, bool)}
        for axis in AXES if self.variant else "":
            name = f"{self.inputs[0]}.{axis}"
            known.setdefault(name, known[self.side(self.inputs[0], axis)])
        return known

    def op(self, node: Node) -> Op:
        """The op with the names of the class, and with the values that the class is for."""
        if isinstance(node.op, Given):
            chosen = self.fixed[node.op.param]
            assert isinstance(chosen, Op)
            return chosen
        fields, values = node.op.numbers(), dict[str, Any]()
        for name, value in node.op.attributes().items():
            if isinstance(value, Expr):
                known: Any = (
                    self.fixed if set(value.names) <= self.fixed.keys() else None
                )
                values[name] = (
                    fields[name].settle(value, known)
                    if known is not None
                    else Expr(self.here(value.tree))
                )
        return node.op.having(values) if values else node.op

    def condition(self, when: Condition) -> Syntax:
        """The condition with the names of the class, without what is decided."""
        return _plain(self.here(when.tree))

    # --- what holds -----------------------------------------------------------------------

    def shape(self, body: Body, value: str) -> Shape:
        """A value's shape; of one that is not there, that of what it stands for."""
        while value not in body.shapes:
            value = self._last_read[value.partition(".")[0]]
        return body.shapes[value]

    def note(
        self, value: str, claims: Iterable[Formula], of: str | None = None
    ) -> None:
        """Take the first formula of the value's channels that holds in all instances.

        They may also be all elements of the value `of`, made one vector.
        """
        actual = [channels_of(self.shape(body, value)) for body in self.bodies]
        cases = [*zip(self.envs, actual, strict=True)]
        try:
            self.channels[value] = first(cases, claims)
        except NoFormulaError:
            self.channels[value] = first(cases, self._elements(of) if of else ())

    def _elements(self, value: str) -> Iterator[Formula]:
        if {len(self.shape(body, value)) for body in self.bodies} == {len(AXES)}:
            sides = [
                self.channels[value],
                *(self.length(value, axis) for axis in AXES[1:]),
            ]
            yield Expr(
                infix("*", *(s.tree if isinstance(s, Expr) else s for s in sides))
            )

    def length(self, value: str, axis: str) -> Formula:
        """The height or the width of a value. Raises `NoFormulaError`."""
        place = AXES.index(axis)
        actual = [self.shape(body, value)[place] for body in self.bodies]
        claims = self._lengths(axis) if self.variant else ()
        found: Formula = first([*zip(self.envs, actual, strict=True)], claims)
        return found

    def _lengths(self, axis: str) -> Iterator[Formula]:
        """What a height or a width may be: an input's, divided by strides, or enlarged."""
        sides = [Name(self.local[self.side(name, axis)]) for name in self.inputs]
        yield from map(Expr, sides)
        for side in sides:
            for name in self.strides:
                down = infix("//", Prefix("-", side), Name(self.local[name]))
                yield Expr(Prefix("-", down))
            yield from (Expr(infix("//", side, ratio)) for ratio in _RATIOS)
            yield from (Expr(infix("*", ratio, side)) for ratio in _RATIOS)


def first(cases: Sequence[Case], claims: Iterable[Any], numbers: bool = True) -> Any:
    """The first claim that holds in all cases, else, of `numbers`, the one that all have.

    Raises `NoFormulaError`.
    """
    for claim in claims:
        if _holds(claim, cases):
            return claim
    if numbers and len({actual for _, actual in cases}) == 1:
        return cases[0][1]
    raise NoFormulaError


def attempt(made: Callable[[], Any]) -> Iterator[Any]:
    """A formula as the one claim, or none."""
    try:
        yield made()
    except NoFormulaError:
        return


def _holds(claim: Any, cases: Iterable[Case]) -> bool:
    """Whether the formula comes out as told in all cases, whole as Python computes it."""
    if not isinstance(claim, Expr):
        return all(claim == actual for _, actual in cases)
    if isinstance(claim.tree, Name):
        return all(env.get(claim.tree.text) == actual for env, actual in cases)
    try:
        return all(claim.evaluate(env, whole=True) == actual for env, actual in cases)
    except ExprError:
        return False


def _plain(tree: Syntax) -> Syntax:
    """A condition without what is true or false already."""
    match tree:
        case Prefix("not", operand):
            inner = _plain(operand)
            if isinstance(inner, Truth):
                return Truth(not inner.value)
            if isinstance(inner, Infix) and inner.operator in _OPPOSITES:
                return Infix(_OPPOSITES[inner.operator], inner.operands)
            return Prefix("not", inner)
        case Infix(("and" | "or") as sign, operands):
            decisive = sign == "or"
            parts = [_plain(operand) for operand in operands]
            if Truth(decisive) in parts:
                return Truth(decisive)
            left = [part for part in parts if not isinstance(part, Truth)]
            return infix(sign, *left) if left else Truth(not decisive)
    return tree
