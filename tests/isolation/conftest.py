"""A project of one's own, with a generated file to damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from resgraph.emit import torch_source
from resgraph.isolation import child
from tests.helpers import SPECS, graph_of

SHORT = 3.0
"""Seconds until a file that hangs is given up."""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A generated file as `resgraph compile` writes it, with its spec where it says."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "generated").mkdir()
    shutil.copy(SPECS / "tiny.yaml", tmp_path / "specs")
    monkeypatch.chdir(tmp_path)
    out = Path("generated")
    path = out / "tiny.py"
    path.write_text(torch_source(graph_of(Path("specs/tiny.yaml")), out))
    return path


@pytest.fixture
def short(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short limit for the cases that hang, and no other: the machine may be slow."""
    if "loop" in request.node.name:
        monkeypatch.setattr(child, "LIMIT", SHORT)
