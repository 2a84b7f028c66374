"""Published designs are no mistakes, and the usual mistakes in them are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from resgraph.compiler import Compiler
from resgraph.graph import Graph
from resgraph.prove import Level, Topic, prove
from resgraph.prove.sites import sites
from tests.helpers import FIELD
from tests.prove.common import of, warnings

Tree = dict[str, Any]
IDS = [path.stem for path in FIELD]

# Warnings that are true of a published design; its spec allows them and says why.
ALLOWED = {
    "convnext": {"unactivated-weight"},
    "xception": {"missing-tail"},
}

# Activations that published designs do without: what is left where one is removed is
# another design, and no mistake.
SPARE = {
    ("densenet121", "stem", "relu"): "the first unit activates, behind the pooling",
    ("ghostnet", "body.q", "relu"): "depthwise and 1x1: a separable convolution",
    ("ghostnet", "down.q", "relu"): "depthwise and 1x1: a separable convolution",
    ("highway", "layer.H", "relu"): "a gated linear unit",
    ("mobilenet", "separable.out", "relu"): "a separable convolution",
    ("mobilenet_v2", "first.out", "relu"): "a separable convolution",
    ("mobilenet_v2", "entry.out", "relu"): "a separable convolution",
    ("mobilenet_v2", "body.F", "relu"): "a separable convolution",
    ("preact_gluon", "stem", "relu"): "the first unit activates, behind the pooling",
    ("squeezenet", "head", "relu"): "the pooled maps are the logits",
}

DEPTHS = {
    "densenet40": 40,
    "densenet121": 121,
    "lenet5": 5,
    "plain20": 20,
    "preact_resnet50": 50,
    "preact_resnet200": 200,
    "resnet18": 18,
    "resnet50": 50,
    "resnet152": 152,
    "resnext50_32x4d": 50,
    "se_preact_resnet18": 18,
    "se_resnet50": 50,
    "vgg16_bn": 16,
    "wide_resnet50_2": 50,
}


@cache
def graphs(path: Path) -> tuple[Graph, ...]:
    return tuple(Compiler().graphs(path))


@cache
def resolved(path: Path) -> str:
    return json.dumps(YAML(typ="safe").load(Compiler().resolved(path)))


def tree_of(path: Path) -> Tree:
    """The spec without what it extends, to be changed."""
    tree: Tree = json.loads(resolved(path))
    tree.pop("allow", None)
    first = next(iter(tree["networks"]))
    return tree | {"networks": {first: tree["networks"][first]}}


def codes(tree: Tree, folder: Path) -> list[str]:
    """What is told of the tree's network."""
    path = folder / "spec.yaml"
    path.write_text(json.dumps(tree), encoding="utf-8")
    (graph,) = Compiler().graphs(path)
    return sorted(finding.label for finding in warnings(graph))


@pytest.mark.parametrize("path", FIELD, ids=IDS)
def test_no_warning_but_those_allowed(path: Path) -> None:
    for graph in graphs(path):
        told = {finding.code.name for finding in warnings(graph) if finding.code}
        assert told == ALLOWED.get(path.stem, set()), graph.name
        assert told == {item.code.name for item in graph.allow}


@pytest.mark.parametrize("path", FIELD, ids=IDS)
def test_nothing_is_broken_where_it_must_be(path: Path) -> None:
    """Broken is told of units that keep their shape, or have an f, alone."""
    for graph in graphs(path):
        bound = {
            site.unit()
            for site in sites(graph)
            if site.parts is None
            or (
                site.parts.is_identity_f and site.instance.input != site.instance.output
            )
        }
        for topic in (Topic.IDENTITY, Topic.GRADIENT):
            for finding in of(graph, topic, Level.BROKEN):
                units = {".".join(name.split(".")[:2]) for name in finding.where}
                assert not units & bound, finding.message


@pytest.mark.parametrize("path", FIELD, ids=IDS)
def test_what_holds_is_told_first(path: Path) -> None:
    for graph in graphs(path):
        levels = [f.level for f in prove(graph) if f.topic is Topic.IDENTITY]
        holds = [n for n, level in enumerate(levels) if level is Level.HOLDS]
        assert not holds or holds[0] == 0


def test_depths_are_those_of_the_names() -> None:
    found = {g.name: g for path in FIELD for g in graphs(path)}
    for name, depth in DEPTHS.items():
        (fact,) = of(found[name], Topic.DEPTH, Level.FACT)
        assert fact.message.startswith(f"{depth} weight layers on the longest path")
        assert ";" not in fact.message


def test_other_counts_are_told_beside_the_longest_path() -> None:
    found = {g.name: g for path in FIELD for g in graphs(path)}
    (wide,) = of(found["wrn_28_10"], Topic.DEPTH, Level.FACT)
    assert wide.message.startswith("26 weight layers")
    assert "28 as Wide ResNets are counted" in wide.message
    (deep,) = of(found["resnet50_d"], Topic.DEPTH, Level.FACT)
    assert deep.message.startswith("52 weight layers")
    assert "; 50 where stem and head count as one layer each" in deep.message


def lists(tree: Tree) -> Iterator[tuple[str, list[Any]]]:
    """Every list of ops with the name of its place."""
    for unit, about in tree["units"].items():
        for name, path in about["paths"].items():
            yield f"{unit}.{name}", path["ops"]
    for end in ("stem", "head"):
        yield end, tree["network"].get(end, [])


@pytest.mark.parametrize("path", FIELD, ids=IDS)
def test_a_missing_activation_is_told(path: Path, tmp_path: Path) -> None:
    tree = tree_of(path)
    before = codes(tree, tmp_path)
    for place, ops in lists(tree):
        for number, op in enumerate(ops):
            if op in ("relu", "sigmoid"):
                ops[number] = "identity"
                told = codes(tree, tmp_path)
                ops[number] = op
                assert told != before or (path.stem, place, op) in SPARE, (
                    place,
                    number,
                )


def test_what_is_spared_is_there(tmp_path: Path) -> None:
    trees = {path.stem: tree_of(path) for path in FIELD}
    for stem, place, op in SPARE:
        assert op in dict(lists(trees[stem]))[place]


def gated(tree: Tree) -> int:
    """Put a squeeze-and-excitation gate behind every F that ends in one convolution."""
    count = 0
    for unit in tree["units"].values():
        ops = unit["paths"].get("F", {"ops": []})["ops"]
        convs = [op["conv"] for op in ops if isinstance(op, dict) and "conv" in op]
        if not convs:
            continue
        channels, paths = convs[-1]["channels"], {}
        for name, path in unit["paths"].items():
            paths["r" if name == "F" else name] = path
            if name == "F":
                paths["gate"] = {"from": "r", "ops": squeeze(channels)}
                paths["F"] = {"from": ["r", "gate"], "ops": ["mul"]}
        unit["paths"] = paths
        count += 1
    return count


def squeeze(channels: Any) -> list[Any]:
    return [
        {"global_avg_pool": {"keepdim": True}},
        {"conv": {"kernel": 1, "channels": 4, "bias": True}},
        "relu",
        {"conv": {"kernel": 1, "channels": channels, "bias": True}},
        "sigmoid",
    ]


@pytest.mark.parametrize("path", FIELD, ids=IDS)
def test_a_gate_in_f_changes_no_warning(path: Path, tmp_path: Path) -> None:
    tree = tree_of(path)
    before = codes(tree, tmp_path)
    plain = deepcopy(tree)
    if not gated(tree):
        pytest.skip("no F that ends in a convolution")
    assert codes(tree, tmp_path) == before
    for (place, ops), (_, changed) in zip(f_of(plain), f_of(tree), strict=True):
        for number, op in enumerate(ops):
            if op == "relu":
                ops[number] = changed[number] = "identity"
                assert codes(tree, tmp_path) == codes(plain, tmp_path), (place, number)
                ops[number] = changed[number] = op


def f_of(tree: Tree) -> Iterator[tuple[str, list[Any]]]:
    for name, unit in tree["units"].items():
        paths = unit["paths"]
        if "F" in paths:
            yield name, paths["r" if "gate" in paths else "F"]["ops"]


@pytest.mark.parametrize(
    ("ops", "code"),
    [
        (squeeze(16), None),
        (squeeze(16)[:2] + squeeze(16)[3:], "warning[unactivated-weight]"),
        (squeeze(16)[:-1], "warning[unbounded-gate]"),
        ([*squeeze(16)[:2], "bn", *squeeze(16)[3:]], "warning[unactivated-weight]"),
        ([*squeeze(16)[:3], "relu", *squeeze(16)[3:]], "warning[idle-activation]"),
        # one layer and no sigmoid: simplified channel attention, as NAFNet's
        ([squeeze(16)[0], squeeze(16)[3]], None),
        (["sigmoid"], None),
    ],
)
@pytest.mark.parametrize("source", ["r", "x"])
@pytest.mark.parametrize("early", [False, True])
def test_mistakes_within_gates(
    ops: list[Any], code: str | None, source: str, early: bool, tmp_path: Path
) -> None:
    assert codes(with_gate(source, ops, early), tmp_path) == ([code] if code else [])


def test_large_kernel_attention_is_a_gate(tmp_path: Path) -> None:
    ops = [
        {"conv": {"kernel": 5, "channels": 16, "groups": 16}},
        {"conv": {"kernel": 7, "channels": 16, "groups": 16, "dilation": 3}},
        {"conv": {"kernel": 1, "channels": 16}},
    ]
    for early in (False, True):
        tree = with_gate("r", ops, early)
        assert codes(tree, tmp_path) == []
        (graph,) = Compiler().graphs(tmp_path / "spec.yaml")
        (fact,) = of(graph, Topic.DEPTH, Level.FACT)
        assert fact.message.startswith("8 weight layers")


def with_gate(source: str, ops: list[Any], early: bool) -> Tree:
    """Three residual units whose F is multiplied by what the ops make of a value."""
    conv = {"conv": {"kernel": 3, "channels": 16}}
    r = (
        ["bn", "relu", conv, "bn", "relu", conv]
        if early
        else [conv, "bn", "relu", conv]
    )
    paths = {
        "r": {"from": "x", "ops": r},
        "gate": {"from": source, "ops": ops},
        "F": {"from": ["r", "gate"], "ops": ["mul"]},
        "out": {"from": ["x", "F"], "ops": ["add"] if early else ["add", "relu"]},
    }
    activation = ["bn", "relu"]
    head = ["global_avg_pool", {"linear": {"features": 10}}]
    return {
        "resgraph": 1,
        "title": "A gate",
        "units": {"body": {"paths": paths}},
        "network": {
            "input": [3, 16, 16],
            "stem": [conv] if early else [conv, *activation],
            "stages": [[{"body": {}, "repeat": 3}]],
            "head": [*activation, *head] if early else head,
        },
        "networks": {"gates": {}},
    }
