"""In which precision a network is trained, and what that means to torch.

Weights, their gradients, momentum and BN's statistics are float32 always; the precision is
that of convolutions, of the linear layer and of the activations between them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from resgraph.diagnostics import OptionError, UsageError, did_you_mean

AUTO = "auto"
WORDS = {"fp32": "float32", "tf32": "TF32", "bf16": "bfloat16 autocast"}
PRECISIONS = (AUTO, *WORDS)


def check_precision(name: str) -> None:
    """Raise `OptionError` for a name that is not in `PRECISIONS`."""
    if name not in PRECISIONS:
        what = f"{name!r} is none of {', '.join(PRECISIONS)}"
        raise OptionError("precision", what, did_you_mean(name, PRECISIONS))


def pick_precision(name: str, device: torch.device) -> str:
    """The precision itself: `auto` is bf16 on CUDA and fp32 on the CPU.

    Raises `UsageError` if the device has no such precision.
    """
    if name == AUTO:
        return "bf16" if device.type == "cuda" else "fp32"
    if name == "tf32" and device.type != "cuda":
        raise UsageError(
            f"TF32 is a precision of CUDA, and this trains on the {device.type}",
            "give --precision fp32",
        )
    return name


def element_size(precision: str) -> int:
    """Bytes of an activation's element."""
    return 2 if precision == "bf16" else 4


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Within it, ops compute in the precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@contextlib.contextmanager
def numerics(precision: str) -> Iterator[None]:
    """TF32 on for `tf32`, and off else, whatever torch's defaults; as before afterwards.

    So fp32 is float32 in convolutions too, for which torch's default is TF32, and a net
    that trains in bf16 is tested in float32. Within it, cuDNN also measures which algorithm
    is fastest for each convolution.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
    _set(precision == "tf32", precision == "tf32", True)
    try:
        yield
    finally:
        _set(*before)


def _set(convolutions: bool, products: bool, benchmark: bool) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products
    torch.backends.cudnn.benchmark = benchmark
