"""Every committed network is verified at its full depth: the deep ones by their structure."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.cli.subjects import targets
from resgraph.cli.verifying import verified
from resgraph.reference import REFERENCES
from resgraph.verify import Options
from tests.conftest import ROOT

GENERATED = sorted((ROOT / "generated").glob("*.py"))


def is_deep(path: Path) -> bool:
    return path.stem.startswith(("resnet1001", "resnet1202"))


def is_twin(path: Path) -> bool:
    """Whether it is another one but for a number: the classes, or where a bias starts.

    Of what is computed in full, one of them is.
    """
    return path.stem.endswith(("_cifar100", "_b5", "_b6", "_b7"))


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.stem)
def test_committed_networks_verify(path: Path, tmp_path: Path) -> None:
    (target,) = targets(path, None, {}, None)
    assert target.reference is not None
    shallow = is_deep(path) or is_twin(path)
    options = Options(structure_only=shallow)
    checks = verified(target, None, options, tmp_path, quiet=True).checks
    assert [c for c in checks if c.verdict != "passed"] == []
    assert len(checks) == 5 if shallow else len(checks) >= 12


def test_no_network_is_left_out() -> None:
    assert {path.stem for path in GENERATED} == REFERENCES.keys()
