"""What a report is about: a spec's networks, or a run with the network that it trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resgraph import __version__
from resgraph.compiler import Compiler
from resgraph.diagnostics import Diagnostic, ResgraphError, SpecError, ordered, visible
from resgraph.graph import Graph
from resgraph.origin import same
from resgraph.report.network import Units, networks, where
from resgraph.report.page import Report
from resgraph.report.places import Files, of_check, of_prove
from resgraph.values import Value

if TYPE_CHECKING:
    from resgraph.study.series import Series

Facts = dict[str, Any]


def of_spec(
    path: Path,
    network: str | None = None,
    settings: Mapping[str, Value] | None = None,
) -> Report:
    """A spec's networks, or one of them; with findings, what there is, and them.

    Raises `ResgraphError` for a file that cannot be read, or a network that is not there.
    """
    compiler = Compiler()
    try:
        graphs, error = compiler.drafts(path, network, settings)
    except SpecError as failure:
        graphs, error = [], failure
    if error is None:
        return of_graphs(graphs, compiler)
    return _of_drafts(path, graphs, error, compiler)


def of_graphs(graphs: list[Graph], compiler: Compiler) -> Report:
    """The networks, whose files the compiler has read."""
    names = ", ".join(graph.name for graph in graphs)
    return Report(f"{names}: {visible(graphs[0].title)}", _facts(graphs, compiler))


def _of_drafts(
    path: Path, graphs: list[Graph], error: SpecError, compiler: Compiler
) -> Report:
    """A spec that has findings: they on their lines, and what there is of the networks."""
    facts = _facts(graphs, compiler, error.diagnostics)
    return Report(f"{visible(str(path))}: findings", facts)


def of_run(folder: Path, spec: Path | None = None) -> Report:
    """A run, and its network: from `spec`, else from the spec that the run names.

    Where there is none, or it has changed since, the page says so and has the rest.
    Raises `ResgraphError` for a folder that is no run folder.
    """
    from resgraph.report.runs import run
    from resgraph.study.series import read

    series = read([folder])[0]
    facts = run(series)
    compiler = Compiler()
    try:
        graph = _graph_of(series, spec, compiler)
    except ResgraphError as error:
        facts["notes"].append(f"The network is not shown: {visible(error.message)}")
        shown = _frame(Files({}))
    else:
        shown = _facts([graph], compiler)
    title = f"{series.run.network}: {visible(str(folder))}"
    return Report(title, shown | {"run": facts})


def _graph_of(series: Series, spec: Path | None, compiler: Compiler) -> Graph:
    """Raises `ResgraphError` where the spec is not there or not the same."""
    run = series.run
    path = spec or Path(run.about["spec"])
    if not path.is_file():
        raise ResgraphError(f"{run.folder}: its spec is not there")
    graphs = compiler.graphs(path)
    return same(graphs, run.network, str(run.about["digest"]), path)


def _facts(
    graphs: list[Graph], compiler: Compiler, wrong: Sequence[Diagnostic] = ()
) -> Facts:
    """The facts of networks, or of drafts with what is wrong with them."""
    files = Files(compiler.sources.texts)
    units = Units(files, wrong)
    shown = networks(graphs, units)
    checked = wrong or ordered(chain(*compiler.warnings.values()))
    told = [of_check(each, files, where(graphs, each)) for each in checked]
    return _frame(files) | {
        "networks": shown,
        "units": units.made,
        "findings": [*told, *([] if wrong else of_prove(graphs, files))],
    }


def _frame(files: Files) -> Facts:
    """The facts of a report on nothing."""
    return {
        "version": __version__,
        "files": files.as_json(),
        "networks": [],
        "units": [],
        "findings": [],
        "run": None,
    }
