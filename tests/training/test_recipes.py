"""Optimisers, schedules, clipping, smoothing and averages: what they do, and resumed bitwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import lr_scheduler

from resgraph.data import Dataset
from resgraph.recipe import HE2016, Recipe
from resgraph.train import Generated, TrainOptions, open_run, train
from resgraph.train.execution import Execution
from resgraph.train.optimizer import (
    Average,
    optimizer_for,
    parameter_groups,
    state_tensors,
)
from resgraph.train.recompute import left_for_training
from resgraph.train.step import Engine
from tests.training.conftest import Trained, checkpoint_of

CPU = torch.device("cpu")
MODERN: dict[str, Any] = {
    "optimizer": "adamw",
    "lr": 2e-3,
    "schedule": "cosine",
    "warmup": "linear",
    "warmup_iterations": 4,
    "no_weight_decay": ["bn", "bias"],
    "label_smoothing": 0.1,
    "clip_grad_norm": 0.5,
    "ema": 0.8,
}
RECIPES: dict[str, dict[str, Any]] = {
    "nesterov": {"nesterov": True},
    "no momentum": {"momentum": 0.0},
    "adamw": {"optimizer": "adamw"},
    "linear": {"schedule": "linear", "min_lr": 1e-3},
    "one cycle": {"schedule": "one_cycle"},
    "clipped": {"clip_grad_norm": 0.1},
    "smoothed": {"label_smoothing": 0.2},
    "averaged": {"ema": 0.9},
    "averaged from step 12": {"ema": 0.9, "ema_start": 12},
    "exempt": {"no_weight_decay": ["bn"], "weight_decay": 0.1},
    "modern": MODERN,
}


def recipe_of(**words: Any) -> Recipe:
    base = {"iterations": 24, "batch": 16, "pad": 1, "warmup_iterations": 0}
    return Recipe.of({**base, **words})


def test_a_recipe_without_words_is_the_papers() -> None:
    assert Recipe.of({}) == HE2016 == Recipe.from_mapping(HE2016.as_dict())


# --- schedules ----------------------------------------------------------------------------


def rates(schedule: Any, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("steps", [7, 100])
@pytest.mark.parametrize("kind", ["cosine", "linear", "one_cycle", "steps"])
def test_schedules_are_torchs(kind: str, steps: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    words: dict[str, Any] = {
        "cosine": {"min_lr": 0.01},
        "linear": {"min_lr": 0.01},
        "one_cycle": {"pct_start": 0.4, "div_factor": 10},
        "steps": {"milestones": [3, 5], "gamma": 0.5},
    }[kind]
    theirs = {
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(optimizer, steps, 0.01),
        "linear": lambda: lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps),
        "one_cycle": lambda: lr_scheduler.OneCycleLR(
            optimizer, 0.1, steps, pct_start=0.4, div_factor=10, cycle_momentum=False
        ),
        "steps": lambda: lr_scheduler.MultiStepLR(optimizer, [3, 5], 0.5),
    }[kind]()
    recipe = recipe_of(iterations=steps, schedule=kind, **words)
    wanted = rates(theirs, optimizer, steps)
    assert [recipe.lr_at(i) for i in range(steps)] == pytest.approx(wanted)


def test_a_warm_up_rises_to_the_rate() -> None:
    recipe = recipe_of(warmup_iterations=4, warmup_lr=0.02, warmup="linear")
    found = [recipe.lr_at(i) for i in range(5)]
    assert found == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    cosine = recipe.changed(schedule="cosine")
    assert cosine.lr_at(4) == pytest.approx(0.1)
    assert cosine.lr_at(14) == pytest.approx(0.05)


# --- optimisers ---------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.bn = nn.BatchNorm2d(2)


@pytest.mark.parametrize(
    ("exempt", "without"),
    [
        ([], set()),
        (["bn"], {"bn.weight", "bn.bias"}),
        (["bias"], {"conv.bias", "bn.bias"}),
        (["bn", "bias"], {"conv.bias", "bn.weight", "bn.bias"}),
    ],
)
def test_what_decays(exempt: list[str], without: set[str]) -> None:
    net = Net()
    recipe = recipe_of(no_weight_decay=exempt, weight_decay=0.1)
    found = {
        name
        for group in parameter_groups(net, recipe)
        for parameter in group["params"]
        for name, own in net.named_parameters()
        if own is parameter and not group["weight_decay"]
    }
    assert found == without


@pytest.mark.parametrize("name", ["nesterov", "no momentum", "adamw", "modern"])
def test_state_that_is_there_before_changes_no_step(name: str) -> None:
    """A CUDA graph needs all state before the first step; torch makes it in that step."""
    recipe = recipe_of(**RECIPES[name])
    made = []
    for before in (False, True):
        torch.manual_seed(0)
        net = Net()
        optimizer = optimizer_for(parameter_groups(net, recipe), recipe, 0.1)
        places = [t.data_ptr() for t in state_tensors(optimizer, recipe) if before]
        for step in range(3):
            for parameter in net.parameters():
                parameter.grad = torch.full_like(parameter, step - 0.5)
            optimizer.step()
        kept = state_tensors(optimizer, recipe)
        assert not places or places == [t.data_ptr() for t in kept]
        made.append([*net.parameters(), *kept])
    assert len(made[0]) == len(made[1])
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True))


@pytest.mark.parametrize(
    ("words", "copies"),
    [
        ({}, 3),
        ({"momentum": 0}, 2),
        ({"optimizer": "adamw"}, 4),
        ({"optimizer": "adamw", "ema": 0.9}, 5),
    ],
)
def test_memory_that_a_recipe_takes(words: dict[str, Any], copies: int) -> None:
    recipe, net = recipe_of(**words), nn.Linear(2**20, 64, bias=False)
    optimizer = optimizer_for(parameter_groups(net, recipe), recipe, 0.1)
    net.weight.grad = torch.zeros_like(net.weight)
    optimizer.step()
    average = Average(net, recipe.ema) if recipe.ema else None
    tensors = [net.weight, net.weight.grad, *(average.tensors if average else [])]
    tensors += [t for t in state_tensors(optimizer, recipe) if t.dim()]
    assert sum(t.numel() for t in tensors) == copies * net.weight.numel()
    assert recipe.copies == copies
    most = left_for_training(net, CPU, 1, 0)
    left = left_for_training(net, CPU, 1, recipe.copies)
    assert most is not None
    assert left is not None
    expected = copies * net.weight.numel() * 4
    assert most - left == pytest.approx(expected, rel=0.5)  # others take memory, too


# --- the engine ---------------------------------------------------------------------------


def engine_of(tiny: Generated, digits: Dataset, recipe: Recipe) -> Engine:
    torch.manual_seed(0)
    return Engine(tiny.build(), digits, recipe, 3, Execution(CPU))


def test_the_average_is_that_of_the_steps(tiny: Generated, digits: Dataset) -> None:
    decay, start = 0.8, 2
    engine = engine_of(tiny, digits, recipe_of(ema=decay, ema_start=start))
    assert engine.average is not None
    seen: list[dict[str, Tensor]] = []
    for iteration in range(6):
        engine.step(iteration)
        if iteration >= start:
            seen.append({n: t.clone() for n, t in engine.weights().items()})
        else:
            assert torch.equal(
                engine.average_weights()["conv.weight"], engine.weights()["conv.weight"]
            )
    before = {n: t.clone() for n, t in engine.weights().items()}
    found = engine.average_weights()
    assert all(torch.equal(before[n], t) for n, t in engine.weights().items())
    shares = [decay**k for k in reversed(range(len(seen)))]
    for name in ("conv.weight", "bn.running_var", "linear.bias"):
        total = sum(s * one[name].double() for s, one in zip(shares, seen, strict=True))
        wanted = total / sum(shares)  # type: ignore[union-attr]
        torch.testing.assert_close(found[name].double(), wanted, rtol=1e-5, atol=1e-6)
    assert torch.equal(found["bn.num_batches_tracked"], torch.tensor(6))
    assert engine.average_error() != engine.test_error()


def test_clipping_bounds_the_update(tiny: Generated, digits: Dataset) -> None:
    most = 1e-3
    recipe = recipe_of(momentum=0, weight_decay=0, lr=1.0, clip_grad_norm=most)
    engine = engine_of(tiny, digits, recipe)
    before = [p.detach().clone() for p in engine.network.parameters()]
    engine.step(0)
    moved = [
        (p - b).norm() for p, b in zip(engine.network.parameters(), before, strict=True)
    ]
    assert torch.stack(moved).norm().item() == pytest.approx(most, rel=1e-3)


@pytest.mark.parametrize("words", RECIPES.values(), ids=RECIPES)
def test_each_recipe_resumes_bitwise(
    trained: Trained, tmp_path: Path, words: dict[str, Any]
) -> None:
    whole = trained(out=tmp_path / "whole", recipe=words)
    parts = tmp_path / "parts"
    for number, stop in enumerate([3, 13]):
        trained(out=parts, stop_at=stop, resume=number > 0, recipe=words)
    ended = trained(out=parts, resume=True, recipe=words)
    assert ended.status == "finished"
    assert (ended.test_error, ended.test_error_ema) == (
        whole.test_error,
        whole.test_error_ema,
    )
    names = {path.name for path in parts.glob("*.safetensors")}
    assert names == {path.name for path in whole.folder.glob("*.safetensors")}
    assert ("last.ema.safetensors" in names) == ("ema" in words)
    for name in names:
        one, two = load_file(whole.folder / name), load_file(parts / name)
        assert all(torch.equal(one[key], two[key]) for key in one)
    first, second = (checkpoint_of(open_run(f)).state for f in (whole.folder, parts))
    assert flat(first) == flat(second)


def flat(value: Any) -> Any:
    """A state whose tensors can be compared."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: flat(inner) for key, inner in value.items()}
    return value


def test_the_average_is_recorded_and_told(
    tiny: Generated, digits: Dataset, options: TrainOptions, tmp_path: Path
) -> None:
    import dataclasses

    chosen = dataclasses.replace(options, recipe=MODERN)
    told: list[str] = []
    result = train(
        tiny, digits, chosen, on_event=lambda e: told.append(e.text) if e.text else None
    )
    run = open_run(result.folder)
    tested = [r for r in run.records() if r.test_error is not None]
    assert tested
    assert all(record.test_error_ema is not None for record in tested)
    assert run.about["results"]["test_error_ema"] == tested[-1].test_error_ema
    assert run.about["recipe"]["optimizer"] == "adamw"
    assert "fused AdamW, cosine, labels smoothed" in told[0]
    assert "averaged weights" in told[0]


def test_a_run_of_the_paper_has_what_it_had(trained: Trained) -> None:
    run = open_run(trained().folder)
    assert [*run.about["recipe"]] == [
        *("iterations", "batch", "lr", "milestones", "gamma", "warmup_iterations"),
        *("warmup_lr", "momentum", "nesterov", "weight_decay", "pad", "flip"),
    ]
    assert all("test_error_ema" not in line for line in run.metrics.read_text().split())
    assert not run.last_average.exists()
    assert "ema" not in checkpoint_of(run).state
