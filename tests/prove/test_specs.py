"""Known verdicts on the committed specs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from resgraph.compiler import Compiler
from resgraph.prove import Level, Topic, prove
from resgraph.prove.gradient import _product
from resgraph.prove.report import judge, report
from tests.conftest import ROOT
from tests.helpers import graph_of
from tests.prove.common import COMMITTED, of, warnings


@pytest.mark.parametrize("path", COMMITTED, ids=[path.stem for path in COMMITTED])
def test_golden(path: Path, root: Path, golden: Callable[[str, str], None]) -> None:
    compiler = Compiler()
    graph = compiler.graphs(path.relative_to(root))[0]
    text = report(judge([(graph, prove(graph))], whole=False), compiler.sources.texts)
    golden(f"prove/{path.stem}.txt", f"{text}\n")


@pytest.mark.parametrize("path", COMMITTED, ids=[path.stem for path in COMMITTED])
def test_no_committed_network_is_warned_of(path: Path) -> None:
    for graph in Compiler().graphs(path):
        assert warnings(graph) == []


@pytest.mark.parametrize("path", COMMITTED, ids=[path.stem for path in COMMITTED])
def test_depth_is_that_of_the_name(path: Path) -> None:
    for graph in Compiler().graphs(path):
        (finding,) = of(graph, Topic.DEPTH, Level.FACT)
        named = re.search(r"\d+", graph.name)
        assert named is not None
        assert finding.message.startswith(f"{named[0]} weight layers")


# Per spec: units on the identity path, of how many; what breaks it where it breaks.
VERDICTS = {
    "bn_after_add_basic": (0, 54, {"h_option_a", "out_bn", "out_relu"}),
    "bn_after_add_bottleneck": (0, 54, {"h_conv", "out_bn", "out_relu"}),
    "constant_scaling": (0, 54, {"h_option_a", "h_scale", "out_relu"}),
    "conv_shortcut": (0, 54, {"h_conv", "out_relu"}),
    "dropout_shortcut": (0, 54, {"h_option_a", "h_dropout", "out_relu"}),
    "exclusive_gating": (0, 54, {"s_option_a", "h_mul", "out_relu"}),
    "original_1layer": (0, 108, {"h_option_a", "out_relu"}),
    "original_basic": (0, 9, {"h_option_a", "out_relu"}),
    "original_bottleneck": (0, 54, {"h_conv", "h_bn", "out_relu"}),
    "original_bottleneck_cifar100": (0, 54, {"h_conv", "h_bn", "out_relu"}),
    "preact_1layer": (105, 108, {"a_bn", "a_relu", "h_option_a"}),
    "preact_basic": (6, 9, {"a_bn", "a_relu", "h_option_a"}),
    "preact_bottleneck": (51, 54, {"a_bn", "a_relu", "h_conv"}),
    "preact_bottleneck_cifar100": (51, 54, {"a_bn", "a_relu", "h_conv"}),
    "relu_before_add_basic": (52, 54, {"h_option_a"}),
    "relu_before_add_bottleneck": (51, 54, {"h_conv", "h_bn"}),
    "relu_only_preact_basic": (51, 54, {"a_relu", "h_option_a"}),
    "relu_only_preact_bottleneck": (51, 54, {"a_relu", "h_conv"}),
    "shortcut_gating": (0, 54, {"s_option_a", "h_mul", "out_relu"}),
}


@pytest.mark.parametrize("path", COMMITTED, ids=[path.stem for path in COMMITTED])
def test_known_verdicts(path: Path) -> None:
    kept, total, breaking = VERDICTS[path.stem]
    graph = graph_of(path)
    holds = [
        f.message
        for topic in (Topic.IDENTITY, Topic.GRADIENT)
        for f in of(graph, topic, Level.HOLDS)
        if "Eq." in f.message
    ]
    counts = [f"({kept} of {total} units)"] * (2 if kept else 0)
    assert re.findall(r"\(\d+ of \d+ units\)", " ".join(holds)) == counts
    assert all("Eq. (4)" in holds[0] and "Eq. (5)" in holds[1] for _ in counts[:1])
    elsewhere = [
        finding
        for level in (Level.BROKEN, Level.FACT)
        for finding in of(graph, Topic.IDENTITY, level)
        if "only grows" not in finding.message
    ]
    names = {n for f in elsewhere for n in f.where if n.count(".") == 2}
    assert {name.split(".")[-1] for name in names} == breaking


def test_only_relu_before_addition_makes_x_grow() -> None:
    growing = {
        path.stem
        for path in COMMITTED
        if any("only grows" in f.message for f in prove(graph_of(path)))
    }
    assert growing == {"relu_before_add_basic", "relu_before_add_bottleneck"}


@pytest.mark.parametrize(
    ("spec", "network", "text"),
    [
        ("constant_scaling", "resnet110_scale_05_05", "0.5^18 = 3.8e-06"),
        ("constant_scaling", "resnet110_scale_0_1", "0^18 = 0"),
        ("shortcut_gating", None, "multiplied over the units: (1 - g) at h_mul"),
        ("exclusive_gating", None, "multiplied over the units: (1 - g) at h_mul"),
        ("conv_shortcut", None, "the weight matrix W at h_conv"),
        ("dropout_shortcut", None, "2 with probability 0.5, else 0, at h_dropout"),
        ("original_basic", None, "the ReLU mask [input > 0] at out_relu"),
        ("original_basic", None, "rarely at 164 layers, more often at 1000"),
        ("bn_after_add_basic", None, "BN alters the signal"),
        ("preact_basic", None, "h_option_a"),
    ],
)
def test_what_stands_in_place_of_the_1(
    spec: str, network: str | None, text: str
) -> None:
    graph = graph_of(ROOT / "specs" / f"{spec}.yaml", network=network)
    messages = [f.message for f in prove(graph) if f.topic is Topic.GRADIENT]
    assert any(text in message for message in messages), messages


def test_products_of_powers() -> None:
    assert _product([(0.5, 17)]) == "7.6e-06"
    assert _product([(2.0, 3), (0.5, 3)]) == "1"
    assert _product([(-0.5, 3)]) == "-0.12"
    assert _product([(0.5, 5000)]) == "1e-1505"
    assert _product([(0.0, 3), (0.5, 1)]) == "0"


def test_what_every_gradient_must_pass() -> None:
    def passed(spec: str) -> list[tuple[str, str]]:
        facts = of(graph_of(ROOT / f"specs/{spec}.yaml"), Topic.GRADIENT, Level.FACT)
        pattern = re.compile(r"must pass (.*): (.*)$")
        return [found.groups() for f in facts if (found := pattern.search(f.message))]

    assert passed("original_basic") == [
        ("out_relu", "7 times"),
        ("out_relu", "2 times"),
    ]
    ((names, times),) = passed("preact_bottleneck")
    assert re.findall(r"[a-z]_\w+", names) == ["a_bn", "a_relu"]
    assert times == "3 times"
    assert passed("relu_before_add_basic") == []


def test_cost_does_not_depend_on_depth() -> None:
    deep = graph_of(ROOT / "specs/preact_bottleneck.yaml", "depth=900002")
    (fact,) = of(deep, Topic.DEPTH, Level.FACT)
    assert fact.message.startswith("900002 weight layers")
    assert "299997 of 300000 units" in prove(deep)[0].message
