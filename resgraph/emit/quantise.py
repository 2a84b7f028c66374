"""int8 by onnxruntime's own static quantisation."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH = 32  # images at a time


def quantise(
    model: Path, out: Path, input_name: str, images: NDArray[np.float32]
) -> None:
    """Write `model` to `out` in 8 bits from its first layer to its last, in QDQ form.

    Additions are in 8 bits too, so the sum of a residual network's units is rounded anew by
    every one of them; in float32 it would cost more than the integers gain (benchmarks/).
    Weights have one scale per output channel and 7 of the 8 bits: without VNNI, CPUs add up
    pairs of products in 16 bits, which 8 full bits overflow. Activations are 8-bit with one
    range per value, the least and the largest over `images` [N, C, H, W], normalised as the
    model takes them.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with _quiet():
        quantize_static(
            str(model),
            str(out),
            _reader(input_name, images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def _reader(name: str, images: NDArray[np.float32]) -> Any:
    """The images batch by batch, as onnxruntime's calibration asks for them."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # it has no types
        def __init__(self) -> None:
            self._batches = iter(
                images[start : start + _BATCH]
                for start in range(0, len(images), _BATCH)
            )

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self._batches, None)
            return None if batch is None else {name: batch}

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice to optimise the model first, which resgraph has done."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
