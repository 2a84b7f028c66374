"""The kernels that add what others left, and those that are of one pass over a map."""

from __future__ import annotations

import triton
import triton.language as tl

from resgraph.train.fused.tiles import (
    below,
    merged,
    moments_of,
    place_of,
    row_of,
    store_moments,
    to_output,
)


@triton.jit
def moments(
    x,
    parts,
    rows,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Each program's count, mean and squared deviations of the channels of a map."""
    program, programs = tl.program_id(0), tl.num_programs(0)
    n = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_n = n < CHANNELS
    count = 0.0
    mean = tl.zeros([COLUMNS], tl.float32)
    squares = tl.zeros([COLUMNS], tl.float32)
    for tile in range(program, tl.cdiv(rows, ROWS), programs):
        m = tile * ROWS + tl.arange(0, ROWS)
        inside = (m < rows)[:, None] & in_n[None, :]
        y = tl.load(x + m[:, None] * CHANNELS + n[None, :], mask=inside, other=0.0)
        more = tl.minimum(rows - tile * ROWS, ROWS).to(tl.float32)
        its_mean, its_squares = moments_of(y.to(tl.float32), inside, more)
        count, mean, squares = merged(count, mean, squares, more, its_mean, its_squares)
    store_moments(parts, program, programs, n, in_n, count, mean, squares, CHANNELS)


@triton.jit
def normalise(
    channel,
    parts,
    gamma,
    beta,
    norm,
    running_mean,
    running_var,
    batches,
    programs,
    rows,
    momentum,
    eps,
    TRACKED: tl.constexpr,
    COUNTED: tl.constexpr,
    CHANNELS: tl.constexpr,
    PARTS: tl.constexpr,
):
    """BN of one channel from the programs' parts, and its running statistics.

    `norm` becomes mean, inverse deviation, and scale and shift of the whole.
    """
    count = tl.zeros([PARTS], tl.float32)
    mean = tl.zeros([PARTS], tl.float32)
    squares = tl.zeros([PARTS], tl.float32)
    for first in range(0, programs, PARTS):
        part = first + tl.arange(0, PARTS)
        at = parts + channel * programs + part
        there = part < programs
        more = tl.load(at, mask=there, other=0.0)
        its_mean = tl.load(at + CHANNELS * programs, mask=there, other=0.0)
        its_squares = tl.load(at + 2 * CHANNELS * programs, mask=there, other=0.0)
        count, mean, squares = merged(count, mean, squares, more, its_mean, its_squares)
    middle = tl.sum(mean * count, 0) / rows
    apart = mean - middle
    total = tl.sum(squares + count * apart * apart, 0)
    inverse = 1.0 / tl.sqrt_rn(total / rows + eps)
    tl.store(norm + channel, middle)
    tl.store(norm + CHANNELS + channel, inverse)
    scale = inverse * tl.load(gamma + channel)
    tl.store(norm + 2 * CHANNELS + channel, scale)
    shift = tl.load(beta + channel) - middle * scale
    tl.store(norm + 3 * CHANNELS + channel, shift)
    if TRACKED:
        kept = tl.load(running_mean + channel)
        tl.store(running_mean + channel, (1 - momentum) * kept + momentum * middle)
        kept = tl.load(running_var + channel)
        found = total / (rows - 1)
        tl.store(running_var + channel, (1 - momentum) * kept + momentum * found)
    if COUNTED:
        tl.store(batches, tl.load(batches) + 1, mask=channel == 0)


@triton.jit
def pack(
    block,
    weight,
    packed,
    by_out,
    by_in,
    by_row,
    by_column,
    CI: tl.constexpr,
    CO: tl.constexpr,
    SIDE: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Some of a weight, in the type of maps: [window's place, input, output]."""
    e = block * COLUMNS + tl.arange(0, COLUMNS)
    there = e < SIDE * SIDE * CI * CO
    at = place_of(e, by_out, by_in, by_row, by_column, CI, CO, SIDE)
    w = tl.load(weight + at, mask=there, other=0.0)
    tl.store(packed + e, w.to(packed.dtype.element_ty), mask=there)


@triton.jit
def prepare(
    parts,
    gamma,
    beta,
    norm,
    running_mean,
    running_var,
    batches,
    programs,
    rows,
    momentum,
    eps,
    weight,
    packed,
    by_out,
    by_in,
    by_row,
    by_column,
    TRACKED: tl.constexpr,
    COUNTED: tl.constexpr,
    CI: tl.constexpr,
    CO: tl.constexpr,
    SIDE: tl.constexpr,
    PARTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """What a convolution needs before it: BN of its input, by channel, and its weight."""
    program = tl.program_id(0)
    if program < CI:
        normalise(
            program,
            parts,
            gamma,
            beta,
            norm,
            running_mean,
            running_var,
            batches,
            programs,
            rows,
            momentum,
            eps,
            TRACKED,
            COUNTED,
            CI,
            PARTS,
        )
    else:
        pack(
            program - CI,
            weight,
            packed,
            by_out,
            by_in,
            by_row,
            by_column,
            CI,
            CO,
            SIDE,
            COLUMNS,
        )


@triton.jit
def settle(
    g,
    g_map,
    g_back,
    kept,
    rows,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """A gradient that waits, as it is when it does so no longer."""
    m = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    n = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_n = below(n, CHANNELS, CHANNELS % COLUMNS == 0)
    slope, tilt = (
        row_of(g_back, 0, n, in_n, CHANNELS),
        row_of(g_back, 1, n, in_n, CHANNELS),
    )
    level = row_of(g_back, 2, n, in_n, CHANNELS)
    at = m[:, None] * CHANNELS + n[None, :]
    inside = (m < rows)[:, None] & in_n[None, :]
    got = tl.load(g + at, mask=inside, other=0.0).to(tl.float32)
    f = tl.load(g_map + at, mask=inside, other=0.0).to(tl.float32)
    value = to_output(got, f, slope, tilt, level)
    tl.store(kept + at, value.to(kept.dtype.element_ty), mask=inside)


@triton.jit
def through_norm(
    channel,
    parts,
    norm,
    back,
    to_gamma,
    to_beta,
    programs,
    rows,
    CHANNELS: tl.constexpr,
    PARTS: tl.constexpr,
):
    """The gradients of one channel's gamma and beta, and in `back` what `to_output` reads."""
    plain = tl.zeros([PARTS], tl.float32)
    along = tl.zeros([PARTS], tl.float32)
    for first in range(0, programs, PARTS):
        part = first + tl.arange(0, PARTS)
        at = parts + channel * programs + part
        plain += tl.load(at, mask=part < programs, other=0.0)
        along += tl.load(at + CHANNELS * programs, mask=part < programs, other=0.0)
    total, turned = tl.sum(plain, 0), tl.sum(along, 0)
    mean = tl.load(norm + channel)
    inverse = tl.load(norm + CHANNELS + channel)
    slope = tl.load(norm + 2 * CHANNELS + channel)
    tl.store(to_beta + channel, total)
    tl.store(to_gamma + channel, turned)
    tilt = -slope * inverse * (turned / rows)
    tl.store(back + channel, slope)
    tl.store(back + CHANNELS + channel, tilt)
    tl.store(back + 2 * CHANNELS + channel, -slope * (total / rows) - tilt * mean)


@triton.jit
def add_weights(
    block,
    parts,
    gradient,
    programs,
    by_out,
    by_in,
    by_row,
    by_column,
    CI: tl.constexpr,
    CO: tl.constexpr,
    SIDE: tl.constexpr,
    PARTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """The sum of the programs' parts of some weights, laid as the weight is."""
    size: tl.constexpr = SIDE * SIDE * CI * CO
    e = block * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros([PARTS, COLUMNS], tl.float32)
    for first in range(0, programs, PARTS):
        part = first + tl.arange(0, PARTS)
        there = (part < programs)[:, None] & (e < size)[None, :]
        at = parts + part[:, None] * size + e[None, :]
        total += tl.load(at, mask=there, other=0.0)
    at = place_of(e, by_out, by_in, by_row, by_column, CI, CO, SIDE)
    tl.store(gradient + at, tl.sum(total, 0), mask=e < size)


@triton.jit
def add_parts(
    parts,
    norm,
    back,
    to_gamma,
    to_beta,
    programs,
    rows,
    weight_parts,
    to_weight,
    weight_programs,
    by_out,
    by_in,
    by_row,
    by_column,
    CI: tl.constexpr,
    CO: tl.constexpr,
    SIDE: tl.constexpr,
    PARTS: tl.constexpr,
    WEIGHT_PARTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """All that programs left of one convolution's gradients, added: channels, then weights."""
    program = tl.program_id(0)
    if program < CI:
        through_norm(
            program, parts, norm, back, to_gamma, to_beta, programs, rows, CI, PARTS
        )
    else:
        add_weights(
            program - CI,
            weight_parts,
            to_weight,
            weight_programs,
            by_out,
            by_in,
            by_row,
            by_column,
            CI,
            CO,
            SIDE,
            WEIGHT_PARTS,
            COLUMNS,
        )
