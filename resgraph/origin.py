"""A generated file beside what `resgraph compile` writes now: read, compared, never run."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from resgraph import __version__
from resgraph.compiler import Compiler
from resgraph.diagnostics import ResgraphError, plain, visible
from resgraph.emit import source_under, torch_source
from resgraph.graph import Graph, digest
from resgraph.provenance import SPEC, Header, header_of, read_generated
from resgraph.settings import parse_settings
from resgraph.spec.files import refuse_outside, root_of
from resgraph.values import Value

_BEFORE, _WIDTH = 80, 160
"""Characters of a line that are shown: before where it differs, and in all."""


@dataclass(frozen=True)
class Origin:
    """What a generated file was made from."""

    name: str
    spec: Path
    digest: str
    network: str | None
    settings: dict[str, Value]

    @property
    def chosen(self) -> str | None:
        """The network to ask the spec for; None where settings alone make it."""
        return self.network if self.settings else self.name

    def graph(self, compiler: Compiler) -> Graph:
        """The graph, compiled again.

        Raises `ResgraphError` if the spec has changed since, and what `Compiler.graphs` does.
        """
        graphs = compiler.graphs(self.spec, *self._asked(compiler))
        return same(graphs, self.name, self.digest, self.spec)

    def resolved(self, compiler: Compiler) -> str:
        """The spec as one YAML text that builds this network alone."""
        return compiler.resolved(self.spec, *self._asked(compiler), alone=True)

    def _asked(self, compiler: Compiler) -> tuple[str | None, dict[str, Value]]:
        """Network and settings; a run folder's spec names what it took settings to make."""
        names = compiler.names(self.spec)
        if self.name in names:
            return self.name, {}
        return (self.chosen if names else None), self.settings


def origin(generated: Path) -> Origin | None:
    """Where the file is from, if its first line says so and the spec is there.

    The first line gives the spec's path from the folder that holds the output folder.
    """
    with generated.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        header = header_of(lines.readline())
    return None if header is None else _origin(generated, header, None)


def _origin(generated: Path, header: Header, spec: Path | None) -> Origin | None:
    """By the spec that is given, else the header's, else the copy beside the file."""
    base = generated.parent / ".."
    named = Path(os.path.normpath(base / header.spec))
    if spec is None:
        whole = f"the spec that {generated} names, {plain(header.spec)},"
        refuse_outside(named, root_of(base, base / ".."), whole)
    places = [named, generated.with_name(SPEC)] if spec is None else [spec]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        return None
    words = shlex.split(header.options)
    network = words[1] if words[:1] == ["--network"] else None
    settings = parse_settings([word for word in words if "=" in word])
    return Origin(generated.stem, found, header.digest, network, settings)


def same(graphs: list[Graph], name: str, wanted: str, spec: Path) -> Graph:
    """The graph of that name, if it has that digest. Raises `ResgraphError`."""
    for graph in graphs:
        if graph.name == name and digest(graph) == wanted:
            return graph
    raise ResgraphError(
        f"{spec} does not build the {name} that this was made from: it has changed since",
        f"compile it again (resgraph compile {spec}), or restore the spec",
    )


# --- the text -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """The text of a generated file, and whether it is resgraph's own."""

    path: Path
    text: str
    header: Header
    origin: Origin | None
    """None where the spec is not there."""
    graph: Graph | None
    foreign: str | None
    """What makes it foreign code, in words; None where every character is resgraph's."""

    @property
    def name(self) -> str:
        """The network's."""
        return self.path.stem if self.origin is None else self.origin.name


def compiled_source(
    spec: Path, network: str | None, settings: dict[str, Value], graph: Graph
) -> Source:
    """The text that `resgraph compile` would write for a graph of the spec, of no file yet."""
    text = torch_source(graph, Path("generated"))
    header = header_of(text)
    assert header is not None
    origin = Origin(graph.name, spec, header.digest, network, settings)
    return Source(spec, text, header, origin, graph, None)


def read_source(
    path: Path, spec: Path | None = None, compiler: Compiler | None = None
) -> Source:
    """A generated file as text, compared with what its spec compiles to.

    The spec is the one given, else the one that the first line names, else the copy in a
    run folder. Raises `ResgraphError` if the file cannot be read or was not generated, and
    what `Origin.graph` does.
    """
    text, header = read_generated(path)
    found = _origin(path, header, spec)
    if found is None:
        why = f"{path} cannot be compared: its spec {header.spec} is not there"
        return Source(path, text, header, None, None, why)
    graph = found.graph(compiler or Compiler())
    return Source(path, text, header, found, graph, _foreign(path, text, header, graph))


def _foreign(path: Path, text: str, header: Header, graph: Graph) -> str | None:
    """How the text differs from what resgraph writes; the header keeps its path and options."""
    ours = Header(header.spec, header.digest, header.options)
    wanted = source_under(ours, graph)
    if text == wanted:
        return None
    if header.version != __version__:
        return (
            f"{path} was written by resgraph {header.version}, which spelled it "
            "otherwise; the graph is the same"
        )
    return (
        f"{path} is not what resgraph compile writes from {graph.file}: "
        f"{_first_difference(text, wanted)}"
    )


def _first_difference(text: str, wanted: str) -> str:
    """The first line at which two texts differ, as it is and as it should be."""
    pairs = zip_longest(_lines(text), _lines(wanted), fillvalue="")
    number, (line, other) = next(
        (number, pair) for number, pair in enumerate(pairs, 1) if pair[0] != pair[1]
    )
    has, should = _shown(line, other), _shown(other, line)
    return (
        f"first difference at line {number}\n  file     | {has}\n  compiled | {should}"
    )


def _lines(text: str) -> list[str]:
    """With their ends; Python's other ends of lines are left within them."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _shown(line: str, other: str) -> str:
    """A line where it differs from another; quoted if in what a screen does not show."""
    if not line:
        return "(nothing more)"
    pairs = zip(line, other, strict=False)
    first = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
    start = max(0, first - _BEFORE)
    part, others = (x[start : start + _WIDTH] for x in (line, other))
    if part.rstrip() == others.rstrip():
        return ascii(part)
    return visible(part.rstrip())
