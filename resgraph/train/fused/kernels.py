"""BN-ReLU-convolution in Triton: BN and ReLU as a map is read, its sums as it is written.

Maps lie with their channels innermost, so that one is a matrix of a row for each pixel, and a
convolution a product of matrices for each place of its window. Each program takes every n-th
tile of rows and keeps its sums in registers. Sums go to memory once for each program and are
added in a fixed order, so that results are the same each time.

Products are of values in the map's type, added in float32; all else is float32. What divides a
sum, and where padding lies, is masked: any number of rows and channels is allowed.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def activated(z, mean, scale, beta):
    """ReLU of BN. NaN stays, which `maximum` would lose."""
    y = (z.to(tl.float32) - mean) * scale + beta
    return tl.where(y < 0, 0.0, y)


@triton.jit
def to_output(d, z, back, n, in_n, CHANNELS: tl.constexpr):
    """The gradient of BN's input, from that of its output and from the input itself."""
    slope = tl.load(back + n, mask=in_n, other=0.0)[None, :]
    tilt = tl.load(back + CHANNELS + n, mask=in_n, other=0.0)[None, :]
    level = tl.load(back + 2 * CHANNELS + n, mask=in_n, other=0.0)[None, :]
    mean = tl.load(back + 3 * CHANNELS + n, mask=in_n, other=0.0)[None, :]
    return slope * d + (tilt * (z - mean) + level)


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
    CHANNELS: tl.constexpr,
    PARTS: tl.constexpr,
):
    """BN of one channel from the programs' parts, and its running statistics.

    `norm` becomes mean, inverse deviation, the product of that and gamma, and beta.
    """
    channel = tl.program_id(0)
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
    tl.store(norm + 2 * CHANNELS + channel, inverse * tl.load(gamma + channel))
    tl.store(norm + 3 * CHANNELS + channel, tl.load(beta + channel))
    if TRACKED:
        kept = tl.load(running_mean + channel)
        tl.store(running_mean + channel, (1 - momentum) * kept + momentum * middle)
        kept = tl.load(running_var + channel)
        found = total / (rows - 1)
        tl.store(running_var + channel, (1 - momentum) * kept + momentum * found)
        if channel == 0:
            tl.store(batches, tl.load(batches) + 1)


@triton.jit
def convolve(
    x,
    norm,
    weight,
    residual,
    y,
    parts,
    rows,
    high,
    wide,
    out_high,
    out_wide,
    by_out,
    by_in,
    by_row,
    by_column,
    CI: tl.constexpr,
    CO: tl.constexpr,
    SIDE: tl.constexpr,
    STRIDE: tl.constexpr,
    PAD: tl.constexpr,
    RESIDUAL: tl.constexpr,
    FACTOR: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """y = conv(relu(BN(x))), plus `residual`, and the moments of y's channels.

    Programs: (parts of the rows, parts of the output channels).
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    n = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_n = n < CO
    deep: tl.constexpr = (CI + DEPTH - 1) // DEPTH
    count = 0.0
    mean = tl.zeros([COLUMNS], tl.float32)
    squares = tl.zeros([COLUMNS], tl.float32)
    if deep == 1:  # then all of this is the same for every tile
        c = tl.arange(0, DEPTH)
        in_c = c < CI
        its_mean = tl.load(norm + c, mask=in_c, other=0.0)[None, :]
        scale = tl.load(norm + 2 * CI + c, mask=in_c, other=0.0)[None, :]
        beta = tl.load(norm + 3 * CI + c, mask=in_c, other=0.0)[None, :]
        if SIDE == 1:
            its_w = weight + (c[:, None] * by_in + n[None, :] * by_out)
            w = tl.load(its_w, mask=in_c[:, None] & in_n[None, :], other=0.0)
            w = w.to(x.dtype.element_ty)
    for tile in range(program, tl.cdiv(rows, ROWS), programs):
        m = tile * ROWS + tl.arange(0, ROWS)
        in_m = m < rows
        image = m // (out_high * out_wide)
        top = m // out_wide % out_high * STRIDE - PAD
        left = m % out_wide * STRIDE - PAD
        total = tl.zeros([ROWS, COLUMNS], tl.float32)
        for step in range(SIDE * SIDE * deep):
            r, s = step // deep // SIDE, step // deep % SIDE
            if deep != 1:
                c = step % deep * DEPTH + tl.arange(0, DEPTH)
                in_c = c < CI
                its_mean = tl.load(norm + c, mask=in_c, other=0.0)[None, :]
                scale = tl.load(norm + 2 * CI + c, mask=in_c, other=0.0)[None, :]
                beta = tl.load(norm + 3 * CI + c, mask=in_c, other=0.0)[None, :]
            if deep != 1 or SIDE != 1:
                its_w = weight + (c[:, None] * by_in + n[None, :] * by_out)
                its_w += r * by_row + s * by_column
                w = tl.load(its_w, mask=in_c[:, None] & in_n[None, :], other=0.0)
                w = w.to(x.dtype.element_ty)
            if SIDE == 1 and STRIDE == 1 and PAD == 0:
                pixel, inside = m, in_m
            else:
                i, j = top + r, left + s
                inside = in_m & (i >= 0) & (i < high) & (j >= 0) & (j < wide)
                pixel = (image * high + i) * wide + j
            inside = inside[:, None] & in_c[None, :]
            z = tl.load(x + pixel[:, None] * CI + c[None, :], mask=inside, other=0.0)
            a = tl.where(inside, activated(z, its_mean, scale, beta), 0.0)
            total = product(a.to(z.dtype), w, total, FACTOR, PRECISION)
        at = m[:, None] * CO + n[None, :]
        inside = in_m[:, None] & in_n[None, :]
        if RESIDUAL:
            total += tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)
        written = total.to(y.dtype.element_ty)
        tl.store(y + at, written, mask=inside)
        more = tl.minimum(rows - tile * ROWS, ROWS).to(tl.float32)
        new_mean, new_squares = moments_of(written.to(tl.float32), inside, more)
        count, mean, squares = merged(count, mean, squares, more, new_mean, new_squares)
    store_moments(parts, program, programs, n, in_n, count, mean, squares, CO)


@triton.jit
def to_input(
    g,
    g_map,
    g_back,
    weight,
    x,
    norm,
    back,
    residual,
    d,
    parts,
    weight_parts,
    rows,
    high,
    wide,
    out_high,
    out_wide,
    by_out,
    by_in,
    by_row,
    by_column,
    CI: tl.constexpr,
    CO: tl.constexpr,
    SIDE: tl.constexpr,
    STRIDE: tl.constexpr,
    PAD: tl.constexpr,
    WAITS: tl.constexpr,
    KEEP: tl.constexpr,
    APPLY: tl.constexpr,
    WEIGHT: tl.constexpr,
    RESIDUAL: tl.constexpr,
    FACTOR: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """From the gradient of a convolution's output to that of BN's output, or its input.

    The first needs BN's sums of the second, which go over the whole map. So this runs first
    for the sums (and to KEEP the gradient of BN's output in d), and where the gradient was
    not kept once more to APPLY them. Where g WAITS, it is itself that of a BN's output, whose
    input is `g_map` and whose sums, applied here as it is read, are in `g_back`.

    The WEIGHT's gradient, too, can be had of the same tiles where each pixel is read for
    itself alone and all output channels at once: [program, input, output] in `weight_parts`.

    Programs: (parts of the input's rows, parts of its channels).
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    n = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_n = n < CI
    mean = tl.load(norm + n, mask=in_n, other=0.0)[None, :]
    inverse = tl.load(norm + CI + n, mask=in_n, other=0.0)[None, :]
    scale = tl.load(norm + 2 * CI + n, mask=in_n, other=0.0)[None, :]
    beta = tl.load(norm + 3 * CI + n, mask=in_n, other=0.0)[None, :]
    deep: tl.constexpr = (CO + DEPTH - 1) // DEPTH
    plain = tl.zeros([COLUMNS], tl.float32)
    along = tl.zeros([COLUMNS], tl.float32)
    to_weight = tl.zeros([COLUMNS, DEPTH], tl.float32)
    if deep == 1:  # then all of this is the same for every tile
        c = tl.arange(0, DEPTH)
        in_c = c < CO
        if SIDE == 1:
            its_w = weight + (c[:, None] * by_out + n[None, :] * by_in)
            w = tl.load(its_w, mask=in_c[:, None] & in_n[None, :], other=0.0)
            w = w.to(x.dtype.element_ty)
    for tile in range(program, tl.cdiv(rows, ROWS), programs):
        m = tile * ROWS + tl.arange(0, ROWS)
        in_m = m < rows
        its = m[:, None] * CI + n[None, :]
        its_inside = in_m[:, None] & in_n[None, :]
        read = tl.load(x + its, mask=its_inside, other=0.0)
        z = read.to(tl.float32)
        a = tl.where(its_inside, activated(z, mean, scale, beta), 0.0)
        image = m // (high * wide)
        low = m // wide % high + PAD
        right = m % wide + PAD
        total = tl.zeros([ROWS, COLUMNS], tl.float32)
        for step in range(SIDE * SIDE * deep):
            r, s = step // deep // SIDE, step // deep % SIDE
            if deep != 1:
                c = step % deep * DEPTH + tl.arange(0, DEPTH)
                in_c = c < CO
            if deep != 1 or SIDE != 1:
                its_w = weight + (c[:, None] * by_out + n[None, :] * by_in)
                its_w += r * by_row + s * by_column
                w = tl.load(its_w, mask=in_c[:, None] & in_n[None, :], other=0.0)
                w = w.to(x.dtype.element_ty)
            if SIDE == 1 and STRIDE == 1 and PAD == 0:
                pixel, inside = m, in_m
            else:
                i, j = low - r, right - s
                inside = in_m & (i >= 0) & (j >= 0)
                if STRIDE != 1:
                    inside = inside & (i % STRIDE == 0) & (j % STRIDE == 0)
                    i, j = i // STRIDE, j // STRIDE
                inside = inside & (i < out_high) & (j < out_wide)
                pixel = (image * out_high + i) * out_wide + j
            inside = inside[:, None] & in_c[None, :]
            there = pixel[:, None] * CO + c[None, :]
            got = tl.load(g + there, mask=inside, other=0.0)
            if WAITS:
                f = tl.load(g_map + there, mask=inside, other=0.0).to(tl.float32)
                value = to_output(got.to(tl.float32), f, g_back, c, in_c, CO)
                got = tl.where(inside, value, 0.0).to(got.dtype)
            total = product(got, w, total, FACTOR, PRECISION)
            if WEIGHT:
                a_turned = tl.trans(a.to(read.dtype))
                to_weight = product(a_turned, got, to_weight, FACTOR, PRECISION)
        total = tl.where(a > 0, total, 0.0)
        if APPLY:
            total = to_output(total, z, back, n, in_n, CI)
            if RESIDUAL:
                more = tl.load(residual + its, mask=its_inside, other=0.0)
                total += more.to(tl.float32)
            tl.store(d + its, total.to(d.dtype.element_ty), mask=its_inside)
        else:
            if KEEP:
                kept = total.to(d.dtype.element_ty)
                tl.store(d + its, kept, mask=its_inside)
                total = kept.to(tl.float32)
            plain += tl.sum(total, 0)
            along += tl.sum(total * ((z - mean) * inverse), 0)
    if not APPLY:
        at = parts + n * programs + program
        tl.store(at, plain, mask=in_n)
        tl.store(at + CI * programs, along, mask=in_n)
    if WEIGHT:
        c = tl.arange(0, DEPTH)
        at = weight_parts + (program * CI + n[:, None]) * CO + c[None, :]
        tl.store(at, to_weight, mask=in_n[:, None] & (c < CO)[None, :])


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
    tl.store(back + channel, slope)
    tl.store(back + CHANNELS + channel, -slope * inverse * (turned / rows))
    tl.store(back + 2 * CHANNELS + channel, -slope * (total / rows))
    tl.store(back + 3 * CHANNELS + channel, mean)


@triton.jit
def to_weight(
    g,
    g_map,
    g_back,
    kept,
    x,
    norm,
    parts,
    rows,
    high,
    wide,
    out_high,
    out_wide,
    CI: tl.constexpr,
    CO: tl.constexpr,
    SIDE: tl.constexpr,
    STRIDE: tl.constexpr,
    PAD: tl.constexpr,
    WAITS: tl.constexpr,
    KEEP: tl.constexpr,
    FACTOR: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """The weight's gradient, of each program's rows: [program, window and input, output].

    A gradient that WAITS can be KEPT as it becomes when it does so no longer, for a kernel
    that reads it once for each place of the window.

    Programs: (parts of the output's rows, of the window's places with the input's channels,
    of the output's channels).
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    k = tl.program_id(1) * DEPTH + tl.arange(0, DEPTH)
    n = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    in_k, in_n = k < SIDE * SIDE * CI, n < CO
    c = k % CI
    r, s = k // CI // SIDE, k // CI % SIDE
    mean = tl.load(norm + c, mask=in_k, other=0.0)[None, :]
    scale = tl.load(norm + 2 * CI + c, mask=in_k, other=0.0)[None, :]
    beta = tl.load(norm + 3 * CI + c, mask=in_k, other=0.0)[None, :]
    total = tl.zeros([DEPTH, COLUMNS], tl.float32)
    for tile in range(program, tl.cdiv(rows, ROWS), programs):
        m = tile * ROWS + tl.arange(0, ROWS)
        in_m = m < rows
        if SIDE == 1 and STRIDE == 1 and PAD == 0:
            inside = in_m[:, None] & in_k[None, :]
            pixel = m[:, None]
        else:
            i = (m // out_wide % out_high * STRIDE - PAD)[:, None] + r[None, :]
            j = (m % out_wide * STRIDE - PAD)[:, None] + s[None, :]
            inside = (i >= 0) & (i < high) & (j >= 0) & (j < wide)
            inside = inside & in_m[:, None] & in_k[None, :]
            pixel = (m // (out_high * out_wide) * high)[:, None] + i
            pixel = pixel * wide + j
        z = tl.load(x + pixel * CI + c[None, :], mask=inside, other=0.0)
        a = tl.where(inside, activated(z, mean, scale, beta), 0.0).to(z.dtype)
        at = m[:, None] * CO + n[None, :]
        inside = in_m[:, None] & in_n[None, :]
        got = tl.load(g + at, mask=inside, other=0.0)
        if WAITS:
            f = tl.load(g_map + at, mask=inside, other=0.0).to(tl.float32)
            value = to_output(got.to(tl.float32), f, g_back, n, in_n, CO)
            got = tl.where(inside, value, 0.0).to(got.dtype)
            if KEEP and tl.program_id(1) == 0:
                tl.store(kept + at, got, mask=inside)
        total = product(tl.trans(a), got, total, FACTOR, PRECISION)
    at = (program * (SIDE * SIDE * CI) + k[:, None]) * CO + n[None, :]
    tl.store(parts + at, total, mask=in_k[:, None] & in_n[None, :])


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
    n, k = e % CO, e // CO
    c, r, s = k % CI, k // CI // SIDE, k // CI % SIDE
    at = n * by_out + c * by_in + r * by_row + s * by_column
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
            32,
            COLUMNS,
        )
