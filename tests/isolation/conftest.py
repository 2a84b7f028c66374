"""A project of one's own, with a generated file to damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from resgraph.emit import torch_source
from resgraph.isolation import child
from tests.helpers import SPECS, graph_of

SHORT = 8.0
"""Seconds until a hanging file is given up; all others answer long before."""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A generated file as `resgraph compile` writes it, with its spec where it says."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "generated").mkdir()
    shutil.copy(SPECS / "tiny.yaml", tmp_path / "specs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(child, "LIMIT", SHORT)
    out = Path("generated")
    path = out / "tiny.py"
    path.write_text(torch_source(graph_of(Path("specs/tiny.yaml")), out))
    return path
