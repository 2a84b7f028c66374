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

from resgraph.train.fused.tiles import (
    activated,
    below,
    merged,
    moments_of,
    product,
    row_of,
    store_moments,
    store_sums,
    to_output,
)


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
    EVEN: tl.constexpr,
    LATE: tl.constexpr,
    FLAT: tl.constexpr,
    ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """y = conv(relu(BN(x))), plus `residual`, and the moments of y's channels.

    These are had of each tile, or LATE: then each place of a tile has sums of its own, of
    values and squares, that are added at the end. That is less work and enough for bfloat16:
    where a mean is so far from 0 that its square hides the deviations in float32, it has hid
    them in bfloat16 before.

    A product is with a place's input channels, one after the other; or FLAT: with those of
    all the window's places at once.

    Programs: (parts of the rows, parts of the output channels).
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    n = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_n = below(n, CO, CO % COLUMNS == 0)
    places: tl.constexpr = SIDE * SIDE if FLAT else 1
    deep: tl.constexpr = (CI * places + DEPTH - 1) // DEPTH
    all_in: tl.constexpr = CI * places % DEPTH == 0
    single: tl.constexpr = SIDE == 1 and STRIDE == 1 and PAD == 0
    count = 0.0
    if LATE:
        mean = tl.zeros([ROWS, COLUMNS], tl.float32)
        squares = tl.zeros([ROWS, COLUMNS], tl.float32)
    else:
        mean = tl.zeros([COLUMNS], tl.float32)
        squares = tl.zeros([COLUMNS], tl.float32)
    if deep == 1:  # then all of this is the same for every tile
        k = tl.arange(0, DEPTH)
        in_c = below(k, CI * places, all_in)
        c, r, s = k % CI, k // CI // SIDE, k // CI % SIDE
        scale, shift = row_of(norm, 2, c, in_c, CI), row_of(norm, 3, c, in_c, CI)
        if SIDE == 1 or FLAT:
            its_w = weight + (c[:, None] * by_in + n[None, :] * by_out)
            its_w += r[:, None] * by_row + s[:, None] * by_column
            w = tl.load(its_w, mask=in_c[:, None] & in_n[None, :], other=0.0)
            w = w.to(x.dtype.element_ty)
    for tile in range(program, tl.cdiv(rows, ROWS), programs):
        m = tile * ROWS + tl.arange(0, ROWS)
        in_m = below(m, rows, EVEN)
        image = m // (out_high * out_wide)
        top = m // out_wide % out_high * STRIDE - PAD
        left = m % out_wide * STRIDE - PAD
        total = tl.zeros([ROWS, COLUMNS], tl.float32)
        for step in range(SIDE * SIDE // places * deep):
            if deep != 1:
                c = step % deep * DEPTH + tl.arange(0, DEPTH)
                in_c = below(c, CI, all_in)
                scale = row_of(norm, 2, c, in_c, CI)
                shift = row_of(norm, 3, c, in_c, CI)
            if deep != 1 or not (SIDE == 1 or FLAT):
                u, v = step // deep // SIDE, step // deep % SIDE
                its_w = weight + (c[:, None] * by_in + n[None, :] * by_out)
                its_w += u * by_row + v * by_column
                w = tl.load(its_w, mask=in_c[:, None] & in_n[None, :], other=0.0)
                w = w.to(x.dtype.element_ty)
            if single:
                pixel, inside = m[:, None], in_m[:, None]
            else:
                if FLAT:
                    i, j = top[:, None] + r[None, :], left[:, None] + s[None, :]
                else:
                    i = (top + step // deep // SIDE)[:, None]
                    j = (left + step // deep % SIDE)[:, None]
                inside = in_m[:, None] & (i >= 0) & (i < high) & (j >= 0) & (j < wide)
                pixel = (image[:, None] * high + i) * wide + j
            inside = inside & in_c[None, :]
            z = tl.load(x + pixel * CI + c[None, :], mask=inside, other=0.0)
            a = activated(z, scale, shift)
            if not (single and all_in):
                a = tl.where(inside, a, 0.0)
            total = product(a.to(z.dtype), w, total, FACTOR, PRECISION)
        at = m[:, None] * CO + n[None, :]
        inside = in_m[:, None] & in_n[None, :]
        if RESIDUAL:
            total += tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)
        written = total.to(y.dtype.element_ty)
        tl.store(y + at, written, mask=inside)
        value = written.to(tl.float32)
        more = tl.minimum(rows - tile * ROWS, ROWS).to(tl.float32)
        if LATE:
            if not EVEN:
                value = tl.where(inside, value, 0.0)
            count += more
            mean += value
            squares += value * value
        else:
            new_mean, new_squares = moments_of(value, inside, more)
            count, mean, squares = merged(
                count, mean, squares, more, new_mean, new_squares
            )
    if LATE:
        plain = tl.sum(mean, 0)
        middle = plain / tl.maximum(count, 1.0)
        apart = tl.maximum(tl.sum(squares, 0) - plain * middle, 0.0)
        store_moments(parts, program, programs, n, in_n, count, middle, apart, CO)
    else:
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
    EVEN: tl.constexpr,
    LATE: tl.constexpr,
    ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """From the gradient of a convolution's output to that of BN's output, or its input.

    The first needs BN's sums of the second, which go over the whole map. So this runs first
    for the sums (and to KEEP the gradient of BN's output in d), and where the gradient was
    not kept once more to APPLY them. Where g WAITS, it is itself that of a BN's output, whose
    input is `g_map` and whose sums, applied here as it is read, are in `g_back`. The sums are
    had of each tile, or LATE, each place of a tile having its own until the end.

    The WEIGHT's gradient, too, can be had of the same tiles, in `weight_parts` as `to_weight`
    has it, where these hold all output channels of all the window's places.

    Programs: (parts of the input's rows, parts of its channels).
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    n = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_n = below(n, CI, CI % COLUMNS == 0)
    mean = row_of(norm, 0, n, in_n, CI)
    scale, shift = row_of(norm, 2, n, in_n, CI), row_of(norm, 3, n, in_n, CI)
    # Rows of the weight: a place's output channels, or with the WEIGHT's those of all places.
    places: tl.constexpr = SIDE * SIDE if WEIGHT else 1
    deep: tl.constexpr = (CO * places + DEPTH - 1) // DEPTH
    all_in: tl.constexpr = CO * places % DEPTH == 0
    single: tl.constexpr = SIDE == 1 and STRIDE == 1 and PAD == 0
    if LATE:
        plain = tl.zeros([ROWS, COLUMNS], tl.float32)
        along = tl.zeros([ROWS, COLUMNS], tl.float32)
    else:
        plain = tl.zeros([COLUMNS], tl.float32)
        along = tl.zeros([COLUMNS], tl.float32)
    if DEPTH > COLUMNS:
        to_weight = tl.zeros([DEPTH, COLUMNS], tl.float32)
    else:
        to_weight = tl.zeros([COLUMNS, DEPTH], tl.float32)
    if deep == 1:  # then all of this is the same for every tile
        k = tl.arange(0, DEPTH)
        in_c = below(k, CO * places, all_in)
        c, r, s = k % CO, k // CO // SIDE, k // CO % SIDE
        if SIDE == 1 or WEIGHT:
            its_w = weight + (c[:, None] * by_out + n[None, :] * by_in)
            its_w += r[:, None] * by_row + s[:, None] * by_column
            w = tl.load(its_w, mask=in_c[:, None] & in_n[None, :], other=0.0)
            w = w.to(x.dtype.element_ty)
        if WAITS:
            g_slope, g_tilt = (
                row_of(g_back, 0, c, in_c, CO),
                row_of(g_back, 1, c, in_c, CO),
            )
            g_level = row_of(g_back, 2, c, in_c, CO)
    if APPLY:
        slope, tilt = row_of(back, 0, n, in_n, CI), row_of(back, 1, n, in_n, CI)
        level = row_of(back, 2, n, in_n, CI)
    for tile in range(program, tl.cdiv(rows, ROWS), programs):
        m = tile * ROWS + tl.arange(0, ROWS)
        in_m = below(m, rows, EVEN)
        its = m[:, None] * CI + n[None, :]
        its_inside = in_m[:, None] & in_n[None, :]
        read = tl.load(x + its, mask=its_inside, other=0.0)
        z = read.to(tl.float32)
        a = activated(z, scale, shift)
        if not (EVEN and CI % COLUMNS == 0):
            a = tl.where(its_inside, a, 0.0)
        image = m // (high * wide)
        low = m // wide % high + PAD
        right = m % wide + PAD
        total = tl.zeros([ROWS, COLUMNS], tl.float32)
        for step in range(SIDE * SIDE // places * deep):
            if deep != 1:
                c = step % deep * DEPTH + tl.arange(0, DEPTH)
                in_c = below(c, CO, all_in)
                if WAITS:
                    g_slope = row_of(g_back, 0, c, in_c, CO)
                    g_tilt = row_of(g_back, 1, c, in_c, CO)
                    g_level = row_of(g_back, 2, c, in_c, CO)
            if deep != 1 or not (SIDE == 1 or WEIGHT):
                u, v = step // deep // SIDE, step // deep % SIDE
                its_w = weight + (c[:, None] * by_out + n[None, :] * by_in)
                its_w += u * by_row + v * by_column
                w = tl.load(its_w, mask=in_c[:, None] & in_n[None, :], other=0.0)
                w = w.to(x.dtype.element_ty)
            if single:
                pixel, inside = m[:, None], in_m[:, None]
            else:
                if WEIGHT:
                    i, j = low[:, None] - r[None, :], right[:, None] - s[None, :]
                else:
                    i = (low - step // deep // SIDE)[:, None]
                    j = (right - step // deep % SIDE)[:, None]
                inside = in_m[:, None] & (i >= 0) & (j >= 0)
                if STRIDE != 1:
                    inside = inside & (i % STRIDE == 0) & (j % STRIDE == 0)
                    i, j = i // STRIDE, j // STRIDE
                inside = inside & (i < out_high) & (j < out_wide)
                pixel = (image[:, None] * out_high + i) * out_wide + j
            inside = inside & in_c[None, :]
            there = pixel * CO + c[None, :]
            got = tl.load(g + there, mask=inside, other=0.0)
            if WAITS:
                f = tl.load(g_map + there, mask=inside, other=0.0).to(tl.float32)
                value = to_output(got.to(tl.float32), f, g_slope, g_tilt, g_level)
                if not (single and EVEN and all_in):
                    value = tl.where(inside, value, 0.0)
                got = value.to(got.dtype)
            total = product(got, w, total, FACTOR, PRECISION)
            if WEIGHT:
                left, other = a.to(read.dtype), got
                if (
                    DEPTH > COLUMNS
                ):  # the larger side is the one tensor cores want first
                    left, other = got, a.to(read.dtype)
                to_weight = product(tl.trans(left), other, to_weight, FACTOR, PRECISION)
        total = tl.where(a > 0, total, 0.0)
        if APPLY:
            total = to_output(total, z, slope, tilt, level)
            if RESIDUAL:
                more = tl.load(residual + its, mask=its_inside, other=0.0)
                total += more.to(tl.float32)
            tl.store(d + its, total.to(d.dtype.element_ty), mask=its_inside)
        else:
            if KEEP:
                kept = total.to(d.dtype.element_ty)
                tl.store(d + its, kept, mask=its_inside)
                total = kept.to(tl.float32)
            if LATE:
                plain += total
                along += total * (z - mean)
            else:
                plain += tl.sum(total, 0)
                along += tl.sum(total * (z - mean), 0)
    if not APPLY:
        if LATE:
            store_sums(
                parts,
                program,
                programs,
                norm,
                n,
                in_n,
                tl.sum(plain, 0),
                tl.sum(along, 0),
                CI,
            )
        else:
            store_sums(parts, program, programs, norm, n, in_n, plain, along, CI)
    if WEIGHT:
        if DEPTH <= COLUMNS:
            to_weight = tl.trans(to_weight)
        at = ((program * SIDE + r) * SIDE + s)[:, None] * CI + n[None, :]
        at = weight_parts + at * CO + c[:, None]
        tl.store(at, to_weight, mask=in_c[:, None] & in_n[None, :])


@triton.jit
def to_weight(
    g,
    g_map,
    g_back,
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
    FACTOR: tl.constexpr,
    PRECISION: tl.constexpr,
    EVEN: tl.constexpr,
    ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """The weight's gradient, of each program's rows: [program, window and input, output].

    Programs: (parts of the output's rows, of the window's places with the input's channels,
    of the output's channels).
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    k = tl.program_id(1) * DEPTH + tl.arange(0, DEPTH)
    n = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    all_in: tl.constexpr = SIDE * SIDE * CI % DEPTH == 0
    in_k = below(k, SIDE * SIDE * CI, all_in)
    in_n = below(n, CO, CO % COLUMNS == 0)
    single: tl.constexpr = SIDE == 1 and STRIDE == 1 and PAD == 0
    c = k % CI
    r, s = k // CI // SIDE, k // CI % SIDE
    scale, shift = row_of(norm, 2, c, in_k, CI), row_of(norm, 3, c, in_k, CI)
    if WAITS:
        g_slope, g_tilt = row_of(g_back, 0, n, in_n, CO), row_of(g_back, 1, n, in_n, CO)
        g_level = row_of(g_back, 2, n, in_n, CO)
    total = tl.zeros([DEPTH, COLUMNS], tl.float32)
    for tile in range(program, tl.cdiv(rows, ROWS), programs):
        m = tile * ROWS + tl.arange(0, ROWS)
        in_m = below(m, rows, EVEN)
        if single:
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
        a = activated(z, scale, shift)
        if not (single and EVEN and all_in):
            a = tl.where(inside, a, 0.0)
        at = m[:, None] * CO + n[None, :]
        inside = in_m[:, None] & in_n[None, :]
        got = tl.load(g + at, mask=inside, other=0.0)
        if WAITS:
            f = tl.load(g_map + at, mask=inside, other=0.0).to(tl.float32)
            value = to_output(got.to(tl.float32), f, g_slope, g_tilt, g_level)
            if not (EVEN and CO % COLUMNS == 0):
                value = tl.where(inside, value, 0.0)
            got = value.to(got.dtype)
        total = product(tl.trans(a.to(z.dtype)), got, total, FACTOR, PRECISION)
    at = (program * (SIDE * SIDE * CI) + k[:, None]) * CO + n[None, :]
    tl.store(parts + at, total, mask=in_k[:, None] & in_n[None, :])
