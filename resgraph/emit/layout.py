"""Python laid out as `ruff format` would lay it out, at 88 columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from resgraph.syntax import (
    Call,
    Infix,
    Listing,
    Prefix,
    Spread,
    Subscript,
    Syntax,
    Ternary,
)

WIDTH = 88
INDENT = "    "
BODY = 8
"""Columns before a statement of a method."""


class _Row(NamedTuple):
    """An operator, its operand, and the operand as it is shown, perhaps in parentheses."""

    operator: str
    operand: Syntax
    shown: str


class Statement(NamedTuple):
    """Lines of a method, and the ops and rows whose they are."""

    lines: list[str]
    nodes: tuple[str, ...] = ()

    def inside(self) -> Statement:
        """The same within an `if`."""
        return Statement([*_indented(self.lines)], self.nodes)


def statement(start: str, tree: Syntax, indent: int, after: str = "") -> list[str]:
    """`start tree`, broken inside the outermost brackets, or set in parentheses, if too long.

    The lines come without their indentation, which is `indent` columns; `after` ends the
    last one, as the colon of an `if`.
    """
    if _fits(flat := f"{start} {tree}{after}", indent):
        return [flat]
    if _has_brackets(tree) and (lines := _within(f"{start} ", tree, after, indent)):
        return lines
    inner = laid_out("", tree, "", indent + len(INDENT))
    return [f"{start} (", *_indented(inner), f"){after}"]


def _has_brackets(tree: Syntax) -> bool:
    """Whether it is broken in its own brackets: one operator at most is then left on a line,
    and they are at one of its ends."""
    match tree:
        case Infix() if len(_chain(tree)) == 2:
            return _opens(tree) or _closes(tree)
        case Prefix(operand=Infix() as operand) if operand.level > tree.level:
            return len(_chain(operand)) == 2 and _closes(operand)
        case Prefix(operand=operand):
            return operand.level < tree.level or _has_brackets(operand)
    return isinstance(tree, Call | Listing | Subscript)


def _opens(tree: Syntax) -> bool:
    """Whether it begins with a bracket."""
    match tree:
        case Infix(operands=(first, *_)):
            return tree.shown()[0] != str(first) or _opens(first)
    return isinstance(tree, Listing)


def _closes(tree: Syntax) -> bool:
    """Whether it ends with a bracket, other than that of an index."""
    match tree:
        case Infix(operands=(*_, last)):
            return tree.shown()[-1] != str(last) or _closes(last)
        case Prefix(operand=operand):
            return operand.level < tree.level or _closes(operand)
    return isinstance(tree, Call | Listing)


class _Piece(NamedTuple):
    """A text that stays on its line, or brackets that may be broken, as they are shown."""

    shown: str
    tree: Syntax | None = None

    def before(self, tail: str) -> str:
        """What is on one line whatever is broken, with `tail` behind the piece."""
        if self.tree is None:
            return self.shown + tail
        return re.split(r"(?<=[(\[])", self.shown, maxsplit=1)[0]


def _within(start: str, tree: Syntax, after: str, indent: int) -> list[str]:
    """The expression on one line, but for what is in brackets where that is too long.

    No lines where what is not in brackets is too long.
    """
    pieces = [*_pieces(tree, str(tree))]
    tails = [
        *accumulate(reversed(pieces), lambda tail, p: p.before(tail), initial=after)
    ]
    lines, joints, line = list[str](), list[str](), start
    for piece, tail in zip(pieces, tails[-2::-1], strict=True):
        if piece.tree is None or _fits(f"{line}{piece.shown}{tail}", indent):
            line += piece.shown
        else:
            first, *inside, line = _broken(line, piece.shown, piece.tree, indent)
            lines += [first, *inside]
            joints.append(first)
    joints.append(line + after)
    return [*lines, line + after] if all(_fits(j, indent) for j in joints) else []


def _broken(before: str, shown: str, tree: Syntax, indent: int) -> list[str]:
    if shown == str(tree):
        return _opened(before, tree, "", indent)
    inner = laid_out("", tree, "", indent + len(INDENT))
    return [f"{before}(", *_indented(inner), ")"]


def _pieces(tree: Syntax, shown: str) -> Iterator[_Piece]:
    """What may be broken in an expression that stands in no brackets, and what may not."""
    match tree:
        case _ if shown != str(tree):
            yield _Piece(shown, tree)
        case Infix(operator, operands):
            for i, pair in enumerate(zip(operands, tree.shown(), strict=True)):
                yield _Piece(f" {operator} " if i else "")
                yield from _pieces(*pair)
        case Prefix(operand=operand):
            yield _Piece(tree.sign)
            yield from _pieces(operand, shown.removeprefix(tree.sign))
        case Call(arguments=[_, *_]) | Listing(items=[_, *_]) | Subscript():
            yield _Piece(shown, tree)
        case _:
            yield _Piece(shown)


def laid_out(before: str, tree: Syntax, after: str, indent: int) -> list[str]:
    """The expression within brackets, with what stands before and after it."""
    flat = f"{before}{tree}{after}"
    return [flat] if _fits(flat, indent) else _opened(before, tree, after, indent)


def _opened(before: str, tree: Syntax, after: str, indent: int) -> list[str]:
    """The same on several lines, if it can be broken."""
    match tree:
        case Call(function, arguments) if arguments:
            named = [(f"{key}=" if key else "", value) for key, value in arguments]
            start = f"{before}{function}("
            flat = ", ".join(f"{key}{value}" for key, value in named)
            if _fits(flat, indent + len(INDENT)):
                return [start, INDENT + flat, f"){after}"]
            return [start, *_lines(named, indent), f"){after}"]
        case Listing(items) if items:
            lines = _lines([("", item) for item in items], indent)
            return [f"{before}[", *lines, f"]{after}"]
        case Subscript(name, index):
            inner = laid_out("", index, "", indent + len(INDENT))
            return [f"{before}{name}[", *_indented(inner), f"]{after}"]
        case Prefix(operand=operand) if operand.level < tree.level:
            inner = laid_out("", operand, "", indent + len(INDENT))
            return [f"{before}{tree.sign}(", *_indented(inner), f"){after}"]
        case Prefix(operand=operand):
            return laid_out(f"{before}{tree.sign}", operand, after, indent)
        case Spread(element=element, loop=loop):
            inner = laid_out("", element, "", indent + len(INDENT))
            return [f"{before}*(", *_indented([*inner, loop]), f"){after}"]
        case Infix():
            return [*_rows(before, _chain(tree), after, indent)]
        case Ternary():
            return [*_rows(before, _choices(tree), after, indent)]
    return [f"{before}{tree}{after}"]


def exploded(
    before: str, items: Sequence[Syntax], indent: int, brackets: str = "()"
) -> list[str]:
    """`before(`, each item on lines of its own, `)`."""
    inner = _lines([("", item) for item in items], indent)
    return [f"{before}{brackets[0]}", *inner, brackets[1]]


def signature(before: str, items: Sequence[str], after: str, indent: int) -> list[str]:
    """`before(items)after`, where `before` ends in the bracket that `after` closes."""
    flat = f"{before}{', '.join(items)}{after}"
    inner = ", ".join(items)
    if _fits(flat, indent):
        return [flat]
    if _fits(inner, indent + len(INDENT)):
        return [before, INDENT + inner, after]
    return [before, *(f"{INDENT}{item}," for item in items), after]


def commented(
    lines: list[str], comment: str, indent: int, nodes: tuple[str, ...]
) -> list[Statement]:
    """The statement with a comment behind it, or above it where it would grow too long."""
    if len(lines) == 1 and _fits(flat := f"{lines[0]}  # {comment}", indent):
        return [Statement([flat], nodes)]
    return [Statement([f"# {comment}"]), Statement(lines, nodes)]


def _fits(line: str, indent: int) -> bool:
    return indent + len(line) <= WIDTH


def _indented(lines: Sequence[str]) -> Iterator[str]:
    return (INDENT + line for line in lines)


def _lines(items: Sequence[tuple[str, Syntax]], indent: int) -> Iterator[str]:
    """The items of a bracket, each on lines of its own."""
    for before, item in items:
        yield from _indented(laid_out(before, item, ",", indent + len(INDENT)))


def _rows(before: str, rows: Sequence[_Row], after: str, indent: int) -> Iterator[str]:
    """An operand a line, each but the first behind its operator."""
    for i, (operator, operand, shown) in enumerate(rows):
        start = f"{operator} " if i else before
        end = after if i == len(rows) - 1 else ""
        if _fits(f"{start}{shown}{end}", indent):
            yield f"{start}{shown}{end}"
        elif shown != str(operand):
            inner = laid_out("", operand, "", indent + len(INDENT))
            yield from (f"{start}(", *_indented(inner), f"){end}")
        else:
            yield from laid_out(start, operand, end, indent)


def _chain(tree: Infix) -> list[_Row]:
    """Operands that break together, from left to right, each with the operator before it.

    They are those that bind alike; `and` breaks with the `or` around it.
    """
    rows: list[_Row] = []
    for operand, shown in zip(tree.operands, tree.shown(), strict=True):
        first, *rest = _links(tree, operand, shown)
        rows += [first._replace(operator=tree.operator if rows else ""), *rest]
    return rows


def _links(tree: Infix, operand: Syntax, shown: str) -> list[_Row]:
    """The operands in an operand, if it breaks with the others."""
    if isinstance(operand, Infix) and shown == str(operand):
        together = {operand.operator, tree.operator} <= {"and", "or"}
        if together or operand.level == tree.level:
            return _chain(operand)
    return [_Row("", operand, shown)]


def _choices(tree: Ternary) -> list[_Row]:
    """The values of `a if b else c if d else e` and what they depend on, as one row."""
    then, test, otherwise = tree.shown()
    rows = [_Row("", tree.then, then), _Row("if", tree.test, test)]
    if isinstance(tree.otherwise, Ternary):
        first, *rest = _choices(tree.otherwise)
        return [*rows, first._replace(operator="else"), *rest]
    return [*rows, _Row("else", tree.otherwise, otherwise)]
