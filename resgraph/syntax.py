"""Python expressions as trees: ops build them, specs write some of them, each is printed once.

What a name or a call means is read off the tree; printed text is never searched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_COMPARISON, _ATOM = 4, 8
INFIXES = {
    "or": 1,
    "and": 2,
    **dict.fromkeys(COMPARISONS, _COMPARISON),
    **dict.fromkeys(("+", "-"), 5),
    **dict.fromkeys(("*", "/", "//", "%"), 6),
}
"""How tightly each operator between operands binds."""
PREFIXES = {"not": 3, "+": 7, "-": 7}
"""How tightly each operator before its operand binds."""


class Syntax:
    """An expression; `str()` prints it on one line, as `ast.unparse` would."""

    level = _ATOM
    """How tightly it binds: an operand that binds less is put into parentheses."""

    def parts(self) -> tuple[Syntax, ...]:
        """The expressions it is made of."""
        return ()


@dataclass(frozen=True)
class Name(Syntax):
    """A name, dotted or not: `x`, `self.conv1`."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Literal(Syntax):
    """A number, a truth value or a text."""

    value: int | float | str

    def __str__(self) -> str:
        text = repr(self.value)
        return f'"{text[1:-1]}"' if isinstance(self.value, str) else text


@dataclass(frozen=True)
class Prefix(Syntax):
    """`-a`, `+a` or `not a`."""

    operator: str
    operand: Syntax

    @property
    def level(self) -> int:  # type: ignore[override]
        return PREFIXES[self.operator]

    @property
    def sign(self) -> str:
        """The operator with the space that a word needs behind it."""
        return f"{self.operator} " if self.operator == "not" else self.operator

    def __str__(self) -> str:
        return f"{self.sign}{_wrapped(self.operand, self.level)}"

    def parts(self) -> tuple[Syntax, ...]:
        return (self.operand,)


@dataclass(frozen=True)
class Infix(Syntax):
    """`a + b + c`, `a and b`, `a == b`: one operator between operands, from left to right."""

    operator: str
    operands: tuple[Syntax, ...]

    @property
    def level(self) -> int:  # type: ignore[override]
        return INFIXES[self.operator]

    def shown(self) -> list[str]:
        """The operands, in parentheses where they bind less."""
        first, *rest = self.operands
        tighter = [_wrapped(operand, self.level + 1) for operand in rest]
        # Python would read `a == b == c` as a chain.
        least = self.level + (self.level == _COMPARISON)
        return [_wrapped(first, least), *tighter]

    def __str__(self) -> str:
        return f" {self.operator} ".join(self.shown())

    def parts(self) -> tuple[Syntax, ...]:
        return self.operands


@dataclass(frozen=True)
class Ternary(Syntax):
    """`then if test else otherwise`"""

    then: Syntax
    test: Syntax
    otherwise: Syntax
    level = 0

    def shown(self) -> tuple[str, str, str]:
        """The three, in parentheses where they bind less."""
        return _wrapped(self.then, 1), _wrapped(self.test, 1), str(self.otherwise)

    def __str__(self) -> str:
        return "{} if {} else {}".format(*self.shown())

    def parts(self) -> tuple[Syntax, ...]:
        return (self.then, self.test, self.otherwise)


@dataclass(frozen=True)
class Subscript(Syntax):
    """`name[index]`: an element of a list."""

    name: str
    index: Syntax

    def __str__(self) -> str:
        return f"{self.name}[{self.index}]"

    def parts(self) -> tuple[Syntax, ...]:
        return (Name(self.name), self.index)


@dataclass(frozen=True)
class Call(Syntax):
    """`function(a, key=b)`; a keyword of None is a positional argument."""

    function: str
    arguments: tuple[tuple[str | None, Syntax], ...]

    def __str__(self) -> str:
        shown = [f"{k}={v}" if k else str(v) for k, v in self.arguments]
        return f"{self.function}({', '.join(shown)})"

    def parts(self) -> tuple[Syntax, ...]:
        return (Name(self.function), *(value for _, value in self.arguments))


@dataclass(frozen=True)
class Listing(Syntax):
    """`[a, b]`"""

    items: tuple[Syntax, ...]

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.items))}]"

    def parts(self) -> tuple[Syntax, ...]:
        return self.items


@dataclass(frozen=True)
class Spread(Syntax):
    """`*(element for variable in over)`: so many arguments of a call."""

    element: Syntax
    variable: str
    over: Syntax

    @property
    def loop(self) -> str:
        """What follows the element."""
        return f"for {self.variable} in {self.over}"

    def __str__(self) -> str:
        return f"*({self.element} {self.loop})"

    def parts(self) -> tuple[Syntax, ...]:
        return (self.element, self.over)


@dataclass(frozen=True)
class Generator(Syntax):
    """`element for variable in over`: the only argument of a call."""

    spread: Spread

    def __str__(self) -> str:
        return f"{self.spread.element} {self.spread.loop}"

    def parts(self) -> tuple[Syntax, ...]:
        return self.spread.parts()


def call(function: str, *positional: Any, **keywords: Any) -> Call:
    """A call; plain numbers and texts among the arguments become literals."""
    given = [(None, syntax(value)) for value in positional]
    named = [(key, syntax(value)) for key, value in keywords.items()]
    return Call(function, (*given, *named))


def infix(operator: str, *operands: Any) -> Syntax:
    """The operands with the operator between them; one alone is itself."""
    trees = tuple(syntax(operand) for operand in operands)
    return trees[0] if len(trees) == 1 else Infix(operator, trees)


def syntax(value: Any) -> Syntax:
    """The tree of a value: itself if it is one, else a literal."""
    return value if isinstance(value, Syntax) else Literal(value)


def walk(tree: Syntax) -> Iterator[Syntax]:
    """The tree and all that it is made of, in reading order."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(node.parts()))


def replaced(tree: Syntax, values: Mapping[str, Syntax]) -> Syntax:
    """An expression with other ones in the place of names; sums of sums are one sum.

    Raises `ValueError` for a list that has no name there, and of which an element is read
    whose place is not known.
    """
    match tree:
        case Name(text=name):
            return values.get(name, tree)
        case Prefix(operator=sign, operand=operand):
            return Prefix(sign, replaced(operand, values))
        case Infix(operator=sign, operands=operands):
            return _joined(sign, [replaced(operand, values) for operand in operands])
        case Subscript(name, index):
            listed, place = values.get(name, Name(name)), replaced(index, values)
            if isinstance(listed, Name):
                return Subscript(listed.text, place)
            if isinstance(listed, Listing) and isinstance(place, Literal):
                return listed.items[int(place.value)]
            raise ValueError(f"{listed} has no name")
    return tree


def _joined(sign: str, operands: Sequence[Syntax]) -> Infix:
    """The operands with the sign between them, without parentheses that are not needed."""
    found: list[Syntax] = []
    for i, operand in enumerate(operands):
        alike = isinstance(operand, Infix) and operand.operator == sign
        if alike and (sign in "+*" or i == 0) and isinstance(operand, Infix):
            found += operand.operands
        else:
            found.append(operand)
    return Infix(sign, tuple(found))


def names(tree: Syntax) -> Iterator[str]:
    """The names in it, in reading order, each as often as it occurs."""
    return (node.text for node in walk(tree) if isinstance(node, Name))


def free_names(tree: Syntax) -> Iterator[str]:
    """The same without the variables of loops."""
    if isinstance(tree, Spread | Generator):
        inner = tree if isinstance(tree, Spread) else tree.spread
        yield from (n for n in free_names(inner.element) if n != inner.variable)
        yield from free_names(inner.over)
    elif isinstance(tree, Name):
        yield tree.text
    else:
        for part in tree.parts():
            yield from free_names(part)


def _wrapped(operand: Syntax, level: int) -> str:
    return f"({operand})" if operand.level < level else str(operand)
