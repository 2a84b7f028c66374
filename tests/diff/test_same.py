"""Names and layout make no difference; anything else makes one."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resgraph.diagnostics import SpecError
from resgraph.diff import compare
from resgraph.diff.properties import told
from tests.conftest import ROOT
from tests.diff.common import bag, compiled, mirrored, network, tree
from tests.diff.rewriting import mutations, rewritten

COMMITTED = sorted(path.stem for path in (ROOT / "specs").glob("*.yaml"))
MUTATED = {"preact_basic": 20, "original_bottleneck": 29, "exclusive_gating": 20}
"""With a depth at which every unit is there, and follows itself."""


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(COMMITTED), st.data())
def test_specs_written_in_another_way_are_the_same_graph(spec: str, data: Any) -> None:
    again = rewritten(json.loads(tree(spec)), data.draw)
    with TemporaryDirectory() as folder:
        other = compiled(again, Path(folder))
    difference = compare(network(spec), other)
    assert difference.same
    assert difference.pairs == ()
    assert difference.recipe == {}
    assert compare(other, network(spec)).same


@pytest.mark.parametrize("spec", MUTATED)
def test_one_change_is_seen_and_reads_the_same_backwards(
    spec: str, tmp_path: Path
) -> None:
    base = json.loads(tree(spec))
    base["networks"] = {"shallow": {"depth": MUTATED[spec]}}
    graph, count = compiled(base, tmp_path), 0
    for what, changed in mutations(base):
        try:
            other = compiled(changed, tmp_path)
        except SpecError:
            continue
        count += 1
        there, back = compare(graph, other), compare(other, graph)
        assert not there.same, what
        assert any(pair.edits for pair in there.pairs), what
        for one, two in zip(there.pairs, back.pairs, strict=True):
            assert bag(map(mirrored, one.edits)) == bag(two.edits), what
    assert count > 60


def test_every_two_committed_specs_mirror_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graphs = [network(spec) for spec in COMMITTED]
    proved = {graph.name: [*told(graph)] for graph in graphs}
    monkeypatch.setattr("resgraph.diff.network.told", lambda g: proved[g.name])
    alike = 0
    for i, a in enumerate(graphs):
        for b in graphs[i:]:
            there, back = compare(a, b), compare(b, a)
            assert there.same == back.same == (a is b)
            alike += there.same
            assert [(p.before, p.after) for p in there.pairs] == [
                (p.after, p.before) for p in back.pairs
            ]
            for one, two in zip(there.pairs, back.pairs, strict=True):
                assert bag(map(mirrored, one.edits)) == bag(two.edits)
                assert one.properties == two.properties[::-1]
            assert there.findings == back.findings[::-1]
    assert alike == len(graphs)


def test_the_stages_of_equal_units_may_begin_elsewhere(tmp_path: Path) -> None:
    spec = json.loads(tree("preact_basic"))
    first, *rest = spec["network"]["stages"]
    split = spec | {
        "network": spec["network"] | {"stages": [first[:1], first[1:], *rest]}
    }
    assert compare(network("preact_basic"), compiled(split, tmp_path)).same
