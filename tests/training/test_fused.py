"""The fused kernels against float64, by Triton's interpreter where there is no GPU.

Bounds come from what rounding may do. Each value computed is a sum of products of values with
rounding errors; `n` terms, summed in any order, are within `n u` of the sum of their absolute
values (Higham 2002, 3.1), u the unit roundoff. So the same step in float64, of absolute
values, bounds each element; what BN adds to it is a sum over all pixels.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
if find_spec("triton") is None:
    pytest.skip("Triton comes with torch for CUDA alone", allow_module_level=True)
if not CUDA:
    if tuple(map(int, np.__version__.split(".")[:2])) >= (2, 4):
        pytest.skip("Triton's interpreter needs numpy < 2.4", allow_module_level=True)
    if "triton" in sys.modules:
        pytest.skip("Triton is loaded, and not to interpret", allow_module_level=True)
    os.environ["TRITON_INTERPRET"] = "1"

from benchmarks.measure import ROOT  # noqa: E402
from resgraph.train.fused import fuse, ops  # noqa: E402
from resgraph.train.fused.chain import Chain  # noqa: E402
from resgraph.train.grouped import BatchCounts  # noqa: E402
from resgraph.train.recompute import planned  # noqa: E402

# The interpreter cuts bfloat16 off where a GPU rounds it.
ROUNDOFF = {torch.float32: 2.0**-24, torch.bfloat16: 2.0 ** (-8 if CUDA else -7)}


class Layer(nn.Module):
    def __init__(
        self,
        channels: int,
        out: int,
        side: int,
        stride: int = 1,
        pad: int | None = None,
    ) -> None:
        super().__init__()
        pad = side // 2 if pad is None else pad
        self.bn = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, out, side, stride, pad, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(torch.relu(self.bn(x)))


class Unit(nn.Module):
    """A bottleneck unit: a row of three, and the map itself."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.one = Layer(channels, width, 1)
        self.two = Layer(width, width, 3)
        self.three = Layer(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.three(self.two(self.one(x)))


class Forked(nn.Module):
    """An activation with two readers, and an addition of what they made of it."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.h = nn.Conv2d(channels, out, 1, 2, bias=False)
        self.f = nn.Conv2d(channels, out, 3, 2, 1, bias=False)
        self.last = Layer(out, out, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.bn(x))
        return self.h(a) + self.last(self.f(a))


@dataclass(frozen=True)
class Results:
    """A step's output, gradients and buffers, by name."""

    tensors: dict[str, Tensor]

    def error(self, exact: Results, name: str) -> Tensor:
        return (self.tensors[name].double() - exact.tensors[name]).abs()


def made(module: nn.Module, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1, 0.3)
            nn.init.normal_(part.bias, 0, 0.3)
    return module.to(DEVICE).to(memory_format=torch.channels_last)


def a_map(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    x = (torch.randn(shape, device=DEVICE) * 2 + 1).to(dtype)
    return x.contiguous(memory_format=torch.channels_last)


def step(module: nn.Module, x: Tensor, g: Callable[[Tensor], Tensor]) -> Results:
    module = copy.deepcopy(module)
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    with torch.autocast(DEVICE, torch.bfloat16, enabled=x.dtype == torch.bfloat16):
        y = module(x)
    y = y.value() if isinstance(y, Chain) else y
    y.backward(g(y))
    named = {n: p.grad for n, p in module.named_parameters()}
    return Results(
        {"y": y.detach(), "x": x.grad, **named, **dict(module.named_buffers())}
    )


def cotangent(y: Tensor) -> Tensor:
    torch.manual_seed(7)
    g = torch.randn(y.shape, device=y.device).to(torch.bfloat16).to(y.dtype)
    return g.contiguous(memory_format=torch.channels_last)


def both(module: nn.Module, x: Tensor) -> tuple[Results, Results]:
    """By the kernels, and in float64."""
    ours = step(fuse(copy.deepcopy(module)), x, cotangent)
    return ours, step(copy.deepcopy(module).double(), x.double(), cotangent)


def magnitudes(layer: Layer, x: Tensor) -> dict[str, Tensor]:
    """The step on absolute values: what the rounding errors of each result are relative to."""
    bn, conv = layer.bn, layer.conv
    z, w = x.double(), conv.weight.detach().double().abs()
    mean = z.mean((0, 2, 3), keepdim=True)
    inverse = (z.var((0, 2, 3), unbiased=False, keepdim=True) + bn.eps).rsqrt()
    gamma = bn.weight.detach().double().abs().view(1, -1, 1, 1)
    beta = bn.bias.detach().double().abs().view(1, -1, 1, 1)
    normed = (z.abs() + mean.abs()) * inverse
    a = (normed * gamma + beta).requires_grad_()
    w.requires_grad_()
    y = functional.conv2d(a, w, None, conv.stride, conv.padding)
    y.backward(cotangent(y).abs())
    d = a.grad
    plain, along = (t.mean((0, 2, 3), keepdim=True) for t in (d, d * normed))
    rows = d.numel() // d.shape[1]
    return {
        "y": y.detach(),
        "x": gamma * inverse * (d + plain + normed * along),
        "conv.weight": w.grad,
        "bn.weight": rows * along.flatten(),
        "bn.bias": rows * plain.flatten(),
        "bn.running_mean": z.abs().mean((0, 2, 3)),
        "bn.running_var": (z.abs() + mean.abs()).square().mean((0, 2, 3)),
    }


def terms(layer: Layer, x: Tensor) -> int:
    """The longest chain of roundings into a result: sums over pixels, window and channels,
    of which gradients hold two, and 40 for the arithmetic of BN."""
    conv, pixels = layer.conv, x.numel() // x.shape[1]
    window = conv.kernel_size[0] ** 2 * max(conv.in_channels, conv.out_channels)
    return 2 * (pixels + window) + 40


def bounds(layer: Layer, x: Tensor) -> dict[str, Tensor]:
    n, single = terms(layer, x), ROUNDOFF[torch.float32]
    # In bfloat16, each product has two rounded factors and each result is rounded itself.
    lower = 4 * ROUNDOFF[x.dtype] if x.dtype != torch.float32 else 0.0
    statistics = ("bn.running_mean", "bn.running_var")
    return {
        name: (n * single + (0.0 if name in statistics else lower)) * size
        for name, size in magnitudes(layer, x).items()
    }


LAYERS = [
    # channels, out, side, stride, pad; images, height, width
    ((16, 16, 3, 1, 1), (2, 8, 8)),
    ((16, 64, 1, 1, 0), (2, 8, 8)),
    ((64, 16, 1, 1, 0), (3, 5, 7)),
    ((256, 64, 1, 1, 0), (2, 4, 4)),
    ((64, 256, 1, 1, 0), (2, 4, 4)),
    ((64, 64, 3, 1, 1), (1, 6, 5)),
    ((12, 20, 3, 1, 1), (3, 7, 5)),
    ((130, 3, 1, 1, 0), (2, 3, 5)),
    ((3, 70, 3, 1, 1), (1, 9, 4)),
    ((20, 12, 3, 2, 1), (2, 7, 9)),
    ((20, 12, 3, 2, 1), (2, 8, 6)),
    ((32, 48, 1, 2, 0), (2, 7, 8)),
    ((8, 8, 3, 1, 0), (2, 6, 6)),
    ((8, 8, 1, 1, 0), (1, 1, 2)),
    ((8, 8, 5, 3, 2), (1, 8, 11)),
]


def margin(layer: Layer, x: Tensor) -> float:
    """How far from 0 the activation that is nearest to it is, in units of its roundoff."""
    y = copy.deepcopy(layer.bn).double()(x.double())
    return float(y.detach().abs().min() / ROUNDOFF[torch.float32])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize(("sizes", "shape"), LAYERS, ids=str)
def test_a_layer_is_within_rounding_of_float64(
    sizes: tuple[int, ...], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    layer = made(Layer(*sizes))
    x = a_map(shape[0], sizes[0], *shape[1:], dtype=dtype)
    assert margin(layer, x) > 50  # so that ReLU lets through the same
    ours, exact = both(layer, x)
    for name, bound in bounds(layer, x).items():
        error = ours.error(exact, name)
        assert (error <= bound).all(), (name, float((error / bound).max()))
    assert ours.tensors["bn.num_batches_tracked"] == 1
    assert ours.tensors["y"].dtype == ours.tensors["x"].dtype == dtype
    assert ours.tensors["conv.weight"].dtype == torch.float32


ROWS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "a unit": (lambda: Unit(32, 8), (2, 32, 5, 7)),
    "units": (lambda: nn.Sequential(Unit(24, 8), Unit(24, 12)), (2, 24, 4, 5)),
    "two readers": (lambda: Forked(12, 20), (3, 12, 7, 8)),
    "both": (lambda: nn.Sequential(Forked(16, 32), Unit(32, 8)), (2, 16, 8, 8)),
    "scaled": (lambda: Scaled(16), (2, 16, 4, 5)),
}


class Scaled(nn.Module):
    """Readers that are neither BN nor addition, and additions of what differs in shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one = Layer(channels, channels, 3)
        self.two = Layer(channels, channels, 1)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        f, g = self.one(x), self.two(x)
        gate = torch.sigmoid(f)
        mean = torch.flatten(functional.adaptive_avg_pool2d(g, 1), 1)
        y = (
            0.5 * f
            - g / 2
            + (1 - gate) * x
            + f.mul(gate)
            + (-g)
            + g
            + mean[:, :, None, None]
        )
        return torch.relu(self.bn(y)) + self.bn.weight.mean()


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_layers_are_within_rounding_of_float64(name: str) -> None:
    """Each layer adds what `n` roundings do; BN between them keeps errors at that size."""
    make, shape = ROWS[name]
    module, x = made(make()), a_map(*shape)
    ours, exact = both(module, x)
    layers = sum(isinstance(m, nn.BatchNorm2d) for m in module.modules())
    n = 2 * (x.numel() // x.shape[1] + 9 * 32) + 40
    bound = 3 * layers * n * ROUNDOFF[torch.float32]
    for key in exact.tensors:
        size = exact.tensors[key].double().norm()
        assert ours.error(exact, key).norm() <= bound * size, key
        if key.endswith("num_batches_tracked"):
            assert ours.tensors[key] == 1


def test_the_gradient_of_an_added_map() -> None:
    """A residual that is no input of the row has a gradient of its own."""
    layer, x = made(Layer(8, 12, 3)), a_map(2, 8, 4, 4)
    residual = a_map(2, 12, 4, 4, seed=3).requires_grad_()
    y = residual + fuse(layer)(x.requires_grad_())
    g = cotangent(y)
    y.backward(g)
    assert torch.equal(residual.grad, g)


def test_it_is_the_same_each_time() -> None:
    module, x = made(Forked(12, 20)), a_map(3, 12, 7, 8, dtype=torch.bfloat16)
    first, second = (step(fuse(copy.deepcopy(module)), x, cotangent) for _ in range(2))
    for name, tensor in first.tensors.items():
        assert torch.equal(tensor, second.tensors[name]), name


def test_the_moments_of_a_map_far_from_zero() -> None:
    """Squares of deviations are summed, not of values, which here would lose all digits."""
    layer = made(Layer(16, 8, 1))
    x = a_map(4, 16, 8, 8) * 1e-2 + 100
    ours, exact = both(layer, x)
    u, n = ROUNDOFF[torch.float32], terms(layer, x)
    # A mean that is off by u |mean| adds its square to the variance.
    bound = n * u * exact.tensors["bn.running_var"] + (n * u * 100) ** 2
    assert (ours.error(exact, "bn.running_var") <= bound).all()


def test_what_is_not_a_number_stays_so() -> None:
    layer, x = made(Layer(16, 8, 1)), a_map(2, 16, 4, 4)
    x[0, 3, 1, 1] = float("nan")
    assert step(fuse(layer), x, cotangent).tensors["y"].isnan().all()


@pytest.mark.parametrize(
    "change",
    [
        {"bias": True},
        {"groups": 2},
        {"dilation": 2},
        {"stride": (1, 2)},
        {"padding": "same"},
    ],
    ids=str,
)
def test_other_convolutions_run_as_they_did(change: dict[str, object]) -> None:
    layer = Layer(8, 8, 3)
    layer.conv = nn.Conv2d(8, 8, 3, **{"bias": False, **change})
    x = a_map(2, 8, 6, 6)
    made(layer)
    y = fuse(copy.deepcopy(layer))(x)
    assert torch.equal(y, layer(x))


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of kernels as they are launched."""
    names: list[str] = []
    for name in ("moments", "prepare", "convolve"):
        own = getattr(ops, name)
        monkeypatch.setattr(
            ops,
            name,
            lambda *a, _own=own, _name=name, **k: names.append(_name) or _own(*a, **k),
        )
    return names


def test_a_sum_is_taken_where_it_is_written(launched: list[str]) -> None:
    """Of a row of units, only the first's input is read for its moments alone."""
    module, x = fuse(made(nn.Sequential(Unit(24, 8), Unit(24, 8)))), a_map(2, 24, 4, 4)
    y = module(x)
    assert isinstance(y, Tensor)
    assert launched == ["moments", *["prepare", "convolve"] * 6]


def test_batches_that_are_counted_elsewhere() -> None:
    module, x = fuse(made(Unit(16, 8))), a_map(2, 16, 4, 4)
    with BatchCounts(module).grouped():
        module(x)
    assert [
        module.get_buffer(f"{n}.bn.num_batches_tracked") for n in ("one", "two")
    ] == [1, 1]
    assert module.one.bn.running_mean.abs().sum() > 0


def test_a_map_that_was_changed_is_read_again(launched: list[str]) -> None:
    unit, x = fuse(made(Unit(24, 8))), a_map(2, 24, 4, 4)
    y = unit(x).detach()
    y += 1
    unit(y)
    assert launched.count("moments") == 2


def test_inference_is_as_it_was(launched: list[str]) -> None:
    module, x = made(Unit(16, 8)), a_map(2, 16, 4, 4)
    fused = fuse(copy.deepcopy(module))
    assert torch.equal(fused.eval()(x), module.eval()(x))
    assert fused.state_dict().keys() == module.state_dict().keys()
    assert not launched


def test_a_dry_run_of_the_benchmark(tmp_path: Path) -> None:
    """One part is begun before the time is over, and holds; the others say why they do not."""
    out = tmp_path / "kernels.json"
    command = (
        "-m benchmarks.bench_kernels --device cpu --parts exact --seconds 0.5 --out"
    )
    subprocess.run(
        [sys.executable, *command.split(), str(out)],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        check=True,
        capture_output=True,
    )
    first, *others = json.loads(out.read_text())["parts"].values()
    assert first["ok"]
    assert first["same"]
    assert "no time was left" in others[0]["error"]


class Plain(nn.Module):
    """A unit that ends with a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.f = Layer(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x)


def test_a_unit_gives_a_tensor() -> None:
    """To hooks, and to whatever comes after it."""
    units = nn.Sequential(Plain(8), Plain(8))
    network = fuse(made(nn.Sequential(units)))
    seen: list[object] = []
    for unit in (*units, network):
        unit.register_forward_hook(lambda m, i, output: seen.append(output))
    network(a_map(2, 8, 4, 4))
    assert all(isinstance(output, Tensor) for output in seen)


def test_a_network_whose_units_are_computed_anew() -> None:
    unit, x = (
        made(nn.Sequential(nn.Sequential(Unit(8, 8), Unit(8, 8)))),
        a_map(2, 8, 4, 4),
    )
    usual = step(fuse(copy.deepcopy(unit)), x, cotangent)
    anew = planned(copy.deepcopy(unit), Anew())
    for name, tensor in step(fuse(anew), x, cotangent).tensors.items():
        assert torch.equal(tensor, usual.tensors[name]), name


class Anew:
    segments: ClassVar = {"0": [(0, 2)]}
    bn_relu: ClassVar = ["0.0.one.bn"]
