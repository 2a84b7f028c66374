"""Write a residual unit as a graph; get PyTorch source, ONNX, and a trained network.

`resgraph.Classifier` runs an exported model; what it needs is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resgraph.infer import Classifier

__version__ = "0.1.0"
__all__ = ["Classifier", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Classifier":
        from resgraph.infer import Classifier

        return Classifier
    raise AttributeError(f"module 'resgraph' has no attribute '{name}'")
