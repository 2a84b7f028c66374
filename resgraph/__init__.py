"""Write a residual unit as a graph; get PyTorch source, ONNX, and a trained network.

`resgraph.Classifier` runs an exported model, `resgraph.Network` shows one in a notebook; what
they need is imported when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resgraph.infer import Classifier
    from resgraph.notebook import Network

__version__ = "0.1.0"
__all__ = ["Classifier", "Network", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Classifier":
        from resgraph.infer import Classifier

        return Classifier
    if name == "Network":
        from resgraph.notebook import Network

        return Network
    raise AttributeError(f"module 'resgraph' has no attribute '{name}'")
