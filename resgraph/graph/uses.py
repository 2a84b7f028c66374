"""What a block does with each name that its expressions read: what kind of value it takes,
and whether shapes depend on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from resgraph.diagnostics import Span
from resgraph.expr import Condition, Expr
from resgraph.graph.ir import REPEAT, WHEN, Block, Call, Node, Part, Program
from resgraph.names import INPUT
from resgraph.ops import OPS, Op
from resgraph.ops.fields import FlagField, NumberField, WordField
from resgraph.ops.given import Given
from resgraph.syntax import Name, Subscript, Syntax, replaced, walk
from resgraph.values import Value

POSITION = ("index", "total", "stage")
"""Where a unit stands."""
CONTEXT = ("in", "in.h", "in.w", *POSITION)
"""What expressions may read beside parameters: sides of the input, and the position."""


OWN = "~"
"""Before a name that an argument reads in the block that it is given to (`~in`), and not in
the one that gives it: in the place of a default."""
NETWORK = OWN + OWN
"""Before a list of the network's in a default."""


def context(block: Block) -> frozenset[str]:
    """The names that a block's expressions may read beside its parameters."""
    named = block.inputs[1:] if _is_first(block.inputs) else block.inputs
    sides = (f"{name}.{side}" for name in named for side in "chw")
    return frozenset(CONTEXT).union(sides)


def _is_first(inputs: Sequence[str]) -> bool:
    """Whether x is the first input, whose sides are `in`, `in.h` and `in.w`."""
    return [*inputs[:1]] == [INPUT]


def as_first(value: Any, inputs: Sequence[str]) -> Any:
    """A value in a block that has these inputs, in which `x.c` is called `in`."""
    own = read(value) if _is_first(inputs) else ()
    names = {n: _FIRST[n] for n in own if n in _FIRST}
    return renamed(value, names) if names else value


_FIRST = {
    f"{INPUT}.c": Name("in"),
    f"{INPUT}.h": Name("in.h"),
    f"{INPUT}.w": Name("in.w"),
}


def with_first(part: Part, inputs: Sequence[str]) -> Part:
    """The same of all expressions of a node."""
    when = as_first(part.when, inputs)
    if isinstance(part, Node):
        return replace(part, when=when, op=as_first(part.op, inputs))
    calls = tuple(
        replace(
            call,
            args={n: as_first(v, inputs) for n, v in call.args.items()},
            repeat=as_first(call.repeat, inputs),
        )
        for call in part.calls
    )
    return replace(part, when=when, calls=calls)


class Kind(Enum):
    """What kind of value is taken."""

    NUMBER = "a number"
    FLAG = "true or false"
    WORD = "a word"
    OP = "an op"
    LIST = "a list"
    ANY = "a number, or true or false"
    """In a condition."""
    UNKNOWN = "anything"
    """Nothing that is understood uses it, or it is used as values of different kinds."""

    def takes(self, other: Kind) -> bool:
        """Whether one value may serve both."""
        either = {self, other}
        if len(either) == 1 or Kind.UNKNOWN in either:
            return True
        return Kind.ANY in either and not either & _NOT_ANY


_NOT_ANY = {Kind.WORD, Kind.OP, Kind.LIST}


@dataclass(frozen=True)
class Use:
    """A use of a name: as what, whether shapes depend on it, and where."""

    name: str
    kind: Kind
    shape: bool
    span: Span


def unused(name: str, block: Block) -> Use:
    """What stands for the use of a name that nothing in the block reads."""
    return Use(name, Kind.UNKNOWN, False, block.span)


def read(value: Any) -> tuple[str, ...]:
    """The names that an argument, or a condition, reads."""
    if isinstance(value, Expr | Condition):
        return value.names
    if isinstance(value, tuple):
        return tuple(name for item in value for name in read(item))
    if isinstance(value, Op):
        return read(tuple(value.attributes().values()))
    return ()


def of_callee(default: Value | Expr | None) -> Value | Expr | None:
    """The argument that stands for a default: it reads names of the block that it is for."""
    own = {n: Name(OWN + n) for n in read(default) if not n.startswith(OWN)}
    found: Value | Expr | None = renamed(default, own)
    return found


def renamed(value: Any, names: Mapping[str, Syntax]) -> Any:
    """A value with other expressions in the place of names."""
    if isinstance(value, Expr):
        return Expr(replaced(value.tree, names))
    if isinstance(value, Condition):
        return Condition(replaced(value.tree, names))
    if isinstance(value, tuple):
        return tuple(renamed(item, names) for item in value)
    if isinstance(value, Op) and read(value):
        items = value.attributes().items()
        return value.having({n: renamed(v, names) for n, v in items if read(v)})
    return value


def is_default(argument: Value | Expr) -> bool:
    """Whether the argument stands for a default that reads what its block may read."""
    return any(name.startswith(OWN) for name in read(argument))


@dataclass
class Uses:
    """The uses of all names, in each block of a program, through the blocks it is made of."""

    blocks: Mapping[str, Block]
    _known: dict[int, tuple[Use, ...]] = field(default_factory=dict)
    _first: dict[int, dict[str, Use]] = field(default_factory=dict)

    @classmethod
    def within(cls, program: Program) -> Uses:
        """Those in the units, the stem and the head of a program."""
        return cls({**program.blocks, **program.ends})

    def of(self, block: Block) -> tuple[Use, ...]:
        """Every use in the block, of its parameters and of what else it reads."""
        if id(block) not in self._known:
            self._known[id(block)] = ()  # of a circle there is a finding
            found = [*self._found(block)]
            for param in reversed(block.params):
                if not read(param.default):
                    continue
                together = _together(found, param.name)
                uses = _in_value(param.default, together, param.span)
                found += (use for use in uses if not use.name.startswith(OWN))
            self._known[id(block)] = tuple(found)
        return self._known[id(block)]

    def first(self, block: Block) -> dict[str, Use]:
        """The use of each name that says most of it, and whether shapes depend on any."""
        if id(block) in self._first:
            return self._first[id(block)]
        found: dict[str, Use] = {}
        around = context(block) - {param.name for param in block.params}
        for use in self.of(block):
            known = found.setdefault(use.name, use)
            chosen = use if known.kind is Kind.ANY else known
            number = use.name in around and not Kind.NUMBER.takes(use.kind)
            if number or not known.kind.takes(use.kind):
                chosen = replace(known, kind=Kind.UNKNOWN)
            if chosen.shape is not (shape := known.shape or use.shape):
                chosen = replace(chosen, shape=shape)
            found[use.name] = chosen
        self._first[id(block)] = found
        return found

    def mixed(self, block: Block) -> frozenset[str]:
        """The names that are used as values of different kinds, of which there are findings."""
        first = self.first(block)
        return frozenset(n for n, use in first.items() if use.kind is Kind.UNKNOWN)

    def _found(self, block: Block) -> Iterator[Use]:
        for node in block.nodes:
            if node.when is not None:
                yield from in_condition(node.when, node)
            if isinstance(node, Node):
                yield from in_op(node.op, node.fields, node.span)
                continue
            for call in node.calls:
                yield from self.in_call(call)

    def in_call(self, call: Call) -> Iterator[Use]:
        """The uses of names in the arguments of a call, and in what it calls."""
        if isinstance(call.repeat, Expr):
            span = call.fields.get(REPEAT, call.span)
            yield from _in_number(call.repeat, True, span)
        callee = self.blocks.get(call.block)
        if callee is None:
            return
        inner = self.first(callee)
        for name, value in call.args.items():
            span = call.fields.get(name, call.span)
            for use in _in_value(value, inner.get(name), span):
                named = use.name.removeprefix(OWN)
                if named == use.name or named in POSITION:
                    yield replace(use, name=named)
        own = {param.name for param in callee.params}
        for name in POSITION:  # what encloses it says where it stands
            if name in inner and name not in own:
                yield inner[name]


def _together(uses: Iterable[Use], name: str) -> Use | None:
    """What stands for all uses of a name: the first one, on which shapes depend if on any."""
    own = [use for use in uses if use.name == name]
    return replace(own[0], shape=any(use.shape for use in own)) if own else None


def _in_value(value: Any, use: Use | None, span: Span) -> Iterator[Use]:
    """The names in an argument; a name alone is used as the parameter is."""
    shape = use is None or use.shape
    if isinstance(value, Expr):
        alone = use.kind if use else Kind.UNKNOWN
        kind = alone if word(value) else Kind.NUMBER
        for found in _in_number(value, shape, span):
            yield (
                found if found.kind is Kind.LIST else Use(found.name, kind, shape, span)
            )
    elif isinstance(value, tuple):
        for item in value:
            if isinstance(item, Expr):
                yield from _in_number(item, shape, span)
    elif isinstance(value, Op):
        yield from in_op(value, {}, span)


def word(value: object) -> str | None:
    """The name that the expression is, if it is one alone."""
    if isinstance(value, Expr) and str(value.tree) in value.names:
        return value.names[0]
    return None


def word_meant(name: str) -> str | None:
    """A hint at a word that is no name of a number: an op, or a truth value."""
    if name in OPS:
        return f"'{name}' is an op, and here stands a name of a number"
    for truth, words in (("true", _TRUE), ("false", _FALSE)):
        if name.lower() in words:
            return f"{truth} is written so, without quotes"
    return None


_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")


def in_op(op: Op, fields: Mapping[str, Span], span: Span) -> Iterator[Use]:
    """The uses of names in an op's attributes."""
    if isinstance(op, Given):
        yield Use(op.param, Kind.OP, True, span)
        return
    numbers = op.numbers()
    for name, value in op.attributes().items():
        if not isinstance(value, Expr):
            continue
        where, kind = fields.get(name, span), numbers[name]
        if isinstance(kind, NumberField):
            yield from _in_number(value, kind.whole, where)
        elif isinstance(kind, FlagField | WordField):
            taken = Kind.FLAG if isinstance(kind, FlagField) else Kind.WORD
            yield Use(str(value), taken, True, where)


def path_when(name: str) -> str:
    """Under which `fields` has the place of a name that the condition of a path reads: the
    condition of a node may be that of its path and one of its own."""
    return f"{WHEN} {name}"


def in_condition(condition: Condition, node: Part) -> Iterator[Use]:
    """The uses of names in the condition of a node."""
    lists = _lists(condition)
    own = node.fields.get(WHEN, node.span)
    for name in condition.names:
        span = node.fields.get(path_when(name), own)
        yield Use(name, Kind.LIST if name in lists else Kind.ANY, True, span)


def _in_number(value: Expr, shape: bool, span: Span) -> Iterator[Use]:
    lists = _lists(value)
    for name in value.names:
        yield Use(name, Kind.LIST if name in lists else Kind.NUMBER, shape, span)


def _lists(value: Expr | Condition) -> set[str]:
    """The names of which elements are read."""
    return {tree.name for tree in walk(value.tree) if isinstance(tree, Subscript)}
