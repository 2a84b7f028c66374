"""The type of a model's weights and activations; its input and logits are always float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx import TensorProto

from resgraph.diagnostics import ResgraphError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Element:
    """A floating-point type of ONNX."""

    name: str
    code: int
    """In `onnx.TensorProto`."""
    size: int
    """Bytes."""
    opset: int
    """The first one, from 20 on, in which all ops that resgraph emits take the type."""
    ir_version: int
    _rounded: Callable[[NDArray[Any]], NDArray[Any]]

    def raw(self, name: str, values: NDArray[Any]) -> bytes:
        """The tensor's numbers, each rounded to the nearest one of the type.

        Raises `ResgraphError` where a finite one would become infinite.
        """
        import numpy as np

        with np.errstate(over="ignore"):
            rounded = self._rounded(values)
        if self.code == TensorProto.FLOAT16:
            lost = np.isinf(rounded) & np.isfinite(values)
            if lost.any():
                raise ResgraphError(
                    f"{name} holds {abs(values[lost]).max():.3g}, and float16 ends at "
                    "65,504",
                    "bf16 has float32's range: --form bf16",
                )
        return rounded.tobytes()


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype("float32", copy=False)


def _float16(values: NDArray[Any]) -> NDArray[np.float16]:
    return values.astype("float16")


def _bfloat16(values: NDArray[Any]) -> NDArray[np.uint16]:
    """The upper half of each float32, rounded to nearest, ties to even."""
    import numpy as np

    bits = _float32(values).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + odd + np.uint32(0x7FFF)) >> np.uint32(16)).astype(np.uint16)


FLOAT32 = Element("fp32", TensorProto.FLOAT, 4, 20, 9, _float32)
FLOAT16 = Element("fp16", TensorProto.FLOAT16, 2, 20, 9, _float16)
BFLOAT16 = Element("bf16", TensorProto.BFLOAT16, 2, 22, 10, _bfloat16)
