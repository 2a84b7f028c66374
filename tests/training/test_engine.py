"""The engine's step: what of it may change with speed, and what may not."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resgraph.data import Dataset
from resgraph.recipe import Recipe
from resgraph.train import Generated, TrainOptions, open_run
from resgraph.train.batches import seed_of
from resgraph.train.execution import (
    Execution,
    autocast,
    element_size,
    execution_for,
    numerics,
)
from resgraph.train.optimizer import state_tensors
from resgraph.train.recompute import draws_anew
from resgraph.train.step import Engine
from tests.helpers import refused
from tests.training.conftest import RECIPE, Trained

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device here"
)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.of(
        RECIPE | {"batch": 16, "pad": 1, "warmup_iterations": 2, "milestones": (4, 6)}
    )


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "kept"),
    [(4, 1, 2, False), (8, 1, 2, True), (4, 3, 2, True), (4, 1, 1, True)],
)
def test_a_layout_that_breaks_torch_is_not_used(
    channels: int, kernel: int, stride: int, kept: bool
) -> None:
    network = nn.Sequential(nn.Conv2d(channels, 8, kernel, stride=stride))
    assert Execution(CPU).spared(network).channels_last is kept
    assert Execution(CUDA).spared(network).channels_last


def engine_of(
    tiny: Generated, digits: Dataset, recipe: Recipe, execution: Execution
) -> Engine:
    torch.manual_seed(0)
    return Engine(tiny.build(), digits, recipe, 3, execution)


OTHERS: list[dict[str, Any]] = [
    {"optimizer": "adamw", "lr": 1e-3},
    {"momentum": 0.0, "ema": 0.8, "ema_start": 2},
    {"clip_grad_norm": 0.1, "label_smoothing": 0.1, "no_weight_decay": ["bn"]},
]
"""Words of recipes other than the paper's."""


def tensors(engine: Engine) -> Iterator[Tensor]:
    """All that a step changes."""
    if engine.average is not None:
        yield from engine.average.tensors
    yield from engine.network.state_dict().values()
    yield from state_tensors(engine.optimizer, engine.recipe)
    yield engine.loss_sum


@pytest.mark.parametrize(
    ("options", "device", "ranks", "chosen"),
    [
        ({}, CPU, 1, Execution(CPU)),
        ({}, CUDA, 1, Execution(CUDA, "bf16", compile=True, cuda_graph=True)),
        ({}, CUDA, 2, Execution(CUDA, "bf16")),
        ({"compile": True}, CPU, 1, Execution(CPU, compile=True)),
        ({"precision": "bf16"}, CPU, 1, Execution(CPU, "bf16")),
        (
            {"precision": "tf32", "fused": False, "compile": False},
            CUDA,
            1,
            Execution(CUDA, "tf32", fused=False),
        ),
        (
            {"channels_last": False, "cuda_graph": False},
            CUDA,
            1,
            Execution(CUDA, "bf16", channels_last=False, compile=True),
        ),
    ],
)
def test_defaults_and_choices(
    options: dict[str, Any], device: torch.device, ranks: int, chosen: Execution
) -> None:
    assert execution_for(TrainOptions(**options), device, ranks) == chosen


@pytest.mark.parametrize(
    ("options", "device", "ranks", "message"),
    [
        ({"precision": "tf32"}, CPU, 1, "TF32 is a precision of CUDA"),
        ({"cuda_graph": True}, CPU, 1, "CUDA graphs need CUDA"),
        ({"cuda_graph": True}, CUDA, 2, "this trains on 2 ranks"),
        ({"cuda_graph": True, "fused": False}, CUDA, 1, "needs a fused optimiser"),
        ({"fused_kernels": True}, CPU, 1, "single CUDA device"),
        ({"fused_kernels": True}, CUDA, 2, "single CUDA device"),
        ({"fused_kernels": True, "compile": True}, CUDA, 1, "leave out --compile"),
    ],
)
def test_what_a_device_does_not_allow(
    options: dict[str, Any], device: torch.device, ranks: int, message: str
) -> None:
    told = refused(lambda: execution_for(TrainOptions(**options), device, ranks))
    assert message in told


def test_an_unknown_precision_is_told() -> None:
    told = refused(lambda: TrainOptions(precision="bf61"))
    assert (
        told
        == "precision 'bf61' is none of auto, fp32, tf32, bf16 | did you mean 'bf16'?"
    )


def test_a_resumed_run_goes_on_as_it_was_run() -> None:
    kept = Execution(CUDA, "bf16", False, True, True).as_dict()
    options = TrainOptions()
    assert execution_for(options, CUDA, kept=kept).as_dict() == kept
    moved = execution_for(options, CPU, kept=kept)
    assert moved == Execution(CPU, "bf16", False, True, cuda_graph=False)
    assert execution_for(options, CUDA, ranks=2, kept=kept).cuda_graph is False
    other = TrainOptions(precision="fp32", compile=False)
    assert execution_for(other, CPU, kept=kept) == Execution(CPU, "fp32", False)


def test_run_json_keeps_what_was_chosen(trained: Trained) -> None:
    folder = trained(stop_at=3, channels_last=False, fused=False).folder
    trained(resume=True, stop_at=5)
    kept = open_run(folder).about["execution"]
    assert kept == Execution(CPU, channels_last=False, fused=False).as_dict()


@pytest.mark.parametrize(
    ("precision", "tf32"), [("fp32", False), ("bf16", False), ("tf32", True)]
)
def test_tf32_is_on_for_tf32_alone(precision: str, tf32: bool) -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
    with contextlib.suppress(KeyError), numerics(precision):
        assert (cudnn.allow_tf32, matmul.allow_tf32) == (tf32, tf32)
        assert cudnn.benchmark
        raise KeyError
    assert (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark) == before


def test_activations_have_the_precision() -> None:
    for precision in ("fp32", "bf16"):
        with autocast(CPU, precision):
            result = torch.ones(2, 2) @ torch.ones(2, 2)
        assert result.element_size() == element_size(precision)


@pytest.mark.parametrize(
    "change", [{"channels_last": False}, {"fused": False}, {"precision": "bf16"}]
)
def test_each_choice_changes_rounding_alone(
    tiny: Generated, digits: Dataset, recipe: Recipe, change: dict[str, Any]
) -> None:
    plain = engine_of(tiny, digits, recipe, Execution(CPU))
    other = engine_of(tiny, digits, recipe, Execution(CPU, **change))
    for iteration in range(4):
        plain.step(iteration)
        other.step(iteration)
    bound = 0.03 if "precision" in change else 1e-5
    for one, two in zip(tensors(plain), tensors(other), strict=True):
        torch.testing.assert_close(one, two, rtol=bound, atol=bound)
    assert plain.test_error() == pytest.approx(other.test_error(), abs=2)


def test_the_layout_is_the_one_chosen(
    tiny: Generated, digits: Dataset, recipe: Recipe
) -> None:
    for chosen, strides in ((True, (9, 1, 3, 1)), (False, (9, 9, 3, 1))):
        engine = engine_of(tiny, digits, recipe, Execution(CPU, channels_last=chosen))
        engine.step(0)
        weight = engine.network.get_parameter("conv.weight")
        assert weight.stride() == strides
        assert weight.grad is not None


@pytest.mark.parametrize("words", [{}, *OTHERS], ids=lambda w: " ".join(w) or "paper")
def test_a_step_on_static_buffers_is_the_ordinary_step(
    tiny: Generated, digits: Dataset, recipe: Recipe, words: dict[str, Any]
) -> None:
    """What a CUDA graph needs: all that varies comes through the same few tensors.

    Inputs are copied into places that stay, all state is there from the beginning, and
    everything is changed in place: after eight steps, over two drops of the learning rate,
    each tensor is where it was, and what ordinary steps made of it, for SGD bitwise.
    """
    recipe = recipe.changed(**words)
    plain = engine_of(tiny, digits, recipe, Execution(CPU))
    static = engine_of(tiny, digits, recipe, Execution(CPU))
    rate = torch.tensor(recipe.lr)
    for group in static.optimizer.param_groups:
        group["lr"] = rate
    static.network.train()
    indices, draws = static.batches.prepare(0)
    places = [t.clone() for t in (indices, draws.top, draws.left, draws.mirrored)]
    addresses = [t.data_ptr() for t in tensors(static)]
    for iteration in range(8):
        plain.step(iteration)
        static._set_out(iteration)
        indices, draws = static.batches.prepare(iteration)
        inputs = (indices, draws.top, draws.left, draws.mirrored)
        for place, value in zip(places, inputs, strict=True):
            place.copy_(value)
        reseed(static, iteration)
        static._advance(places)
    assert static.optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == pytest.approx(recipe.lr_at(7))
    assert [t.data_ptr() for t in tensors(static)] == addresses
    for one, two in zip(tensors(plain), tensors(static), strict=True):
        if "optimizer" in words:  # the rate in float32 is not that in float64
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(one, two)


def reseed(engine: Engine, iteration: int) -> None:
    """Draw the dropout that `Engine.step` draws."""
    torch.manual_seed(seed_of(engine.seed, "dropout", iteration))


def test_state_goes_from_one_execution_to_another(
    tiny: Generated, digits: Dataset, recipe: Recipe
) -> None:
    first = engine_of(tiny, digits, recipe, Execution(CPU))
    for iteration in range(3):
        first.step(iteration)
    second = engine_of(tiny, digits, recipe, Execution(CPU, fused=False))
    second.load_state(first.state())
    assert second.optimizer.param_groups[0]["fused"] is None
    for one, two in zip(tensors(first), tensors(second), strict=True):
        assert torch.equal(one, two)


@needs_cuda
@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("words", [{}, *OTHERS], ids=lambda w: " ".join(w) or "paper")
def test_a_replayed_step_is_the_step(
    tiny: Generated,
    digits: Dataset,
    recipe: Recipe,
    compile: bool,
    words: dict[str, Any],
) -> None:
    """Recording changes nothing, and replays follow the learning rate and the dropout."""
    recipe, execution = recipe.changed(**words), Execution(CUDA, compile=compile)
    graphed = dataclasses.replace(execution, cuda_graph=True)
    with numerics("fp32"):
        plain = engine_of(tiny, digits, recipe, execution)
        replayed = engine_of(tiny, digits, recipe, graphed)
        for iteration in range(8):
            plain.step(iteration)
            replayed.step(iteration)
        state = replayed.state()
        resumed = engine_of(tiny, digits, recipe, graphed)
        resumed.load_state(state)
        for engine in (plain, replayed, resumed):
            engine.step(8)
        for one, two in zip(tensors(plain), tensors(replayed), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)
        for one, two in zip(tensors(replayed), tensors(resumed), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)


@dataclasses.dataclass(frozen=True)
class Segments:
    """A part of the network computed anew."""

    segments: dict[str, list[tuple[int, int]]]
    bn_relu: tuple[str, ...] = ()


@pytest.mark.parametrize(("first", "graph"), [(0, True), (1, False)])
def test_no_graph_where_dropout_is_computed_anew(first: int, graph: bool) -> None:
    dropping = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Dropout(0.5)), nn.Dropout(0.0))
    network = nn.Sequential(dropping)
    spans = Segments({"0": [(first, first + 1), (2, 3)]})
    recorded = Execution(CUDA, cuda_graph=True).recording(
        not draws_anew(network, spans)
    )
    assert recorded.cuda_graph is graph
    assert not draws_anew(network, None)
