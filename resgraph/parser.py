"""Arithmetic and conditions as specs write them, read into trees by precedence.

The grammar is Python's as far as it goes, so that a text means here what a reader of Python
takes it to mean. What Python has beyond it (powers, calls, attributes) is read as well,
as `Foreign`: so a text that is no expression at all is told from one that is not admitted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from resgraph.limits import EXPRESSION_MAGNITUDE, EXPRESSION_TEXT
from resgraph.syntax import (
    COMPARISONS,
    INFIXES,
    PREFIXES,
    Infix,
    Literal,
    Name,
    Prefix,
    Subscript,
    Syntax,
    infix,
    walk,
)

INPUT = "in"
"""What expressions call the input: a keyword of Python, and a name here."""

# Written down so that a spec is judged alike by every version of Python.
_WORDS = """
False None True and as assert async await break class continue def del elif else except
finally for from global if import in is lambda nonlocal not or pass raise return try while
with yield
"""
_KEYWORDS = frozenset(_WORDS.split())
_CONSTANTS = ("True", "False", "None")
_DIGITS = r"\d(?:_?\d)*"
_EXPONENT = rf"[eE][+-]?{_DIGITS}"
_FLOAT = (
    rf"(?:{_DIGITS}\.(?:{_DIGITS})?|\.{_DIGITS})(?:{_EXPONENT})?|{_DIGITS}{_EXPONENT}"
)
_TOKEN = re.compile(
    rf"""
    (?P<foreign>\.\.\.|(?:{_FLOAT}|{_DIGITS})[jJ])
    |(?P<float>{_FLOAT})
    |(?P<whole>0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO](?:_?[0-7])+
        |0(?:_?0)*|[1-9](?:_?\d)*)
    |(?P<name>[A-Za-z_]\w*(?:\.[chw]\b)?)
    |(?P<sign>\*\*|//|[=!<>]=|[-+*/%()\[\].<>])
    """,
    re.VERBOSE | re.ASCII,
)

# What Python has between operands, and the language has not: how tightly it binds, and
# how tightly its right operand must.
_FOREIGN = {"if": (0, 1), "is": (4, 5), "in": (4, 5), "not": (4, 5), "**": (8, 7)}


class ExprError(ValueError):
    """An expression that cannot be parsed or evaluated; the message says why.

    `columns` says from where to where the text is at fault, where that is known.
    """

    def __init__(self, message: str, columns: tuple[int, int] | None = None) -> None:
        super().__init__(message)
        self.columns = columns


class KindError(ExprError):
    """A value is of another kind than is needed."""


@dataclass(frozen=True)
class Truth(Syntax):
    """The words `true` and `false`."""

    value: bool

    def __str__(self) -> str:
        return "true" if self.value else "false"


@dataclass(frozen=True)
class _Kind:
    """What may stand somewhere, and how to say that a text is not that."""

    name: str
    strange: str
    incomplete: str
    foreign: str
    words: Mapping[str, Syntax] = field(default_factory=dict)
    """Names that stand for something."""


_ARITHMETIC = _Kind(
    "an expression",
    "is not arithmetic over parameters (letters, digits and + - * / // % ( ) are)",
    "is not a complete arithmetic expression",
    "is not arithmetic: only numbers, parameters and + - * / // % ( ) are",
)
_ONLY = "only arithmetic, == != < <= > >=, and, or, not and ( ) are"
_CONDITIONAL = _Kind(
    "a condition",
    f"is not a condition: {_ONLY}",
    "is not a complete condition",
    f"is not a condition: {_ONLY}",
    {"true": Truth(True), "false": Truth(False)},
)


def arithmetic(text: str) -> Syntax:
    """The tree of an arithmetic expression. Raises `ExprError`."""
    tree = _read(text, _ARITHMETIC)
    if any(map(_is_truth, walk(tree))):
        raise ExprError(
            f"'{text.strip()}' is a condition: "
            "comparisons and 'and', 'or', 'not' stand only under 'when'"
        )
    return tree


def condition(text: str) -> Syntax:
    """The tree of a condition. Raises `ExprError`."""
    tree = _read(text, _CONDITIONAL)
    _admit(tree)
    return tree


def _read(text: str, kind: _Kind) -> Syntax:
    """The tree of a text in which everything is of the language.

    It recurses as deep as the text is nested, whose length is bounded.
    """
    if len(text) > EXPRESSION_TEXT:
        raise ExprError(
            f"{kind.name} may have {EXPRESSION_TEXT} characters, not {len(text)}"
        )
    if not text:
        raise ExprError(f"{text!r} {kind.strange}", (0, 0))
    tree = _Reader(text, kind).whole()
    for node in walk(tree):
        _check(node, text.strip(), kind)
    return tree


# --- trees from text -----------------------------------------------------------------------


@dataclass(frozen=True)
class Token:
    """A number, a name or a sign, with its columns in the text; the last one is empty."""

    kind: str
    text: str
    start: int

    @property
    def columns(self) -> tuple[int, int]:
        """Where it starts, and where it has ended."""
        return (self.start, self.start + len(self.text))


@dataclass(frozen=True)
class Foreign(Syntax):
    """An expression of Python that the language does not have, and how to say so."""

    columns: tuple[int, int]
    why: str = ""


def _tokens(text: str, kind: _Kind) -> Iterator[Token]:
    at = 0
    while at < len(text):
        if text[at] == " ":
            at += 1
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExprError(f"{text!r} {kind.strange}", (at, at + 1))
        yield Token(match.lastgroup or "", match[0], at)
        at = match.end()
    yield Token("end", "", len(text))


class _Reader:
    """A precedence parser: an operator takes what binds at least as tightly as it does."""

    def __init__(self, text: str, kind: _Kind) -> None:
        self.text, self.kind = text.strip(), kind
        self.tokens = [*_tokens(text, kind)]
        self.at = 0

    def whole(self) -> Syntax:
        """The tree of all the text."""
        tree = self.expression()
        self.expect("")
        return tree

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def next(self) -> Token:
        """The token, which is then behind."""
        token = self.token
        self.at += 1
        return token

    def skip(self, *texts: str) -> bool:
        """Whether one of these comes next; it is then behind."""
        found = self.token.text in texts
        self.at += found
        return found

    def expect(self, text: str) -> None:
        if self.token.text != text:
            raise self.error(self.token)
        self.at += 1

    def error(self, token: Token) -> ExprError:
        """The text ends too early, or goes on as nothing does."""
        return ExprError(f"'{self.text}' {self.kind.incomplete}", token.columns)

    def expression(self, least: int = 0) -> Syntax:
        """What comes next, as far as its operators bind at least so tightly."""
        level = PREFIXES.get(self.token.text, -1)
        tree = self.primary() if level < least else self.prefixed(level)
        while True:
            sign = self.token.text
            if INFIXES.get(sign, -1) >= least:
                self.at += 1
                tree = _joined(sign, tree, self.expression(INFIXES[sign] + 1))
            elif _FOREIGN.get(sign, (-1,))[0] >= least:
                tree = self.foreign()
            else:
                return tree

    def prefixed(self, level: int) -> Syntax:
        """`- -a`: a loop, so that a row of signs is not nested calls."""
        signs = []
        while PREFIXES.get(self.token.text) == level:
            signs.append(self.next().text)
        tree = self.expression(level)
        for sign in reversed(signs):
            tree = Prefix(sign, tree)
        return tree

    def foreign(self) -> Foreign:
        """The rest of `a ** b`, `a is not b`, `a if b else c` from the operator on."""
        token = self.next()
        if token.text == "is":
            self.skip("not")
        if token.text == "not":
            self.expect("in")
        self.expression(_FOREIGN[token.text][1])
        if token.text == "if":
            self.expect("else")
            self.expression()
        return Foreign(token.columns)

    def primary(self) -> Syntax:
        """A number, a name or something in brackets, and what follows without a space."""
        token = self.next()
        tree: Syntax
        match token.kind:
            case "whole":
                tree = Literal(int(token.text, 0))
            case "float":
                tree = Literal(float(token.text))
            case "foreign":
                tree = Foreign(token.columns)
            case "name":
                tree = self.named(token)
            case "sign" if token.text == "(":
                tree = self.bracketed(token)
            case _:
                raise self.error(token)
        while self.token.text in ("(", "[", "."):
            tree = self.followed(tree)
        return tree

    def named(self, token: Token) -> Syntax:
        if token.text in self.kind.words:
            return self.kind.words[token.text]
        if token.text in _CONSTANTS:
            return Foreign(token.columns)
        if _first(token) in _KEYWORDS - {INPUT}:
            raise self.error(token)
        return Name(token.text)

    def bracketed(self, token: Token) -> Syntax:
        if self.skip(")"):
            return Foreign(token.columns)
        tree = self.expression()
        self.expect(")")
        return tree

    def followed(self, tree: Syntax) -> Syntax:
        """`a[b]`, and what is foreign: `a(b)`, `a.b`."""
        token = self.next()
        match token.text:
            case "[":
                index = self.expression()
                self.expect("]")
                if isinstance(tree, Name):
                    return Subscript(tree.text, index)
            case "(":
                if self.skip("*", "**") or self.token.text != ")":
                    self.expression()
                self.expect(")")
            case _:
                name = self.next()
                if name.kind != "name" or _first(name) in _KEYWORDS:
                    raise self.error(name)
                known = name.text in ("c", "h", "w")  # apart from its value: 'in .h'
                if isinstance(tree, Name) and "." not in tree.text and not known:
                    side = f"{tree}.{name.text}"
                    why = f"there is no '{side}': a value has the sides .c, .h and .w"
                    return Foreign(token.columns, why)
        return Foreign(token.columns)


def _first(name: Token) -> str:
    """A name without its axis."""
    return name.text.partition(".")[0]


def _joined(sign: str, left: Syntax, right: Syntax) -> Infix:
    """`a + b + c` is one sum of three; `a and (b and c)` is one `and` of three as well."""
    before = _inside(sign, left) if sign in ("+", "*", "and", "or") else (left,)
    after = _inside(sign, right) if sign in ("and", "or") else (right,)
    return Infix(sign, (*before, *after))


def _inside(sign: str, tree: Syntax) -> tuple[Syntax, ...]:
    match tree:
        case Infix(operator, operands) if operator == sign:
            return operands
    return (tree,)


# --- what is admitted -----------------------------------------------------------------------


def _check(node: Syntax, text: str, kind: _Kind) -> None:
    """Raise `ExprError` for a part of an expression that is none of the language's."""
    match node:
        case Foreign(columns, why):
            raise ExprError(why or f"'{text}' {kind.foreign}", columns)
        case Literal(value=int() | float() as value) if not (
            abs(value) <= EXPRESSION_MAGNITUDE
        ):
            raise ExprError(f"a number in '{text}' is too large")
        case Name(text="in.c"):
            raise ExprError(
                f"the channels of the input are 'in', not 'in.c', in '{text}'"
            )
        case Subscript(index=index):
            if any(isinstance(getattr(n, "value", 0), float) for n in walk(index)):
                raise ExprError(f"an index is made of whole numbers: '{node}'")


def _is_truth(tree: Syntax) -> bool:
    """Whether it is true or false, whatever the names in it are."""
    match tree:
        case Infix(operator=sign) | Prefix(operator=sign):
            return sign in (*COMPARISONS, "and", "or", "not")
    return isinstance(tree, Truth)


def _admit(tree: Syntax) -> None:
    """Raise `ExprError` unless the tree is true or false."""
    match tree:
        case Name() | Truth():
            return
        case Infix(operator="and" | "or", operands=operands):
            for operand in operands:
                _admit(operand)
        case Prefix(operator="not", operand=operand):
            _admit(operand)
        case Infix(operator=sign, operands=(left, right)) if sign in COMPARISONS:
            _admit_comparison(sign, left, right)
        case _:
            raise ExprError(to_compare(tree))


def _admit_comparison(sign: str, left: Syntax, right: Syntax) -> None:
    match left:
        case Infix(operator=first, operands=(_, middle)) if first in COMPARISONS:
            raise ExprError(
                f"one comparison at a time: '{left} and {infix(sign, middle, right)}'"
            )
    for side in (left, right):
        if any(map(_is_truth, walk(side))):
            raise ExprError(f"'{side}' is true or false, and only numbers are compared")


def to_compare(tree: Syntax) -> str:
    """What to say where a number stands for true or false."""
    return f"'{tree}' is a number: compare it with something, such as '{infix('!=', tree, 1)}'"
