"""The same network on a GPU, in plain float32: TF32 off in torch as in onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn


@contextmanager
def without_tf32() -> Iterator[None]:
    """Convolutions and products of float32 in float32, for a while."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def logits_on_cuda(network: nn.Module, images: Tensor) -> Tensor:
    """Logits [N, classes] at inference, computed on the GPU, on the CPU afterwards."""
    with torch.no_grad(), without_tf32():
        logits: Tensor = deepcopy(network).cuda().eval()(images.cuda())
        return logits.cpu()
