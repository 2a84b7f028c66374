"""Processes that tests start, kill or let work together, forked from one that has torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.training.preload"])

Target = Callable[..., object]
_CHANGES = ("open", "os.rename", "os.remove")


def started(target: Target, *args: Any) -> BaseProcess:
    """A new process that calls a function of some module."""
    process = _CONTEXT.Process(target=target, args=args)
    process.start()
    return process


def ended(process: BaseProcess, seconds: float = 60) -> int | None:
    """The process's exit code; it is killed if it takes longer."""
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"the process did not end within {seconds} s")
    return process.exitcode


def run_ranks(size: int, target: Target, *args: Any) -> list[int | None]:
    """Call a function in as many processes as torchrun would start; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        started(_as_rank, rank, size, port, target, *args) for rank in range(size)
    ]
    return [ended(process) for process in processes]


def _as_rank(rank: int, size: int, port: int, target: Target, *args: Any) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    target(*args)


def die_at(change: int, folder: Path, part: str = "") -> None:
    """Let SIGKILL end this process right before its so-manieth change in a folder.

    A change is a file opened for writing, renamed or removed whose name has `part` in it.
    """
    seen = 0

    def audit(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in _CHANGES or not str(args[0]).startswith(str(folder)):
            return
        if event == "open" and not args[2] & (os.O_WRONLY | os.O_RDWR):
            return
        seen += part in Path(str(args[0])).name
        if seen == change:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
