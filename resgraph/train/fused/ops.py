"""The kernels as functions of tensors. Maps are [N, C, H, W] with their channels innermost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from resgraph.train.fused import convolutions, sums
from resgraph.train.fused.launch import (
    CONVOLVE,
    GRADIENTS,
    MOMENTS,
    SETTLE,
    TO_INPUT,
    TO_WEIGHT,
    Way,
    arguments,
    factor,
    fastest,
    power,
    precision,
    programs,
)

_PARTS = 1024  # programs' parts that are added at once, at most
_WEIGHT_PARTS = 128
_PACKED = 512  # weights that a program packs
_PLACES = 512  # of a window, times channels, in a tile: what shared memory has room for
_ALL = 2**20  # channels in a tile: as many as there are


@dataclass(frozen=True)
class Gradient:
    """Of a convolution's output; or, where it waits, of the output of BN of it."""

    value: Tensor
    map: Tensor | None = None
    """BN's input, if it waits."""
    back: Tensor | None = None
    """What leads from the one to the other: [slope, tilt, level] of each channel."""

    @property
    def waits(self) -> bool:
        return self.map is not None

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """For a kernel, which wants a tensor in each place."""
        value = self.value
        return value, *(value if t is None else t for t in (self.map, self.back))  # type: ignore[return-value]


@dataclass(frozen=True)
class Window:
    """A convolution's geometry."""

    side: int
    stride: int
    pad: int

    def over(self, size: int) -> int:
        """The output's side for an input's."""
        return (size + 2 * self.pad - self.side) // self.stride + 1


@dataclass(frozen=True)
class Shape:
    """All that a kernel is compiled and chosen for."""

    x: tuple[int, int, int, int]
    y: tuple[int, int, int, int]
    window: Window

    @classmethod
    def of(cls, x: Tensor, weight: Tensor, window: Window) -> Shape:
        images, channels, high, wide = x.shape
        out = (images, weight.shape[0], window.over(high), window.over(wide))
        return cls((images, channels, high, wide), out, window)

    @property
    def rows_in(self) -> int:
        return self.x[0] * self.x[2] * self.x[3]

    @property
    def rows_out(self) -> int:
        return self.y[0] * self.y[2] * self.y[3]

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """Height and width, of input and output."""
        return *self.x[2:], *self.y[2:]

    @property
    def single(self) -> bool:
        """Whether each pixel of the output is of one pixel of the input."""
        return self.window == Window(1, 1, 0)

    @property
    def fusable(self) -> bool:
        """Whether a tile may hold what the weight's gradient is made of."""
        fits = self.window.side**2 * self.y[1] <= _PLACES
        return fits and self.window.stride == 1

    @property
    def constants(self) -> dict[str, int]:
        window = self.window
        return {
            "CI": self.x[1],
            "CO": self.y[1],
            "SIDE": window.side,
            "STRIDE": window.stride,
            "PAD": window.pad,
        }


def channels_last(x: Tensor) -> Tensor:
    """x, laid out as the kernels want it."""
    # is_contiguous(channels_last) also holds for layouts that differ where a side is 1.
    n, c, h, w = x.shape
    if x.stride() == (c * h * w, 1, w * c, c):
        return x
    flat = x.permute(0, 2, 3, 1).contiguous(memory_format=torch.contiguous_format)
    if flat.stride() != (c * h * w, w * c, c, 1):
        flat = flat.clone(memory_format=torch.contiguous_format).view(n, h, w, c)
    return flat.as_strided((n, c, h, w), (c * h * w, 1, w * c, c))


def _empty(shape: tuple[int, int, int, int], like: Tensor) -> Tensor:
    n, c, h, w = shape
    return like.new_empty((n, h, w, c)).permute(0, 3, 1, 2)


def _floats(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float32, device=like.device)


def _tiles(rows: int, way: Way) -> int:
    return -(-rows // way.rows)


def moments(x: Tensor) -> Tensor:
    """Count, mean and squared deviations of the channels of parts of x: [3, C, parts]."""
    n, c, h, w = x.shape
    rows, way = n * h * w, MOMENTS[0]
    columns = power(c, way.columns)
    others = -(-c // columns)
    count = programs(_tiles(rows, way), way, others, x.device)
    parts = _floats(x, 3, c, count)
    grid = (count, others)
    sums.moments[grid](
        x, parts, rows, c, ROWS=way.rows, COLUMNS=columns, **arguments(way)
    )
    return parts


def prepare(
    parts: Tensor,
    bn: nn.BatchNorm2d,
    weight: Tensor,
    x: Tensor,
    count: bool,
) -> tuple[Tensor, Tensor]:
    """BN of a map whose moments are `parts`, and the weight of the convolution behind it.

    The first is [mean, inverse deviation, scale, shift] by channel; the second the weight in
    the map's type, which tensor cores want. `count` says whether the running statistics take
    the batch in.
    """
    norm, packed = _floats(parts, 4, bn.num_features), _packed(weight, x.dtype)
    tracked = count and bn.track_running_stats
    # None where the batches of all BNs are counted at once.
    batches = bn.num_batches_tracked if tracked else None
    out, into, side, _ = weight.shape
    blocks = 0 if packed is weight else -(-weight.numel() // _PACKED)
    sums.prepare[(into + blocks,)](
        parts,
        bn.weight,
        bn.bias,
        norm,
        bn.running_mean if tracked else norm,
        bn.running_var if tracked else norm,
        norm if batches is None else batches,
        parts.shape[2],
        x.numel() // into,
        float(bn.momentum or 0.0),
        bn.eps,
        weight,
        packed,
        *weight.stride(),
        TRACKED=tracked,
        COUNTED=batches is not None,
        CI=into,
        CO=out,
        SIDE=side,
        PARTS=power(parts.shape[2], _PARTS),
        COLUMNS=_PACKED,
        num_warps=4,
    )
    return norm, packed


def _packed(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Room for the weight in another type, its output channels innermost."""
    if weight.dtype == dtype:
        return weight
    out, into, high, wide = weight.shape
    return weight.new_empty((high, wide, into, out), dtype=dtype).permute(3, 2, 0, 1)


def convolve(
    x: Tensor, norm: Tensor, weight: Tensor, window: Window, residual: Tensor | None
) -> tuple[Tensor, Tensor]:
    """conv(relu(BN(x))) + residual, and its moments."""
    shape = Shape.of(x, weight, window)
    y = _empty(shape.y, x)
    added = residual is not None

    def launch(way: Way) -> Tensor:
        ci, co = shape.x[1], shape.y[1]
        flat = way.fused and window.side > 1 and window.side**2 * ci <= _PLACES
        depth = power(ci * window.side**2, _ALL) if flat else power(ci, way.depth)
        columns = power(co, way.columns)
        others = -(-co // columns)
        count = programs(_tiles(shape.rows_out, way), way, others, x.device)
        parts = _floats(x, 3, co, count)
        convolutions.convolve[(count, others)](
            x,
            norm,
            weight,
            residual if added else x,
            y,
            parts,
            shape.rows_out,
            *shape.sides,
            *weight.stride(),
            **shape.constants,
            RESIDUAL=added,
            FACTOR=factor(x),
            PRECISION=precision(x),
            EVEN=shape.rows_out % way.rows == 0,
            LATE=way.late and x.dtype != torch.float32,
            FLAT=flat,
            ROWS=way.rows,
            DEPTH=depth,
            COLUMNS=columns,
            **arguments(way),
        )
        return parts

    key = ("convolve", shape, x.dtype, added)
    return y, launch(fastest(key, CONVOLVE, launch))


@dataclass(frozen=True)
class Layer:
    """A BN-ReLU-convolution going backward."""

    x: Tensor
    norm: Tensor
    weight: Tensor
    packed: Tensor
    """The weight as `prepare` gives it."""
    window: Window

    @property
    def shape(self) -> Shape:
        return Shape.of(self.x, self.weight, self.window)


@dataclass(frozen=True)
class Found:
    """A layer's gradients, all but its input's."""

    to_gamma: Tensor
    to_beta: Tensor
    to_weight: Tensor
    g: Gradient
    """Of the output, as it was or no longer waiting."""
    back: Tensor
    """What leads from BN's output to its input: see `Gradient`."""
    d: Tensor | None
    """The gradient of BN's output, if it was to be kept."""


def gradients(layer: Layer, g: Gradient, keep: bool) -> Found:
    """A layer's gradients from that of its output; `keep` that of BN's output, too."""
    shape, like = layer.shape, layer.x
    d = torch.empty_like(like) if keep else None
    to_weight = torch.empty_like(layer.weight)
    to_gamma, to_beta, back = (
        _floats(like, *size, shape.x[1]) for size in ((), (), (3,))
    )

    def launch(way: Way) -> Found:
        ready = g if shape.single else _settled(g)
        if way.fused and shape.fusable:
            parts, weight_parts = _to_input(way, layer, ready, d, weight=True)
        else:
            parts, _ = _to_input(way, layer, ready, d)
            weight_parts = _to_weight(layer, ready)
        found = Found(to_gamma, to_beta, to_weight, ready, back, d)
        _add_parts(layer, found, parts, weight_parts)
        return found

    key = ("gradients", shape, like.dtype, keep, g.waits)
    return launch(fastest(key, GRADIENTS, launch))


def _settled(g: Gradient) -> Gradient:
    """A gradient that waits no longer, for kernels that read it for each place of a window."""
    if not g.waits:
        return g
    n, c, h, w = g.value.shape
    way, kept = SETTLE[0], torch.empty_like(g.value)
    columns = power(c, way.columns)
    grid = (_tiles(n * h * w, way), -(-c // columns))
    sums.settle[grid](
        *g.tensors,
        kept,
        n * h * w,
        c,
        ROWS=way.rows,
        COLUMNS=columns,
        **arguments(way),
    )
    return Gradient(kept)


def to_input(layer: Layer, found: Found, residual: Tensor | None) -> Tensor:
    """The gradient of the layer's input, plus `residual`."""
    d = torch.empty_like(layer.x)

    def launch(way: Way) -> None:
        _to_input(way, layer, found.g, d, found.back, residual)

    waits, added = found.g.waits, residual is not None
    key = ("to_input", layer.shape, d.dtype, added, waits)
    launch(fastest(key, TO_INPUT, launch))
    return d


def _to_input(
    way: Way,
    layer: Layer,
    g: Gradient,
    d: Tensor | None,
    back: Tensor | None = None,
    residual: Tensor | None = None,
    weight: bool = False,
) -> tuple[Tensor, Tensor]:
    """The parts of BN's sums, and if asked for of the weight's gradient."""
    x, norm, shape = layer.x, layer.norm, layer.shape
    ci, co = shape.x[1], shape.y[1]
    depth = power(co * shape.window.side**2, _ALL) if weight else power(co, way.depth)
    columns = power(ci, way.columns)
    others = -(-ci // columns)
    count = programs(_tiles(shape.rows_in, way), way, others, x.device)
    parts = _floats(x, 2, ci, count)
    weight_parts = _floats(x, count, *layer.weight.shape) if weight else parts
    convolutions.to_input[(count, others)](
        *g.tensors,
        layer.packed,
        x,
        norm,
        norm if back is None else back,
        x if residual is None else residual,
        x if d is None else d,
        parts,
        weight_parts,
        shape.rows_in,
        *shape.sides,
        *layer.packed.stride(),
        **shape.constants,
        WAITS=g.waits,
        KEEP=back is None and d is not None,
        APPLY=back is not None,
        WEIGHT=weight,
        RESIDUAL=residual is not None,
        FACTOR=factor(x),
        PRECISION=precision(x),
        EVEN=shape.rows_in % way.rows == 0,
        LATE=way.late and x.dtype != torch.float32,
        ROWS=way.rows,
        DEPTH=depth,
        COLUMNS=columns,
        **arguments(way),
    )
    return parts, weight_parts


def _to_weight(layer: Layer, g: Gradient) -> Tensor:
    """The parts of the weight's gradient: [program, window's place and input, output]."""
    key = ("to_weight", layer.shape, layer.x.dtype, g.waits)
    launch = partial(_weight_parts, layer, g)
    return launch(fastest(key, TO_WEIGHT, launch))


def _weight_parts(layer: Layer, g: Gradient, way: Way) -> Tensor:
    x, shape = layer.x, layer.shape
    places, co = shape.window.side**2 * shape.x[1], shape.y[1]
    depth, columns = power(places, way.depth), power(co, way.columns)
    others = -(-places // depth), -(-co // columns)
    tiles, both = _tiles(shape.rows_out, way), others[0] * others[1]
    parts = _floats(x, programs(tiles, way, both, x.device), places, co)
    convolutions.to_weight[(parts.shape[0], *others)](
        *g.tensors,
        x,
        layer.norm,
        parts,
        shape.rows_out,
        *shape.sides,
        **shape.constants,
        WAITS=g.waits,
        FACTOR=factor(x),
        PRECISION=precision(x),
        EVEN=shape.rows_out % way.rows == 0,
        ROWS=way.rows,
        DEPTH=depth,
        COLUMNS=columns,
        **arguments(way),
    )
    return parts


def _add_parts(layer: Layer, found: Found, parts: Tensor, weight_parts: Tensor) -> None:
    shape, columns = layer.shape, 32
    blocks = -(-layer.weight.numel() // columns)
    constants = {k: shape.constants[k] for k in ("CI", "CO", "SIDE")}
    sums.add_parts[(shape.x[1] + blocks,)](
        parts,
        layer.norm,
        found.back,
        found.to_gamma,
        found.to_beta,
        parts.shape[-1],
        shape.rows_in,
        weight_parts,
        found.to_weight,
        weight_parts.shape[0],
        *found.to_weight.stride(),
        **constants,
        PARTS=power(parts.shape[-1], _PARTS),
        WEIGHT_PARTS=power(weight_parts.shape[0], _WEIGHT_PARTS),
        COLUMNS=columns,
        num_warps=4,
    )
