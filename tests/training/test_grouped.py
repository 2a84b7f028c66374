"""Work that a step does for all layers at once changes no number."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from resgraph.data import Dataset
from resgraph.train import Generated, Recipe
from resgraph.train.execution import Execution
from resgraph.train.grouped import BatchCounts, WorkingWeights, like
from resgraph.train.optimizer import state_tensors
from tests.training.conftest import RECIPE
from tests.training.test_engine import engine_of, tensors

CPU = torch.device("cpu")


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.from_mapping(RECIPE | {"milestones": (4, 6)})


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(
    ("precision", "choice"),
    [("fp32", "grouped_counts"), ("bf16", "grouped_counts"), ("bf16", "grouped_casts")],
)
def test_grouped_steps_are_bitwise_the_plain_ones(
    tiny: Generated,
    digits: Dataset,
    recipe: Recipe,
    precision: str,
    choice: str,
    channels_last: bool,
) -> None:
    plain = Execution(CPU, precision, channels_last, grouped_counts=False)
    engines = [
        engine_of(tiny, digits, recipe, dataclasses.replace(plain, **{choice: on}))
        for on in (False, True)
    ]
    for iteration in range(6):
        for engine in engines:
            engine.step(iteration)
    assert engines[0].weights().keys() == engines[1].weights().keys()
    for one, two in zip(*map(tensors, engines), strict=True):
        assert torch.equal(one, two)


def test_between_steps_the_network_is_as_it_was(tiny: Generated) -> None:
    network = tiny.build().train()
    before = dict(network.named_parameters())
    images = torch.randn(4, *tiny.input_shape)
    with BatchCounts(network).grouped(), WorkingWeights(network).grouped():
        weights = {name: p.dtype for name, p in network.named_parameters()}
        with torch.autocast("cpu", torch.bfloat16):
            network(images).float().sum().backward()
    after = dict(network.named_parameters())
    assert before.keys() == after.keys() == weights.keys()
    assert all(after[name] is weight for name, weight in before.items())
    assert {torch.float32, torch.bfloat16} == set(weights.values())
    assert all(weight.grad is not None for weight in after.values())
    counts = [b for n, b in network.named_buffers() if "num_batches" in n]
    assert counts
    assert all(count == 1 for count in counts)


def test_a_step_that_fails_leaves_the_network_as_it_was(tiny: Generated) -> None:
    network = tiny.build().train()
    before = network.state_dict()
    counts, copies = BatchCounts(network), WorkingWeights(network)
    with pytest.raises(ZeroDivisionError), counts.grouped(), copies.grouped():
        raise ZeroDivisionError
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_bn_that_averages_counts_by_itself() -> None:
    averaging = nn.BatchNorm2d(3, momentum=None)
    twin = nn.BatchNorm2d(3, momentum=None)
    counts = BatchCounts(averaging)
    for _ in range(3):
        images = torch.randn(5, 3, 2, 2)
        with counts.grouped():
            averaging(images)
        twin(images)
    for name, value in twin.state_dict().items():
        assert torch.equal(averaging.state_dict()[name], value)


@pytest.mark.parametrize("shape", [(8, 4, 1, 1), (8, 1, 3, 3), (8, 4, 3, 3), (8,)])
def test_like_keeps_values_and_takes_strides(shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape)
    layouts = [tensor]
    if tensor.dim() == 4:
        last = torch.empty(shape[0], *shape[2:], shape[1]).permute(0, 3, 1, 2)
        layouts += [last, tensor.contiguous(memory_format=torch.channels_last)]
    for layout in layouts:
        made = like(tensor, layout)
        assert made.stride() == layout.stride()
        assert torch.equal(made, tensor)


def test_momentum_keeps_its_values_in_another_memory_layout(
    tiny: Generated, digits: Dataset, recipe: Recipe
) -> None:
    """In the layout of the checkpoint a fused optimiser would read it wrongly."""
    rows, last = (Execution(CPU, channels_last=choice) for choice in (False, True))
    first = engine_of(tiny, digits, recipe, rows)
    for iteration in range(3):
        first.step(iteration)
    state = first.state()
    for execution in (rows, last):
        second = engine_of(tiny, digits, recipe, execution)
        second.load_state(state)
        pairs = zip(
            state_tensors(first.optimizer, first.recipe),
            state_tensors(second.optimizer, second.recipe),
            strict=True,
        )
        assert all(torch.equal(one, two) for one, two in pairs)
        for weight, momentum in zip(
            second.network.parameters(),
            state_tensors(second.optimizer, second.recipe),
            strict=True,
        ):
            assert momentum.stride() == weight.stride()
