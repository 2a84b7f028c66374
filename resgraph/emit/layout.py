"""Lines of Python laid out as `ruff format` would lay them out, at 88 columns."""

from __future__ import annotations

import re
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


def statement(start: str, text: str, indent: int) -> list[str]:
    """`start text`, broken inside the outermost call, or set in parentheses, if too long."""
    flat = f"{start} {text}"
    if indent + len(flat) <= WIDTH:
        return [flat]
    if re.match(r"[\w.]+\(", text) and text.endswith(")") and _closes_last(text):
        before, items, after = split_call(text)
        return call(f"{start} {before}", items, after, indent)
    return [f"{start} (", INDENT + text, ")"]


def _closes_last(text: str) -> bool:
    """Whether the first bracket is closed by the last character."""
    depth = 0
    for i, letter in enumerate(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(letter, 0)
        if letter in ")]" and depth == 0:
            return i == len(text) - 1
    return False


def commented(lines: list[str], comment: str, indent: int) -> list[str]:
    """The statement with a comment behind it, or above it where it would grow too long."""
    if len(lines) == 1 and indent + len(lines[0]) + 4 + len(comment) <= WIDTH:
        return [f"{lines[0]}  # {comment}"]
    return [f"# {comment}", *lines]


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
