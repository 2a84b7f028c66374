"""What CUDA lacks here, named: the package, the driver, the device or a library.

onnxruntime tells such things by a line in its log and goes on with the CPU, so this asks the
driver and the loader themselves, in the order in which a user would mend them.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

PROVIDER = "CUDAExecutionProvider"
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE of the driver's API
_LIBRARIES = "pip install 'onnxruntime-gpu[cuda,cudnn]' brings CUDA's libraries"


@dataclass(frozen=True)
class Missing:
    """The first thing that is missing, and what brings it."""

    what: str
    hint: str
    device: bool = False
    """Whether there is a device all the same, which then lies idle."""


def missing() -> Missing | None:
    """The first piece that CUDA lacks here, or None; CUDA's libraries are loaded then."""
    import onnxruntime

    version = onnxruntime.__version__
    if PROVIDER not in onnxruntime.get_available_providers():
        return Missing(
            f"the installed onnxruntime {version} is built without it",
            "pip uninstall onnxruntime, then pip install onnxruntime-gpu",
        )
    built = str(getattr(onnxruntime, "cuda_version", "") or "")
    major = int(built.split(".")[0]) if built.split(".")[0].isdigit() else 0
    return _driver(major, f"onnxruntime {version}") or _libraries(major)


def preload() -> None:
    """Load CUDA's libraries from the nvidia packages that pip or torch brought.

    So they need not be on LD_LIBRARY_PATH. onnxruntime prints there what it does not find,
    into the middle of results; `missing` says the same.
    """
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls()


def _driver(major: int, package: str) -> Missing | None:
    """What is wrong with the driver for a package built for that major version of CUDA."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    driver = _load(name)
    if driver is None:
        return Missing(
            f"there is no NVIDIA driver ({name} cannot be loaded)",
            "install the driver; in a container, start it with the GPU (--gpus all)",
        )
    status, count, version = driver.cuInit(0), ctypes.c_int(0), ctypes.c_int(0)
    if status == 0:
        status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status == _NO_DEVICE or (status == 0 and not count.value):
        return Missing(
            "the NVIDIA driver is there, but it finds no device",
            "look at nvidia-smi and at CUDA_VISIBLE_DEVICES",
        )
    if status != 0:
        return Missing(
            f"the NVIDIA driver does not start (error {status} of cuInit)",
            "nvidia-smi should say why; a restart helps where driver and module differ",
        )
    driver.cuDriverGetVersion(ctypes.byref(version))
    if version.value // 1000 < major:
        supported = f"{version.value // 1000}.{version.value % 1000 // 10}"
        return Missing(
            f"the NVIDIA driver is too old: it supports CUDA {supported}, and {package} "
            f"is built for CUDA {major}",
            "install a newer driver, or an onnxruntime-gpu built for that CUDA",
            device=True,
        )
    return None


def _libraries(major: int) -> Missing | None:
    """The libraries that the provider needs for convolutions and cannot be loaded."""
    if not sys.platform.startswith("linux") or not major:
        return None
    preload()
    absent = [name for name in _cuda_names(major) if _load(name) is None]
    if absent:
        return Missing(
            f"CUDA {major} is not whole: {', '.join(absent)} cannot be loaded",
            _LIBRARIES,
            device=True,
        )
    if _load("libcudnn.so.9") is None:
        return Missing(
            "cuDNN 9 is not there (libcudnn.so.9 cannot be loaded)",
            _LIBRARIES,
            device=True,
        )
    return None


def _cuda_names(major: int) -> Iterator[str]:
    """What the provider is linked to; cuFFT, which convolutions don't use, may be absent."""
    yield from (f"lib{part}.so.{major}" for part in ("cudart", "cublasLt", "cublas"))
    yield "libcurand.so.10"


def _load(name: str) -> Any:
    """The library, or None."""
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None
