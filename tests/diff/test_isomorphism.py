"""The decision that two units are the same graph, held against networkx."""

from __future__ import annotations

from typing import Any

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st
from networkx.algorithms.isomorphism import DiGraphMatcher

from resgraph.diff import edits, isomorphism
from resgraph.diff.isomorphism import label
from resgraph.graph import Instance
from resgraph.ops import OPS
from tests.diff.common import bag, mirrored, op, reordered, steps, unit

COMMUTATIVE = ("add", "mul")


def as_networkx(instance: Instance) -> nx.DiGraph:
    """Values as nodes with op and attributes; edges with the places that they are read at."""
    graph = nx.DiGraph()
    graph.add_node("x", what="x", result=False)
    for node in instance.steps:
        inputs = node.inputs
        what = (node.op.kind, sorted(node.op.attributes().items()), len(inputs))
        result = node.name == instance.block.output
        graph.add_node(node.name, what=what, result=result)
        for value in set(inputs):
            places = [i for i, other in enumerate(inputs) if other == value]
            free = node.op.kind in COMMUTATIVE
            where = len(places) if free else tuple(places)
            graph.add_edge(value, node.name, where=where)
    return graph


def same_to_networkx(a: Instance, b: Instance) -> bool:
    return DiGraphMatcher(
        as_networkx(a),
        as_networkx(b),
        node_match=lambda n, m: n == m,
        edge_match=lambda e, f: e == f,
    ).is_isomorphic()


@settings(max_examples=300, deadline=None)
@given(steps(), steps())
def test_networkx_decides_alike_on_units_made_by_chance(a: Any, b: Any) -> None:
    ours, theirs = unit(a), unit(b)
    assert (isomorphism(ours, theirs) is not None) == same_to_networkx(ours, theirs)


@settings(max_examples=200, deadline=None)
@given(steps(), st.data())
def test_order_does_not_matter_and_every_small_change_does(a: Any, data: Any) -> None:
    chosen = reordered(a, lambda n: data.draw(st.integers(0, n - 1)))
    ours, theirs = unit(a), unit(chosen)
    pairs = isomorphism(ours, theirs)
    assert pairs is not None
    assert edits(ours, theirs) == ()
    assert sorted(pairs.values()) == sorted(n.name for n in theirs.steps)
    index = data.draw(st.integers(0, len(a) - 1))
    kind, attributes, reads = chosen[index]
    others = [-1, *range(index)]
    place = data.draw(st.integers(0, len(reads) - 1))
    changed = [*reads]
    changed[place] = data.draw(st.sampled_from(others))
    chosen[index] = (kind, attributes, tuple(changed))
    rewired = unit(chosen)
    assert (isomorphism(ours, rewired) is None) == (not same_to_networkx(ours, rewired))


@settings(max_examples=300, deadline=None)
@given(steps(), steps())
def test_edits_are_none_for_the_same_graph_alone_and_mirror_each_other(
    a: Any, b: Any
) -> None:
    ours, theirs = unit(a), unit(b)
    there, back = edits(ours, theirs), edits(theirs, ours)
    assert (there == ()) == same_to_networkx(ours, theirs)
    assert bag(map(mirrored, there)) == bag(back)
    added = sum(edit.before is None for edit in there)
    removed = sum(edit.after is None for edit in there)
    assert theirs.nodes - ours.nodes == added - removed


def test_a_shared_value_is_not_two_equal_ones() -> None:
    conv = ("conv", {"kernel": 3, "channels": 4}, (-1,))
    shared = unit([conv, ("add", {}, (0, 0))])
    twice = unit([conv, conv, ("add", {}, (0, 1))])
    assert isomorphism(shared, twice) is None
    assert isomorphism(shared, shared) == {"v0": "v0", "v1": "v1"}


def test_an_attribute_written_out_is_the_same_op() -> None:
    plain = op("conv", kernel=3, channels=8)
    for spelled in ({"padding": 1}, {"stride": 1, "groups": 1}, {"name": "my_conv"}):
        assert label(op("conv", kernel=3, channels=8, **spelled), 1) == label(plain, 1)
    for other in ({"padding": 0}, {"stride": 2}, {"bias": True}, {"dilation": 2}):
        assert label(op("conv", kernel=3, channels=8, **other), 1) != label(plain, 1)
    assert label(op("bn", eps=1e-5), 1) == label(op("bn"), 1)
    assert label(op("bn", momentum=0.2), 1) != label(op("bn"), 1)
    assert label(op("max_pool", kernel=2, stride=2), 1) == label(
        op("max_pool", kernel=2), 1
    )
    assert label(op("scale", factor=1), 1) == label(op("scale", factor=1.0), 1)
    biased = {"kernel": 1, "channels": 8, "bias": True}
    assert label(op("conv", **biased, bias_init=-6), 1) != label(
        op("conv", **biased), 1
    )


def test_which_ops_care_about_the_order_of_operands() -> None:
    assert [kind for kind, cls in OPS.items() if cls.commutes] == ["add", "mul"]
