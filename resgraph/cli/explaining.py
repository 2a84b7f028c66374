"""`explain`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from resgraph.cli.common import Json, say, say_json
from resgraph.codes import CODES
from resgraph.diagnostics import Code, UsageError, did_you_mean


def explain_command(
    code: Annotated[
        str | None,
        typer.Argument(
            help="A finding's code, such as unknown-op.",
            metavar="[CODE]",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Explain a finding by its code, with an example; without a code, list all.

    Example: resgraph explain shape-mismatch
    """
    if code is not None and code not in CODES:
        hint = did_you_mean(code, CODES) or "resgraph explain lists all codes"
        raise UsageError(f"no code '{code}'", hint)
    if code is not None:
        _explain(CODES[code], json)
    elif json:
        say_json([about(each) for each in CODES.values()])
    else:
        width = max(map(len, CODES))
        for each in CODES.values():
            say(f"{each.name:<{width}}  {each.severity:<7}  {each.summary}")


def _explain(code: Code, json: bool) -> None:
    from resgraph.explain import excerpts, explanation, told

    if not json:
        say(explanation(code))
        return
    example = None
    if code.example is not None:
        wrong, right = excerpts(code.example)
        example = {"wrong": wrong, "told": told(code), "right": right}
    say_json(about(code) | {"why": code.why, "example": example})


def about(code: Code) -> dict[str, Any]:
    """The code as JSON."""
    return {
        "code": code.name,
        "severity": code.severity.value,
        "summary": code.summary,
        "found_by": "prove" if code.by_prove else "check",
    }


COMMANDS = {"explain": explain_command}
