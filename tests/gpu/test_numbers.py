"""The rule by which `check` judges: it lets rounding pass, and finds what is planted."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from benchmarks.gpu import numbers
from benchmarks.gpu.numbers import Subject, change, changed, compared, engine
from benchmarks.gpu.ways import ways
from benchmarks.training import PLAIN
from resgraph.train.step import Engine

SUBJECT = Subject("resnet20", "cpu", 16)
BF16 = {**PLAIN, "precision": "bf16"}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("way", ways("cpu", small=True))
def test_rounding_passes(way: str) -> None:
    found = compared(SUBJECT, ways("cpu", small=True)[way], None)
    assert found.right, found.values


def no_momentum(made: Engine) -> None:
    made.optimizer.param_groups[0]["momentum"] = 0.0


def less_decay(made: Engine) -> None:
    made.optimizer.param_groups[0]["weight_decay"] = 0.05


def a_rate_that_never_drops(made: Engine) -> None:
    made._set_lr = lambda lr: None  # type: ignore[method-assign]


def a_rate_of_a_tenth_more(made: Engine) -> None:
    usual = made._set_lr
    made._set_lr = lambda lr: usual(1.1 * lr)  # type: ignore[method-assign]


def a_weight_that_stays(made: Engine) -> None:
    """One of 21 layers."""
    weight = made.network.get_submodule("stage3.1.conv2").weight
    weight.requires_grad_(False)


def statistics_that_lag(made: Engine) -> None:
    for layer in made.network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.09


def a_batch_counted_twice(made: Engine) -> None:
    """By one BN."""
    layer = next(m for m in made.network.modules() if isinstance(m, nn.BatchNorm2d))
    usual = layer.forward

    def forward(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            layer.num_batches_tracked.add_(1)
        return usual(x)

    layer.forward = forward  # type: ignore[method-assign]


def another_seed(made: Engine) -> None:
    made.batches.seed = 1


FAULTS = (
    *(no_momentum, less_decay, a_rate_that_never_drops, a_rate_of_a_tenth_more),
    *(a_weight_that_stays, statistics_that_lag, a_batch_counted_twice, another_seed),
)


@functools.cache
def scale(precision: str) -> dict[str, float]:
    return numbers.scale(SUBJECT, numbers.amount(SUBJECT.network, precision))


@pytest.mark.parametrize("choices", [PLAIN, BF16], ids=lambda c: c["precision"])
@pytest.mark.parametrize("plant", FAULTS, ids=lambda f: f.__name__)
def test_what_is_planted_is_found(
    plant: Callable[[Engine], None], choices: dict[str, object]
) -> None:
    made = engine(SUBJECT, choices)
    plant(made)
    least = scale(str(choices["precision"]))
    values, right = numbers.judged(changed(made), change(SUBJECT, PLAIN), least)
    assert not right, values


def test_no_number_is_not_right() -> None:
    made = engine(SUBJECT, PLAIN)
    with torch.no_grad():
        next(iter(made.network.parameters()))[0].fill_(float("nan"))
    _, right = numbers.judged(changed(made), change(SUBJECT, PLAIN), scale("fp32"))
    assert not right


def test_a_finer_precision_is_disturbed_less() -> None:
    amounts = [numbers.amount("resnet20", p) for p in ("fp32", "tf32", "bf16")]
    assert amounts == sorted(amounts)
    weights = [scale(precision)["weights"] for precision in ("fp32", "tf32", "bf16")]
    assert weights == sorted(weights)
    for precision in ("tf32", "bf16"):
        twin = numbers.amount("resnet20", precision, twin=True)
        assert amounts[0] < twin < numbers.amount("resnet20", precision)
    assert numbers.amount("resnet20", "fp32", twin=True) == pytest.approx(amounts[0])
