"""Flows: what counts as the same computation, and what does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from resgraph.verify.isomorphism import Match, match
from resgraph.verify.trace import record, trace
from tests.helpers import refused

SHAPE = (4, 8, 8)


class Net(nn.Module):
    """A module whose forward is any function of itself and x."""

    def __init__(self, forward: Callable[[Net, Tensor], Tensor]) -> None:
        super().__init__()
        self.run = forward
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.other = nn.Conv2d(4, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.map = nn.Parameter(torch.zeros(2, 1, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def same(
    a: Callable[[Net, Tensor], Tensor], b: Callable[[Net, Tensor], Tensor]
) -> bool:
    flows = [trace(Net(f), SHAPE, training=True) for f in (a, b)]
    return isinstance(match(*flows), Match)


def extended(x: Tensor) -> Tensor:
    return torch.cat([x, torch.zeros(x.shape[0], 2, 8, 8)], 1)


def in_place(x: Tensor) -> Tensor:
    y = x + 1.0
    y += x
    y.relu_()
    return y


EQUAL = {
    "relu": [
        lambda n, x: torch.relu(x),
        lambda n, x: functional.relu(x),
        lambda n, x: x.relu(),
        lambda n, x: nn.ReLU()(x),
    ],
    "in place": [
        lambda n, x: in_place(x),
        lambda n, x: torch.relu((x + 1.0) + x),
        lambda n, x: nn.ReLU(inplace=True)((x + 1.0) + x),
    ],
    "order under add": [
        lambda n, x: n.conv(x) + x,
        lambda n, x: x + n.conv(x),
        lambda n, x: torch.add(x, n.conv(x)),
        lambda n, x: x.add(n.conv(x)),
    ],
    "any module of that shape": [lambda n, x: n.conv(x), lambda n, x: n.other(x)],
    "global pooling": [
        lambda n, x: torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1),
        lambda n, x: x.mean((2, 3)),
        lambda n, x: x.mean(dim=(-1, -2), keepdim=True).flatten(1),
        lambda n, x: functional.avg_pool2d(x, x.size()[3]).view(x.size(0), -1),
        lambda n, x: nn.AdaptiveAvgPool2d((1, 1))(x).squeeze(-1).squeeze(-1),
    ],
    "subsampling": [
        lambda n, x: x[:, :, ::2, ::2],
        lambda n, x: functional.avg_pool2d(x, 1, 2),
        lambda n, x: functional.max_pool2d(x, 1, stride=2),
        lambda n, x: x[..., ::2, ::2],
        lambda n, x: nn.AvgPool2d(1, stride=2)(x),
    ],
    "zero channels": [
        lambda n, x: functional.pad(x, (0, 0, 0, 0, 0, 2)),
        lambda n, x: extended(x),
        lambda n, x: torch.cat((x, x.new_zeros(x.shape[0], 2, 8, 8)), dim=1),
    ],
    "nothing": [
        lambda n, x: x + 1.0,
        lambda n, x: nn.Identity()(x) + 1,
        lambda n, x: x[:, :, ::1].contiguous().clone() + 1,
        lambda n, x: functional.dropout(x, 0.0) + 1.0,
        lambda n, x: x.to("cpu").type_as(n.conv.weight).type(torch.float32) + 1.0,
        lambda n, x: x.cpu().type(torch.FloatTensor) + np.float32(1.0),
        lambda n, x: x.to(torch.device("cpu"), torch.float32) + np.float64(1.0),
        lambda n, x: x + torch.from_numpy(np.ones(x.shape, np.float32)),
    ],
    "a shared value computed twice": [
        lambda n, x: n.conv(torch.relu(x)) + torch.relu(x),
        lambda n, x: (lambda a: n.conv(a) + a)(torch.relu(x)),
    ],
    "max pooling": [
        lambda n, x: functional.max_pool2d(x, 2),
        lambda n, x: nn.MaxPool2d(2, stride=2)(x),
    ],
}
DIFFERENT = {
    "order of BN and ReLU": (
        lambda n, x: torch.relu(n.bn(x)),
        lambda n, x: n.bn(torch.relu(x)),
    ),
    "operands of a difference": (
        lambda n, x: x - n.conv(x),
        lambda n, x: n.conv(x) - x,
    ),
    "shared and separate weights": (
        lambda n, x: n.conv(n.conv(x)),
        lambda n, x: n.other(n.conv(x)),
    ),
    "a detour of the gradient": (lambda n, x: x + x, lambda n, x: x + x.detach()),
    "a difference by keywords": (
        lambda n, x: torch.sub(other=x, input=n.conv(x)),
        lambda n, x: torch.sub(x, n.conv(x)),
    ),
    "numbers made of numbers": (
        lambda n, x: (1 + torch.full_like(x, 2.0)) - x,
        lambda n, x: 1 - x,
    ),
    "constants of which nothing is known": (
        lambda n, x: x * torch.full((1, 4, 1, 1), 2.0),
        lambda n, x: x * torch.full((1, 4, 1, 1), 3.0),
    ),
    "a sum with zeros and one with a constant": (
        lambda n, x: x + torch.zeros(1, 4, 1, 1),
        lambda n, x: x + torch.ones(1, 4, 1, 1),
    ),
    "a tensor of its own that is added": (
        lambda n, x: torch.relu(x + n.bn.bias[:, None, None]),
        lambda n, x: torch.relu(x),
    ),
    "a tensor of its own in a concatenation": (
        lambda n, x: torch.cat([torch.cat([x, n.map], 1), x], 1),
        lambda n, x: torch.cat([x, x], 1),
    ),
    "a tensor of its own before a reshape": (
        lambda n, x: (x.flatten(2) + n.bn.bias.view(4, 1)).relu().view(x.shape),
        lambda n, x: x.relu(),
    ),
    "precision": (lambda n, x: x.to("cpu", torch.float16) + 1, lambda n, x: x + 1),
    "scales": (lambda n, x: 0.5 * x, lambda n, x: 0.25 * x),
    "relu twice": (
        lambda n, x: torch.relu(x),
        lambda n, x: torch.relu(torch.relu(x)),
    ),
    "pixels": (
        lambda n, x: x[:, :, ::2, ::2],
        lambda n, x: x[:, :, 1::2, ::2],
    ),
    "sides of a padding": (
        lambda n, x: functional.pad(x, (0, 0, 0, 0, 0, 2)),
        lambda n, x: functional.pad(x, (0, 0, 0, 0, 1, 1)),
    ),
    "concatenation order": (
        lambda n, x: torch.cat([x, n.conv(x)], 1),
        lambda n, x: torch.cat([n.conv(x), x], 1),
    ),
    "dropout": (
        lambda n, x: functional.dropout(x, 0.5),
        lambda n, x: functional.dropout(x, 0.5, training=False),
    ),
    "one dropout or two": (
        lambda n, x: (lambda d: d + d)(functional.dropout(x)),
        lambda n, x: functional.dropout(x) + functional.dropout(x),
    ),
}


@pytest.mark.parametrize("name", EQUAL)
def test_ways_to_write_the_same(name: str) -> None:
    first, *others = EQUAL[name]
    for i, other in enumerate(others):
        assert same(first, other), f"form {i + 1}"


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs(name: str) -> None:
    assert not same(*DIFFERENT[name])


def test_the_same_ways_have_the_same_numbers() -> None:
    """The rules of the labels are right: forms that count as equal compute equal values."""
    x = torch.randn(2, *SHAPE)
    for forms in EQUAL.values():
        net = Net(forms[0])
        nets = [Net(f) for f in forms]
        for other in nets:
            other.load_state_dict(net.state_dict())
            other.other.load_state_dict(net.conv.state_dict())
        values = [other(x.clone()) for other in nets]
        for value in values[1:]:
            assert torch.allclose(value, values[0], atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["relu", "conv", "bn", "add", "mul"]),
            st.integers(0, 9),
            st.integers(0, 9),
        ),
        min_size=1,
        max_size=9,
    ),
    st.randoms(use_true_random=False),
)
def test_an_isomorphism_is_found_whatever_the_order(
    program: list[tuple[str, int, int]], random: object
) -> None:
    """A random DAG and the same one executed in another order, its operands swapped."""

    class Dag(nn.Module):
        def __init__(self, shuffled: bool) -> None:
            super().__init__()
            self.layers = nn.ModuleDict()
            for i, (op, _, _) in enumerate(program):
                if op in ("conv", "bn"):
                    made = nn.Conv2d(4, 4, 1) if op == "conv" else nn.BatchNorm2d(4)
                    self.layers[f"{'b' if shuffled else 'a'}{i}"] = made
            self.shuffled = shuffled

        def forward(self, x: Tensor) -> Tensor:
            values = {-1: x}
            waiting = list(range(len(program)))
            while waiting:
                ready = [i for i in waiting if set(sources(i)) <= values.keys()]
                i = random.choice(ready) if self.shuffled else ready[0]
                waiting.remove(i)
                op, (a, b) = program[i][0], sources(i)
                if self.shuffled and op in ("add", "mul"):
                    a, b = b, a
                values[i] = self.compute(i, op, values[a], values[b])
            return values[len(program) - 1]

        def compute(self, i: int, op: str, a: Tensor, b: Tensor) -> Tensor:
            if op == "add":
                return a + b
            if op == "mul":
                return a * b
            if op == "relu":
                return torch.relu(a)
            return self.layers[f"{'b' if self.shuffled else 'a'}{i}"](a)

    def sources(i: int) -> tuple[int, int]:
        return program[i][1] % (i + 1) - 1, program[i][2] % (i + 1) - 1

    flows = [trace(Dag(shuffled), SHAPE, training=True) for shuffled in (False, True)]
    found = match(*flows)
    assert isinstance(found, Match)
    assert all(theirs.startswith("layers.b") for theirs in found.weights.values())


def test_record_keeps_the_values_of_traced_steps() -> None:
    net = Net(lambda n, x: in_place(x))
    x = torch.randn(2, *SHAPE)
    flow = record(net, x)
    assert [step.op for step in flow.steps] == ["affine", "add", "relu"]
    assert torch.equal(flow.values[0], x + 1)
    assert torch.equal(flow.values[1], (x + 1) + x)
    assert torch.equal(flow.values[2], torch.relu(flow.values[1]))


def test_the_network_is_left_as_it_was() -> None:
    net = Net(lambda n, x: n.bn(n.conv(x))).eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    trace(net, SHAPE, training=True)
    assert not net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


CHANGES: list[Callable[[Net, Tensor], Tensor]] = [
    lambda n, x: x.data.mul_(2),
    lambda n, x: x.detach().add_(1),
    lambda n, x: x[:, 0].mul_(2),
    lambda n, x: x.view(-1).zero_(),
    lambda n, x: x.data[:, 1:].clamp_(min=0),
    lambda n, x: x.chunk(2, 1)[0].neg_(),
    lambda n, x: functional.relu(x[:, :, 1:], inplace=True),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_through_a_view_changes_the_tensor(
    change: Callable[[Net, Tensor], Tensor],
) -> None:
    def changed(n: Net, x: Tensor) -> Tensor:
        y = n.conv(x)
        change(n, y)
        return n.other(y)

    assert not same(changed, lambda n, x: n.other(n.conv(x)))


def test_a_change_of_what_is_not_read_again_changes_nothing() -> None:
    def changed(n: Net, x: Tensor) -> Tensor:
        y = n.conv(x)
        z = torch.flatten(y, 1)
        functional.relu(y, inplace=True)
        return n.other(y + 0 * 1) if z is y else n.other(y)

    assert same(changed, lambda n, x: n.other(torch.relu(n.conv(x))))


def test_a_module_with_two_names_is_left_as_it_was() -> None:
    unit = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    net = nn.Sequential(unit, unit)
    flow = trace(net, SHAPE, training=True)
    assert all(not tensor.is_meta for tensor in net.state_dict().values())
    names = {name for step in flow.steps for _, name, _ in step.weights}
    assert all(name.startswith("0.") for name in names)


def test_a_weight_of_two_modules_is_one_tensor() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    net[1].weight = net[0].weight
    flow = trace(net, SHAPE, training=True)
    used = [name for step in flow.steps for role, name, _ in step.weights]
    assert used.count("0.weight") == 2
    assert "1.weight" not in used


def test_what_cannot_be_traced() -> None:
    def by_numbers(n: Net, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x

    told = refused(lambda: trace(Net(by_numbers), SHAPE, training=True))
    assert "cannot be traced" in told
    assert "whatever numbers" in told
    told = refused(lambda: trace(Net(lambda n, x: (x, "x")), SHAPE, training=True))
    assert "returns str, and not tensors alone" in told
    told = refused(lambda: trace(Net(lambda n, x: ()), SHAPE, training=True))
    assert "returns tuple without a tensor" in told
    told = refused(lambda: trace(Net(lambda n, x: n.conv(x)), (3, 8, 8), training=True))
    assert "cannot be traced on images of [3, 8, 8]" in told
