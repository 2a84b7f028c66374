"""The generated PyTorch source: readable, formatted, deterministic, inert."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from resgraph.emit.torch_source import torch_source
from resgraph.graph import text
from tests.helpers import SPECS, graph_from, graph_of, module_of

ALL = sorted(SPECS.glob("*.yaml"))
RUFF = [sys.executable, "-m", "ruff"]


@pytest.mark.parametrize("spec", ALL, ids=[s.stem for s in ALL])
def test_golden(spec: Path, root: Path, golden: Callable[[str, str], None]) -> None:
    graph = graph_of(spec.relative_to(root))
    golden(f"source/{graph.name}.py", torch_source(graph, root / "generated"))
    golden(f"graph/{graph.name}.txt", text(graph))


def test_ruff_finds_nothing(root: Path) -> None:
    """Also with ruff's own defaults, as in a user's project without settings."""
    folders = ["generated", "tests/golden/source"]
    for arguments in (["check"], ["format", "--check"]):
        for isolated in ([], ["--isolated"]):
            command = [*RUFF, *arguments, *isolated, "--no-cache", *folders]
            result = subprocess.run(command, capture_output=True, text=True, cwd=root)
            assert result.returncode == 0, result.stdout + result.stderr


LONG = """
resgraph: 1
title: {title}
units:
  a_unit_with_a_rather_long_name_for_a_residual_on:
    params: [number_of_channels_inside, {{factor_on_the_branch: 0.5}}, {{stride_of_it: 1}}]
    paths:
      a_long_name_for_the_first_path:
        from: x
        ops:
          - conv: {{kernel: 3, channels: number_of_channels_inside, stride: stride_of_it}}
          - bn: {{eps: 0.001, momentum: 0.01}}
          - scale: {{factor: 2 * factor_on_the_branch}}
          - sigmoid
          - conv: {{kernel: 5, channels: 2 * number_of_channels_inside + 1, groups: 1,
                    dilation: 2, bias: true, bias_init: -1.25}}
          - conv: {{kernel: 1, channels: number_of_channels_inside}}
      out:
        from: a_long_name_for_the_first_path
        ops: [relu, sigmoid, one_minus, relu, sigmoid, one_minus, relu, bn]
network:
  input: [3, 8, 8]
  stages:
    - - a_unit_with_a_rather_long_name_for_a_residual_on:
          {{number_of_channels_inside: 12, factor_on_the_branch: 0.125}}
        repeat: 3
      - a_unit_with_a_rather_long_name_for_a_residual_on:
          {{number_of_channels_inside: 12, factor_on_the_branch: 0.25, stride_of_it: 2}}
  head: [global_avg_pool, {{linear: {{features: 3}}}}]
"""


def test_long_names_are_wrapped_as_ruff_wraps(tmp_path: Path) -> None:
    graph = graph_from(LONG.format(title="Long names"), tmp_path)
    path = tmp_path / "long.py"
    path.write_text(torch_source(graph, tmp_path))
    command = [*RUFF, "format", "--isolated", "--no-cache", "--diff", str(path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert max(map(len, path.read_text().splitlines()[1:])) <= 88
    output = module_of(graph, tmp_path)
    network = getattr(output, output.__all__[0])()
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 3)


@pytest.mark.parametrize("seed", ["0", "1", "17"])
def test_the_same_for_every_hash_seed(seed: str, root: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "resgraph",
        "compile",
        "--out",
        str(tmp_path / seed),
    ]
    command += ["tests/specs/zoo.yaml", "tests/specs/tiny.yaml"]
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
    subprocess.run(command, check=True, cwd=root, env=environment, capture_output=True)
    for name in ("zoo", "tiny"):
        expected = torch_source(graph_of(SPECS / f"{name}.yaml"), tmp_path / seed)
        assert (tmp_path / seed / f"{name}.py").read_text() == expected
        again = tmp_path / "again"
        subprocess.run(
            [*command[:4], "--out", str(again), f"tests/specs/{name}.yaml"],
            check=True,
            cwd=root,
            env=environment | {"PYTHONHASHSEED": "99"},
            capture_output=True,
        )
        models = [folder / f"{name}.onnx" for folder in (tmp_path / seed, again)]
        assert models[0].read_bytes() == models[1].read_bytes()


def test_source_does_not_grow_with_depth(root: Path) -> None:
    spec = Path("specs/preact_bottleneck.yaml")
    lengths = {
        len(torch_source(graph_of(spec, f"depth={d}"), root / "generated").splitlines())
        for d in (164, 1001, 10001, 900002)
    }
    assert len(lengths) == 1
    assert lengths.pop() < 150


def test_stands_alone(root: Path) -> None:
    for path in (root / "generated").glob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert node.module in ("torch", "torch.nn")
            if isinstance(node, ast.Import):
                assert [alias.name for alias in node.names] == ["torch"]


def test_initialisation(tmp_path: Path) -> None:
    """He-2015: conv std = sqrt(2 / (k * k * out)), biases 0 or as given."""
    torch.manual_seed(0)
    module = module_of(graph_of(SPECS / "zoo.yaml"), tmp_path)
    network = module.Zoo()
    weight = network.stage1[2].conv1.weight
    expected = (2 / (9 * weight.shape[0])) ** 0.5
    assert abs(weight.std().item() / expected - 1) < 0.1
    assert network.stage1[0].g_conv.bias.eq(-2).all()
    assert network.stage1[0].conv2.bias.eq(0).all()
    assert network.head_linear2.bias.eq(0).all()
