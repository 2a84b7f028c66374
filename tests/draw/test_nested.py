"""Units within units, folded and in frames; networks that are no chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resgraph.diagnostics import SpecError, UsageError
from resgraph.draw import Mark, draw_network, draw_unit, unfolded_units
from resgraph.draw.items import Node
from resgraph.graph import Graph, Instance
from tests.conftest import ROOT
from tests.draw.common import check_geometry, classes, groups, on_one_another, parsed
from tests.draw.test_command import captions, draw, ops
from tests.helpers import SPECS, graph_of

PYRAMID = ROOT / "tests/draw/pyramid.yaml"
SE = SPECS / "nested" / "se_resnet20.yaml"

SPEC = """
resgraph: 1
title: Units within units
units:
  small:
    params: [{act: relu}]
    paths:
      out: {from: x, ops: [bn, act]}
  large:
    paths:
      F: {from: x, ops: [small, {conv: {kernel: 3, channels: in}}, bn, relu, {conv: {kernel: 3, channels: in}}, bn, relu, {conv: {kernel: 3, channels: in}}]}
      out: {from: [x, F], ops: [add]}
  idle:
    params: [{on: false}]
    paths:
      out: {from: x, ops: [{scale: {factor: 2}, when: on}]}
  split:
    outputs: [a, b]
    paths:
      a: {from: x, ops: [{conv: {kernel: 3, channels: in}}]}
      b: {from: x, ops: [{scale: {factor: 0.5}}]}
  join:
    inputs: [left, right]
    paths:
      out: {from: [left, right], ops: [add]}
  body:
    paths:
      h: {from: x, ops: [idle]}
      F: {from: x, ops: [{small: {act: sigmoid}}, {large: {}, repeat: 3}]}
      s: {from: F, ops: [split]}
      j: {from: [s.a, s.b], ops: [join]}
      out: {from: [h, j], ops: [add]}
network:
  input: [4, 8, 8]
  stem: []
  stages:
    - [{body: {}}]
  head: [global_avg_pool, {linear: {features: 10}}]
"""


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    path = tmp_path / "deep.yaml"
    path.write_text(SPEC)
    return graph_of(path)


@pytest.fixture
def body(graph: Graph) -> Instance:
    return graph.stages[0][1][0].instances[0]


def shown(
    figure_of: Instance, **options: object
) -> tuple[set[str], set[str], set[str]]:
    """The names of ops, of folded units, and of frames."""
    root = parsed(draw_unit(figure_of, **options))  # type: ignore[arg-type]
    found = [
        {g.attrib["data-node"] for g in groups(root, tag)}
        for tag in ("op", "call", "frame")
    ]
    return found[0], found[1], found[2]


def test_small_units_that_are_used_once_are_unfolded(body: Instance) -> None:
    ops, calls, frames = shown(body)
    assert calls == {"large.0"}  # of several, and too large
    assert frames == {"h_idle", "small", "s_split", "j_join"}
    assert ops == {
        "small.bn1",
        "small.act1",
        "s_split.a_conv",
        "s_split.b_scale",
        "j_join.add1",
        "out_add",
    }


def test_all_none_and_one(body: Instance) -> None:
    _, calls, frames = shown(body, unfold=("all",))
    assert calls == set()
    assert frames >= {"large.0", "large.0.small", "small"}
    ops, calls, frames = shown(body, unfold=())
    assert (ops, frames) == ({"out_add"}, set())
    assert calls == {"h_idle", "small", "large.0", "s_split", "j_join"}
    ops, _, frames = shown(body, unfold=("large",))
    assert frames == {"large.0"}
    assert "large.0.small" not in ops


def test_what_has_marks_in_it_is_unfolded(body: Instance) -> None:
    marks = {
        "large.1.small.bn1": Mark("added", "new")
    }  # equal to the first, which is drawn
    root = parsed(draw_unit(body, marks=marks))
    (marked,) = groups(root, "mark-added")
    assert marked.attrib["data-node"] == "large.0.small.bn1"
    folded = parsed(draw_unit(body, marks=marks, unfold=()))
    (marked,) = groups(folded, "mark-added")
    assert marked.attrib["data-node"] == "large.0"
    assert unfolded_units(body, marks) >= {"large", "small"}
    assert "large" not in unfolded_units(body, {})


def test_a_shortcut_leads_through_units(body: Instance) -> None:
    for unfold in (None, ("all",), ()):
        root = parsed(draw_unit(body, unfold=unfold))
        edges = groups(root, "edge")
        thick = {g.attrib["data-edge"] for g in edges if "shortcut" in classes(g)}
        assert {"x>h_idle", "h_idle>out_add", "out_add>out"} <= thick
        assert not [g for g in groups(root, "call") if "broken" in classes(g)]


def test_a_unit_on_the_shortcut_that_changes_it_is_red() -> None:
    stage = graph_of(SE).stages[1][1]
    se = next(run.instances[0] for run in stage)
    root = parsed(draw_unit(se))
    red = {g.attrib["data-node"] for g in groups(root, "op") if "broken" in classes(g)}
    assert red == {"h_conv"}
    merge = _unit(graph_of(PYRAMID), "lateral")
    assert len({e for e in _thick(merge) if e.endswith(">out")}) == 1


def _thick(instance: Instance) -> set[str]:
    edges = groups(parsed(draw_unit(instance)), "edge")
    return {g.attrib["data-edge"] for g in edges if "shortcut" in classes(g)}


def _unit(graph: Graph, name: str) -> Instance:
    runs = [run for _, stage in graph.stages for run in stage]
    return next(run.instances[0] for run in runs if run.call.block == name)


def test_what_is_not_there_is_not_drawn() -> None:
    first, second = (graph_of(SE).stages[i][1][0].instances[0] for i in (0, 1))
    assert "h_conv" not in shown(first)[0]
    assert "h_conv" in shown(second)[0]


def test_names_of_several_inputs_and_outputs(body: Instance) -> None:
    figure = draw_unit(body)
    ports = {box.text for box in figure.boxes if box.kind == "port"}
    assert ports == {"left", "right"}
    split = {box.text for box in figure.boxes if box.kind == "shape"}
    assert {"a", "b"} <= {text.split()[0] for text in split}
    merge = draw_unit(_unit(graph_of(PYRAMID), "lateral"))
    ends = [box for box in merge.boxes if box.kind == "end"]
    assert [box.text for box in ends] == ["below", "skip", "out"]
    assert ends[0].y == ends[1].y


def test_a_network_with_skips_and_several_outputs() -> None:
    figure = draw_network(graph_of(PYRAMID))
    check_geometry(figure)
    root = parsed(figure)
    assert not [*on_one_another(root)]
    graph = graph_of(PYRAMID)
    ends = {g.attrib["data-node"] for g in groups(root, "terminal")}
    assert ends == {"input", *graph.network.block.results}
    edges = {g.attrib["data-edge"] for g in groups(root, "edge")}
    rows = {row.name: row for row in graph.network.block.rows}
    for row in rows.values():
        ending = [e for e in edges if e.split(">")[1].split(".")[0] == row.name]
        inside = [e for e in ending if e.split(".")[0] == row.name]
        assert len(ending) - len(inside) == len(row.inputs)
    names = [box.text for box in figure.boxes if box.kind == "stage"]
    assert set(names) == {row.name for row, _ in graph.stages}


def test_more_than_can_be_looked_at_is_refused(tmp_path: Path) -> None:
    text = "resgraph: 1\ntitle: wide\nunits:\n  u0: {paths: {out: {from: x, ops: [relu, bn]}}}\n"
    for i in range(1, 12):
        text += f"  u{i}: {{paths: {{out: {{from: x, ops: [u{i - 1}, u{i - 1}]}}}}}}\n"
    text += "network:\n  input: [2, 4, 4]\n  stages: [[u11]]\n  head: [global_avg_pool, {linear: {features: 2}}]\n"
    (tmp_path / "a.yaml").write_text(text)
    top = graph_of(tmp_path / "a.yaml").stages[0][1][0].instances[0]
    from resgraph.draw import SizeError

    with pytest.raises(SizeError, match="nodes, and up to"):
        draw_unit(top, unfold=("all",))
    assert len(shown(top)[1]) == 2


@pytest.mark.parametrize(
    ("unfold", "frames"),
    [
        ((), 1),
        (("--unfold", "none"), 0),
        (("--unfold", "all"), 1),
        (("--unfold", "se"), 1),
    ],
)
def test_the_option(
    tmp_path: Path,
    unfold: tuple[str, ...],
    frames: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(str(SE), *unfold, "--out", "a.svg")
    assert len(ops(tmp_path / "a.svg", "frame")) == frames
    assert len(ops(tmp_path / "a.svg", "call")) == 1 - frames


def test_the_option_that_does_not_fit() -> None:
    with pytest.raises(UsageError) as caught:
        draw(str(SE), "--unfold", "sse")
    assert "'body' uses no unit 'sse'" in caught.value.message
    assert caught.value.hint == "did you mean 'se'?"
    with pytest.raises(UsageError, match="--whole and --unfold"):
        draw(str(SE), "--whole", "--unfold", "all")


def test_stages_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw(str(PYRAMID), "--stage", "c3", "--out", "a.svg")
    draw(str(PYRAMID), "--stage", "2", "--out", "b.svg")
    assert captions(tmp_path / "a.svg") == captions(tmp_path / "b.svg")
    with pytest.raises(UsageError) as caught:
        draw(str(PYRAMID), "--stage", "c9")
    assert str(caught.value.hint).endswith("are c2, c3, c4, p3, s, m")


VARIANTS = """
resgraph: 1
title: Units in several forms
units:
  leaf:
    params: [{act: relu}]
    paths:
      out: {from: x, ops: [{conv: {kernel: 3, channels: in}}, act]}
  pair:
    params: [width, {act: relu}]
    paths:
      h: {from: x, when: in != width, ops: [{conv: {kernel: 1, channels: width}}]}
      F: {from: x, ops: [{conv: {kernel: 3, channels: width}}, {leaf: {act: act}, repeat: 2, name: leaves}]}
      out: {from: [h, F], ops: [add]}
  group:
    params: [width, {down: false}, {act: relu}]
    paths:
      out:
        from: x
        ops:
          - {max_pool: {kernel: 2}, when: down}
          - {pair: {width: width, act: act}, repeat: 3, name: pairs}
  ending:
    paths:
      out: {from: x, ops: [bn, relu]}
network:
  input: [3, 16, 16]
  stem: [{conv: {kernel: 3, channels: 8}}]
  stages:
    - [{group: {width: 8}}]
    - [{group: {width: 16, down: true, act: sigmoid}, repeat: 2}]
  head: [ending, global_avg_pool, {linear: {features: 10}}]
"""


def test_every_unit_is_drawn_in_each_of_its_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(VARIANTS)
    draw("a.yaml", "--units", "--unfold", "none", "--out", "a.svg")
    names = " ".join(captions(tmp_path / "a.svg")).split(" of a, ")
    assert "; ".join(names) == (
        "group; stage1.0 group; stage2.0 "
        "pair; stage1.0.pairs.0 to stage1.0.pairs.2 pair; stage2.0.pairs.0 "
        "pair; stage2.1.pairs.0 to stage2.1.pairs.2 ending; head_ending "
        "leaf; stage1.0.pairs.0.leaves.0 to stage1.0.pairs.0.leaves.1 "
        "leaf; stage2.1.pairs.0.leaves.0 to stage2.1.pairs.0.leaves.1"
    )
    draw("a.yaml", "--unit", "leaf", "--out", "b.svg")
    assert "".join(captions(tmp_path / "b.svg")).startswith("leaf of a, stage1.0.pairs")


def test_growing_units_with_other_ops_are_other_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (
        "resgraph: 1\ntitle: t\nunits:\n  body:\n    paths:\n"
        "      d: {from: x, when: index % 2 == 0, ops: [{conv: {kernel: 1, channels: in}}]}\n"
        "      F: {from: x, ops: [{conv: {kernel: 3, channels: 4}}]}\n"
        "      out: {from: [F, d], ops: [concat]}\n"
        "network:\n  input: [8, 16, 16]\n  stages: [[{body: {}, repeat: 3}]]\n"
        "  outputs: {y: stage1}\n"
    )
    (tmp_path / "a.yaml").write_text(text)
    draw("a.yaml", "--stage", "1", "--out", "a.svg")
    assert captions(tmp_path / "a.svg") == [
        f"body of a, stage1.{number}" for number in range(3)
    ]
    assert ops(tmp_path / "a.svg").count("d_conv") == 2
    draw("a.yaml", "--units", "--out", "b.svg")
    assert captions(tmp_path / "b.svg") == [
        "body of a, stage1.0",
        "body of a, stage1.1",
    ]


@pytest.mark.parametrize("names", [("a", "b", "c"), ("c", "a", "b"), ("b", "c", "a")])
@pytest.mark.parametrize("kept", [0, 1, 2])
def test_inputs_stand_in_the_order_of_their_names(
    tmp_path: Path, names: tuple[str, str, str], kept: int
) -> None:
    """Whichever of them is the shortcut."""
    conv = "{conv: {kernel: 3, channels: 4}}"
    paths = "".join(f"      l{n}: {{from: {n}, ops: [{conv}]}}\n" for n in "abc")
    (tmp_path / "a.yaml").write_text(
        "resgraph: 1\ntitle: t\nunits:\n"
        f"  outer: {{paths: {{out: {{from: [x, x, x], ops: [join]}}}}}}\n"
        f"  join:\n    inputs: [{', '.join(names)}]\n    paths:\n{paths}"
        "      one: {from: [la, lb, lc], ops: [add, relu]}\n"
        f"      out: {{from: [{names[kept]}, one], ops: [add]}}\n"
        "network:\n  input: [4, 8, 8]\n  stages: [[outer]]\n  outputs: {y: stage1}\n"
    )
    graph = graph_of(tmp_path / "a.yaml")
    outer = graph.stages[0][1][0].instances[0]
    join = next(i for _, i in outer.parts())
    for figure, kind in (
        (draw_unit(join), "end"),
        (draw_unit(outer, unfold=("all",)), "port"),
    ):
        check_geometry(figure)
        found = [box for box in figure.boxes if box.kind == kind and box.text in names]
        across = sorted(found, key=lambda box: box.x)
        assert tuple(box.text for box in across) == names


def test_names_are_not_broken(tmp_path: Path) -> None:
    unit, stage = (
        "a_unit_with_quite_a_long_name_of_its_own",
        "inception4a_behind_the_pool",
    )
    (tmp_path / "a.yaml").write_text(
        f"resgraph: 1\ntitle: t\nunits:\n  {unit}:\n    params: [{unit}s_width]\n"
        f"    paths:\n      out: {{from: x, ops: [{{conv: {{kernel: 3, channels: {unit}s_width}}}}]}}\n"
        f"network:\n  input: [4, 8, 8]\n  stages: {{{stage}: [{{{unit}: {{{unit}s_width: 8}}}}]}}\n"
        f"  outputs: {{y: {stage}}}\n"
    )
    figure = draw_network(graph_of(tmp_path / "a.yaml"))
    check_geometry(figure)
    words = {word for box in figure.boxes for word in box.text.split()}
    assert {unit, stage, f"{unit}s_width"} <= words
    for node in figure.items:
        if isinstance(node, Node):
            assert all(text.width <= node.width for text in node.texts)


def test_a_finding_in_a_nested_unit_is_at_its_op(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError):
        draw(str(ROOT / "tests/bad/nested_number.yaml"), "--out", "a.svg")
    assert ops(tmp_path / "a.svg", "mark-finding") == ["se.gate_conv1"]


def test_golden_unit(golden: Callable[[str, str], None]) -> None:
    body = graph_of(SE).stages[1][1][0].instances[0]
    golden("draw/se_resnet20_body.svg", draw_unit(body).svg())


def test_golden_network(golden: Callable[[str, str], None]) -> None:
    golden("draw/pyramid_network.svg", draw_network(graph_of(PYRAMID)).svg())


ENDS = """
resgraph: 1
title: A unit for a stem, and an output that nothing reads
units:
  cbr:
    params: [width, {kernel: 3}]
    paths: {out: {from: x, ops: [{conv: {kernel: kernel, channels: width}}, bn, relu]}}
  two:
    outputs: {out: F, aux: g}
    paths:
      F: {from: x, ops: [bn, relu]}
      g: {from: F, ops: [relu]}
network:
  input: [1, 8, 8]
  stem: [{cbr: {width: 8}}]
  stages:
    f: [two]
    g: {from: f.out, units: [{cbr: {width: 8, kernel: 1}}]}
  head: [global_avg_pool, {linear: {features: 10}}]
"""


def test_a_chain_stays_straight_where_an_output_is_unread(tmp_path: Path) -> None:
    """And says which one; a unit in the stem has its arguments."""
    (tmp_path / "a.yaml").write_text(ENDS)
    figure = draw_network(graph_of(tmp_path / "a.yaml"))
    check_geometry(figure)
    boxes = {item.name: item for item in figure.items if isinstance(item, Node)}
    assert len({node.x for node in boxes.values()}) == 1
    texts = [text.text for text in boxes["f.0"].texts]
    assert texts == ["two", "aux [8, 8, 8], unread"]
    assert [text.text for text in boxes["stem"].texts][1:] == ["cbr, width 8, kernel 3"]
