"""Python laid out as `ruff format` would lay it out, at 88 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resgraph.syntax import Call, Infix, Listing, Prefix, Syntax

WIDTH = 88
INDENT = "    "


def statement(start: str, tree: Syntax, indent: int) -> list[str]:
    """`start tree`, broken inside the outermost brackets, or set in parentheses, if too long.

    The lines come without their indentation, which is `indent` columns.
    """
    if isinstance(tree, Call | Listing) or _fits(f"{start} {tree}", indent):
        lines = laid_out(f"{start} ", tree, "", indent)
        if _fits(lines[0], indent):
            return lines
    inner = laid_out("", tree, "", indent + len(INDENT))
    return [f"{start} (", *_indented(inner), ")"]


def laid_out(before: str, tree: Syntax, after: str, indent: int) -> list[str]:
    """The expression within brackets, with what stands before and after it."""
    flat = f"{before}{tree}{after}"
    if _fits(flat, indent):
        return [flat]
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
        case Prefix(operator, Infix() as operand):
            inner = laid_out("", operand, "", indent + len(INDENT))
            return [f"{before}{operator}(", *_indented(inner), f"){after}"]
        case Infix():
            return [*_operands(before, tree, after, indent)]
    return [flat]


def signature(before: str, items: Sequence[str], after: str, indent: int) -> list[str]:
    """`before(items)after`, where `before` ends in the bracket that `after` closes."""
    flat = f"{before}{', '.join(items)}{after}"
    inner = ", ".join(items)
    if _fits(flat, indent):
        return [flat]
    if _fits(inner, indent + len(INDENT)):
        return [before, INDENT + inner, after]
    return [before, *(f"{INDENT}{item}," for item in items), after]


def commented(lines: list[str], comment: str, indent: int) -> list[str]:
    """The statement with a comment behind it, or above it where it would grow too long."""
    if len(lines) == 1 and _fits(flat := f"{lines[0]}  # {comment}", indent):
        return [flat]
    return [f"# {comment}", *lines]


def _fits(line: str, indent: int) -> bool:
    return indent + len(line) <= WIDTH


def _indented(lines: Sequence[str]) -> Iterator[str]:
    return (INDENT + line for line in lines)


def _lines(items: Sequence[tuple[str, Syntax]], indent: int) -> Iterator[str]:
    """The items of a bracket, each on lines of its own."""
    for before, item in items:
        yield from _indented(laid_out(before, item, ",", indent + len(INDENT)))


def _operands(before: str, tree: Infix, after: str, indent: int) -> Iterator[str]:
    """An operand a line, each but the first behind its operator."""
    chain = _chain(tree)
    for i, (operator, operand, shown) in enumerate(chain):
        start = f"{operator} " if i else before
        end = after if i == len(chain) - 1 else ""
        if _fits(f"{start}{shown}{end}", indent):
            yield f"{start}{shown}{end}"
        elif shown != str(operand):
            inner = laid_out("", operand, "", indent + len(INDENT))
            yield from (f"{start}(", *_indented(inner), f"){end}")
        else:
            yield from laid_out(start, operand, end, indent)


def _chain(tree: Infix) -> list[tuple[str, Syntax, str]]:
    """Operands that bind alike, from left to right, each with the operator before it."""
    (first, *rest), (shown, *others) = tree.operands, tree.shown()
    if isinstance(first, Infix) and first.level == tree.level:
        start = _chain(first)
    else:
        start = [("", first, shown)]
    pairs = zip(rest, others, strict=True)
    return [*start, *((tree.operator, operand, text) for operand, text in pairs)]
