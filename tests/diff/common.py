"""What the tests of `diff` share: networks, and units made by chance."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from ruamel.yaml import YAML

from resgraph.compiler import Compiler
from resgraph.diagnostics import Span
from resgraph.diff import Change, Edit
from resgraph.graph import INPUT, Block, Graph, Instance, Node
from resgraph.graph import Path as UnitPath
from resgraph.ops import OPS, Op
from tests.conftest import ROOT

MIRRORED = {Change.ADDED: Change.REMOVED, Change.REMOVED: Change.ADDED}
NOWHERE = Span("unit", 1, 1, 1, 1)
SHAPE = (4, 8, 8)
KINDS: list[tuple[str, Mapping[str, Any], int]] = [
    ("relu", {}, 1),
    ("bn", {}, 1),
    ("conv", {"kernel": 3, "channels": 4}, 1),
    ("conv", {"kernel": 1, "channels": 4}, 1),
    ("scale", {"factor": 0.5}, 1),
    ("add", {}, 2),
    ("mul", {}, 2),
    ("concat", {}, 2),
]
"""Op, attributes, operands; all are taken to keep the shape, which nothing here reads."""


@cache
def networks(spec: str) -> tuple[Graph, ...]:
    """The networks of a committed spec."""
    return tuple(Compiler().graphs(ROOT / "specs" / f"{spec}.yaml"))


def network(spec: str, name: str | None = None) -> Graph:
    """The named network of a committed spec, or its first."""
    return next(g for g in networks(spec) if name in (None, g.name))


@cache
def tree(spec: str) -> str:
    """A committed spec, resolved, as JSON."""
    text = Compiler().resolved(ROOT / "specs" / f"{spec}.yaml")
    return json.dumps(YAML(typ="safe").load(text))


def compiled(spec: Mapping[str, Any], folder: Path) -> Graph:
    """The first network of a spec given as a tree."""
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return Compiler().graphs(path)[0]


def unit(steps: list[tuple[str, Mapping[str, Any], tuple[int, ...]]]) -> Instance:
    """A unit whose step i is called `n{i}` and reads earlier ones; -1 is x."""
    paths, nodes = [], []
    for i, (kind, attributes, reads) in enumerate(steps):
        name = f"n{i}" if i < len(steps) - 1 else "out"
        values = tuple(INPUT if r < 0 else f"v{r}" for r in reads)
        nodes.append(
            Node(f"v{i}", values, NOWHERE, {}, name, op=op(kind, **attributes))
        )
        sources = tuple(INPUT if r < 0 else f"n{r}" for r in reads)
        spans = (NOWHERE,) * len(sources)
        paths.append(UnitPath(name, sources, NOWHERE, spans))
    names = [INPUT, *(node.name for node in nodes)]
    made = Block("unit", "", (), tuple(paths), tuple(nodes), NOWHERE)
    return Instance(made, {}, dict.fromkeys(names, SHAPE))


def op(kind: str, **attributes: Any) -> Op:
    return OPS[kind](**attributes).resolve({})


@st.composite
def steps(draw: Callable[..., Any]) -> list[tuple[str, Mapping[str, Any], Any]]:
    """A DAG of a few ops in which every value is used; the last step is the result."""
    count = draw(st.integers(1, 6))
    made: list[tuple[str, Mapping[str, Any], Any]] = []
    for i in range(count):
        kind, attributes, operands = draw(st.sampled_from(KINDS))
        value = st.integers(-1, i - 1)
        reads = tuple(draw(st.tuples(*[value] * operands)))
        made.append((kind, attributes, reads))
    used = {r for _, _, reads in made for r in reads}
    loose = tuple(i for i in range(count) if i not in used)
    if len(loose) > 1:
        made.append(("add", {}, loose))
    return made


def reordered(
    made: list[tuple[str, Mapping[str, Any], Any]], choose: Callable[[int], int]
) -> list[tuple[str, Mapping[str, Any], Any]]:
    """The same steps in another topological order, operands of sums and products swapped."""
    place: dict[int, int] = {-1: -1}
    result = []
    while len(place) <= len(made):
        ready = [
            i
            for i, (_, _, reads) in enumerate(made)
            if i not in place and all(r in place for r in reads)
        ]
        chosen = ready[choose(len(ready))]
        kind, attributes, reads = made[chosen]
        reads = tuple(place[r] for r in reads)
        if kind in ("add", "mul") and choose(2):
            reads = reads[::-1]
        place[chosen] = len(result)
        result.append((kind, attributes, reads))
    return result


def mirrored(edit: Edit) -> Edit:
    """The edit read from B to A."""
    return Edit(
        MIRRORED.get(edit.change, edit.change),
        edit.after,
        edit.before,
        tuple((name, new, old) for name, old, new in edit.attributes),
    )


def bag(found: Any) -> Counter[str]:
    """Edits whatever their order."""
    return Counter(map(repr, found))
