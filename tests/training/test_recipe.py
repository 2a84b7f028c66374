"""The recipe, augmentation, and the order of images."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch

from resgraph.data import Dataset
from resgraph.recipe import Recipe
from resgraph.recipe.precedence import chosen
from resgraph.train import Generated, TrainOptions
from resgraph.train.batches import Batches, Draws, Order, crop_and_flip, draw
from tests.helpers import refused
from tests.training.conftest import (
    RECIPE,
)

PAPER = Recipe.from_mapping(RECIPE | {"batch": 128, "pad": 4})


@pytest.mark.parametrize(
    ("iteration", "lr"),
    [
        (0, 0.01),
        (399, 0.01),
        (400, 0.1),
        (31_999, 0.1),
        (32_000, 0.01),
        (47_999, 0.01),
        (48_000, 0.001),
        (63_999, 0.001),
    ],
)
def test_learning_rate_of_the_paper(iteration: int, lr: float) -> None:
    assert PAPER.lr_at(iteration) == pytest.approx(lr)


def test_scaled_keeps_proportions() -> None:
    tenth = PAPER.scaled(0.1)
    assert tenth.iterations == 6400
    assert tenth.schedule.drops == (3200, 4800)
    assert tenth.warmup_iterations == 40
    assert (tenth.lr, tenth.batch) == (PAPER.lr, PAPER.batch)


def run_of(size: int = 50_000, **options: Any) -> Recipe:
    return chosen(PAPER, {}, options, size).recipe


def test_overrides() -> None:
    changed = run_of(iterations=640, lr=0.05, batch=64)
    assert (changed.iterations, changed.schedule.drops) == (640, (320, 480))
    assert (changed.lr, changed.batch) == (0.05, 64)
    assert changed.warmup_lr == pytest.approx(0.005)
    by_epochs = run_of(epochs=2)
    assert by_epochs.iterations == math.ceil(2 * 50_000 / 128)
    assert run_of() == PAPER


def test_what_options_place_is_not_stretched() -> None:
    assert run_of(iterations=500, milestones=[300, 400]).schedule.drops == (300, 400)
    placed = run_of(size=1280, epochs=10, milestones=[5, 7.5], warmup_epochs=1)
    assert (placed.iterations, placed.schedule.drops) == (100, (50, 75))
    assert placed.warmup_iterations == 10
    assert run_of(ema=0.9, ema_start=320, iterations=640).ema_start == 320


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iterations": 0}, "iterations: expected a positive whole number, got 0"),
        ({"iterations": 5, "epochs": 1}, "both say how long"),
        ({"epochs": 0}, "epochs: expected a positive number, got 0"),
        ({"epochs": math.nan}, "epochs: expected a positive number, got nan"),
        ({"batch": 0}, "batch: expected a positive whole number, got 0"),
        ({"lr": -0.1}, "lr: expected a positive number, got -0.1"),
        ({"lr": math.inf}, "lr: expected a positive number, got inf"),
        ({"schedule": "cosine", "milestones": [5]}, "is a field of the schedule steps"),
    ],
)
def test_bad_overrides(changes: dict[str, Any], message: str) -> None:
    assert message in refused(lambda: run_of(size=100, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"momentun": 0.9}, "unknown field 'momentun' | did you mean 'momentum'?"),
        ({"batch": "128"}, "batch: expected a positive whole number, got the text"),
        ({"milestones": 5}, "milestones: expected a list"),
        ({"milestones": (5, 2)}, "not in order"),
        ({"flip": 1}, "flip: expected true or false"),
        ({"nesterov": True, "momentum": 0.0}, "nesterov needs a momentum"),
        ({"version": 2}, "version is 1, not 2"),
        ({"explicit": ["lrr"]}, "explicit must list fields"),
        ({"epochs": 3}, "'iterations' and 'epochs' both say how long"),
    ],
)
def test_bad_recipes(changes: dict[str, Any], message: str) -> None:
    assert message in refused(lambda: Recipe.from_mapping(RECIPE | changes))


def test_a_recipe_that_lacks_a_field() -> None:
    partial = {k: v for k, v in RECIPE.items() if k not in ("lr", "pad")}
    assert "no lr, pad" in refused(lambda: Recipe.from_mapping(partial))


@pytest.mark.parametrize("factor", [0, -1, math.nan])
def test_bad_scale(factor: float) -> None:
    assert "scale must be above 0" in refused(lambda: PAPER.scaled(factor))


def test_digits_have_their_own_recipe(tiny: Generated, digits: Dataset) -> None:
    found = TrainOptions().chosen_for(tiny, digits)
    recipe = found.recipe
    assert recipe.iterations < 2000
    assert recipe.flip is False
    assert recipe.optimizer == tiny.recipe.optimizer
    assert recipe.pad == 1
    assert found.replaced["iterations"] == (64_000, 500)
    assert found.replaced.keys() == {
        *("iterations", "batch", "milestones", "warmup_iterations", "pad", "flip")
    }


def one_by_one(images: torch.Tensor, draws: Draws, pad: int) -> torch.Tensor:
    """The same, an image and a pixel at a time."""
    out = torch.zeros_like(images)
    count, _, height, width = images.shape
    for n, y, x in itertools.product(range(count), range(height), range(width)):
        column = width - 1 - x if draws.mirrored[n] else x
        row = y + int(draws.top[n]) - pad
        column += int(draws.left[n]) - pad
        if 0 <= row < height and 0 <= column < width:
            out[n, :, y, x] = images[n, :, row, column]
    return out


@pytest.mark.parametrize(("pad", "flip"), [(4, True), (2, False), (0, True)])
def test_augmentation_equals_a_loop(pad: int, flip: bool) -> None:
    images = torch.randn(24, 3, 9, 7)
    draws = draw(24, pad, flip, torch.Generator().manual_seed(1))
    assert draws.mirrored.any() == flip
    expected = one_by_one(images, draws, pad)
    assert torch.equal(crop_and_flip(images, draws, pad), expected)


def test_draws_reach_every_offset_and_no_other() -> None:
    draws = draw(4000, 4, True, torch.Generator().manual_seed(0))
    assert set(draws.top.tolist()) == set(draws.left.tolist()) == set(range(9))
    assert 0.45 < draws.mirrored.float().mean() < 0.55


def test_order_uses_every_image_once_an_epoch() -> None:
    order = Order(count=10, batch=4, seed=3)
    stream = torch.cat([order.indices(i) for i in range(10)]).tolist()
    epochs = [stream[i : i + 10] for i in range(0, 40, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert torch.equal(Order(10, 4, 3).indices(7), order.indices(7))
    assert not torch.equal(Order(10, 10, 4).indices(0), Order(10, 10, 3).indices(0))


def test_a_batch_may_be_larger_than_the_set() -> None:
    assert sorted(Order(3, 6, 0).indices(0).tolist()) == [0, 0, 1, 1, 2, 2]


def test_batches_are_normalised_images(digits: Dataset) -> None:
    recipe = PAPER.changed(pad=0, flip=False, batch=len(digits.train_images))
    images, labels = Batches(digits, recipe, 0, torch.device("cpu"))[0]
    assert images.mean().item() == pytest.approx(0, abs=1e-5)
    assert images.std().item() == pytest.approx(1, abs=1e-3)
    assert labels.bincount().tolist() == np.bincount(digits.train_labels).tolist()
