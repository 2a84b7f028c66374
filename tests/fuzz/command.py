"""One command of resgraph in this process, judged by what a user sees of it."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from resgraph import limits
from tests.fuzz.target import Fault

BUDGET = 64 * 2**20
"""Bytes that a file may take while it is attacked: little, so that hostile ones are small."""
ALLOWANCE = 256 * 2**20
"""Bytes beside the budget: copies, what a library imports, ONNX Runtime's arenas."""
CODES = (0, 1, 2, 3)


@dataclass(frozen=True)
class Ended:
    """How a command ended, and all that it wrote to a terminal, libraries in C included."""

    code: int
    text: str


def ended(arguments: list[str], folder: Path) -> Ended:
    """Run the command line in `folder`. Raises `Fault` for what no command may do."""
    from resgraph.cli import main

    os.environ[limits.READ_VARIABLE] = str(BUDGET)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    os.chdir(folder)
    before = _peak()
    written = folder / "terminal"
    with _terminal(written):
        sys.argv = ["resgraph", *arguments]
        code: object = 0
        try:
            main()
        except SystemExit as error:
            code = error.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
    text = written.read_bytes().decode("utf-8", "surrogateescape")
    written.unlink()
    shown = (
        f"resgraph {' '.join(arguments)[:300]!a}: exit code {code}\n{text[-1500:]!a}"
    )
    if code not in CODES:
        raise Fault(f"an exit code that none is: {shown}")
    if "Traceback (most recent" in text:
        raise Fault(f"a traceback: {shown}")
    if odd := {c for c in text if not (c.isprintable() or c in "\n\t")}:
        raise Fault(f"characters that steer a terminal, {sorted(odd)!a}: {shown}")
    if code == 1 and not text.strip():
        raise Fault(f"not a word: {shown}")
    if (taken := _peak() - before) > BUDGET + ALLOWANCE:
        raise Fault(f"{taken >> 20} MiB of memory: {shown}")
    return Ended(int(str(code)), text)


def check_nothing_left(folder: Path) -> None:
    """Raise `Fault` for files that are not whole."""
    left = [
        p
        for p in folder.rglob("*")
        if p.name.startswith((".resgraph-", ".new-")) or p.name.endswith(".unfinished")
    ]
    if left:
        raise Fault(f"left behind: {[p.name for p in left]}")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def _terminal(path: Path) -> Iterator[None]:
    """Standard output and error of the whole process as one file."""
    with path.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    streams = sys.stdout, sys.stderr
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
