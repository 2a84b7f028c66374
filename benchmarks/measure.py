"""Run a process and say what it took; write results as JSON and as a table."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Cost:
    """Wall-clock seconds, peak resident MiB, and what the process printed."""

    seconds: float
    mebibytes: float
    printed: str


def process(arguments: Sequence[object], checkout: Path = ROOT) -> Cost:
    """Run `python ARGUMENTS...` to its end, its own peak memory taken by the kernel.

    The code is that of `checkout`.
    """
    environment = {
        k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"
    }
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{arguments} exited with {child.returncode}")
    return Cost(seconds, usage.ru_maxrss / 1024, printed)


class Done(NamedTuple):
    """How a process ended, and what it said."""

    code: int | None
    """None: it took too long, and was ended."""
    printed: str
    told: str
    """On standard error."""


def within(
    seconds: float, command: Sequence[str], variables: Mapping[str, str] | None = None
) -> Done:
    """Run a command in the project's folder, for so many seconds at most.

    What it started ends with it, compilers for instance. It prints into files, since a pipe
    ends only when all that have it do.
    """
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as told:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=told,
            start_new_session=True,
        )
        code: int | None = None
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end(child)
        return Done(code, *(_text(file) for file in (printed, told)))


def _text(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a leader of a process group, and all of the group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 5)


def machine() -> dict[str, Any]:
    """What the figures were measured on, without its name."""
    import onnx
    import torch

    from resgraph.train.folder import cpu_name

    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnx": onnx.__version__,
    }


def save(name: str, results: dict[str, Any]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": machine(), **results}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join([' --- '] * len(head))}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
