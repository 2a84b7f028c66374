"""Which pixels a convolution or a pooling reads: what is equal however it is written.

A pooling is known by its windows alone, cut to the pixels that are there, so that a
`ceil_mode` that adds no window, a padding that nothing reads and a stride that is never
taken make no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

Span = tuple[int, ...]
"""The pixels of a window along one axis: the first, the one behind the last, and for a mean by
how many is divided. A dilated window: all of its pixels, after (-1,)."""
Axis = tuple[Span, ...]


@dataclass(frozen=True)
class Shown:
    """A value that is compared by its key, and printed as its network has it."""

    key: Any
    text: str = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, eq=False, repr=False)
class Taps:
    """What the taps of a convolution's kernel read along one axis, in each of its windows."""

    size: int
    """Of the map, without its padding."""
    count: int
    """Of the windows."""
    kernel: int
    stride: int
    left: int
    """Zeros before the map."""
    right: int
    dilation: int

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """Equal for equal convolutions: pixel by pixel where a map is no larger than a kernel."""
        if self.size <= self.kernel:
            starts = range(
                -self.left, self.count * self.stride - self.left, self.stride
            )
            return tuple(tuple(self._pixels(start)) for start in starts)
        stride = self.stride if self.count > 1 else 1
        dilation = self.dilation if self.kernel > 1 else 1
        return stride, self.left, self.beyond, dilation

    def _pixels(self, start: int) -> Iterator[int | None]:
        for tap in range(self.kernel):
            pixel = start + tap * self.dilation
            yield pixel if 0 <= pixel < self.size else None

    @property
    def beyond(self) -> int:
        """How far the last pixel that is read lies behind the end; below 0: before it."""
        reach = self.dilation * (self.kernel - 1)
        return (self.count - 1) * self.stride + reach + 1 - self.left - self.size

    @property
    def is_padded(self) -> bool:
        """Whether any zero is read."""
        return self.left > 0 or self.beyond > 0

    def padded(self, left: int, right: int) -> Taps | None:
        """The same on an input without so many zeros; below 0: with so many pixels more."""
        cut = (left < 0 < self.left) or (right < 0 < self.beyond)
        if cut:
            return None
        size = self.size - left - right
        return replace(self, size=size, left=self.left + left, right=self.right + right)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Taps) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return str(self.key)

    def told(self) -> dict[str, str]:
        """What was chosen, in words, by name."""
        same = self.left == self.right
        padding = str(self.left) if same else f"{self.left} before, {self.right} behind"
        return {
            "stride": str(self.stride),
            "padding": padding,
            "dilation": str(self.dilation),
        }


def max_axis(
    size: int, count: int, kernel: int, stride: int, padding: int, dilation: int
) -> Axis:
    """The windows of a max pooling, without the padding."""
    spans: list[Span] = []
    for i in range(count):
        start = i * stride - padding
        reach = range(start, start + dilation * (kernel - 1) + 1, dilation)
        pixels = [p for p in reach if 0 <= p < size]
        dense = pixels == list(range(pixels[0], pixels[-1] + 1)) if pixels else True
        ends = (pixels[0], pixels[-1] + 1) if pixels else (0, 0)
        spans.append(ends if dense else (-1, *pixels))
    return tuple(spans)


def mean_axis(
    size: int, count: int, kernel: int, stride: int, padding: int, with_padding: bool
) -> Axis:
    """The windows of an average pooling, and by how many pixels each is divided."""
    spans = []
    for i in range(count):
        start = i * stride - padding
        end = min(start + kernel, size + padding)
        cut = max(start, 0), min(end, size)
        spans.append((*cut, end - start if with_padding else cut[1] - cut[0]))
    return tuple(spans)


def adaptive_axis(size: int, count: int, mean: bool) -> Axis:
    """The windows of an adaptive pooling."""
    ends = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
    return tuple((a, b, b - a) if mean else (a, b) for a, b in ends)


def unpadded(axis: Axis, left: int, size: int) -> Axis | None:
    """The windows on an input of `size` without the `left` pixels of padding before it.

    None where a window has nothing but padding, or is dilated.
    """
    cut = [(max(s[0] - left, 0), min(s[1] - left, size), *s[2:]) for s in axis]
    whole = all(s[0] >= 0 for s in axis) and all(a < b for a, b, *_ in cut)
    return tuple(cut) if whole else None


def sizes(axis: Axis) -> list[int]:
    """How many pixels are in each window."""
    return [span[1] - span[0] for span in axis]


def is_whole(axis: Axis, size: int) -> bool:
    """One window of all pixels."""
    return (
        len(axis) == 1
        and set(axis[0][:2]) == {0, size}
        and axis[0][2:] in ((), (size,))
    )


def is_pixels(axis: Axis) -> bool:
    """Every window is one pixel, so that its mean is its maximum."""
    return all(s[0] >= 0 and s[1] - s[0] == 1 and s[2:] in ((), (1,)) for s in axis)


def steps_of(axis: Axis, size: int) -> int | None:
    """The stride at which single pixels are taken, the first of them at 0; else None."""
    if not is_pixels(axis):
        return None
    stride = axis[1][0] if len(axis) > 1 else size
    evenly = stride > 0 and [s[0] for s in axis] == list(range(0, size, stride))
    return stride if evenly else None


def whole_pixels(strides: Sequence[int], sizes: Sequence[int]) -> tuple[int, ...]:
    """The strides of a subsampling; of a side that leaves one pixel, its size."""
    return tuple(min(s, n) for s, n in zip(strides, sizes, strict=True))


def words(axes: Sequence[Taps]) -> str:
    """The stride, padding and dilation of a convolution."""
    rows, columns = (taps.told() for taps in axes)
    return ", ".join(
        f"{name}={text if text == columns[name] else f'({text}, {columns[name]})'}"
        for name, text in rows.items()
        if name != "dilation" or {text, columns[name]} != {"1"}
    )
