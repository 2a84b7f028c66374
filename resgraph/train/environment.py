"""What a run ran on: versions and hardware, and nothing that tells who ran it where."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import resgraph


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, operating system and processors, for run.json."""
    cuda = device.type == "cuda"
    return {
        "resgraph": resgraph.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "numpy": metadata.version("numpy"),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": _cudnn() if cuda else None,
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if cuda else None,
    }


def device_name(device: torch.device) -> str:
    """The device in words: the GPU's name, or how many threads the CPU gives."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' * (threads != 1)}"


def _cudnn() -> int | None:
    version: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return version


def cpu_name() -> str:
    """The processor's name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit that resgraph runs from, `-dirty` if edited; None where it is installed."""
    root = Path(resgraph.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    command = [
        "git",
        "--no-optional-locks",
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty",
        "--exclude=*",
    ]
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()
