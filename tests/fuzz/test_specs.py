"""The short form of `python -m tests.fuzz specs` and `text`."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import run


@pytest.mark.parametrize(("target", "seed"), [("specs", 0), ("specs", 1), ("text", 0)])
def test_nothing_gets_through(target: str, seed: int) -> None:
    assert run(target, iter(range(25)), seed).faults == []
