"""`plot` and `table`: what many runs show together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resgraph.cli.common import Json, say, say_json, warn
from resgraph.diagnostics import UsageError, did_you_mean

RUNS = Path("runs")


def plot_command(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders.", metavar="RUN...", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the figures go.")
    ] = Path("plots"),
    formats: Annotated[
        str, typer.Option("--format", help="svg, png, or both with a comma.")
    ] = "svg,png",
    json: Json = False,
) -> None:
    """Draw the curves of runs as the paper does, and what was recorded in their units.

    Example: resgraph plot runs/resnet164-cifar10-s0 runs/resnet164_original-cifar10-s0
    """
    from resgraph.study.canvas import FORMATS
    from resgraph.study.plot import plot

    chosen = list(dict.fromkeys(part.strip() for part in formats.split(",")))
    for form in chosen:
        if form not in FORMATS:
            hint = did_you_mean(form, FORMATS)
            raise UsageError(f"no figures of the format '{form}'", hint)
    files, notes = plot(runs, out, chosen)
    for note in notes:
        warn(note)
    names = [file.as_posix() for file in files]
    if json:
        say_json({"files": names, "notes": notes})
    else:
        say("\n".join(names))


def table_command(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run folders, or folders that have some; by default runs/.",
            metavar="[RUN|DIR]...",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="text, markdown, csv or json.")
    ] = "text",
    json: Json = False,
) -> None:
    """Print Tables 1 to 3 of the paper, with our runs' errors beside the paper's.

    Example: resgraph table runs --format markdown
    """
    from resgraph.study import tables
    from resgraph.study.outcomes import outcomes, run_folders

    known = (*tables.FORMS, "json")
    if form not in known:
        raise UsageError(f"no table of the form '{form}'", did_you_mean(form, known))
    # Without runs the tables have the paper's figures alone.
    named = runs or [folder for folder in (RUNS,) if any(folder.rglob("run.json"))]
    found = outcomes(run_folders(named))
    for note in found.notes:
        warn(note)
    made = tables.tables(found)
    if json or form == "json":
        say_json(tables.as_json(made))
    else:
        say(tables.FORMS[form](made))


COMMANDS = {"plot": plot_command, "table": table_command}
