"""Networks to verify: small ones of the project's own specs, and how to damage them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from resgraph.cli.subjects import exporter, reference
from resgraph.diagnostics import ResgraphError
from resgraph.emit.torch_source import torch_source
from resgraph.graph import Graph
from resgraph.verify import (
    Check,
    Here,
    Options,
    Present,
    Subject,
    load_generated,
    verify,
)
from tests.conftest import ROOT
from tests.helpers import graph_of

Edit = tuple[str, str]


def network(name: str) -> tuple[Graph, Callable[[], object] | None]:
    """`spec:network@depth`: the graph, and the paper's network by hand."""
    spec, _, rest = name.partition(":")
    named, _, depth = rest.partition("@")
    path = ROOT / "specs" / f"{spec}.yaml"
    if not depth:
        graph = graph_of(path, network=named)
        return graph, reference(graph, None, {})
    graph = graph_of(path, f"depth={depth}", network=named)
    return graph, reference(graph, named, {"depth": Fraction(int(depth))})


def subject_of(name: str, folder: Path, *edits: Edit, by_hand: bool = True) -> Subject:
    """The network of that name, its generated file edited."""
    graph, theirs = network(name)
    source = torch_source(graph, folder)
    for old, new in edits:
        assert old in source, f"not in the generated file: {old}"
        source = source.replace(old, new)
    path = folder / f"{graph.name}.py"
    path.write_text(source, encoding="utf-8")
    made = theirs if by_hand else None
    return Subject(
        graph,
        Present(load_generated(path)),
        exporter(graph, folder),
        None,
        made and Here(made),
        "by hand",
    )


def failures(subject: Subject, **options: object) -> list[Check]:
    """The checks that fail; an error that stops the verification counts as one."""
    try:
        checks = list(verify(subject, Options(**options)))
    except ResgraphError as error:
        return [Check("error", "failed", error.message)]
    return [check for check in checks if check.verdict == "failed"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)
