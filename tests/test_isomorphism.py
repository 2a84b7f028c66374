"""Labelled graphs made by chance: equal ones are found equal, others are told apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networkx.algorithms.isomorphism import DiGraphMatcher

from resgraph.graph.isomorphism import (
    INPUT,
    Distinct,
    Labelled,
    Pairing,
    Parting,
    Repeated,
    canonical,
    gathered,
    isomorphism,
)
from tests.size.work import steps

KINDS: dict[str, tuple[int, bool, bool]] = {
    "relu": (1, False, False),
    "bn": (1, False, False),
    "sub": (2, False, False),
    "max": (2, True, False),
    "add": (2, True, True),
    "concat": (2, False, True),
}
"""Operands at least, whether they may be swapped, whether they may be written out."""
Node = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Made:
    """A graph as a list: kinds and what they read, as `Labelled` has it."""

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    inputs: int

    @property
    def graph(self) -> Labelled:
        kinds = [kind for kind, _ in self.nodes]
        return Labelled(
            kinds,
            [reads for _, reads in self.nodes],
            [KINDS[kind][1] for kind in kinds],
            self.outputs,
            self.inputs,
            [KINDS[kind][2] for kind in kinds],
        )


@st.composite
def made(draw: Callable[..., Any], most: int = 7) -> Made:
    """Up to three inputs and outputs; any value may be read often, or not at all."""
    inputs = draw(st.integers(1, 3))
    nodes: list[Node] = []
    for i in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from([*KINDS]))
        least = KINDS[kind][0]
        value = st.integers(-inputs, i - 1)
        count = draw(st.integers(least, least + KINDS[kind][2]))
        nodes.append((kind, tuple(draw(value) for _ in range(count))))
    end = st.integers(-inputs, len(nodes) - 1)
    outputs = draw(st.lists(end, min_size=1, max_size=3))
    return Made(tuple(nodes), (*outputs[:-1], len(nodes) - 1), inputs)


def reordered(one: Made, random: Random) -> Made:
    """The same nodes in another topological order, operands swapped where they may be."""
    place = {-k: -k for k in range(1, one.inputs + 1)}
    nodes: list[Node] = []
    waiting = [*range(len(one.nodes))]
    while waiting:
        ready = [i for i in waiting if {*one.nodes[i][1]} <= place.keys()]
        i = random.choice(ready)
        waiting.remove(i)
        kind, reads = one.nodes[i]
        moved = [place[r] for r in reads]
        if KINDS[kind][1]:
            random.shuffle(moved)
        place[i] = len(nodes)
        nodes.append((kind, tuple(moved)))
    return Made(tuple(nodes), tuple(place[o] for o in one.outputs), one.inputs)


def spliced(one: Made) -> Made | None:
    """One sum of a sum (or concatenation of one) written out, if there is any."""
    read = [r for _, reads in one.nodes for r in reads] + [*one.outputs]
    for i, (kind, reads) in enumerate(one.nodes):
        for at, r in enumerate(reads):
            inner = one.nodes[r] if r >= 0 else None
            if inner and KINDS[kind][2] and inner[0] == kind and read.count(r) == 1:
                more = (*reads[:at], *inner[1], *reads[at + 1 :])
                nodes = [*one.nodes]
                nodes[i] = kind, more
                return without(replace(one, nodes=tuple(nodes)), r)
    return None


def without(one: Made, gone: int) -> Made:
    """The graph without a node that nothing reads."""

    def moved(values: Sequence[int]) -> tuple[int, ...]:
        return tuple(v - (v > gone) for v in values)

    kept = [node for i, node in enumerate(one.nodes) if i != gone]
    nodes = tuple((kind, moved(reads)) for kind, reads in kept)
    return Made(nodes, moved(one.outputs), one.inputs)


def flat(one: Made) -> Made:
    while (again := spliced(one)) is not None:
        one = again
    return one


def nested(one: Made, random: Random) -> Made:
    """The same with some operands of a node in a node of its kind before it."""
    wide = [i for i, (kind, r) in enumerate(one.nodes) if KINDS[kind][2] and len(r) > 2]
    if not wide:
        return one
    i = random.choice(wide)
    kind, reads = one.nodes[i]
    start = random.randrange(len(reads) - 1)
    inner = kind, reads[start : start + 2]
    outer = kind, (*reads[:start], i, *reads[start + 2 :])

    def moved(values: Sequence[int]) -> tuple[int, ...]:
        return tuple(v + (v >= i) for v in values)

    after = ((k, moved(r)) for k, r in one.nodes[i + 1 :])
    nodes = *one.nodes[:i], inner, outer, *after
    return Made(nodes, moved(one.outputs), one.inputs)


def as_networkx(one: Made) -> nx.DiGraph:
    graph = nx.DiGraph()
    for value in range(-one.inputs, len(one.nodes)):
        what = value if value < 0 else (one.nodes[value][0], len(one.nodes[value][1]))
        ends = [k for k, o in enumerate(one.outputs) if o == value]
        graph.add_node(value, what=(what, ends))
    for i, (kind, reads) in enumerate(one.nodes):
        for value in {*reads}:
            places = [k for k, r in enumerate(reads) if r == value]
            graph.add_edge(value, i, at=len(places) if KINDS[kind][1] else places)
    return graph


def same_to_networkx(one: Made, two: Made) -> bool:
    if (one.inputs, len(one.outputs)) != (two.inputs, len(two.outputs)):
        return False
    graphs = as_networkx(one), as_networkx(two)
    return DiGraphMatcher(
        *graphs,
        node_match=lambda n, m: n == m,
        edge_match=lambda e, f: e == f,
    ).is_isomorphic()


def check(one: Made, two: Made) -> None:
    """What is found is what networkx finds, exactly and with sums written out."""
    exactly = isomorphism(one.graph, two.graph, regroup=False)
    loosely = isomorphism(one.graph, two.graph)
    same = same_to_networkx(one, two)
    assert isinstance(exactly, Pairing) == same
    assert isinstance(loosely, Pairing) == same_to_networkx(flat(one), flat(two))
    if isinstance(loosely, Pairing):
        assert loosely.regrouped == (not same)
    if isinstance(exactly, Pairing):
        is_isomorphism(one, two, exactly)
    for regroup, found in ((False, exactly), (True, loosely)):
        distinct = Distinct(regroup)
        numbers = distinct.number(one.graph), distinct.number(two.graph)
        assert (numbers[0] == numbers[1]) == isinstance(found, Pairing)
        digests = canonical(one.graph, regroup), canonical(two.graph, regroup)
        if isinstance(found, Pairing) or max(map(len, (one.nodes, two.nodes))) < 6:
            assert (digests[0] == digests[1]) == isinstance(found, Pairing)


def is_isomorphism(one: Made, two: Made, found: Pairing) -> None:
    """Read off the definition."""
    place = {-k: -k for k in range(1, one.inputs + 1)} | found.nodes
    assert sorted(found.nodes.values()) == [*range(len(two.nodes))]
    assert tuple(place[o] for o in one.outputs) == two.outputs
    for i, j in found.nodes.items():
        (kind, reads), (other, theirs) = one.nodes[i], two.nodes[j]
        order = sorted if KINDS[kind][1] else list
        assert kind == other
        assert order(place[r] for r in reads) == order(theirs)


@settings(max_examples=300, deadline=None)
@given(made(), made())
def test_networkx_decides_alike_on_any_two(one: Made, two: Made) -> None:
    check(one, two)


@settings(max_examples=300, deadline=None)
@given(made(), st.randoms(use_true_random=False))
def test_a_copy_is_the_same(one: Made, random: Random) -> None:
    two = reordered(one, random)
    check(one, two)
    assert isinstance(isomorphism(one.graph, two.graph, most=10_000), Pairing)


@settings(max_examples=300, deadline=None)
@given(made(), st.randoms(use_true_random=False))
def test_sums_in_sums_are_the_same_regrouped(one: Made, random: Random) -> None:
    start = flat(one)
    two, three = (nested(nested(start, random), random) for _ in range(2))
    assert flat(two) == start or same_to_networkx(flat(two), start)
    check(two, reordered(three, random))
    assert isinstance(isomorphism(two.graph, reordered(three, random).graph), Pairing)


@settings(max_examples=400, deadline=None)
@given(made(4) | made(7), st.data(), st.randoms(use_true_random=False))
def test_one_mutation_is_seen(one: Made, data: Any, random: Random) -> None:
    two = reordered(one, random)
    mutations = (relabelled, rewired, swapped, returning, shared)
    mutated = data.draw(st.sampled_from(mutations))(two, data.draw)
    check(one, mutated)
    check(mutated, one)


def relabelled(one: Made, draw: Any) -> Made:
    i = draw(st.integers(0, len(one.nodes) - 1))
    reads = one.nodes[i][1]
    fitting = [k for k, kind in KINDS.items() if (kind[0] == 1) == (len(reads) == 1)]
    return changed(one, i, (draw(st.sampled_from(fitting)), reads))


def rewired(one: Made, draw: Any) -> Made:
    i = draw(st.integers(0, len(one.nodes) - 1))
    kind, reads = one.nodes[i]
    at = draw(st.integers(0, len(reads) - 1))
    value = draw(st.integers(-one.inputs, i - 1))
    return changed(one, i, (kind, (*reads[:at], value, *reads[at + 1 :])))


def swapped(one: Made, draw: Any) -> Made:
    i = draw(st.integers(0, len(one.nodes) - 1))
    kind, reads = one.nodes[i]
    return changed(one, i, (kind, reads[::-1]))


def returning(one: Made, draw: Any) -> Made:
    """The outputs in another order, or other ones."""
    if draw(st.booleans()):
        return replace(one, outputs=tuple(draw(st.permutations(one.outputs))))
    end = draw(st.integers(-one.inputs, len(one.nodes) - 1))
    return replace(one, outputs=(*one.outputs[:-1], end))


def shared(one: Made, draw: Any) -> Made:
    """A reader of a node reads a copy of it instead."""
    i = draw(st.integers(0, len(one.nodes) - 1))
    copy = len(one.nodes)
    ends = tuple(copy if o == i and k == 0 else o for k, o in enumerate(one.outputs))
    return Made((*one.nodes, one.nodes[i]), ends, one.inputs)


def changed(one: Made, i: int, node: Node) -> Made:
    return replace(one, nodes=(*one.nodes[:i], node, *one.nodes[i + 1 :]))


# --- what the two are told apart by ---------------------------------------------------------


def graph(*nodes: Node, outputs: Sequence[int] = (), inputs: int = 1) -> Labelled:
    return Made(nodes, tuple(outputs) or (len(nodes) - 1,), inputs).graph


def test_inputs_and_outputs_are_who_they_are() -> None:
    two = graph(("sub", (-1, -2)), inputs=2)
    assert isinstance(isomorphism(two, two), Pairing)
    assert isinstance(isomorphism(two, graph(("sub", (-2, -1)), inputs=2)), Parting)
    assert isinstance(isomorphism(two, graph(("sub", (-1, -1)), inputs=2)), Parting)
    more = isomorphism(two, graph(("sub", (-1, -2)), inputs=3))
    assert more == Parting(None, None, "they take or return other values")
    ends = [("relu", (-1,)), ("bn", (-1,))]
    turned = isomorphism(graph(*ends, outputs=(0, 1)), graph(*ends, outputs=(1, 0)))
    assert turned == Parting(None, None, "they take or return other values")
    passed = graph(("relu", (-1,)), outputs=(0, INPUT))
    assert isinstance(isomorphism(passed, passed), Pairing)
    assert isinstance(
        isomorphism(passed, graph(("relu", (-1,)), outputs=(0, 0))), Parting
    )


def test_where_the_two_part() -> None:
    one = graph(("relu", (-1,)), ("bn", (0,)), ("add", (1, 0)))
    other = graph(("relu", (-1,)), ("relu", (0,)), ("add", (1, 0)))
    assert isomorphism(one, other) == Parting(1, 1, "they compute different things")
    twice = graph(("relu", (-1,)), ("relu", (-1,)), ("max", (0, 1)))
    once = graph(("relu", (-1,)), ("max", (0, 0)))
    found = isomorphism(once, twice)
    assert isinstance(found, Parting)
    assert "shared" in found.why
    dead = graph(("relu", (-1,)), ("bn", (-1,)), outputs=(0,))
    found = isomorphism(graph(("relu", (-1,))), dead)
    assert found == Parting(
        None, 1, "they compute more than is needed for the same", settled=True
    )


def test_the_parting_of_sums_is_told_by_the_nodes_given() -> None:
    """Not by those that sums written out have."""
    one = graph(("bn", (-1,)), ("add", (0, -1)), ("add", (1, -1)), ("bn", (2,)))
    two = graph(("bn", (-1,)), ("add", (-1, -1)), ("add", (1, 0)), ("relu", (2,)))
    assert isomorphism(one, two) == Parting(3, 3, "they compute different things")
    two = replace(two, labels=[*two.labels[:3], "bn"])
    assert isomorphism(one, two) == Pairing({0: 0, 2: 2, 3: 3}, regrouped=True)


def test_equal_names_are_preferred() -> None:
    paths = graph(("relu", (-1,)), ("relu", (-1,)), ("relu", (-1,)), ("add", (0, 1, 2)))
    ours = replace(paths, names=["a", "b", "c", "sum"])
    theirs = replace(paths, names=["c", "a", "b", "total"])
    found = isomorphism(ours, theirs)
    assert found == Pairing({0: 1, 1: 2, 2: 0, 3: 3})


def cycles(*lengths: int) -> Labelled:
    """A node for each vertex, a maximum for each edge, and the maximum of those."""
    count, edges, first = sum(lengths), list[tuple[int, int]](), 0
    for length in lengths:
        edges += [(first + i, first + (i + 1) % length) for i in range(length)]
        first += length
    nodes = [("relu", (-1,))] * count + [("max", edge) for edge in edges]
    return graph(*nodes, ("max", tuple(range(count, 2 * count))))


def test_a_digest_may_be_shared_where_a_class_is_not() -> None:
    one, two = cycles(6), cycles(3, 3)
    assert canonical(one) == canonical(two)
    distinct = Distinct()
    assert [distinct.number(g) for g in (one, two, cycles(6))] == [0, 1, 0]


def test_reading_one_value_twice_is_not_reading_two() -> None:
    paths = ("relu", (-1,)), ("relu", (-1,))
    one = graph(*paths, ("max", (0, 1)), ("max", (0, 1)), ("max", (2, 3)))
    two = graph(*paths, ("max", (0, 0)), ("max", (1, 1)), ("max", (2, 3)))
    assert isinstance(isomorphism(one, two), Parting)
    assert canonical(one) != canonical(two)


# --- rows -----------------------------------------------------------------------------------

ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 4)), max_size=6)


@given(ROWS, ROWS)
def test_rows_are_alike_if_they_are_written_out(
    a: list[tuple[str, int]], b: list[tuple[str, int]]
) -> None:
    out = [[block for block, n in row for _ in range(n)] for row in (a, b)]
    assert (gathered(a) == gathered(b)) == (out[0] == out[1])
    assert gathered(a) == gathered((block, 1) for block in out[0])
    assert all(x[0] != y[0] for x, y in zip(gathered(a), gathered(a)[1:], strict=False))


def row(*counts: int, read: int | None = None) -> Labelled:
    """A ReLU, blocks in a row and a BN; perhaps with a second reader of a value."""
    labels: list[Any] = ["relu", *(Repeated((("block", n),)) for n in counts), "bn"]
    reads = [(i - 1,) for i in range(len(labels))]
    if read is not None:
        labels, reads = [*labels, "sub"], [*reads, (len(labels) - 1, read)]
    return Labelled(labels, reads, [False] * len(labels), (len(labels) - 1,))


def test_a_row_is_the_same_however_it_is_cut() -> None:
    for cut in ((1, 16), (16, 1), (1,) * 17, (5, 5, 7)):
        assert isinstance(isomorphism(row(17), row(*cut)), Pairing), cut
        assert canonical(row(17)) == canonical(row(*cut))
    for other in ((16,), (1, 17), (1,) * 16):
        assert isomorphism(row(17), row(*other)) == Parting(
            1, len(other), "they compute different things"
        )
    found = isomorphism(row(1, 16), row(17))
    assert found == Pairing({0: 0, 2: 1, 3: 2})
    assert not found.regrouped


def test_a_row_of_which_a_value_within_is_read_is_cut_there() -> None:
    assert isinstance(isomorphism(row(1, 16, read=1), row(1, 2, 14, read=1)), Pairing)
    assert isinstance(isomorphism(row(1, 16, read=1), row(2, 15, read=1)), Parting)
    assert isinstance(isomorphism(row(1, 16, read=1), row(17, read=1)), Parting)


# --- how long it takes ----------------------------------------------------------------------


def ladder(count: int) -> Made:
    """Deep, each value read twice: x + relu(x), again and again."""
    nodes: list[Node] = []
    for _ in range(count // 2):
        value = len(nodes) - 1
        nodes += [("relu", (value,)), ("max", (value, len(nodes)))]
    return Made(tuple(nodes), (len(nodes) - 1,), 1)


def deep_sum(count: int) -> Made:
    """((x + relu(x)) + relu(x)) + ..., which is one sum."""
    nodes: list[Node] = [("relu", (-1,)), ("add", (-1, 0))]
    while len(nodes) < count:
        nodes += [("relu", (-1,)), ("add", (len(nodes) - 1, len(nodes)))]
    return Made(tuple(nodes), (len(nodes) - 1,), 1)


def fan(count: int) -> Made:
    """Equal paths side by side."""
    nodes: list[Node] = [("relu", (-1,))] * count
    return Made((*nodes, ("max", tuple(range(count)))), (count,), 1)


@pytest.mark.parametrize("shape", [ladder, deep_sum, fan])
def test_a_hundred_thousand_nodes_take_no_search(
    shape: Callable[[int], Made],
) -> None:
    one = shape(100_000)
    two = Made(one.nodes, one.outputs, one.inputs)
    assert isinstance(isomorphism(one.graph, two.graph, most=0), Pairing)


@pytest.mark.parametrize("shape", [ladder, deep_sum, fan])
def test_work_grows_as_the_graph_does(shape: Callable[[int], Made]) -> None:
    """Where they are the same, the same regrouped, and where they part."""

    def work(count: int) -> int:
        one = shape(count)
        last = one.nodes[-1][1]
        turned = changed(one, len(one.nodes) - 1, ("add", last))
        tree = balanced(count)
        deep = deep_sum(count)
        return steps(
            lambda: (
                isomorphism(one.graph, one.graph),
                isomorphism(one.graph, turned.graph),
                isomorphism(deep.graph, tree.graph),
                canonical(one.graph, regroup=True),
            )
        )

    assert work(4_000) / work(2_000) < 2.1


def balanced(count: int) -> Made:
    """The sum of `deep_sum` as a tree."""
    nodes: list[Node] = [("relu", (-1,))] * (count // 2)
    level = [-1, *range(count // 2)]
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = []
        for pair in pairs:
            if len(pair) == 2:
                nodes.append(("add", tuple(pair)))
                pair = [len(nodes) - 1]
            level += pair
    return Made(tuple(nodes), (len(nodes) - 1,), 1)


def test_a_tree_of_sums_is_the_same_as_a_chain() -> None:
    found = isomorphism(deep_sum(10_000).graph, balanced(10_000).graph)
    assert isinstance(found, Pairing)
    assert found.regrouped
