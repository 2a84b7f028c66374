"""One process at a time in a run folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from resgraph.diagnostics import ResgraphError

try:
    import fcntl
except ImportError:  # Windows has no such locks; there the user has to take care
    fcntl = None  # type: ignore[assignment]


def is_held(folder: Path) -> bool:
    """Whether a process is training in the folder."""
    try:
        with locked(folder):
            return False
    except ResgraphError:
        return True


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process from training in the folder, as long as this one lives.

    The lock is the system's, on the folder itself: it leaves nothing behind, however the
    process ends. A folder that is not there, or is on a disk without locks, is not locked.
    Raises `ResgraphError` if another process holds it.
    """
    if fcntl is None or not (folder.is_dir() and os.access(folder, os.R_OK)):
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResgraphError(
                f"another process is training in {folder}",
                "wait for it or stop it, or choose another folder with --out",
            ) from None
        except OSError:
            pass  # no locks here
        yield
    finally:
        os.close(handle)
