"""Generated source of blocks within blocks: what it computes, and how it reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import nn

from resgraph.emit.torch_source import torch_source
from resgraph.graph import Graph
from resgraph.names import class_name
from tests.helpers import graph_from, load
from tests.programs import programs

RUFF = [sys.executable, "-m", "ruff"]


def network_of(graph: Graph, folder: Path) -> nn.Module:
    """The network of the generated file, constructed."""
    path = folder / f"{graph.name}.py"
    path.write_text(torch_source(graph, folder), encoding="utf-8")
    made: nn.Module = getattr(load(path), class_name(graph.name))()
    return made.eval()


def holds(graph: Graph, folder: Path) -> None:
    """The module has the graph's tensors in its order, and makes values of its shapes."""
    network = network_of(graph, folder)
    wanted = [
        (f"{layer}.{weight.name}", weight.shape)
        for layer, weight in graph.network.weights
    ]
    state = network.state_dict()
    made = [(n, tuple(t.shape)) for n, t in state.items() if "num_batches" not in n]
    assert made == wanted
    with torch.no_grad():
        result = network(torch.zeros(2, *graph.input))
    outputs = graph.network.outputs
    if len(outputs) == 1:
        assert result.shape == (2, *graph.network.output)
    else:
        assert {n: tuple(t.shape[1:]) for n, t in result._asdict().items()} == outputs


def ruff_finds_nothing(folder: Path) -> None:
    for arguments in (["check", "--quiet"], ["format", "--diff"]):
        command = [*RUFF, *arguments, "--isolated", "--no-cache", str(folder)]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(text=programs())
def test_programs(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("program")
    graph = graph_from(text, folder)
    holds(graph, folder)
    ruff_finds_nothing(folder)
