"""`report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resgraph.cli.common import (
    Json,
    Network,
    Set,
    say,
    say_json,
    telling_compiler,
    warn,
)
from resgraph.diagnostics import ResgraphError, UsageError, plural
from resgraph.provenance import SPEC
from resgraph.settings import parse_settings

if TYPE_CHECKING:
    from resgraph.report import Report


def report_command(
    path: Annotated[
        Path,
        typer.Argument(
            help="A spec, a generated file, or a run folder.",
            metavar="SPEC|NAME.py|RUN",
            show_default=False,
        ),
    ],
    network: Network = None,
    settings: Set = [],  # noqa: B006 (typer reads the default)
    spec: Annotated[
        Path | None,
        typer.Option("--spec", help="The spec, where the run folder has none."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The page.")
    ] = Path("report.html"),
    json: Json = False,
) -> None:
    """Write one HTML page to explore a network, or a run: it opens from disk, anywhere.

    The spec beside the graph, each lighting up the other; stages, units and ops that
    unfold; findings on their lines; of a run the curves too. A spec with findings is
    shown with them, and the exit code is 1.

    Example: resgraph report specs/preact_basic.yaml --network resnet20 -o report.html
    """
    report = _report(path, network, settings, spec)
    size = report.write(out)
    wrong = [f for f in report.facts["findings"] if f["level"] == "error"]
    notes = (report.facts["run"] or {}).get("notes", [])
    if json:
        names = [shown["name"] for shown in report.facts["networks"]]
        say_json(
            {
                "file": out.as_posix(),
                "bytes": size,
                "networks": names,
                "findings": report.facts["findings"],
                "notes": notes,
            }
        )
    else:
        for note in notes:
            warn(note)
        say(f"{out.as_posix()}  {size / 1000:,.0f} kB  {report.title}")
    if wrong:
        if not json:
            count = len(wrong)
            warn(f"{count} {plural(count, 'finding')}, on their lines in the page")
        raise typer.Exit(1)


def _report(
    path: Path, network: str | None, settings: list[str], spec: Path | None
) -> Report:
    """Of whatever stands at the path."""
    from resgraph.report import of_graphs, of_run, of_spec

    chosen = network is not None or settings
    if path.is_dir():
        if chosen:
            raise UsageError(
                f"{path} is one network: --network and --set are for specs"
            )
        kept = path / SPEC
        return of_run(path, spec or (kept if kept.is_file() else None))
    if spec is not None:
        raise UsageError("--spec is for run folders", "name the spec itself")
    if path.suffix == ".py" and path.is_file():
        from resgraph.origin import origin

        if chosen:
            raise UsageError(
                f"{path} is one network: --network and --set are for specs"
            )
        found = origin(path)
        if found is None:
            raise ResgraphError(
                f"{path}: no spec is where its first line says", "name the spec instead"
            )
        compiler = telling_compiler()
        return of_graphs([found.graph(compiler)], compiler)
    return of_spec(path, network, parse_settings(settings))


COMMANDS = {"report": report_command}
