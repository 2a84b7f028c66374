"""A step on a CUDA device, by each choice of execution.

Two ways to compute one step differ by rounding alone. How much that is over some steps is
measured beside it: as far as a way is from its reference of higher precision, so far may it
be from its twin.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.gpu.numbers import Subject, strategy
from benchmarks.training import noise
from resgraph.train import Recipe, load_generated
from resgraph.train.batches import Batches
from resgraph.train.execution import Execution, numerics
from resgraph.train.step import Engine
from tests.conftest import ROOT
from tests.training.conftest import RECIPE

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device here"
)
CUDA = torch.device("cuda")
STEPS = 6
PLAIN = Execution(CUDA, channels_last=False, fused=False, grouped_counts=False)
BF16 = Execution(CUDA, "bf16", compile=True)
WAYS = {
    "fused": Execution(CUDA, channels_last=False),
    "channels last": Execution(CUDA),
    "graph": Execution(CUDA, cuda_graph=True),
    "compiled": Execution(CUDA, compile=True),
    "compiled, graph": Execution(CUDA, compile=True, cuda_graph=True),
    "fused kernels": Execution(CUDA, fused_kernels=True),
    "fused kernels, graph": Execution(CUDA, fused_kernels=True, cuda_graph=True),
}
BF16_WAYS = {
    "graph": {"cuda_graph": True},
    "grouped casts": {"grouped_casts": True},
    "grouped casts, graph": {"grouped_casts": True, "cuda_graph": True},
    "combined kernels": {"combo_kernels": True},
    "eager": {"compile": False},
    "fused kernels": {"compile": False, "fused_kernels": True},
    "fused kernels, graph": {
        "compile": False,
        "fused_kernels": True,
        "cuda_graph": True,
    },
    "eager, grouped casts, graph": {
        "compile": False,
        "grouped_casts": True,
        "cuda_graph": True,
    },
}


def engine_of(
    execution: Execution, name: str = "resnet20", images: int = 256, **more: Any
) -> Engine:
    generated = load_generated(ROOT / "generated" / f"{name}.py")
    recipe = Recipe.from_mapping(
        RECIPE | {"iterations": 64_000, "batch": 64, "lr": 0.01, "milestones": (3, 5)}
    )
    torch.manual_seed(0)
    return Engine(generated.build(), noise(images), recipe, 0, execution, **more)


def change(engine: Engine, steps: int = STEPS, first: int = 0) -> Tensor:
    """What the steps changed, of all weights, in one vector of doubles."""
    before = weights(engine)
    with numerics(engine.execution.precision):
        for iteration in range(first, first + steps):
            engine.step(iteration)
    return weights(engine) - before


def weights(engine: Engine) -> Tensor:
    parts = [p.detach().double().cpu().flatten() for p in engine.network.parameters()]
    return torch.cat([part.contiguous() for part in parts])


def apart(one: Tensor, two: Tensor) -> float:
    distance = float((one - two).norm() / two.norm())
    print(f"apart: {distance:.3g}")  # shown by pytest -rA: a figure beside the verdict
    return distance


@pytest.fixture(scope="module")
def plain() -> Tensor:
    return change(engine_of(PLAIN))


@pytest.fixture(scope="module")
def rounding(plain: Tensor) -> float:
    """How far float32 itself is from double precision over these steps."""
    engine = engine_of(dataclasses.replace(PLAIN, device=torch.device("cpu")))
    engine.network.double()
    engine.optimizer = engine._optimizer()
    build = engine.batches.build

    def doubled(*given: Any) -> tuple[Tensor, Tensor]:
        images, labels = build(*given)
        return images.double(), labels

    engine.batches.build = doubled  # type: ignore[method-assign]
    return apart(plain, change(engine))


@pytest.fixture(scope="module")
def compiled() -> Tensor:
    return change(engine_of(BF16))


@pytest.mark.parametrize("way", WAYS)
def test_a_step_in_float32(way: str, plain: Tensor, rounding: float) -> None:
    assert 0 < rounding < 0.5
    assert apart(change(engine_of(WAYS[way])), plain) <= 2 * rounding


@pytest.mark.parametrize("way", BF16_WAYS)
def test_a_step_in_bfloat16(way: str, plain: Tensor, compiled: Tensor) -> None:
    made = change(engine_of(dataclasses.replace(BF16, **BF16_WAYS[way])))
    assert apart(made, compiled) <= apart(compiled, plain) < 1


def test_bottleneck_units_by_the_fused_kernels() -> None:
    ways = (
        Execution(CUDA),
        Execution(CUDA, "bf16"),
        Execution(CUDA, "bf16", fused_kernels=True, cuda_graph=True),
    )
    plain, eager, fused = (change(engine_of(way, "resnet164"), 3) for way in ways)
    assert apart(fused, eager) <= apart(eager, plain) < 1


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("way", ["each unit anew", "BN-ReLU anew"])
def test_recomputing(
    way: str, graph: bool, compile: bool, plain: Tensor, rounding: float
) -> None:
    if compile and way == "BN-ReLU anew":
        pytest.skip("which is left to torch.compile then")
    execution = Execution(CUDA, compile=compile, cuda_graph=graph)
    anew = change(engine_of(execution, recompute=anew_in("resnet20", way)))
    assert apart(anew, plain) <= 2 * rounding


@pytest.mark.parametrize("compile", [False, True])
def test_dropout_is_computed_anew_from_the_same_numbers(
    compile: bool, rounding: float
) -> None:
    name = "resnet110_dropout_shortcut"
    execution, recompute = (
        Execution(CUDA, compile=compile),
        anew_in(name, "each unit anew"),
    )
    usual = change(engine_of(execution, name), 3)
    assert apart(change(engine_of(execution, name, recompute=recompute), 3), usual) <= (
        2 * rounding
    )


def anew_in(name: str, way: str) -> Any:
    return strategy(Subject(name, "cuda", recomputed=way))


@pytest.mark.parametrize("graph", [False, True])
def test_streaming(graph: bool, plain: Tensor, rounding: float) -> None:
    streaming = engine_of(Execution(CUDA, cuda_graph=graph))
    recipe, device = streaming.recipe, streaming.device
    streaming.batches = Batches(noise(256), recipe, 0, device, stream=True)
    assert apart(change(streaming), plain) <= 2 * rounding


@pytest.mark.parametrize("first", [False, True])
def test_a_checkpoint_of_another_memory_layout(first: bool, rounding: float) -> None:
    """Momentum that is taken in the wrong layout makes a step that is off by its size."""
    begun = engine_of(Execution(CUDA, channels_last=first))
    change(begun, 3)
    state = begun.state()
    other = engine_of(Execution(CUDA, channels_last=not first))
    other.load_state(state)
    one, two = change(begun, 1, first=3), change(other, 1, first=3)
    assert apart(one, two) <= 2 * rounding


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_replayed_test_counts_what_a_plain_one_counts(precision: str) -> None:
    """The last batch, which is smaller, too."""
    plain, graphed = (
        engine_of(Execution(CUDA, precision, cuda_graph=graph), images=700)
        for graph in (False, True)
    )
    for engine in (plain, graphed):
        with numerics(precision):
            assert engine.test_error() == engine.test_error()
    graphed.load_state(plain.state())
    with numerics(precision):
        assert graphed.test_error() == plain.test_error()
