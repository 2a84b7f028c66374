"""What an error is held against: rounding of this network, and nothing that was chosen for it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from resgraph.verify.rounding import DOUBLE
from resgraph.verify.tolerance import FACTOR, MANY, Deviation, deviation


def held(
    ours: dict[str, Tensor], exact: dict[str, Tensor], size: float, floors: float = 0.0
) -> tuple[Deviation, int]:
    """The worst deviation, and how many noisy runs it took."""
    asked = []

    def run(k: int) -> dict[str, Tensor]:
        asked.append(k)
        noise = torch.Generator().manual_seed(k)
        return {
            n: t + size * torch.randn(t.shape, generator=noise, dtype=t.dtype)
            for n, t in exact.items()
        }

    found = deviation(ours, exact, run, DOUBLE, dict.fromkeys(ours, floors))
    return found, max(asked) + 1


EXACT = {"a.conv.weight": torch.ones(100, dtype=torch.float64)}


def moved(by: float) -> dict[str, Tensor]:
    return {"a.conv.weight": EXACT["a.conv.weight"] + by}


def test_an_error_of_the_size_of_rounding_is_within() -> None:
    found, runs = held(moved(1e-12), EXACT, 1e-12)
    assert found.within
    assert found.excess == pytest.approx(1, rel=0.2)
    assert runs < MANY


def test_an_error_beyond_the_factor_is_not_and_more_runs_are_asked() -> None:
    found, runs = held(moved(2 * FACTOR * 1e-12), EXACT, 1e-12)
    assert not found.within
    assert runs == MANY


def test_a_clear_error_needs_few_runs() -> None:
    found, runs = held(moved(1.0), EXACT, 1e-12)
    assert not found.within
    assert runs < MANY


def test_one_rounding_of_the_value_is_always_within() -> None:
    assert held(moved(DOUBLE), EXACT, 0.0)[0].within
    assert not held(moved(100 * DOUBLE), EXACT, 0.0)[0].within
    assert held(moved(100 * DOUBLE), EXACT, 0.0, floors=1000 * DOUBLE)[0].within


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_what_is_not_finite_is_never_within(wrong: float) -> None:
    found, _ = held(moved(wrong), EXACT, 1e-12)
    assert not found.within
    assert math.isinf(found.excess)


def test_another_shape_is_never_within() -> None:
    found, _ = held({"a.conv.weight": torch.ones(7).double()}, EXACT, 1e-12)
    assert not found.within


def test_a_tensor_that_is_0_in_theory_is_held_against_its_kind() -> None:
    """Its norm is rounding, so an error is not divided by it."""
    exact = {
        "a.conv.bias": torch.full((4,), 1e-17, dtype=torch.float64),
        "a.bn.bias": torch.ones(4, dtype=torch.float64),
        "b.bn.bias": 1e6 * torch.ones(4, dtype=torch.float64),
    }
    ours = {**exact, "a.conv.bias": torch.full((4,), -3e-13, dtype=torch.float64)}
    found, _ = held(ours, exact, 1e-13)
    assert found.name == "a.conv.bias"
    assert found.like == "a.bn.bias"
    assert found.within
    assert "0 in theory" in str(found)
    ours["a.conv.bias"] = torch.full((4,), 1e-9, dtype=torch.float64)
    assert not held(ours, exact, 1e-13)[0].within
