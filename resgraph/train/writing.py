"""What is said where a file of the run folder cannot be written."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from resgraph import files


def writing(path: Path) -> AbstractContextManager[None]:
    """Explain, as a `ResgraphError`, that a file could not be written."""
    hint = "mend that, then go on with --resume: what was saved before is whole"
    return files.writing(path, hint)
