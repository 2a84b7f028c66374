"""What is said where a file of the run folder cannot be written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from resgraph.diagnostics import ResgraphError


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Explain, as a `ResgraphError`, that a file could not be written."""
    try:
        yield
    except OSError as error:
        raise ResgraphError(
            f"cannot write {path}: {error.strerror or error}",
            "mend that, then go on with --resume: what was saved before is whole",
        ) from None
