"""Where onnxruntime can run a model: the CPU, or CUDA if all of it is there."""

from __future__ import annotations

import ctypes
import sys

from resgraph.diagnostics import ResgraphError, did_you_mean

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
DEVICES = ("auto", "cpu", "cuda")


def provider_for(device: str) -> str:
    """The execution provider for a device: `auto` is CUDA where all of it is there.

    Raises `ResgraphError` for an unknown device, and for `cuda` where something is
    missing, which it names.
    """
    if device not in DEVICES:
        raise ResgraphError(f"unknown device '{device}'", did_you_mean(device, DEVICES))
    if device == "cpu":
        return CPU
    missing = _missing()
    if missing is None:
        return CUDA
    if device == "cuda":
        raise ResgraphError(f"no CUDA here: {missing}", "infer with --device cpu")
    return CPU


def require(device: str, wanted: str, providers: list[str]) -> str:
    """The provider that a session really has; onnxruntime falls back without an error.

    Raises `ResgraphError` if `cuda` was asked for and is not what it has.
    """
    if providers[0] != wanted and device == "cuda":
        raise ResgraphError(
            "onnxruntime finds the device but cannot load its CUDA provider, which needs "
            "CUDA's and cuDNN's libraries",
            "see onnxruntime's message above for the library, or infer with --device cpu",
        )
    return providers[0]


def preload() -> None:
    """Let onnxruntime take CUDA's libraries from the nvidia packages, if they are there."""
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()


def _missing() -> str | None:
    """What CUDA lacks here, or None."""
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        return (
            f"the installed onnxruntime {onnxruntime.__version__} is built without it; "
            "onnxruntime-gpu has it"
        )
    if not _cuda_devices():
        return "there is no NVIDIA device, or no driver for it"
    return None


def _cuda_devices() -> int:
    """How many devices the driver knows; 0 without a driver.

    Asked of the driver itself, since onnxruntime tells only by failing, aloud.
    """
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
