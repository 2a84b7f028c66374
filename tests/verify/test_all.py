"""Every committed network is verified at its full depth: the deep ones by their structure."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.cli.subjects import targets
from resgraph.cli.verifying import subject_of
from resgraph.reference import REFERENCES
from resgraph.verify import Options, verify
from tests.conftest import ROOT

GENERATED = sorted((ROOT / "generated").glob("*.py"))


def is_deep(path: Path) -> bool:
    return path.stem.startswith(("resnet1001", "resnet1202"))


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.stem)
def test_committed_networks_verify(path: Path, tmp_path: Path) -> None:
    (target,) = targets(path, None, {}, None)
    assert target.reference is not None
    options = Options(structure_only=is_deep(path))
    with target.witness() as witness:
        checks = list(verify(subject_of(target, witness, None, tmp_path), options))
    assert [c for c in checks if c.verdict != "passed"] == []
    assert len(checks) == 5 if is_deep(path) else len(checks) >= 12


def test_no_network_is_left_out() -> None:
    assert {path.stem for path in GENERATED} == REFERENCES.keys()
