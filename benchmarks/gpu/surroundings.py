"""What a process needs to find on a machine that lacks some packages; before all imports."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = Path(".gpu")
"""In the project's folder, ignored by git: packages, data, caches, results."""
SITE = HOME / f"site-{sys.version_info.major}.{sys.version_info.minor}"
"""Packages for this Python."""


def prepare() -> None:
    """Use what `kit install` has put there, in this process and in those it starts."""
    os.chdir(ROOT)
    home = ROOT / HOME
    if (ROOT / SITE).is_dir():
        sys.path.insert(0, str(ROOT / SITE))
        _prepend("PYTHONPATH", [str(ROOT / SITE)])
    if (home / "data").is_dir():
        os.environ.setdefault("RESGRAPH_DATA", str(home / "data"))
    _prepend("LD_LIBRARY_PATH", libraries())


def libraries() -> list[str]:
    """Folders of CUDA's libraries that came as packages, beside torch for instance.

    onnxruntime looks for them beside itself, which may be somewhere else. The variable is
    read when a process starts, so it helps those that this one starts.
    """
    found = importlib.util.find_spec("nvidia")
    places = found.submodule_search_locations if found else None
    return sorted({str(f) for p in places or () for f in Path(p).glob("*/lib")})


def _prepend(name: str, paths: list[str]) -> None:
    before = [p for p in os.environ.get(name, "").split(os.pathsep) if p]
    more = [p for p in paths if p not in before]
    if more:
        os.environ[name] = os.pathsep.join([*more, *before])
