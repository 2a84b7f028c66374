"""Write a residual unit as a graph; get PyTorch source, ONNX, and a trained network."""

__version__ = "0.1.0"
