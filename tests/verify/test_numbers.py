"""Numbers beside another author's module: other roundings, other orders of chance, no proof."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.verify import Present
from resgraph.verify.numbers import (
    GRADIENTS,
    INFERENCE,
    STATISTICS,
    UPDATES,
    Exact,
    Numbers,
)
from resgraph.verify.witness import Task
from tests.verify.conftest import failures, subject_of

SPEC = """\
resgraph: 1
title: A stem with BN before a pre-activation unit, dropout on two paths
units:
  body:
    params: [width]
    paths:
      h: {from: x, ops: [{dropout: {rate: 0.2}}]}
      F:
        from: x
        ops: [bn, relu, {conv: {kernel: 3, channels: width}}, {dropout: {rate: 0.4}}]
      out: {from: [h, F], ops: [add]}
network:
  input: [3, 12, 12]
  stem: [{conv: {kernel: 3, channels: 8, bias: true}}, bn]
  stages: [[{body: {width: 8}, repeat: 2}]]
  head: [bn, relu, global_avg_pool, {linear: {features: 5}}]
"""
THEIRS = '''\
"""The same by another author: F before the shortcut, means in two steps."""
import torch
from torch import nn
from torch.nn import functional as F


class Unit(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.weight = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, 1, 1, bias=False)

    def forward(self, x):
        out = F.dropout(self.weight(F.relu(self.norm(x))), RATES[0], self.training)
        return out.add_(F.dropout(x, RATES[1], self.training))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8))
        self.units = nn.Sequential(Unit(), Unit())
        self.norm, self.out = nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu(self.norm(self.units(self.stem(x.float()))))
        x = x.mean(3).mean(2)
        return CLASSIFY


RATES = (0.4, 0.2)
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.yaml").write_text(SPEC, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


NO_CHANCE = SPEC.replace("dropout: {rate: 0.2}", "scale: {factor: 1}").replace(
    ", {dropout: {rate: 0.4}}", ""
)
EINSUM = 'torch.einsum("nc,kc->nk", x, self.out.weight)'


def verified(theirs: str, code: int) -> dict[str, dict[str, str]]:
    Path("theirs.py").write_text(theirs, encoding="utf-8")
    args = ["verify", "net.yaml", "--against", "theirs.py:Net", "--json"]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == code, result.output + repr(result.exception)
    (outcome,) = json.loads(result.stdout)
    return {check["check"]: check for check in outcome["checks"]}


def plain(theirs: str = THEIRS, classify: str = "self.out(x)") -> str:
    return theirs.replace("CLASSIFY", classify)


def test_another_author_rounds_otherwise_and_draws_in_another_order(
    folder: Path,
) -> None:
    """Gradients that are 0 in theory, a cast to float32, dropouts in another order."""
    found = verified(plain(), 0)
    gradients = found["gradients: theirs.py:Net"]
    assert gradients["verdict"] == "passed"
    assert "times that, 6 allowed" in gradients["detail"]


def test_a_linear_layer_may_be_a_convolution(folder: Path) -> None:
    theirs = plain(classify="self.out(x[:, :, None, None]).flatten(1)")
    found = verified(theirs.replace("nn.Linear(8, 5)", "nn.Conv2d(8, 5, 1)"), 0)
    assert found["updates of SGD: theirs.py:Net"]["verdict"] == "passed"


def test_another_rate_of_dropout_is_another_network(folder: Path) -> None:
    found = verified(plain(THEIRS.replace("(0.4, 0.2)", "(0.4, 0.21)")), 1)
    assert found["structure: theirs.py:Net"]["verdict"] == "failed"


@pytest.mark.parametrize(
    ("classify", "code", "verdict"),
    [
        (f"{EINSUM} + self.out.bias", 3, "not proven"),
        (f"1.0000001 * {EINSUM} + self.out.bias", 1, "failed"),
        (f"{EINSUM}.detach() + self.out.bias", 1, "failed"),
    ],
)
def test_what_no_rule_knows_is_not_proven(
    classify: str, code: int, verdict: str, folder: Path
) -> None:
    Path("net.yaml").write_text(NO_CHANCE, encoding="utf-8")
    found = verified(plain(classify=classify).replace("(0.4, 0.2)", "(0, 0)"), code)
    structure = found["structure: theirs.py:Net"]
    assert structure["verdict"] == verdict
    assert ("equal to" in structure["detail"]) == (code == 3)


# --- float64 throughout -----------------------------------------------------------------


def test_casts_to_float32_lose_nothing_and_what_is_made_is_double() -> None:
    x = torch.rand(3, dtype=torch.float64)
    with Exact():
        assert torch.equal(x.float(), x)
        assert torch.equal(x.to(torch.float32), x)
        assert torch.ones(2).dtype is torch.float64
        assert torch.zeros(2, dtype=torch.float32).dtype is torch.float64
    assert torch.ones(2).dtype is torch.float32


def test_masks_of_dropout_go_by_number_not_by_order() -> None:
    x = torch.ones(1000, dtype=torch.float64)

    def drawn(*chances: int) -> list[Tensor]:
        with Exact(chances):
            return [functional.dropout(x, 0.5), nn.Dropout(0.5).train()(x)]

    first, second = drawn()
    swapped = drawn(1, 0)
    assert torch.equal(first, swapped[1])
    assert torch.equal(second, swapped[0])
    assert not torch.equal(first, second)
    assert set(first.tolist()) == {0.0, 2.0}


# --- what a witness leaves out ------------------------------------------------------------


@pytest.mark.parametrize("quantity", [GRADIENTS, STATISTICS, UPDATES, INFERENCE])
def test_a_witness_that_leaves_something_out_has_not_passed(
    quantity: str, tmp_path: Path
) -> None:
    subject = subject_of("preact_basic:resnet20@14", tmp_path, by_hand=False)

    class Silent(Present):
        def computed(self, task: Task) -> Sequence[Numbers]:
            found = [dict(numbers) for numbers in super().computed(task)]
            for numbers in found:
                left = dict(numbers.pop(quantity, {}))
                left.pop(next(iter(left), ""), None)
                numbers[quantity] = left
            return found

    assert isinstance(subject.witness, Present)
    silent = replace(subject, witness=Silent(subject.witness.generated))
    (check,) = failures(silent, steps=1)
    assert check.name.startswith(quantity)
    assert check.name.endswith(": spec")
    assert "gives no" in check.detail
