"""What the kernels do with a tile, in Triton."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def below(i, limit, WHOLE: tl.constexpr):
    """Whether rows or channels are there; no question where tiles come out even."""
    there = i < limit
    if WHOLE:
        there = tl.full(i.shape, 1, tl.int1)
    return there


@triton.jit
def row_of(norm, row: tl.constexpr, c, there, CHANNELS: tl.constexpr):
    """A number of each of some channels, from one row of them."""
    return tl.load(norm + row * CHANNELS + c, mask=there, other=0.0)[None, :]


@triton.jit
def place_of(
    e,
    by_out,
    by_in,
    by_row,
    by_column,
    CI: tl.constexpr,
    CO: tl.constexpr,
    SIDE: tl.constexpr,
):
    """Where a weight lies whose number is e in the order [window's place, input, output]."""
    n, k = e % CO, e // CO
    c, r, s = k % CI, k // CI // SIDE, k // CI % SIDE
    return n * by_out + c * by_in + r * by_row + s * by_column


@triton.jit
def activated(z, scale, shift):
    """ReLU of BN. What is not a number stays so."""
    y = z.to(tl.float32) * scale + shift
    return tl.maximum(y, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def to_output(d, z, slope, tilt, level):
    """The gradient of BN's input, from that of its output and from the input itself."""
    return slope * d + (tilt * z + level)


@triton.jit
def product(a, b, total, FACTOR: tl.constexpr, PRECISION: tl.constexpr):
    """total + a b, of factors in the type FACTOR."""
    return tl.dot(a.to(FACTOR), b.to(FACTOR), total, input_precision=PRECISION)


@triton.jit
def merged(count, mean, squares, more, more_mean, more_squares):
    """Count, mean and squared deviations of two sets together (Chan et al. 1983)."""
    total = count + more
    share = more / tl.maximum(total, 1.0)
    apart = more_mean - mean
    return (
        total,
        mean + apart * share,
        squares + more_squares + apart * apart * count * share,
    )


@triton.jit
def moments_of(y, inside, rows):
    """Mean and squared deviations of a tile's columns."""
    mean = tl.sum(tl.where(inside, y, 0.0), 0) / rows
    apart = tl.where(inside, y - mean[None, :], 0.0)
    return mean, tl.sum(apart * apart, 0)


@triton.jit
def store_moments(
    moments, program, programs, n, in_n, count, mean, squares, CHANNELS: tl.constexpr
):
    """A program's part; by channel, so that what is added lies together."""
    at = moments + n * programs + program
    tl.store(at, tl.zeros_like(mean) + count, mask=in_n)
    tl.store(at + CHANNELS * programs, mean, mask=in_n)
    tl.store(at + 2 * CHANNELS * programs, squares, mask=in_n)


@triton.jit
def store_sums(
    parts, program, programs, norm, n, in_n, plain, along, CHANNELS: tl.constexpr
):
    """A program's sums of a gradient, and of its products with the normalised input."""
    inverse = tl.load(norm + CHANNELS + n, mask=in_n, other=0.0)
    at = parts + n * programs + program
    tl.store(at, plain, mask=in_n)
    tl.store(at + CHANNELS * programs, along * inverse, mask=in_n)
