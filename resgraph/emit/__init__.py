"""Graph -> PyTorch source and ONNX. The one home of jinja2 and onnx."""

from resgraph.emit.outputs import Written, stale, write
from resgraph.emit.torch_source import source_under, torch_source

__all__ = ["Written", "source_under", "stale", "torch_source", "write"]
