"""Graphs that look alike from many nodes: aligned, told apart, or refused, in bounded steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import networkx as nx
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.graph.isomorphism import (
    INPUT,
    Labelled,
    Pairing,
    Parting,
    isomorphism,
)
from resgraph.verify.flow import Flow
from resgraph.verify.isomorphism import Match, Mismatch, match
from resgraph.verify.trace import trace
from tests.size.specs import branches, one_unit
from tests.size.work import growth

Edges = Sequence[tuple[int, int]]


def paths(lengths: Sequence[int], last: Callable[[int], object]) -> Labelled:
    """Paths side by side, their last ops as given, all added up."""
    labels, reads, ends = list[object](), list[tuple[int, ...]](), list[int]()
    for number, length in enumerate(lengths):
        value = INPUT
        for place in range(length):
            labels.append(last(number) if place == length - 1 else "op")
            reads.append((value,))
            value = len(labels) - 1
        ends.append(value)
    free = [*(False for _ in labels), True]
    return Labelled([*labels, "add"], [*reads, tuple(ends)], free, (len(labels),))


def sums(edges: Edges) -> Labelled:
    """A node for each vertex, a sum for each edge, and the sum of those."""
    count = max(max(edge) for edge in edges) + 1
    labels = ["node"] * count + ["sum"] * len(edges) + ["all"]
    reads = [(INPUT,)] * count + [*edges]
    everything = tuple(range(count, count + len(edges)))
    free = [label != "node" for label in labels]
    return Labelled(labels, [*reads, everything], free, (len(labels) - 1,))


def cycles(*lengths: int) -> list[tuple[int, int]]:
    edges, first = list[tuple[int, int]](), 0
    for length in lengths:
        edges += [(first + i, first + (i + 1) % length) for i in range(length)]
        first += length
    return edges


def shuffled(edges: Edges, seed: int) -> list[tuple[int, int]]:
    random = Random(seed)
    names = [*range(max(max(edge) for edge in edges) + 1)]
    random.shuffle(names)
    mixed = [(names[a], names[b]) for a, b in edges]
    random.shuffle(mixed)
    return mixed


def rook() -> list[tuple[int, int]]:
    """4x4, each with its row and its column: strongly regular, as Shrikhande's graph is."""
    cells = [(i, j) for i in range(4) for j in range(4)]
    return [
        (4 * a + b, 4 * c + d)
        for a, b in cells
        for c, d in cells
        if (a, b) < (c, d) and (a == c or b == d)
    ]


def shrikhande() -> list[tuple[int, int]]:
    near = ((0, 1), (1, 0), (1, 1))
    return [
        (4 * i + j, 4 * ((i + a) % 4) + (j + b) % 4)
        for i in range(4)
        for j in range(4)
        for a, b in near
    ]


def check(ours: Labelled, theirs: Labelled, found: Pairing | Parting) -> None:
    """What is returned is an isomorphism, read off its definition."""
    assert isinstance(found, Pairing)
    pairs = found.nodes
    assert [*pairs] == [*range(len(ours.labels))]
    assert sorted(pairs.values()) == [*range(len(theirs.labels))]
    assert tuple(pairs[o] for o in ours.outputs) == theirs.outputs
    for i, j in pairs.items():
        reads = [INPUT if r == INPUT else pairs[r] for r in ours.reads[i]]
        assert ours.labels[i] == theirs.labels[j]
        assert ours.ordered(i, reads) == theirs.ordered(j, [*theirs.reads[j]])


def parted(found: Pairing | Parting) -> bool:
    """Whether it is known that they are two graphs."""
    return isinstance(found, Parting) and found.settled


@pytest.mark.parametrize("count", [1, 2, 20, 300])
def test_equal_paths_are_interchangeable(count: int) -> None:
    one = paths([3] * count, lambda number: "last")
    check(one, one, isomorphism(one, one))


def test_equal_paths_take_no_search() -> None:
    """The work for twice as many is twice as much."""

    def work(count: int) -> object:
        one = paths([3] * count, lambda number: "last")
        return isomorphism(one, one)

    assert growth(work, 100) < 2.2


@pytest.mark.parametrize("count", [2, 20, 100])
def test_paths_that_differ_at_their_ends(count: int) -> None:
    order = [*range(count)]
    Random(count).shuffle(order)
    ours = paths([3] * count, lambda number: f"last {number}")
    theirs = paths([3] * count, lambda number: f"last {order[number]}")
    check(ours, theirs, isomorphism(ours, theirs))
    other = paths([3] * count, lambda number: f"last {max(number, 1)}")
    assert parted(isomorphism(ours, other))


def nested(depth: int, width: int, odd: int) -> Labelled:
    """Groups in groups of equal paths; the leaf `odd` alone has another op."""
    labels, reads = list[object](), list[tuple[int, ...]]()
    leaves = iter(range(width**depth))

    def group(level: int) -> int:
        inputs = tuple(group(level - 1) for _ in range(width)) if level else (INPUT,)
        labels.append("odd" if not level and next(leaves) == odd else level)
        reads.append(inputs)
        return len(labels) - 1

    output = group(depth)
    return Labelled(labels, reads, [True] * len(labels), (output,))


@pytest.mark.parametrize(("depth", "width"), [(2, 5), (4, 3), (7, 2)])
def test_nested_groups(depth: int, width: int) -> None:
    one, other = nested(depth, width, 0), nested(depth, width, width**depth - 1)
    check(one, other, isomorphism(one, other))
    assert parted(isomorphism(one, nested(depth, width, -1)))


FAMILIES = {
    "cycles": [cycles(40), cycles(20, 20), cycles(10, 30), cycles(*[4] * 10)],
    "strongly regular": [rook(), shrikhande()],
    "prisms": [
        [*nx.circular_ladder_graph(9).edges()],
        [*nx.moebius_kantor_graph().edges()],
    ],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_regular_graphs(family: str) -> None:
    """Each is itself, however it is written, and none of the others."""
    for i, ours in enumerate(FAMILIES[family]):
        for j, other in enumerate(FAMILIES[family]):
            one, two = sums(ours), sums(shuffled(other, 10 * i + j))
            if i == j:
                check(one, two, isomorphism(one, two))
            else:
                assert parted(isomorphism(one, two))


def test_networkx_decides_alike_on_random_regular_graphs() -> None:
    for seed in range(30):
        one, two = (nx.random_regular_graph(3, 10, seed=seed + 100 * k) for k in (0, 1))
        found = isomorphism(sums([*one.edges()]), sums([*two.edges()]))
        assert isinstance(found, Pairing) == nx.is_isomorphic(one, two)


def test_steps_are_bounded() -> None:
    """Eight strongly regular graphs, of which the last is another one on one side."""
    many = [(a + 16 * k, b + 16 * k) for k in range(7) for a, b in rook()]
    ours = [*many, *((a + 112, b + 112) for a, b in rook())]
    theirs = [*many, *((a + 112, b + 112) for a, b in shrikhande())]
    for most in (0, 1_000, 100_000):
        found = isomorphism(sums(ours), sums(theirs), most)
        assert isinstance(found, Parting)
        assert not found.settled


# --- where it is used -----------------------------------------------------------------------


def woven(edges: Edges, end: str = "add, relu") -> str:
    """A unit with a path for each vertex and a sum for each edge."""
    count = max(max(edge) for edge in edges) + 1
    nodes = [f"v{i}: {{from: x, ops: [relu]}}" for i in range(count)]
    added = [
        f"s{k}: {{from: [v{a}, v{b}], ops: [{end}]}}" for k, (a, b) in enumerate(edges)
    ]
    names = ", ".join(f"s{k}" for k in range(len(edges)))
    return one_unit([*nodes, *added, f"out: {{from: [{names}], ops: [add]}}"])


def diffed(a: str, b: str, folder: Path) -> tuple[int, str]:
    files = folder / "a.yaml", folder / "b.yaml"
    for file, text in zip(files, (a, b), strict=True):
        file.write_text(text)
    result = CliRunner().invoke(app, ["diff", *map(str, files)])
    return result.exit_code, f"{result.output} {result.exception or ''}"


def test_diff_of_symmetric_units(tmp_path: Path) -> None:
    twenty, more = branches(20, "bn, relu"), branches(21, "bn, relu")
    assert diffed(twenty, twenty, tmp_path)[0] == 0
    code, said = diffed(twenty, more, tmp_path)
    assert code == 1
    assert "added" in said
    code, said = diffed(woven(cycles(24)), woven(shuffled(cycles(24), 1)), tmp_path)
    assert code == 0, said


def few_steps(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    name = "resgraph.graph.isomorphism.isomorphism"
    monkeypatch.setattr(name, lambda a, b, **how: isomorphism(a, b, most, **how))


def test_diff_says_what_it_cannot_align(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_steps(monkeypatch, 1_000)
    code, said = diffed(woven(rook()), woven(shrikhande()), tmp_path)
    assert code == 1
    assert "body and body are too symmetric to align" in said


def test_diff_of_sums_of_sums_takes_no_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are one sum, in which each vertex is six times."""
    few_steps(monkeypatch, 1_000)
    code, said = diffed(woven(rook(), "add"), woven(shrikhande(), "add"), tmp_path)
    assert code == 0
    assert "up to how sums" in said


class Woven(nn.Module):
    """A convolution for each vertex, and the sums of those at each edge."""

    def __init__(self, edges: Edges) -> None:
        super().__init__()
        self.edges = edges
        count = max(max(edge) for edge in edges) + 1
        self.nodes = nn.ModuleList(nn.Conv2d(2, 2, 1, bias=False) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        values = [node(x) for node in self.nodes]
        made = [torch.relu(values[a] + values[b]) for a, b in self.edges]
        return sum(made[1:], made[0])


def traced(edges: Edges) -> Flow:
    return trace(Woven(edges), (2, 4, 4), training=False)


def test_verify_pairs_what_is_woven_alike() -> None:
    """Greedily paired values would part; the networks are the same."""
    for seed in range(5):
        found = match(traced(cycles(6)), traced(shuffled(cycles(6), seed)))
        assert isinstance(found, Match)


def test_verify_tells_what_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks that are not the same: known to part, or not known within few steps."""
    ours, theirs = traced(cycles(6)), traced(cycles(3, 3))
    found = match(ours, theirs)
    assert isinstance(found, Mismatch)
    assert found.settled
    few_steps(monkeypatch, 10)
    found = match(ours, theirs)
    assert isinstance(found, Mismatch)
    assert not found.settled
    assert "too symmetric" in found.why
