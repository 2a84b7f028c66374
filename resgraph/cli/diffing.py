"""`diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resgraph.cli.common import (
    Json,
    Network,
    Set,
    console,
    say_json,
    telling_compiler,
    warn,
)
from resgraph.compiler import Compiler
from resgraph.diagnostics import Diagnostic, SpecError, UsageError, plural
from resgraph.provenance import SPEC
from resgraph.settings import parse_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from resgraph.diff import Difference
    from resgraph.graph import Graph
    from resgraph.values import Value

_STYLES = {
    "heading": "bold",
    "added": "green",
    "gained": "green",
    "removed": "red",
    "lost": "red",
    "moved": "blue",
    "changed": "yellow",
    "rewired": "yellow",
}
_FORMATS = (".svg", ".png")
_HELP = "A spec, a generated file or a run folder."


def diff_command(
    before: Annotated[Path, typer.Argument(metavar="A", help=_HELP)],
    after: Annotated[Path, typer.Argument(metavar="B", help=_HELP)],
    network: Network = None,
    networks: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--networks", metavar="NAME_A NAME_B", help="Which of A's, which of B's."
        ),
    ] = None,
    settings: Set = [],  # noqa: B006 (typer reads the default)
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Draw the units too: FILE.svg or FILE.png."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say what changed in the topology from A to B, whatever things are called.

    Exit code 0: the same graph; 1: another one. Without a choice, two networks of one
    depth are compared.

    Example: resgraph diff specs/original_basic.yaml specs/preact_basic.yaml
    """
    if network is not None and networks is not None:
        raise UsageError("--network and --networks are two ways to say one thing")
    if out is not None and out.suffix not in _FORMATS:
        raise UsageError(f"{out}: --out draws {' or '.join(_FORMATS)} files")
    from resgraph.diff import compare
    from resgraph.diff.choice import counterparts
    from resgraph.diff.form import as_json

    names = networks or (network, network)
    ours, theirs = _both((before, after), names, parse_settings(settings))
    difference = compare(*counterparts(ours, theirs))
    if out is not None:
        _draw(difference, out)
    if json:
        say_json(as_json(difference))
    else:
        _tell(difference)
        _tell_choice(ours, theirs, difference)
    if not difference.same:
        raise typer.Exit(1)


def _both(
    paths: tuple[Path, Path],
    names: tuple[str | None, str | None],
    settings: Mapping[str, Value],
) -> list[list[Graph]]:
    """The networks of both sides. Raises `SpecError` with the findings of both."""
    compiler = telling_compiler()
    found: list[list[Graph]] = []
    findings: list[Diagnostic] = []
    for path, name in zip(paths, names, strict=True):
        try:
            found.append(_graphs(compiler, path, name, settings))
        except SpecError as error:
            findings += error.diagnostics
    if findings:
        raise compiler.failure(findings)
    return found


def _graphs(
    compiler: Compiler, path: Path, name: str | None, settings: Mapping[str, Value]
) -> list[Graph]:
    """The networks that a spec, a generated file or a run folder has."""
    if path.suffix == ".py":
        return [_generated(compiler, path, name, settings)]
    if path.is_dir():
        if not (path / SPEC).is_file():
            hint = "name a spec, a generated file or the folder of a run"
            raise UsageError(f"{path} is a folder without a {SPEC}", hint)
        path = path / SPEC
    return compiler.graphs(path, name, settings)


def _generated(
    compiler: Compiler, path: Path, name: str | None, settings: Mapping[str, Value]
) -> Graph:
    """The graph that a generated file was made from."""
    from resgraph.cli.common import require_file
    from resgraph.origin import origin

    require_file(path)
    if settings or name not in (None, path.stem):
        raise UsageError(f"{path} is one network: --network and --set are for specs")
    found = origin(path)
    if found is None:
        raise UsageError(
            f"{path}: no generated file whose spec is where its first line says",
            "name the spec itself",
        )
    return found.graph(compiler)


def _tell(difference: Difference) -> None:
    from rich.text import Text

    from resgraph.diff.report import report, rows

    out = console()
    for text, kind in report(difference):
        out.print(Text(text, style=_STYLES.get(kind, "")), soft_wrap=True)
    if cells := rows(difference):
        out.print(_table(cells))


def _table(cells: list[tuple[str, ...]]) -> Table:
    """The numbers that differ, with the totals below."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("part", "units"):
        table.add_column(column, overflow="fold")
    for column in ("output", "parameters", "multiply-adds"):
        table.add_column(column, justify="right", overflow="fold")
    *parts, total = cells
    for row in parts:
        table.add_row(*row)
    table.add_section()
    table.add_row(*total)
    return table


def _tell_choice(ours: list[Graph], theirs: list[Graph], chosen: Difference) -> None:
    """What else there was to choose from, where nobody chose."""
    if len(ours) * len(theirs) == 1:
        return
    from resgraph.diff.choice import layers

    depth = layers(chosen.before)
    deep = f"both {depth} {plural(depth, 'layer')} deep"
    both = "the first" if depth != layers(chosen.after) else deep
    ours_, theirs_ = (", ".join(g.name for g in graphs) for graphs in (ours, theirs))
    warn(
        f"compared: {chosen.before.name} and {chosen.after.name}, {both}. Others: "
        f"--networks NAME_A NAME_B, of {ours_} and of {theirs_}"
    )


def _draw(difference: Difference, out: Path) -> None:
    from resgraph.diff.picture import picture
    from resgraph.files import atomic_write, writing

    figure = picture(difference)
    data = figure.svg().encode() if out.suffix == ".svg" else figure.png()
    with writing(out):
        atomic_write(out, lambda path: path.write_bytes(data))


COMMANDS = {"diff": diff_command}
