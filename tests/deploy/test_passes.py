"""The passes for inference against float64, on BN statistics of every kind."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resgraph.diagnostics import ResgraphError
from resgraph.emit.onnx_model import write_onnx
from resgraph.graph import Graph, digest
from resgraph.ops import Role
from resgraph.passes.clip import Form
from resgraph.passes.deploy import TARGETS, folded, prepare, report
from resgraph.passes.edit import Weighted
from resgraph.passes.folds import bn_as_convolution, remove_identities
from tests.conftest import ROOT
from tests.deploy.networks import KINDS, Drawn, error, exact, logits, pictures
from tests.helpers import graph_from, graph_of, refused

SPECS = sorted((ROOT / "specs").glob("*.yaml"))


@cache
def shallow(spec: str) -> Graph:
    return graph_of(ROOT / "specs" / f"{spec}.yaml", "depth=20")


def norms(network: Weighted) -> list[str]:
    return [
        prefix + node.name
        for prefix, instance in network.graph.parts()
        for node in instance.steps
        if node.op.role is Role.NORM
    ]


@pytest.mark.parametrize("spec", [path.stem for path in SPECS])
def test_every_spec_is_exact(spec: str, tmp_path: Path) -> None:
    graph = shallow(spec)
    images = pictures(1, graph.input)
    others = KINDS[1:]
    for kind in (others[len(spec) % len(others)], "mixed"):
        plain = Weighted(graph, Drawn(len(spec), kind))
        expected = exact(plain, images)
        for target in ("integers", "cuda"):  # the cpu's passes are among them
            network, _ = prepare(graph, plain.weights, target)
            assert error(exact(network, images), expected) < 1e-12, (kind, target)
    write_onnx(graph, tmp_path / "plain.onnx", plain.weights)
    write_onnx(network.graph, tmp_path / "folded.onnx", network.weights)
    theirs = error(logits(tmp_path / "plain.onnx", images), expected)
    assert error(logits(tmp_path / "folded.onnx", images), expected) < 8 * theirs + 2e-6


def test_a_bottleneck_network_keeps_no_bn() -> None:
    network, remarks = prepare(shallow("preact_bottleneck"), Drawn(0), "cuda")
    assert norms(network) == []
    lines = report(network, remarks)
    assert "stage1.1.bn2: folded into conv1 before it (1 BN)" in lines
    assert (
        "stage1.1.bn1: with its ReLU a clip (Max and Min), the rest in conv1_bn2 (1 BN)"
        in lines
    )
    assert (
        "stage1.0.a_bn: with its ReLU a clip (Max and Min), the rest in h_conv and "
        "conv1_bn1 (1 BN)"
    ) in lines


def test_for_integers_every_bn_is_a_convolution() -> None:
    graph = shallow("preact_bottleneck")
    network, remarks = prepare(graph, Drawn(0), "integers")
    assert norms(network) == []
    lines = report(network, remarks)
    assert "stage1.1.bn2: folded into conv1 before it (1 BN)" in lines
    assert "head_bn: a depthwise 1x1 convolution in its place (1 BN)" in lines
    assert network.origins["stage1.1.bn1_conv"] == ("stage1.1.bn1",)


def test_positive_gammas_need_one_bound() -> None:
    network, remarks = prepare(
        shallow("preact_bottleneck"), Drawn(0, "positive"), "cuda"
    )
    assert norms(network) == []
    assert not [line for line in report(network, remarks) if "Min" in line]
    assert not [name for name in network.graph.tensors() if name.endswith(".upper")]


def test_where_padding_forbids_it_the_reason_is_told() -> None:
    graph = graph_of(ROOT / "specs" / "preact_basic.yaml", network="resnet20")
    network, remarks = prepare(graph, Drawn(0), "cuda")
    assert norms(network) == [
        "stage1.0.a_bn",
        "stage1.1.bn1",
        "stage1.2.bn1",
        "stage2.0.a_bn",
        "stage2.1.bn1",
        "stage2.2.bn1",
        "stage3.0.a_bn",
        "stage3.1.bn1",
        "stage3.2.bn1",
    ]
    assert (
        "stage2.1-2.bn1: kept: it acts on what comes from other units; conv1_bn2 pads "
        "with zeros, where the constant would stand (2 BNs)"
    ) in report(network, remarks)


def test_portable_changes_nothing() -> None:
    graph, weights = shallow("dropout_shortcut"), Drawn(0)
    network, remarks = prepare(graph, weights, "portable")
    assert network.graph is graph
    assert network.weights is weights
    assert sum("left as it is" in line for line in report(network, remarks)) > 3
    assert folded(network) == "[]"


def test_unchanged_tensors_keep_their_names_and_new_ones_tell_theirs() -> None:
    graph = shallow("preact_bottleneck")
    plain, network = Weighted(graph, Drawn(0)), prepare(graph, Drawn(0), "cuda")[0]
    tensors, new = plain.graph.tensors(), network.graph.tensors()
    kept = tensors.keys() & new.keys()
    assert "stage1.0.conv3.weight" in kept
    assert digest(network.graph) == digest(graph)
    made = {name.rpartition(".")[0] for name in new.keys() - kept}
    assert made == set(network.origins)
    layers = {name.rpartition(".")[0] for name in tensors}
    gone = layers - {name.rpartition(".")[0] for name in kept}
    assert gone == {o for several in network.origins.values() for o in several}
    assert network.origins["stage1.1.bn1_conv1_bn2"] == (
        "stage1.1.bn1",
        "stage1.1.conv1",
        "stage1.1.bn2",
    )
    told = json.loads(folded(network))
    entry = {"places": "stage1.1", "layer": "conv2_bn3", "from": ["conv2", "bn3"]}
    assert entry in told


def test_equal_units_stay_one_instance() -> None:
    graph = graph_of(ROOT / "specs" / "preact_bottleneck.yaml", network="resnet164")
    for kind, most in (("positive", 1), ("mixed", 2)):
        network, _ = prepare(graph, Drawn(0, kind), "cuda")
        bodies = {id(i) for i in network.graph.stages[0][1][1].instances}
        assert len(bodies) <= most


def test_the_cpu_keeps_the_bns_of_the_shortcut() -> None:
    graph = shallow("preact_bottleneck")
    plain, network = Weighted(graph, Drawn(1)), prepare(graph, Drawn(1), "cpu")[0]
    assert norms(network) == [
        "stage1.0.a_bn",
        "stage1.1.bn1",
        "stage2.0.a_bn",
        "stage2.1.bn1",
        "stage3.0.a_bn",
        "stage3.1.bn1",
        "head_bn",
    ]
    images = pictures(1, graph.input)
    assert error(exact(network, images), exact(plain, images)) < 1e-12


def test_an_unknown_target_is_refused() -> None:
    told = refused(lambda: prepare(shallow("preact_basic"), Drawn(0), "cpuu"))
    assert "unknown target 'cpuu'" in told


def test_a_convolution_that_others_read_keeps_its_bn(tmp_path: Path) -> None:
    text = """
resgraph: 1
title: F acts on a convolution that the shortcut reads too
units:
  body:
    paths:
      h: {from: x, ops: [{conv: {kernel: 1, channels: 4}}]}
      F: {from: h, ops: [bn, relu]}
      out: {from: [h, F], ops: [add]}
network:
  input: [2, 4, 4]
  stem: [{conv: {kernel: 3, channels: 4}}]
  stages: [[{body: {}}]]
  head: [global_avg_pool, {linear: {features: 3}}]
"""
    graph = graph_from(text, tmp_path)
    network, remarks = prepare(graph, Drawn(0), "cuda")
    assert report(network, remarks) == [
        "stage1.0.bn1: kept: h_conv is read by others too; out_add reads its ReLU, and "
        "has no weights to take the scale (1 BN)"
    ]
    images = pictures(2, graph.input)
    assert error(exact(network, images), exact(Weighted(graph, Drawn(0)), images)) == 0


def test_each_channel_is_exact_to_the_ends_of_float32() -> None:
    """Bounds that float32 cannot hold, and inputs that only just fit into it."""
    numbers = [0.0, 1.0, 1e-20, 1e-42, 3.0, 1e30]
    signed = np.array([*numbers, *(-n for n in numbers)])
    s, b = (a.ravel() for a in np.meshgrid(signed, signed))
    largest = float(np.finfo(np.float32).max)
    form = Form.of(s, b)
    for x in (0.0, 1e-3, 2.0, -2.0, 1e20, -1e20, largest, -largest):
        clipped = np.maximum(np.minimum(x, form.upper), form.lower)
        found = form.scale * clipped + form.shift
        size = np.abs(s * x) + np.abs(b)
        assert (np.abs(found - np.maximum(s * x + b, 0)) <= 1e-15 * size).all()


OPS = st.sampled_from(
    [
        "bn",
        "bn, relu",
        "relu",
        "sigmoid",
        "identity",
        "{scale: {factor: 1}}",
        "{scale: {factor: -0.5}}",
        "{dropout: {rate: 0.25}}",
        "{conv: {kernel: 3, channels: 4}}, bn",
        "bn, relu, {conv: {kernel: 1, channels: 4, bias: true}}",
        "bn, relu, {conv: {kernel: 1, channels: 4}}, identity, bn",
        "bn, relu, {conv: {kernel: 3, channels: 4, padding: 0}}",
        "bn, relu, {conv: {kernel: 1, channels: 4, padding: 1}}",
        "{conv: {kernel: 1, channels: 4}}",
        "{conv: {kernel: 1, channels: 4, groups: 4}}",
        "{max_pool: {kernel: 3, stride: 1, padding: 1}}",
    ]
)
CHAIN = st.lists(OPS, min_size=1, max_size=4).map(", ".join)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    chains=st.tuples(CHAIN, CHAIN, CHAIN),
    head=st.sampled_from(["bn, relu, ", "bn, ", "relu, ", ""]),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 99),
    repeat=st.integers(1, 2),
)
def test_any_topology_is_exact(
    chains: tuple[str, str, str],
    head: str,
    kind: str,
    seed: int,
    repeat: int,
    tmp_path: Path,
) -> None:
    first, second, after = chains
    text = f"""
resgraph: 1
title: Drawn by hypothesis
units:
  body:
    paths:
      h: {{from: x, ops: [{first}]}}
      F: {{from: h, ops: [{second}]}}
      g: {{from: h, ops: [identity]}}
      out: {{from: [g, F], ops: [add, {after}]}}
network:
  input: [2, 14, 13]
  stem: [{{conv: {{kernel: 3, channels: 4}}}}]
  stages: [[{{body: {{}}, repeat: {repeat}}}]]
  head: [{head}global_avg_pool, {{linear: {{features: 3}}}}]
"""
    try:
        graph = graph_from(text, tmp_path)
    except ResgraphError as error_:
        assert "equal shapes" in str(error_) or "window" in str(error_)
        return
    plain = Weighted(graph, Drawn(seed, kind))
    images = pictures(2, graph.input, seed)
    expected = exact(plain, images)
    for run in (remove_identities, *TARGETS["cuda"], bn_as_convolution):
        plain, _ = run.run(plain)
        assert error(exact(plain, images), expected) < 1e-12, run.name
    assert not [
        node
        for _, instance in plain.graph.parts()
        for node in instance.steps
        if node.op.kind == "dropout"
    ]
