"""What docs/diff.md shows is what the command prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.diff.test_command import diff

SHOWN = re.findall(
    r"```\n\$ resgraph diff (.+)\n((?:.*\n)+?)```", (ROOT / "docs/diff.md").read_text()
)


def test_the_page_has_examples() -> None:
    assert len(SHOWN) == 2


@pytest.mark.parametrize(("arguments", "lines"), SHOWN)
def test_examples(arguments: str, lines: str, root: Path) -> None:
    _, text = diff(*arguments.split())
    for piece in lines.split("...\n"):
        assert piece in text
