"""Rounding noise: it covers what float32 really does, op by op, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from resgraph.verify.numbers import (
    GRADIENTS,
    STATISTICS,
    TRAINING,
    Batch,
    Numbers,
    Point,
    Subject,
    gradients,
)
from resgraph.verify.rounding import DOUBLE, SINGLE, Rounding
from resgraph.verify.tolerance import MANY, deviation

OPS: dict[str, Callable[[], nn.Module]] = {
    "3x3 convolution": lambda: nn.Conv2d(16, 32, 3, padding=1),
    "wide 1x1 convolution": lambda: nn.Conv2d(512, 16, 1, bias=False),
    "strided convolution": lambda: nn.Conv2d(16, 16, 3, stride=2),
    "grouped convolution": lambda: nn.Conv2d(16, 32, 3, groups=4),
    "depthwise convolution": lambda: nn.Conv2d(16, 16, 3, groups=16),
    "BN": lambda: nn.BatchNorm2d(16),
    "convolution and BN": lambda: nn.Sequential(nn.Conv2d(16, 8, 3), nn.BatchNorm2d(8)),
    "BN behind ReLU": lambda: nn.Sequential(nn.ReLU(), nn.BatchNorm2d(16)),
    "average pooling": lambda: nn.AvgPool2d(3, 2, 1),
    "gate": lambda: nn.Sequential(nn.Conv2d(16, 16, 1), nn.Sigmoid()),
}


class Net(nn.Module):
    """The op between two convolutions, and a linear layer on the mean of its maps."""

    def __init__(self, op: nn.Module, channels: int) -> None:
        super().__init__()
        width = next(
            (m.in_channels for m in op.modules() if isinstance(m, nn.Conv2d)), 16
        )
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.op = op
        self.last = nn.LazyLinear(channels)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.op(self.first(x) + 1.0)
        return self.last(maps.mean((2, 3)))  # type: ignore[no-any-return]


def subject(name: str, seed: int) -> tuple[Subject, Point, Batch]:
    torch.manual_seed(seed)
    net = Net(OPS[name](), 10)
    images = torch.randn(4, 3, 13, 13)
    net(images)
    double = deepcopy(net).double()
    start = {
        n: t.detach().clone() for n, t in double.state_dict().items() if "num" not in n
    }
    made = Subject(double, {n: n for n in start})
    return made, Point(start), Batch(images.double(), torch.randint(10, (4,)))


def in_float32(made: Subject, point: Point, batch: Batch) -> Numbers:
    """What torch's own kernels make of it in float32."""
    net = deepcopy(made.network).float()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name in point.tensors:
                tensor.copy_(point.tensors[name])
    logits = net.train()(batch.images.float())
    functional.cross_entropy(logits, batch.labels).backward()
    buffers = {n: b for n, b in net.named_buffers() if n in point.tensors}
    found: Numbers = {
        TRAINING: {"logits": logits.detach()},
        GRADIENTS: {n: p.grad for n, p in net.named_parameters() if p.grad is not None},
    }
    return found | ({STATISTICS: buffers} if buffers else {})


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("seed", range(4))
def test_noise_covers_the_kernels_of_float32(name: str, seed: int) -> None:
    made, point, batch = subject(name, seed)
    exact, ours = gradients(made, point, batch), in_float32(made, point, batch)
    runs = [gradients(made, point, batch, Rounding(SINGLE, k)) for k in range(MANY)]
    for quantity, tensors in ours.items():
        noisy = [run[quantity] for run in runs]
        far = deviation(tensors, exact[quantity], noisy.__getitem__, SINGLE, {})
        assert far.within, f"{quantity}: {far}"
        assert far.error > 0


@pytest.mark.parametrize("name", OPS)
def test_noise_is_as_large_as_its_unit(name: str) -> None:
    """So that a fault of a thousand roundings is not lost in it."""
    made, point, batch = subject(name, 0)
    exact = gradients(made, point, batch)[TRAINING]["logits"]
    noisy = gradients(made, point, batch, Rounding(DOUBLE, 0))[TRAINING]["logits"]
    error = float((noisy - exact).norm() / exact.norm())
    assert DOUBLE / 10 < error < 1000 * DOUBLE


def test_noise_is_a_function_of_its_seed_and_leaves_nothing_behind() -> None:
    made, point, batch = subject("convolution and BN", 0)
    torch.manual_seed(3)
    first, again, other = (
        gradients(made, point, batch, Rounding(DOUBLE, seed))[GRADIENTS]
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not any(torch.equal(first[n], other[n]) for n in first if "weight" in n)
    plain = gradients(made, point, batch)[GRADIENTS]
    once_more = gradients(made, point, batch)[GRADIENTS]
    assert all(torch.equal(plain[n], once_more[n]) for n in plain)
    assert torch.equal(
        plain["last.bias"], gradients(made, point, batch)[GRADIENTS]["last.bias"]
    )
    assert not any(p._backward_hooks for p in made.network.parameters())


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 5), (2, 6, 4, 4), (2, 6, 3, 3, 3)])
def test_batch_normalisation_of_any_rank_is_disturbed(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(6, dtype=torch.float64, requires_grad=True)
    statistics = torch.zeros(6).double(), torch.ones(6).double()
    for training in (True, False):
        exact = functional.batch_norm(x, *statistics, weight, training=training)
        with Rounding(DOUBLE, 0):
            ours = functional.batch_norm(x, *statistics, weight, training=training)
            ours.square().sum().backward()
        assert 0 < float((ours - exact).detach().norm()) < 1e-11
    assert x.grad is not None


def test_folding_disturbs_weights_too() -> None:
    made, _, batch = subject("3x3 convolution", 0)
    image = batch.images[:1]
    runs = []
    for folding in (False, True):
        with torch.no_grad(), Rounding(DOUBLE, 5, folding):
            runs.append(made.network(image))
    assert not torch.equal(*runs)


@pytest.mark.parametrize("low", [-2.0, -8.0, -12.0])
def test_a_runtimes_sigmoid_is_rounded_as_a_half_is(low: float) -> None:
    """However small it is: what onnxruntime does to it, and what the noise says."""
    onnxruntime = pytest.importorskip("onnxruntime")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Sigmoid", ["x"], ["y"])],
        "sigmoid",
        [value("x", onnx.TensorProto.FLOAT, ["n"])],
        [value("y", onnx.TensorProto.FLOAT, ["n"])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = torch.linspace(low - 1, low + 1, 4001)
    exact = torch.sigmoid(x.double())
    found = torch.from_numpy(session.run(None, {"x": x.numpy()})[0]).double()
    with Rounding(SINGLE, seed=0, folding=True):
        noisy = torch.sigmoid(x.double())
    error, expected = (norm(each - exact) for each in (found, noisy))
    assert error < 6 * expected


def norm(x: Tensor) -> float:
    return float(torch.linalg.vector_norm(x))
