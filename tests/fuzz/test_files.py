"""The short form of `python -m tests.fuzz files`."""

from __future__ import annotations

from tests.fuzz.__main__ import run
from tests.fuzz.files import KINDS


def test_hostile_files() -> None:
    """Each of these is a command that must end in findings or in work, and in nothing else."""
    tally = run("files", iter(range(60)), seed=13)
    assert not tally.faults, tally.faults
    assert len(tally.kinds) > len(KINDS) // 2
    assert tally.verdicts["accepted"]
    assert tally.verdicts["refused"]
