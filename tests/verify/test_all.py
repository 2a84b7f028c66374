"""Every committed network is verified at its full depth, most of them by their structure."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.cli.subjects import targets
from resgraph.cli.verifying import verified
from resgraph.reference import REFERENCES
from resgraph.verify import Options
from tests.conftest import ROOT

GENERATED = sorted((ROOT / "generated").glob("*.py"))


WHOLE = {
    f"resnet{depth}{kind}" for depth in (20, 110, 164) for kind in ("", "_original")
}
"""What is computed at its full depth, too; tests/test_reference.py computes each one at a
small depth."""


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.stem)
def test_committed_networks_verify(path: Path, tmp_path: Path) -> None:
    (target,) = targets(path, None, {}, None)
    assert target.reference is not None
    whole = path.stem in WHOLE
    options = Options(structure_only=not whole)
    checks = verified(target, None, options, tmp_path, quiet=True).checks
    assert [c for c in checks if c.verdict != "passed"] == []
    assert len(checks) >= 12 if whole else len(checks) == 5


def test_no_network_is_left_out() -> None:
    assert {path.stem for path in GENERATED} == REFERENCES.keys()
