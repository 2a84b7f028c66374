"""Shapes that are not known: what may still be told about them, and nothing else.

Where a spec has findings, an op's output may be anything. Shape inference goes on from there
with sides that are not known: such a side passes every check that some number would pass, and
what is computed from it remembers how. So `add` of a map of unknown size and the same map
after a stride of 2 is a mistake whatever the size is, and it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from operator import add, floordiv, mul, neg, sub
from typing import Any

from resgraph.graph.scope import sides
from resgraph.ops import Op, Shape
from resgraph.ops.given import Given
from resgraph.ops.unknown import NAMELESS, unknown
from resgraph.values import Value

SAMPLES = (8, 9, 21, 32, 56)
"""Numbers tried for an unknown side: two sides from the same one differ if they do for all."""

Shapes = tuple[Shape, ...]
"""The shapes that a value may have, as far as it is known: one where it is known."""


class Side(int):
    """A side of a shape that is not known: equal to every number, and divided by each.

    `origin` is the unknown that it was computed from; the values are what it is then for
    each of `SAMPLES`. It is written `?`.
    """

    origin: object
    values: tuple[int, ...]

    def __new__(cls, origin: object, values: tuple[int, ...] = SAMPLES) -> Side:
        side = super().__new__(cls, values[-1])
        side.origin, side.values = origin, values
        return side

    def __repr__(self) -> str:
        return "?"

    __str__ = __repr__

    def __hash__(self) -> int:
        return hash((id(self.origin), self.values))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Side) and other.origin is self.origin:
            pairs = zip(self.values, other.values, strict=True)
            return any(a == b for a, b in pairs)
        return isinstance(other, int)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def _never(self, other: int) -> bool:
        return False

    __lt__ = __gt__ = _never

    def __mod__(self, other: int) -> int:
        return 0

    def _computed(self, operation: Callable[..., int], *others: int) -> Side:
        """The same operation on every sample; of several unknowns, a new one."""
        if any(isinstance(other, Side) for other in others):
            return Side(object())
        return Side(self.origin, tuple(operation(v, *others) for v in self.values))

    def __neg__(self) -> Side:
        return self._computed(neg)

    def __add__(self, other: int) -> Side:
        return self._computed(add, other)

    def __radd__(self, other: int) -> Side:
        return self._computed(add, other)

    def __sub__(self, other: int) -> Side:
        return self._computed(sub, other)

    def __mul__(self, other: int) -> Side:
        return self._computed(mul, other)

    def __rmul__(self, other: int) -> Side:
        return self._computed(mul, other)

    def __floordiv__(self, other: int) -> Side:
        return self._computed(floordiv, other)

    def __rsub__(self, other: int) -> Side:
        return (-self) + other

    def __rfloordiv__(self, other: int) -> Side:
        return Side(object())

    def __rmod__(self, other: int) -> int:
        return 0


class Doubted(tuple[Shape, ...]):
    """Shapes that follow from those of an op that cannot take what it gets: with another op
    there, or another value, they may be of another rank."""

    __slots__ = ()


def any_map() -> Shape:
    """A map of which no side is known."""
    return (Side(object()), Side(object()), Side(object()))


def anything(doubted: bool = False) -> Shapes:
    """The shapes of a value of which nothing is known: a map, tokens, or a vector."""
    ranks = (any_map(), (Side(object()), Side(object())), (Side(object()),))
    return Doubted(ranks) if doubted else ranks


def fewest(shape: Shape) -> tuple[Any, ...]:
    """A key that two shapes share only if they are the same, unknown sides and all."""
    return tuple((s.origin, s.values) if isinstance(s, Side) else s for s in shape)


def same(a: Shapes, b: Shapes) -> bool:
    """Whether a value of the one and a value of the other have one shape for certain."""
    return len(a) == len(b) == 1 and fewest(a[0]) == fewest(b[0])


def known(shapes: Shapes) -> Shape | None:
    """The shape, where it is known in full."""
    if len(shapes) == 1 and not any(isinstance(side, Side) for side in shapes[0]):
        return shapes[0]
    return None


def by_input(inputs: Sequence[str], given: Sequence[Shapes]) -> dict[str, Shape | None]:
    """By the names of a block's inputs, their shapes as far as these are known."""
    return dict(zip(inputs, map(known, given), strict=False))


def side_values(inputs: Mapping[str, Shape | None]) -> dict[str, Value]:
    """By name, the sides of a block's inputs, as expressions read them."""
    found = sides([*inputs], [*inputs.values()])
    return {name: Fraction(number) for name, number in found}


def output(op: Op, inputs: Shapes) -> Shapes:
    """The shapes that the op may make of inputs of these shapes. Raises `OpError`."""
    shape = op.shape(*inputs)
    if len(inputs) < 2 or all(known((i,)) for i in inputs):
        return (shape,)
    if op.sums:  # all have one shape: of each side, what is known of it
        return (
            tuple(
                next((s for s in sides if not isinstance(s, Side)), sides[0])
                for sides in zip(*inputs, strict=True)
            ),
        )
    # which input decides may depend on the sides that are not known
    return tuple(op.shape(*inputs[i:], *inputs[:i]) for i in range(len(inputs)))


def merged(shapes: Iterable[Shape], doubted: bool = False) -> Shapes:
    """One shape for each rank: the sides that all of that rank have in common."""
    ranks: dict[int, list[Shape]] = {}
    for shape in shapes:
        ranks.setdefault(len(shape), []).append(shape)
    found = tuple(_shared(alike) for alike in ranks.values())
    return Doubted(found) if doubted else found


def _shared(shapes: Sequence[Shape]) -> Shape:
    sides = zip(*shapes, strict=True)
    return tuple(s[0] if len({*fewest(s)}) == 1 else Side(object()) for s in sides)


def common(values: Sequence[Shapes]) -> Shapes:
    """The shapes of a merge that failed: what its inputs have in common."""
    shapes = merged(shape for each in values for shape in each)
    return shapes if len(shapes) == 1 else anything()


def without(op: Op, names: Sequence[str]) -> Op:
    """The op with any numbers for attributes that are not known."""
    if isinstance(op, Given):
        return unknown(NAMELESS, any_inputs=True)
    return op.having({name: Side(object()) for name in names})
