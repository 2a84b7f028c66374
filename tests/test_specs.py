"""The paper's specs: every network is there once, with the paper's size and cost."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from resgraph.compiler import Compiler
from resgraph.emit.torch_source import torch_source
from resgraph.graph import Graph
from resgraph.reference import REFERENCES
from tests.helpers import module_of

ROOT = Path(__file__).parents[1]
SPECS = sorted((ROOT / "specs").glob("*.yaml"))

# Trainable numbers, counted from public implementations independent of this project.
PARAMETERS = {
    "resnet110": 1_727_962,
    "resnet110_original": 1_727_962,
    "resnet164": 1_703_258,
    "resnet164_original": 1_704_154,
    "resnet164_cifar100": 1_726_388,
    "resnet1001": 10_327_706,
    "resnet1001_original": 10_328_602,
    "resnet1001_cifar100": 10_350_836,
    "resnet1202": 19_421_274,
}

# Millions per image, of convolutions and the linear layer, rounded to two places.
MULTIPLY_ADDS = {
    "resnet110": 252.89,
    "resnet110_original": 252.89,
    "resnet164": 244.50,
    "resnet164_original": 244.50,
    "resnet1001": 1487.85,
    "resnet1001_original": 1487.85,
}


@cache
def graphs_of(spec: Path) -> list[Graph]:
    """The networks that the spec builds. Raises `SpecError` if it has any finding."""
    return Compiler().graphs(spec)


@cache
def graphs() -> dict[str, Graph]:
    """Every network of every spec by its name."""
    return {graph.name: graph for spec in SPECS for graph in graphs_of(spec)}


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def multiply_adds(network: nn.Module) -> int:
    """Counted from the shapes of one forward pass: weights times places they are used at."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        total += layer.weight.numel() * output[0, 0].numel()

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, 32, 32))
    return total


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_compiles_without_findings(spec: Path) -> None:
    """An extending spec must bring networks of its own: it inherits none."""
    names = [graph.name for graph in graphs_of(spec)]
    assert names


def test_every_network_is_built_by_one_spec() -> None:
    names = sorted(graph.name for spec in SPECS for graph in graphs_of(spec))
    assert names == sorted(set(names))
    assert set(REFERENCES) <= set(names)


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("preact_bottleneck", ["resnet164", "resnet1001"]),
        ("preact_basic", ["resnet20", "resnet110"]),
    ],
)
def test_the_papers_unit_builds(spec: str, names: list[str]) -> None:
    graphs = graphs_of(ROOT / "specs" / f"{spec}.yaml")
    assert [graph.name for graph in graphs] == names


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_papers(name: str) -> None:
    assert graphs()[name].total("parameters") == PARAMETERS[name]


@pytest.mark.parametrize("name", MULTIPLY_ADDS)
def test_multiply_adds_are_the_papers(name: str) -> None:
    millions = graphs()[name].total("multiply_adds") / 1e6
    assert round(millions, 2) == MULTIPLY_ADDS[name]


@pytest.mark.parametrize("name", REFERENCES)
def test_counts_are_the_references(name: str) -> None:
    graph, network = graphs()[name], REFERENCES[name]()
    assert graph.total("parameters") == parameters(network)
    assert graph.total("multiply_adds") == multiply_adds(network)


@pytest.mark.parametrize("name", REFERENCES)
def test_generated_module(name: str, tmp_path: Path) -> None:
    graph = graphs()[name]
    assert len(torch_source(graph, ROOT / "generated").splitlines()) < 150
    module = module_of(graph, tmp_path)
    network = getattr(module, module.__all__[0])()
    assert network.stage1[0].__class__.__name__ in module.__all__
    assert parameters(network) == graph.total("parameters")
    assert module.INPUT_SHAPE == (3, 32, 32)
    assert module.RECIPE["iterations"] == 64_000
    assert module.DIGEST.startswith("sha256:")
