"""Lines of Python laid out as `ruff format` would lay them out, at 88 columns."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 88
INDENT = "    "


def call(before: str, items: Sequence[str], after: str, indent: int) -> list[str]:
    """`before(items)after` on one line if it fits, else broken as black style breaks it.

    `before` ends in the opening bracket and `after` starts with the closing one. The lines
    come without their indentation, which is `indent` columns.
    """
    flat = f"{before}{', '.join(items)}{after}"
    if indent + len(flat) <= WIDTH or not items:
        return [flat]
    inner = ", ".join(items)
    if indent + len(INDENT) + len(inner) <= WIDTH:
        return [before, INDENT + inner, after]
    return [before, *(f"{INDENT}{item}," for item in items), after]


def commented(line: str, comment: str, indent: int) -> list[str]:
    """The line with a comment behind it, or above it where the line would grow too long."""
    if not comment:
        return [line]
    if indent + len(line) + 2 + len(comment) + 2 <= WIDTH:
        return [f"{line}  # {comment}"]
    return [f"# {comment}", line]


def split_call(text: str) -> tuple[str, list[str], str]:
    """`f(a, g(b, c))` as `f(`, [`a`, `g(b, c)`], `)`: the outermost call's arguments."""
    start = text.index("(") + 1
    depth, items, last = 0, [], start
    for i in range(start, len(text) - 1):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(text[i], 0)
        if depth == 0 and text[i] == ",":
            items.append(text[last:i].strip())
            last = i + 1
    tail = text[last:-1].strip()
    return text[:start], [*items, tail] if tail else items, text[-1]
