"""The one adjacency, beside networkx; and what a network's rows of units are called."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from resgraph.diagnostics import Span
from resgraph.graph import Block, Node
from resgraph.graph.dag import OUTSIDE, Ops
from resgraph.graph.sites import between, listing, sites
from resgraph.ops import OPS
from tests.helpers import graph_of

HERE = Span("x.yaml", 1, 1, 1, 2)
NESTED = Path(__file__).parent / "prove/nested"


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    """A block of one to three inputs and outputs; not every value need be read."""
    inputs = ("a", "b", "c")[: draw(st.integers(1, 3))]
    values, nodes = [*inputs], list[Node]()
    for i in range(draw(st.integers(1, 9))):
        read = tuple(
            draw(st.sampled_from(values)) for _ in range(draw(st.integers(1, 3)))
        )
        kind = "relu" if len(read) == 1 else "add"
        nodes.append(Node(f"v{i}", read, HERE, {}, "out", op=OPS[kind]()))
        values.append(f"v{i}")
    results = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    outputs = {f"o{i}": value for i, value in enumerate(results)}
    return Block("u", "", (), (), tuple(nodes), HERE, inputs, outputs)


def view(block: Block) -> nx.DiGraph:
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_nodes_from([*block.inputs, *(node.name for node in block.nodes)])
    graph.add_edges_from((i, node.name) for node in block.nodes for i in node.inputs)
    return graph


@given(blocks())
def test_walks_equal_those_of_networkx(block: Block) -> None:
    dag, graph = Ops.of(block), view(block)
    names = {node.name for node in block.nodes}
    for value in graph:
        assert dag.needed([value]) == (nx.ancestors(graph, value) | {value}) & names
        assert dag.reached(value) == nx.descendants(graph, value)
        read = [node.name for node in block.nodes for i in node.inputs if i == value]
        ends = [OUTSIDE for result in block.results.values() if result == value]
        assert dag.readers[value] == [*read, *ends]
    for start in block.inputs:
        above = nx.immediate_dominators(graph, start)
        above.pop(start, None)
        assert dag.dominators(start) == above
        for end in dag.outputs:
            ways = (
                [*nx.all_simple_paths(graph, start, end)] if start != end else [[start]]
            )
            shared = set.intersection(*map(set, ways)) if ways else set()
            assert {*dag.spine(start, end)} == shared


@given(blocks())
def test_a_chain_reads_what_stands_before(block: Block) -> None:
    order = [*block.inputs, *(node.name for node in block.nodes)]
    plain = [{*node.inputs} for node in block.nodes] == [{name} for name in order[:-1]]
    alone = len(block.inputs) == len(block.results) == 1
    ends = [*block.results.values()] == order[-1:]
    assert Ops.of(block).is_chain == (plain and alone and ends)


def test_names_of_rows_are_those_of_the_state_dict() -> None:
    graph = graph_of(NESTED / "preact_when.yaml")
    found = [*sites(graph)]
    names = [site.unit(i) for site in found for i in range(site.count)]
    prefixes = [prefix for prefix, _ in graph.parts() if prefix]
    assert [f"{name}." for name in names] == prefixes
    assert found[0].place == "a.0 to a.2"
    assert found[1].place == "b.0"
    assert between(found[1], found[2]) == "b.0 to b.2"
    assert {site.stage for site in found} == {"a", "b", "c", "j", "aux"}


def test_a_long_list_is_cut() -> None:
    assert listing(["a", "b"], " and ") == "a and b"
    assert listing([*"abcdefgh"]) == "a, b, c, d, e, f and 2 more"
    assert listing([]) == ""
