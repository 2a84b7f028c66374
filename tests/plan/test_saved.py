"""Predictions are held against what autograd keeps, to the byte; results bitwise."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import nn
from torch.nn import functional

from resgraph.ops import Op
from resgraph.plan import plan, strategies
from resgraph.train.recompute import SavedBytes, free_bytes, planned
from tests.conftest import ROOT
from tests.helpers import graph_from, graph_of
from tests.plan.conftest import BATCH, Trainer, shallow
from tests.plan.nested import NETWORKS
from tests.programs import programs
from tests.test_ops import CASES, called, layer_of, op_of

MUL3 = ("mul", {}, [(4, 1, 1), (4, 1, 1), (4, 3, 3)])
"""The product of the first two is smaller than the whole one."""


@pytest.mark.parametrize(("kind", "attributes", "shapes"), [*CASES, MUL3])
def test_what_an_op_keeps(kind: str, attributes: dict, shapes: list) -> None:
    """Whichever of its inputs need a gradient."""
    op = op_of(kind, attributes)
    for needs in product([True, False], repeat=len(shapes)):
        if any(needs) or op.weights(*shapes):
            keeps(op, shapes, needs)
        if all(needs):
            assert op.saved_for(needs, *shapes) == op.saved(*shapes)


def keeps(op: Op, shapes: list, needs: tuple[bool, ...]) -> None:
    layer = layer_of(op, shapes)
    # Each input comes from an op of its own, as in a network, and is no leaf.
    leaves = [
        torch.randn(2, *shape, requires_grad=need)
        for shape, need in zip(shapes, needs, strict=True)
    ]
    names = {f"v{i}": leaf + 1 for i, leaf in enumerate(leaves)}
    call = called(op, *names)
    namespace = {"layer": layer, "torch": torch, "functional": functional}
    with SavedBytes(layer or nn.Module()) as saved:
        result = eval(call, namespace, names)
        facts = op.saved_for(needs, *shapes)
        elements = facts.elements + facts.output * result[0].numel()
        elements += sum(names[v][0].numel() for v in facts.those([*names]))
        assert saved.now == 2 * (4 * elements + facts.bytes) + facts.fixed
        assert facts.view == any(
            result.untyped_storage().data_ptr() == v.untyped_storage().data_ptr()
            for v in names.values()
        )


def held_and_equal(trainer: Trainer) -> None:
    """Every strategy keeps at most what is predicted, and changes nothing.

    Where parts of the network share a value, its gradients are added in another order: they
    are compared in float64.
    """
    plain, precise = trainer.step(), trainer.step(dtype=torch.float64)
    block = trainer.graph.network.block
    read = Counter(name for row in block.rows for name in row.inputs)
    read.update(block.results.values())
    shared = max(read.values()) > 1
    for made in strategies(trainer.graph, BATCH):
        step = trainer.step(made)
        assert step.peak == made.peak, made.name
        assert step.left == 0
        if shared and made.segments:
            assert step.equals_forward(plain), made.name
            assert trainer.step(made, dtype=torch.float64).is_near(precise), made.name
        else:
            assert step.equals(plain), made.name


def test_every_strategy_keeps_what_was_predicted_and_changes_nothing(
    trainer: Trainer,
) -> None:
    held_and_equal(trainer)


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_within_blocks(name: str, tmp_path: Path) -> None:
    """Units in units, skips over stages, rows of several streams, several outputs, values
    on which no weight has acted."""
    held_and_equal(Trainer(graph_from(NETWORKS[name], tmp_path), tmp_path))


@settings(max_examples=10, suppress_health_check=[*HealthCheck])
@given(text=programs())
def test_random_programs(text: str, tmp_path: Path) -> None:
    held_and_equal(Trainer(graph_from(text, tmp_path), tmp_path))


@pytest.mark.parametrize("name", ["tiny", "zoo"])
def test_other_networks_too(name: str, tmp_path: Path) -> None:
    """All ops in one network, growing units among them; and a network of almost none."""
    held_and_equal(
        Trainer(graph_of(ROOT / "tests" / "specs" / f"{name}.yaml"), tmp_path)
    )


@pytest.mark.parametrize("share", [0.9, 0.5, 0.35])
def test_a_budget_is_kept(share: float, tmp_path: Path) -> None:
    trainer = Trainer(shallow(ROOT / "specs" / "preact_bottleneck.yaml"), tmp_path)
    plain = trainer.step()
    budget = int(share * plain.peak)
    made = plan(trainer.graph, BATCH, 4, budget)
    step = trainer.step(made)
    assert step.peak == made.peak <= budget
    assert step.equals(plain)


def test_inference_and_names_stay_as_they_are(tmp_path: Path) -> None:
    trainer = Trainer(shallow(ROOT / "specs" / "preact_basic.yaml"), tmp_path)
    network = trainer.build().eval()
    names = list(network.state_dict())
    x = torch.randn(2, *trainer.graph.input)
    before = network(x)
    *_, smallest = strategies(trainer.graph, 2)
    planned(network, smallest)
    assert list(network.state_dict()) == names
    assert torch.equal(network(x), before)
    network.train()
    with torch.no_grad():
        logits = network(x)
    assert not logits.requires_grad


def test_an_input_that_needs_no_gradient_does_not_stop_those_of_the_weights(
    tmp_path: Path,
) -> None:
    """A first segment that reads the images: there is no stem before it."""
    text = (ROOT / "tests" / "specs" / "tiny.yaml").read_text()
    path = tmp_path / "stemless.yaml"
    path.write_text(
        "\n".join(line for line in text.splitlines() if "stem:" not in line)
    )
    trainer = Trainer(graph_of(path), tmp_path)
    *_, made = strategies(trainer.graph, BATCH)
    assert made.segments
    assert trainer.step(made).equals(trainer.step())


def test_bfloat16_keeps_half(tmp_path: Path) -> None:
    """Under autocast the recomputation runs in the same precision."""
    trainer = Trainer(shallow(ROOT / "specs" / "preact_basic.yaml"), tmp_path)
    plans = list(strategies(trainer.graph, BATCH, 2))
    results, peaks = [], []
    for made in plans:
        torch.manual_seed(2)
        network = planned(trainer.build(), made)
        x = torch.randn(BATCH, *trainer.graph.input)
        with SavedBytes(network) as saved:
            with torch.autocast("cpu", torch.bfloat16):
                loss = network(x).float().square().sum()
            loss.backward()
        peaks.append(saved.peak)
        results.append([p.grad for p in network.parameters()])
    layers = (nn.Conv2d, nn.Linear)
    casts = sum(
        2 * m.weight.numel() for m in network.modules() if isinstance(m, layers)
    )
    for made, peak, gradients in zip(plans, peaks, results, strict=True):
        # Autocast's copies of the weights are kept too, but for those of segments.
        assert 0.95 * made.peak < peak <= 1.01 * (made.peak + casts)
        for ours, plain in zip(gradients, results[0], strict=True):
            torch.testing.assert_close(ours, plain, rtol=0.1, atol=0.05)


def test_free_memory_is_known_on_linux() -> None:
    free = free_bytes(torch.device("cpu"))
    if Path("/proc/meminfo").exists():
        assert free is not None
        assert free > 2**20
