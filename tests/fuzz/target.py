"""What a fuzzing target is, and one attack on it in a process of its own, within limits."""

from __future__ import annotations

import os
import pickle
import random
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SECONDS = 60
"""An attack that takes longer hangs."""
MEMORY = 6 * 2**30
"""Bytes of address space beyond what the parent has: an attack that wants more fails."""


@dataclass(frozen=True)
class Outcome:
    """What became of one input: its kind, and whether it was `accepted` or `refused`."""

    kind: str
    verdict: str
    fault: str = ""
    """What went wrong; empty where all is as it should be."""
    seconds: float = 0.0
    peak: int = 0
    """Bytes of memory at most, what the parent holds among them."""


class Fault(AssertionError):
    """Something got through, broke, or was told wrongly; the message says what."""


class Target(AbstractContextManager["Target"], Protocol):
    """One kind of input. Entering imports what is heavy, and starts what is attacked."""

    def __exit__(self, *raised: object) -> None:
        """End what entering started, if anything."""

    def attack(self, random: random.Random, folder: Path) -> Outcome:
        """Make one input in the empty `folder`, try it, and judge what happens.

        All of it is a function of `random`. Raises `Fault`, or anything else, where
        resgraph does not hold: a finding is what a user sees, never an exception.
        """


def contained(attack: Callable[[], Outcome]) -> Outcome:
    """The outcome of an attack in a forked process, with limits of time and memory."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _limit()
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(_tried(attack), pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        message = pipe.read()
    _, status, usage = os.wait4(child, 0)
    if message:
        outcome: Outcome = pickle.loads(message)
    else:
        outcome = Outcome("?", "died", f"ended by {_ending(status)}")
    return Outcome(
        outcome.kind,
        outcome.verdict,
        outcome.fault,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * 1024,
    )


def _limit() -> None:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf(
        "SC_PAGE_SIZE"
    )
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)


def _tried(attack: Callable[[], Outcome]) -> Outcome:
    try:
        return attack()
    except BaseException:  # SystemExit and MemoryError are faults too
        return Outcome("?", "fault", traceback.format_exc(limit=-6)[-4000:])
    finally:
        sys.stdout.flush()


def _ending(status: int) -> str:
    if not os.WIFSIGNALED(status):
        return f"exit code {os.WEXITSTATUS(status)}, without a word"
    number = signal.Signals(os.WTERMSIG(status))
    return f"{number.name} (over {SECONDS} s)" if number == 14 else number.name
