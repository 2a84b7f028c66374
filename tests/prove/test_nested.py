"""Units in units, several inputs and outputs, networks whose stages are no chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from resgraph.graph import Graph, Instance
from resgraph.prove import Finding, Level, Topic, prove
from resgraph.prove.cuts import truncating
from resgraph.prove.parts import decompose, shortcuts, ways
from resgraph.prove.sites import sites, units
from tests.helpers import SPECS, graph_from, graph_of
from tests.prove.common import of, warnings

NESTED = sorted((Path(__file__).parent / "nested").glob("*.yaml"))
Tree = dict[str, Any]


def network(name: str) -> Graph:
    return graph_of(Path(__file__).parent / f"nested/{name}.yaml")


def tree_of(name: str) -> Tree:
    path = Path(__file__).parent / f"nested/{name}.yaml"
    return dict(YAML(typ="safe").load(path.read_text()))


def compiled(tree: Tree, folder: Path) -> Graph:
    path = folder / "spec.yaml"
    path.write_text(json.dumps(tree), encoding="utf-8")
    return graph_of(path)


def unit(graph: Graph, name: str) -> Instance:
    """A unit by its name in the state_dict."""
    return next(site.instance for site in sites(graph) if site.unit() == name)


def about(graph: Graph, *words: str) -> Finding:
    """The one finding whose message has all the words."""
    (found,) = [f for f in prove(graph) if all(word in f.message for word in words)]
    return found


# Warnings that are true of a design, and no false alarms: ConvNeXt's classifier reads the
# last sum as it is, and the auxiliary head of a pre-activation network its raw sum.
TRUE = {
    "convnext_like": ["unactivated-weight"],
    "preact_when": ["missing-tail"],
}


@pytest.mark.parametrize("path", NESTED, ids=[path.stem for path in NESTED])
def test_no_false_alarm(path: Path) -> None:
    told = [f.code.name for f in warnings(network(path.stem)) if f.code]
    assert told == TRUE.get(path.stem, [])


def test_a_unit_in_f_is_looked_through() -> None:
    graph = graph_of(SPECS / "nested/se_resnet20.yaml")
    parts = decompose(unit(graph, "stage1.0"))
    assert parts
    assert (parts.x, parts.y.name, parts.is_identity) == ("x", "out_add", True)
    assert {"se.gate_conv1", "se.gate_sigmoid"} <= {node.name for node in parts.F}
    (depth,) = of(graph, Topic.DEPTH, Level.FACT)
    assert depth.message.startswith("20 weight layers")


def test_a_mistake_in_a_unit_of_a_unit_is_called_as_in_the_state_dict(
    tmp_path: Path,
) -> None:
    tree = tree_of("mobile")
    gate = tree["units"]["se"]["paths"]["gate"]["ops"]
    gate.remove("sigmoid")
    (finding,) = warnings(compiled(tree, tmp_path))
    assert finding.code
    assert finding.code.name == "unbounded-gate"
    assert "se.gate_conv2 ends a gate of se.mul1" in finding.message
    gate.append("sigmoid")
    gate.remove("relu")
    (finding,) = warnings(compiled(tree, tmp_path))
    assert finding.code
    assert finding.code.name == "unactivated-weight"
    assert finding.where[0] == "stage1.0.se.gate_conv2"


@pytest.mark.parametrize("place", [2, 4, 5])
def test_an_activation_missing_in_any_depth_is_told(place: int, tmp_path: Path) -> None:
    """In the units of an Inception unit: each is used several times, and told once."""
    tree = tree_of("inception")
    tree["units"]["cbr"]["paths"]["out"]["ops"].remove("relu")
    found = warnings(compiled(tree, tmp_path))
    assert {f.code.name for f in found if f.code} == {"unactivated-weight"}
    assert any(f"{'abcabc'[place - 3]}" in w for f in found for w in f.where)


def test_what_is_made_of_units_is_looked_into() -> None:
    graph = network("convnext_like")
    found = sites(graph)
    assert [site.place for site in found] == [
        "pair.0 to pair.1 of each of stage1.0 to stage1.2",
        "last of each of stage1.0 to stage1.2",
        "stage2.0.blocks.0 to stage2.0.blocks.8",
        "stage3.0.blocks.0 to stage3.0.blocks.1",
    ]
    assert units(found) == 20
    assert all(site.carries for site in found)
    steps = about(graph, "no identity path between its units")
    assert steps.message.startswith("stage2.0, stage3.0: ")
    assert steps.where == (
        *("stage2.0.bn1", "stage2.0.conv1"),
        *("stage3.0.bn1", "stage3.0.conv1"),
    )
    (depth,) = of(graph, Topic.DEPTH, Level.FACT)
    assert depth.message.startswith("64 weight layers")


def test_a_stage_is_judged_alike_as_a_list_and_as_a_unit(tmp_path: Path) -> None:
    tree = tree_of("convnext_like")
    tree["units"].pop("pair", None)
    plain = json.loads(json.dumps(tree))
    tree["network"]["stages"] = [[{"twice": {"width": 16}, "repeat": 2}]]
    plain["network"]["stages"] = [[{"block": {"width": 16}, "repeat": 6}]]
    for each in (tree, plain):
        used = "twice" if each is tree else "block"
        each["units"] = {
            name: unit
            for name, unit in each["units"].items()
            if name in ("block", used)
        }
    one, two = (prove(compiled(each, tmp_path)) for each in (tree, plain))
    assert [f.label for f in one] == [f.label for f in two]
    for a, b in zip(one, two, strict=True):
        places = "pair.0 to last of each of stage1.0 to stage1.1"
        assert a.message.replace(places, "stage1.0 to stage1.5") == b.message


def test_cost_does_not_depend_on_repeats_in_units(tmp_path: Path) -> None:
    tree = tree_of("convnext_like")
    tree["network"]["stages"][1][0]["stage"]["n"] = 200_000
    graph = compiled(tree, tmp_path)
    assert "200011 of 200011" in about(graph, "through every unit").message
    assert about(graph, "weight layers on the longest").message.startswith("600037 ")


def test_a_skip_that_is_added_is_an_identity_path() -> None:
    graph = network("preact_when")
    parts = shortcuts(unit(graph, "j.0"))
    assert [(p.x, p.is_identity) for p in parts] == [("skip", True)]
    assert [p.x for p in ways(unit(graph, "j.0"))] == ["below", "skip"]
    found = about(graph, "skip connection from a to j.0, past b, c")
    assert found.level is Level.HOLDS
    assert "adds x_l as it is: an identity path" in found.message
    assert found.where == ("j.0.out_add",)
    assert (
        "j.0 to j.2 from skip (3 of 12 units)"
        in about(graph, "from skip", "(4)").message
    )


def test_f_behind_a_skip_breaks_it(tmp_path: Path) -> None:
    tree = tree_of("preact_when")
    tree["units"]["join"]["paths"]["out"]["ops"] = ["add", "relu"]
    found = about(compiled(tree, tmp_path), "skip connection")
    assert found.level is Level.BROKEN
    assert "f, with out_relu, then changes the sum" in found.message


def test_a_skip_that_is_concatenated_is_kept() -> None:
    found = [f for f in prove(network("unet")) if "skip connection" in f.message]
    assert [f.message.split(":")[0] for f in found] == [
        "skip connection from c2 to d2.0, past c3",
        "skip connection from c1 to d1.0, past c2, c3, d2",
    ]
    assert all(
        "in channels of its own, as a dense connection" in f.message for f in found
    )


def test_gradients_come_past_what_a_skip_leads_past(tmp_path: Path) -> None:
    tree = tree_of("preact_when")
    tree["units"]["body"]["paths"]["out"]["ops"] = ["add", "relu"]
    graph = compiled(tree, tmp_path)
    passed = [f for f in prove(graph) if "must pass out_relu" in f.message]
    assert [f.message.split(":")[0] for f in passed] == [
        "a.0 to a.2 (3 of 12 units)",
        "b.0 to c.1, j.1 to j.2 (7 of 12 units)",
    ]
    assert ["comes this way" in f.message for f in passed] == [False, True]


def test_depth_and_field_of_each_output() -> None:
    graph = network("fpn")
    told = [f.message for f in of(graph, Topic.DEPTH, Level.FACT)]
    assert [text.split(" weight")[0] for text in told] == [
        f"the output p{n}: 15" for n in (2, 3, 4)
    ]
    fields = [f.message for f in of(graph, Topic.FIELD, Level.FACT)]
    assert fields[-1].startswith("at the exit of p2, the output p2: 29 x 29 pixels")


def test_a_missing_tail_is_told_on_every_way_to_an_output(tmp_path: Path) -> None:
    tree = tree_of("preact_when")
    tree["network"]["head"]["ops"] = tree["network"]["head"]["ops"][2:]
    found = warnings(compiled(tree, tmp_path))
    assert [f.where for f in found] == [
        ("aux.0.global_avg_pool1",),
        ("head_global_avg_pool",),
    ]
    assert found[0].hint == "ops: [bn, relu, global_avg_pool, ...]"
    assert found[1].hint == "head: [bn, relu, global_avg_pool, ...]"
    tree["units"]["aux"]["paths"]["out"]["ops"][:0] = ["bn", "relu"]
    tree["network"]["head"]["ops"][:0] = ["bn", "relu"]
    assert warnings(compiled(tree, tmp_path)) == []


def test_a_classifier_of_several_units_has_its_tail(tmp_path: Path) -> None:
    """What leads to an output with no residual unit on its way is a head, if in stages."""
    tree = tree_of("preact_when")
    conv = {"conv": {"kernel": 1, "channels": 24}}
    tree["units"]["squeeze"] = {"paths": {"out": {"from": "x", "ops": [conv, "relu"]}}}
    tree["network"]["stages"]["aux"]["units"].insert(0, "squeeze")
    (found,) = warnings(compiled(tree, tmp_path))
    assert found.code
    assert (found.code.name, found.where) == ("missing-tail", ("aux.0.conv1",))


def test_units_of_units_cut_where_their_last_one_does(tmp_path: Path) -> None:
    tree = tree_of("convnext_like")
    tree["units"]["block"]["paths"]["out"]["ops"] = ["add", "relu"]
    cuts = truncating(compiled(tree, tmp_path))
    assert [*cuts] == ["stage1.0", "stage1.1", "stage1.2", "stage2.0", "stage3.0"]
    assert all(cuts.values())


def test_parallel_stages_are_no_skip_connections() -> None:
    """What the way back of a feature pyramid reads comes by two ways, neither past the other."""
    graph = graph_of(SPECS / "nested/resnet18_features.yaml")
    assert not [f for f in prove(graph) if "skip connection" in f.message]
    assert [f.message.split(":")[0] for f in of(graph, Topic.DEPTH, Level.FACT)] == [
        *("the output logits", "the output n2", "the output n3"),
        *("the output n4", "the output n5"),
    ]


def test_units_that_multiply_by_their_number_are_apart(tmp_path: Path) -> None:
    tree = tree_of("preact_when")
    body = tree["units"]["body"]["paths"]
    body["F"]["ops"].append({"scale": {"factor": "1 / (index + 1)"}})
    body["out"]["from"] = ["h", "F"]
    assert len(prove(compiled(tree, tmp_path))) == len(prove(network("preact_when")))
    body["out"] = {
        "from": ["h", "F"],
        "ops": ["add", {"scale": {"factor": "1 / (index + 1)"}}],
    }
    found = [f.message for f in prove(compiled(tree, tmp_path))]
    assert any(m.startswith("a.0, c.0 (2 of 12 units): h and f are id") for m in found)
    assert any("0.5 at out_scale" in message for message in found)
    assert any("0.333333 at out_scale" in message for message in found)


FUSE = """\
resgraph: 1
title: Several inputs, concatenated
units:
  fuse:
    inputs: [a, b]
    paths:
      down: {from: a, ops: [{conv: {kernel: 3, channels: 8}}]}
      out: {from: [OPERANDS], ops: [concat]}
network:
  input: [3, 8, 8]
  stem: [relu]
  stages:
    s: {from: [x, stem], units: [fuse]}
  outputs: {y: s}
"""
KEPT = {
    "down, b": ("keeps b as it is, beside others", "dE/db has the gradient of b's"),
    "b, down": ("keeps b as it is, beside others", "dE/db has the gradient of b's"),
    "a, down, b": ("keeps a and b as they are", "dE/da and dE/db have the gradients"),
}


@pytest.mark.parametrize("operands", KEPT)
def test_what_is_kept_has_its_inputs_name(operands: str, tmp_path: Path) -> None:
    graph = graph_from(FUSE.replace("OPERANDS", operands), tmp_path)
    for words in KEPT[operands]:
        assert about(graph, words)


@pytest.mark.parametrize("input", ["[32]", "[16, 32]"])
def test_tokens_and_vectors_have_no_receptive_field(input: str, tmp_path: Path) -> None:
    text = (
        "resgraph: 1\ntitle: Relu\nunits: {u: {paths: {out: {from: x, ops: [relu]}}}}\n"
        f"network: {{input: {input}, stages: [[u]], outputs: {{y: stage1}}}}\n"
    )
    graph = graph_from(text, tmp_path)
    assert prove(graph)
    assert of(graph, Topic.FIELD, Level.FACT) == []
