"""The command reference, from the parameters that `--help` is printed from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from resgraph.cli import app


def page() -> str:
    """A section per command: what it does, an example, its arguments and options."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return "\n".join(
        line
        for name, command in group.commands.items()
        for line in _section(name, command)
    )


def _section(name: str, command: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=f"resgraph {name}")
    text, _, example = inspect.cleandoc(command.help).partition("Example:")
    yield f"## {name}\n"
    yield f"{_as_code(text.strip())}\n"
    yield f"```console\n$ {' '.join(example.split())}\n```\n"
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"Usage: `resgraph {name} {pieces}`\n"
    for kind in ("argument", "option"):
        rows = [
            _row(*parameter.get_help_record(context))
            for parameter in command.get_params(context)
            if parameter.param_type_name == kind
        ]
        if rows:
            yield "\n".join([f"| {kind} | |", "|---|---|", *rows, ""])


def _row(shown: str, text: str) -> str:
    text = _as_code(" ".join(text.split()))
    return f"| `{_cell(shown)}` | {_cell(text)} |"


def _as_code(text: str) -> str:
    """With options as code; what Markdown would take for marks of its own, escaped."""
    text = re.sub(r"(?<![`\w-])(--?[a-z][\w-]*)", r"`\1`", text)
    return re.sub(r"([*\[\]])", r"\\\1", text)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
