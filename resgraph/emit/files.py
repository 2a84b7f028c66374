"""Output files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resgraph.diagnostics import ResgraphError


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder beside the outputs whose files move into `out` when the block succeeds.

    If it fails, whatever was in `out` stays as it was. Raises `ResgraphError` where the
    folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".resgraph-", dir=out))
    except OSError as error:
        raise ResgraphError(
            f"cannot write to {out}: {error.strerror or error}",
            "choose another folder with --out",
        ) from None
    try:
        yield stage
        _move(stage, out)
    except OSError as error:
        raise ResgraphError(
            f"cannot write to {out}: {error.strerror or error}"
        ) from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _move(stage: Path, out: Path) -> None:
    """Rename into place, the data before the model that refers to it."""
    for path in sorted(stage.iterdir(), key=lambda p: (p.suffix != ".data", p.name)):
        path.chmod(0o666 & ~_umask())
        path.replace(out / path.name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
