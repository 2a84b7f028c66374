"""Kernels of our own for training: BN-ReLU-convolutions in a fraction of the passes.

Off by default. They need Triton, which comes with torch for CUDA.
"""

from resgraph.train.fused.lazy import fuse

__all__ = ["fuse"]
