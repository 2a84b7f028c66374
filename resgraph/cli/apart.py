"""Training of a file that resgraph did not write, in a process of its own.

The file's code may end the process that runs it, and with the exit code of success. So this
process trains nothing: it starts one that does, waits, and believes the run folder.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from resgraph.cli.common import tell, tell_interrupted, warn_of
from resgraph.cli.tasks import Task
from resgraph.cli.terminal import guarded
from resgraph.diagnostics import ResgraphError, raised
from resgraph.files import read_json, write_json

INTERRUPTED = 130


def train_apart(todo: Task, json: bool) -> None:
    """Try the file, train it in a child, and check that it was.

    Raises `ResgraphError` if the training did not come to its end, and ends as the child did
    if that has told an error, or was interrupted as this process was.
    """
    from resgraph.isolation import command
    from resgraph.train.trial import tried

    source = todo.source
    if os.environ.get("RANK", "0") == "0":
        warn_of(source)
        tried(source.path, source.text)
    with tempfile.TemporaryDirectory(prefix="resgraph-") as folder:
        order, report = Path(folder) / "order.json", Path(folder) / "report.json"
        spec = None if source.origin is None else str(source.origin.spec)
        what = {"path": str(source.path), "text": source.text, "spec": spec}
        write_json(order, {**what, "options": todo.options.as_dict(), "json": json})
        arguments = command(__name__, str(order), str(report))
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, process_group=0)
        with _signals_to(process) as signals:
            code = process.wait()
        told = read_json(report) if report.is_file() else {}
    _check(source.path, code, told, interrupted=bool(signals))


@contextmanager
def _signals_to(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass what asks to stop on to the child, which has a process group of its own."""
    from resgraph.train.loop import signals_to_stop

    signals: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        process.send_signal(number)

    before = {n: signal.signal(n, pass_on) for n in signals_to_stop()}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check(path: Path, code: int, told: dict[str, Any], interrupted: bool) -> None:
    """Believe that the run is at its end only if the child and the run folder say so."""
    from resgraph.isolation import ended_with
    from resgraph.train import open_run
    from resgraph.train.about import FINISHED, STOPPED

    if code == INTERRUPTED and interrupted:
        raise typer.Exit(code)
    if told.get("code") == code and code in (1, 2):  # and it has said why
        raise typer.Exit(code)
    folder = told.get("folder")
    if code != 0 or told.get("code") != code or not isinstance(folder, str):
        raise ResgraphError(
            f"{path} is not trained to the end: its process ended {ended_with(code)}",
            "a network's file that ends the process cannot be trained",
        )
    status = open_run(folder).status
    if status not in (FINISHED, STOPPED):
        raise ResgraphError(f"{path} is not trained to the end: {folder} says {status}")


def main() -> None:
    """The child's program: train as the order says, and report how that ended."""
    from resgraph.isolation import die_with_parent

    die_with_parent(signal.SIGTERM)
    order, report = map(Path, sys.argv[1:])
    with guarded():
        told = _trained(read_json(order))
    write_json(report, told)
    sys.exit(told["code"])


def _trained(order: dict[str, Any]) -> dict[str, Any]:
    """The exit code, and the run folder if all went well; an error is told on stderr."""
    from resgraph.cli.running import train_here
    from resgraph.origin import read_source
    from resgraph.train import TrainOptions

    path, spec = order["path"], order["spec"] and Path(order["spec"])
    try:
        options = TrainOptions.from_mapping(order["options"])
        source = dataclasses.replace(read_source(Path(path), spec), text=order["text"])
        result = train_here(Task(source, options), order["json"])
    except typer.Exit as error:
        return {"code": error.exit_code}
    except ResgraphError as error:
        tell(error, json=order["json"])
        return {"code": error.exit_code}
    except KeyboardInterrupt as error:
        tell_interrupted(error)
        return {"code": INTERRUPTED}
    except BaseException as error:
        tell(ResgraphError(f"{path} is not trained to the end: {raised(error, path)}"))
        return {"code": 1}
    return {"code": 0, "folder": result.folder.as_posix()}
