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

from benchmarks.training import noise
from resgraph.compiler import Compiler
from resgraph.origin import origin
from resgraph.plan import strategies
from resgraph.train import Recipe, load_generated
from resgraph.train.batches import Batches
from resgraph.train.engine import Engine
from resgraph.train.execution import Execution
from resgraph.train.precision import numerics
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
}
BF16_WAYS = {
    "graph": {"cuda_graph": True},
    "grouped casts": {"grouped_casts": True},
    "grouped casts, graph": {"grouped_casts": True, "cuda_graph": True},
    "combined kernels": {"combo_kernels": True},
    "eager": {"compile": False},
    "eager, grouped casts, graph": {
        "compile": False,
        "grouped_casts": True,
        "cuda_graph": True,
    },
}


def engine_of(execution: Execution, name: str = "resnet20", **more: Any) -> Engine:
    generated = load_generated(ROOT / "generated" / f"{name}.py")
    recipe = Recipe.from_mapping(
        RECIPE | {"iterations": 64_000, "batch": 64, "lr": 0.01, "milestones": (3, 5)}
    )
    torch.manual_seed(0)
    return Engine(generated.build(), noise(256), recipe, 0, execution, **more)


def change(engine: Engine, steps: int = STEPS) -> Tensor:
    """What the steps changed, of all weights, in one vector of doubles."""
    before = weights(engine)
    with numerics(engine.execution.precision):
        for iteration in range(steps):
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
    assert apart(change(engine_of(WAYS[way])), plain) <= 4 * rounding


@pytest.mark.parametrize("way", BF16_WAYS)
def test_a_step_in_bfloat16(way: str, plain: Tensor, compiled: Tensor) -> None:
    made = change(engine_of(dataclasses.replace(BF16, **BF16_WAYS[way])))
    assert apart(made, compiled) <= apart(compiled, plain) < 1


@pytest.mark.parametrize("name", ["resnet20", "resnet110_dropout_shortcut"])
@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("way", ["each unit anew", "BN-ReLU anew"])
def test_recomputing(name: str, way: str, graph: bool, compile: bool) -> None:
    if compile and way == "BN-ReLU anew":
        pytest.skip("which is left to torch.compile then")
    execution = Execution(CUDA, compile=compile)
    found = origin(ROOT / "generated" / f"{name}.py")
    assert found is not None
    plans = {p.name: p for p in strategies(found.graph(Compiler()), 64)}
    usual = change(engine_of(execution, name), 3)
    graphed = dataclasses.replace(execution, cuda_graph=graph)
    anew = change(engine_of(graphed, name, recompute=plans[way]), 3)
    assert apart(anew, usual) < 0.01


@pytest.mark.parametrize("graph", [False, True])
def test_streaming(graph: bool) -> None:
    execution = Execution(CUDA, cuda_graph=graph)
    streaming = engine_of(execution)
    streaming.batches = Batches(
        noise(256), streaming.recipe, 0, execution.device, stream=True
    )
    assert apart(change(streaming), change(engine_of(execution))) < 0.01


@pytest.mark.parametrize("first", [False, True])
def test_a_checkpoint_of_another_memory_layout(first: bool) -> None:
    begun = engine_of(Execution(CUDA, channels_last=first))
    change(begun, 3)
    state = begun.state()
    other = engine_of(Execution(CUDA, channels_last=not first))
    other.load_state(state)
    for engine in (begun, other):
        engine.before = weights(engine)  # type: ignore[attr-defined]
        with numerics("fp32"):
            engine.step(3)
    one, two = (weights(e) - e.before for e in (begun, other))  # type: ignore[attr-defined]
    assert apart(one, two) < 0.05
