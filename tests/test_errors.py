"""Every malformed spec gets diagnostics, and golden files pin their every word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resgraph.compiler import Compiler
from resgraph.diagnostics import ResgraphError, SpecError

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))


@pytest.mark.parametrize("path", BAD, ids=[path.stem for path in BAD])
def test_golden(path: Path, root: Path, golden: Callable[[str, str], None]) -> None:
    with pytest.raises(SpecError) as caught:
        Compiler().graphs(path.relative_to(root))
    golden(f"errors/{path.stem}.txt", f"{caught.value}\n")


@pytest.mark.parametrize("path", BAD, ids=[path.stem for path in BAD])
def test_every_finding_has_a_place(path: Path, root: Path) -> None:
    with pytest.raises(SpecError) as caught:
        Compiler().graphs(path.relative_to(root))
    for diagnostic in caught.value.diagnostics:
        assert diagnostic.span is not None
        assert diagnostic.span.line >= 1
        assert diagnostic.span.col >= 1


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "large.yaml").write_text("a" * 300_000)
    for name in ("absent.yaml", "binary.yaml", "large.yaml", "."):
        with pytest.raises(ResgraphError) as caught:
            Compiler().graphs(tmp_path / name)
        assert str(tmp_path / name) in caught.value.message
