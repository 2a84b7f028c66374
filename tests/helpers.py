"""What tests share."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import networkx as nx
import pytest

from resgraph.compiler import Compiler
from resgraph.diagnostics import ResgraphError
from resgraph.graph import INPUT, Block, Graph
from resgraph.settings import parse_settings
from tests.conftest import ROOT

SPECS = Path(__file__).parent / "specs"
FIELD = sorted((SPECS / "field").glob("*.yaml"))
"""Published designs; the first network of each is small enough to be computed."""


ABOUT: dict[str, Any] = {
    "network": "tiny",
    "generated": "generated/tiny.py",
    "spec": "specs/tiny.yaml",
    "digest": "sha256:" + "0" * 64,
    "data": "digits",
    "data_digest": "sha256:" + "1" * 64,
    "train_images": 1437,
    "test_images": 360,
    "classes": [str(number) for number in range(10)],
    "mean": [0.3] * 3,
    "std": [0.35] * 3,
    "input_shape": [3, 16, 16],
    "seed": 0,
    "status": "finished",
    "recipe": {
        "iterations": 24,
        "batch": 16,
        "lr": 0.1,
        "milestones": [12, 18],
        "gamma": 0.1,
        "warmup_iterations": 4,
        "warmup_lr": 0.01,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 0.0001,
        "pad": 1,
        "flip": False,
    },
    "execution": {"precision": "fp32"},
    "sync_bn": True,
    "parameters": 1000,
    "results": {"iteration": 24},
}
"""What a run.json must hold, for tests that make a run folder by hand."""


def graph_of(spec: Path, *settings: str, network: str | None = None) -> Graph:
    """The first network of a spec."""
    return Compiler().graphs(spec, network, parse_settings([*settings]))[0]


def graph_from(text: str, tmp_path: Path, *settings: str) -> Graph:
    """The first network of a spec given as text."""
    path = tmp_path / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    return graph_of(path, *settings)


def load(path: Path) -> ModuleType:
    """Import a generated file under a name of its own."""
    name = f"generated_{uuid.uuid4().hex}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def module_of(graph: Graph, tmp_path: Path) -> ModuleType:
    """The graph's generated module, imported."""
    from resgraph.emit.torch_source import torch_source

    path = tmp_path / f"{graph.name}.py"
    path.write_text(torch_source(graph, tmp_path), encoding="utf-8")
    return load(path)


def refused(call: Callable[[], object]) -> str:
    """The message and the hint of the `ResgraphError` that the call must raise."""
    with pytest.raises(ResgraphError) as caught:
        call()
    return f"{caught.value.message} | {caught.value.hint}"


def python(
    code: str, *, cwd: Path = ROOT, env: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Run the code in a process of its own, to its end."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def printed(code: str, *, cwd: Path = ROOT, env: Mapping[str, str] = os.environ) -> str:
    """What the code prints in a process of its own, which must not fail."""
    done = python(code, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def unit_graph(unit: Block) -> nx.DiGraph:
    """The unit's values as nodes (`x` and each op's), an edge where an op reads a value.

    Each node but `x` carries `path` and `node`; a value that nothing defines has no node.
    """
    graph: nx.DiGraph = nx.DiGraph(name=unit.name)
    graph.add_node(INPUT)
    for node in unit.nodes:
        graph.add_node(node.name, path=node.path, node=node)
    for node in unit.nodes:
        graph.add_edges_from((i, node.name) for i in node.inputs if i in graph)
    return graph
