"""Networks whose structure no rule knows: numbers decide, whatever their parts are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from resgraph.cli.subjects import exporter
from resgraph.emit.torch_source import torch_source
from resgraph.train import load_generated
from resgraph.verify import Here, Options, Present, Subject, verify
from resgraph.verify.report import Verdict
from tests.helpers import graph_from

SPEC = """
resgraph: 1
title: A stem, a unit that halves the maps, dropout
units:
  body:
    params: [width]
    paths:
      h: {from: x, ops: [{conv: {kernel: 1, channels: width, stride: 2}}, bn]}
      F:
        from: x
        ops:
          - conv: {kernel: 3, channels: width, stride: 2}
          - bn
          - relu
          - dropout: {rate: 0.3}
          - conv: {kernel: 3, channels: width}
          - bn
      out: {from: [h, F], ops: [add, relu]}
network:
  params: {classes: 5}
  input: [3, 8, 8]
  stem: [{conv: {kernel: 3, channels: 6}}, bn, {scale: {factor: 0.5}}, relu]
  stages: [[{body: {width: 8}}]]
  head: [global_avg_pool, {linear: {features: classes}}]
networks: {little: {}}
"""


class Net(nn.Module):
    """The same by another author, who writes h behind F; parts may be replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.stem_bn = nn.BatchNorm2d(6)
        self.conv1 = nn.Conv2d(6, 8, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.short = nn.Sequential(nn.Conv2d(6, 8, 1, 2, bias=False), nn.BatchNorm2d(8))
        self.linear = nn.Linear(8, 5)
        self.register_buffer("factor", torch.tensor(0.5))
        self.shift = nn.Parameter(torch.zeros(6, 1, 1))

    def scaled(self, x: Tensor) -> Tensor:
        return x * 0.5

    def norm(self, x: Tensor) -> Tensor:
        return self.bn1(x)

    def logits(self, x: Tensor) -> Tensor:
        return self.linear(x)

    def dropped(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.3, self.training)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.scaled(self.stem_bn(self.stem(x))))
        f = self.dropped(functional.relu(self.norm(self.conv1(x))))
        x = functional.relu(self.bn2(self.conv2(f)) + self.short(x))
        return self.logits(x.mean((2, 3)))


def by_einsum(net: Net, x: Tensor) -> Tensor:
    return torch.einsum("nc,kc->nk", x, net.linear.weight) + net.linear.bias


def by_hand(net: Net, x: Tensor, momentum: float = 0.1) -> Tensor:
    """BN from means and variances, with the running statistics kept."""
    bn, axes = net.bn1, (0, 2, 3)
    mean, variance = bn.running_mean, bn.running_var
    assert mean is not None
    assert variance is not None
    if net.training:
        batch = x.mean(axes), x.var(axes, unbiased=False)
        with torch.no_grad():
            mean.mul_(1 - momentum).add_(batch[0], alpha=momentum)
            variance.mul_(1 - momentum).add_(x.var(axes), alpha=momentum)
        mean, variance = batch
    mean, deviation = (v[:, None, None] for v in (mean, (variance + bn.eps).sqrt()))
    x = (x - mean) / deviation
    return x * bn.weight[:, None, None] + bn.bias[:, None, None]


def dead_dropout(net: Net, x: Tensor) -> Tensor:
    functional.dropout(x, 0.3, net.training)
    return functional.dropout(functional.dropout(x, 0.0), 0.3, net.training)


Changes = dict[str, Callable[[Net, Tensor], Tensor]]
PASSED: dict[str, Changes] = {
    "as it is": {},
    "masks that nothing comes of": {"dropped": dead_dropout},
    "a number of numpy's": {"scaled": lambda n, x: x * np.float32(0.5)},
}
UNPROVEN: dict[str, Changes] = {
    "einsum": {"logits": by_einsum},
    "a product with the transposed weight": {
        "logits": lambda n, x: x @ n.linear.weight.T + n.linear.bias
    },
    "a number in a buffer": {"scaled": lambda n, x: x * n.factor},
    "BN by hand": {"norm": by_hand},
    "all three": {
        "logits": by_einsum,
        "scaled": lambda n, x: x * n.factor,
        "norm": by_hand,
    },
}
FAILED: dict[str, Changes] = {
    "another factor": {
        "logits": by_einsum,
        "scaled": lambda n, x: x * n.factor * 1.0001,
    },
    "another momentum": {"norm": lambda n, x: by_hand(n, x, 0.09)},
    "a tensor of its own": {"scaled": lambda n, x: x * 0.5 + n.shift},
    "a bias twice": {"logits": lambda n, x: by_einsum(n, x) + n.linear.bias},
}


def verdicts(changes: Changes, folder: Path) -> set[Verdict]:
    """How the checks of the other author's network end."""
    kind = type("Changed", (Net,), dict(changes))
    graph = graph_from(SPEC, folder)
    path = folder / "little.py"
    path.write_text(torch_source(graph, folder), encoding="utf-8")
    ours = Present(load_generated(path))
    subject = Subject(graph, ours, exporter(graph, folder), None, Here(kind), "theirs")
    found = [c for c in verify(subject, Options()) if c.name.endswith("theirs")]
    assert found
    return {check.verdict for check in found}


@pytest.mark.parametrize("name", PASSED)
def test_what_is_proven(name: str, tmp_path: Path) -> None:
    assert verdicts(PASSED[name], tmp_path) == {Verdict.passed}


@pytest.mark.parametrize("name", UNPROVEN)
def test_equal_numbers_are_not_proven(name: str, tmp_path: Path) -> None:
    found = verdicts(UNPROVEN[name], tmp_path)
    assert found == {Verdict.passed, Verdict.unproven}


@pytest.mark.parametrize("name", FAILED)
def test_other_numbers_fail(name: str, tmp_path: Path) -> None:
    assert Verdict.failed in verdicts(FAILED[name], tmp_path)
