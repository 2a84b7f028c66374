"""Units compiled: how often, and that nothing else changes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resgraph.data import Dataset
from resgraph.train import Generated, Recipe
from resgraph.train.execution import (
    Execution,
    compile_units,
    failures_explained,
    uncompiled,
)
from resgraph.train.module import load_generated
from resgraph.train.optimizer import state_tensors
from resgraph.train.recompute import Span, planned
from resgraph.train.step import Engine
from tests.helpers import graph_from, module_of, refused

SPEC = """
resgraph: 1
title: Two stages, an entry and bodies in each
units:
  body:
    params: [width]
    paths:
      F: {from: x, ops: [bn, relu, {conv: {kernel: 3, channels: width}}]}
      out: {from: [x, F], ops: [add]}
  entry:
    params: [width, {stride: 1}]
    paths:
      a: {from: x, ops: [bn, relu]}
      h: {from: a, ops: [{conv: {kernel: 1, channels: width, stride: stride}}]}
      F: {from: a, ops: [{conv: {kernel: 3, channels: width, stride: stride}}]}
      out: {from: [h, F], ops: [add]}
network:
  params: {n: 2}
  input: [3, 8, 8]
  stem: [{conv: {kernel: 3, channels: 8}}]
  stages:
    - [{entry: {width: 8}}, {body: {width: 8}, repeat: n}]
    - [{entry: {width: 16, stride: 2}}, {body: {width: 16}, repeat: n}]
  head: [bn, relu, global_avg_pool, {linear: {features: 10}}]
train: {recipe: he2016}
"""
DISTINCT = 4
"""Entry and body at two shapes each, however often they are repeated."""


@pytest.fixture
def recipe() -> Recipe:
    words = {"iterations": 100, "batch": 4, "milestones": [50], "pad": 1}
    return Recipe.of({**words, "warmup_iterations": 0})


@pytest.fixture(scope="module")
def data() -> Dataset:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (30, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(30) % 10
    moments = (0.5, 0.5, 0.5), (0.3, 0.3, 0.3)
    names = tuple("0123456789")
    return Dataset("noise", images, labels, images, labels, names, *moments, "sha256:0")


@pytest.fixture
def compilations() -> Iterator[Counter]:
    torch._dynamo.reset()
    yield Counter()
    torch._dynamo.reset()


class Counter:
    """A backend that runs units as torch traced them, and counts how many it was given."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> object:
        self.count += 1
        return graph


def network_of(tmp_path: Path, n: int = 2) -> nn.Module:
    module = module_of(graph_from(SPEC, tmp_path, f"n={n}"), tmp_path)
    torch.manual_seed(0)
    network: nn.Module = getattr(module, module.__all__[0])()
    return network.to(memory_format=torch.channels_last)


def images_of(count: int) -> Tensor:
    images = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return images.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("n", [1, 9])
def test_compilations_do_not_grow_with_depth(
    tmp_path: Path, compilations: Counter, n: int
) -> None:
    network = compile_units(network_of(tmp_path, n), backend=compilations)
    for _ in range(3):
        network(images_of(4)).sum().backward()
    assert compilations.count == DISTINCT
    with torch.no_grad():  # as in a segment that is computed anew
        network(images_of(4))
    assert compilations.count == 2 * DISTINCT


@torch._dynamo.config.patch(recompile_limit=2, accumulated_recompile_limit=2)
def test_more_shapes_than_torch_would_keep(
    tmp_path: Path, compilations: Counter
) -> None:
    """A network that grows with each unit has a shape for each."""
    more = "".join(f"    - [{{entry: {{width: {17 + i}}}}}]\n" for i in range(4))
    head = SPEC.index("  head:")
    graph = graph_from(SPEC[:head] + more + SPEC[head:], tmp_path)
    module = module_of(graph, tmp_path)
    network = getattr(module, module.__all__[0])()
    compile_units(network, backend=compilations)(images_of(4)).sum().backward()
    assert compilations.count == DISTINCT + 4


def test_segments_computed_anew(tmp_path: Path, compilations: Counter) -> None:
    """Their units compile twice: for the forward, and for when it is done once more."""
    plain, network = network_of(tmp_path), network_of(tmp_path)
    planned(network, Segments())
    compile_units(network, backend=compilations)
    for each in (plain, network):
        each(images_of(4)).sum().backward()
        each(images_of(4)).sum().backward()
    assert compilations.count == DISTINCT + 2
    for one, two in zip(plain.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)
    for one, two in zip(plain.buffers(), network.buffers(), strict=True):
        torch.testing.assert_close(one, two)


@dataclass(frozen=True)
class Segments:
    """The first stage computed anew."""

    segments: Mapping[str, Sequence[Span]] = field(
        default_factory=lambda: {"stage1": [(0, 3)]}
    )
    bn_relu: Sequence[str] = ()


def test_evaluation_compiles_nothing(tmp_path: Path, compilations: Counter) -> None:
    network = compile_units(network_of(tmp_path), backend=compilations).eval()
    plain = network_of(tmp_path).eval()
    with torch.inference_mode(), uncompiled():
        for count in (4, 3, 7):
            assert torch.equal(network(images_of(count)), plain(images_of(count)))
    assert compilations.count == 0


def test_names_hooks_and_classes_stay(tmp_path: Path, compilations: Counter) -> None:
    plain, network = network_of(tmp_path), network_of(tmp_path)
    compile_units(network, backend=compilations)
    assert list(network.state_dict()) == list(plain.state_dict())
    assert repr(network) == repr(plain)
    seen = []
    for unit in network.stage1:
        unit.register_forward_hook(lambda _m, _i, y: seen.append(y.shape))
    network(images_of(4))
    assert seen == [(4, 8, 8, 8)] * 3
    assert compilations.count == DISTINCT


def test_what_does_not_compile_is_told(tmp_path: Path, compilations: Counter) -> None:
    def broken(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> object:
        raise ValueError("no such instruction")

    network = compile_units(network_of(tmp_path), backend=broken)

    def forward() -> None:
        with failures_explained():
            network(images_of(4))

    told = refused(forward)
    assert "no such instruction" in told
    assert "--no-compile" in told


@pytest.mark.skipif(
    shutil.which("c++") is None and shutil.which("g++") is None,
    reason="no C++ compiler here",
)
def test_compiled_training_is_training(
    tmp_path: Path, data: Dataset, recipe: Recipe, compilations: Counter
) -> None:
    """By inductor: weights, momentum, BN's statistics and the loss, over a few steps."""
    engines = []
    for compile in (False, True):
        network = network_of(tmp_path)
        network.stage1 = network.stage1[:1]  # there are few compilers as slow as C++'s
        network.stage2 = nn.Sequential(nn.Conv2d(8, 16, 1, stride=2))
        engine = Engine(network, data, recipe, 0, Execution(CPU, compile=compile))
        for iteration in range(4):
            engine.step(iteration)
        engines.append(engine)
    plain, compiled = engines
    assert compiled.mean_loss() == pytest.approx(plain.mean_loss(), rel=1e-4)
    one, two = plain.weights(), compiled.weights()
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4)
    assert int(two["head_bn.num_batches_tracked"]) == 4
    for before, after in zip(
        state_tensors(plain.optimizer, plain.recipe),
        state_tensors(compiled.optimizer, compiled.recipe),
        strict=True,
    ):
        torch.testing.assert_close(after, before, rtol=1e-2, atol=1e-3)
    assert plain.test_error() == pytest.approx(compiled.test_error(), abs=7)


CPU = torch.device("cpu")


def test_a_generated_file_compiles(tmp_path: Path, compilations: Counter) -> None:
    """Units of a file that was loaded as training loads it."""
    graph = graph_from(SPEC, tmp_path)
    module_of(graph, tmp_path)
    generated: Generated = load_generated(tmp_path / f"{graph.name}.py")
    network = compile_units(generated.build(), backend=compilations)
    again = compile_units(generated.build(), backend=compilations)
    for each in (network, again):  # of one file, and of one batch size
        each(images_of(4)).sum().backward()
    assert compilations.count == DISTINCT
