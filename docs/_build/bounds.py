"""The page of all limits: `resgraph/limits.py`, its headings and its docstrings."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

from resgraph import limits

_HEADING = re.compile(r"# --- (.+?) -+")


def page() -> str:
    """A section for each heading, with a table of its limits."""
    source = inspect.getsource(limits)
    titles = {
        number: found[1]
        for number, line in enumerate(source.splitlines(), 1)
        if (found := _HEADING.fullmatch(line))
    }
    lines: list[str] = []
    for number, name, words in _constants(source):
        for line in [at for at in titles if at < number]:
            title = titles.pop(line)
            lines += [
                f"\n## {title[0].upper()}{title[1:]}\n",
                "| limit | | of what, and why |",
                "|---|---:|---|",
            ]
        lines.append(f"| `{name}` | {_shown(getattr(limits, name))} | {words} |")
    return "\n".join([*lines, ""])


def _constants(source: str) -> Iterator[tuple[int, str, str]]:
    """Each constant with its line, its name and its docstring on one line."""
    body = ast.parse(source).body
    for made, told in zip(body, body[1:], strict=False):
        match made, told:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(words))),
            ):
                yield made.lineno, name, " ".join(words.split()).replace("|", "\\|")


def _shown(value: object) -> str:
    """Powers of two from a mebibyte on by their names, other numbers by thousands."""
    if not isinstance(value, int):
        return f"{value}"
    for power, unit in ((30, "Gi"), (20, "Mi")):
        if value >= 1 << power and value % (1 << power) == 0:
            return f"{value >> power} {unit}"
    return f"{value:,}"
