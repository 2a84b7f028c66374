"""Graph -> PyTorch source and ONNX. The one home of jinja2 and onnx."""

from resgraph.emit.outputs import Written, stale, write
from resgraph.emit.torch_source import torch_source

__all__ = ["Written", "stale", "torch_source", "write"]
