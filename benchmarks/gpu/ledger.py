"""A JSON file of what was found on one device: whole after every part, gone on with later.

A part has a name and a state: `right` or `wrong`, where a rule judges it; `shown`, where none
does; `failed`, with the error; `unfinished`, where time ran out. What is right or shown is
not done again.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resgraph.diagnostics import UsageError
from resgraph.files import read_json, write_json

DONE = ("right", "shown")
UNFINISHED = "unfinished"
EXIT_RIGHT, EXIT_WRONG, EXIT_UNFINISHED = 0, 1, 3
"""Exit codes; 2 is for a wrong command line."""
RESTART = 75
"""The exit code of a process that needs another one to go on (EX_TEMPFAIL)."""
_TEXT = 2000
"""Characters of an error that are kept."""
_LEAST = 2.0
"""Seconds in which something may be done at all."""
_SPOILT = ("AcceleratorError", "CUDA error", "CUDNN_STATUS", "device-side assert")
"""Words of errors after which nothing works in a process."""


@dataclass(frozen=True)
class Finding:
    """What a part found."""

    values: Mapping[str, Any]
    right: bool | None = None
    """None where it is only shown, since no rule says what it should be."""

    @property
    def state(self) -> str:
        return {None: "shown", True: "right", False: "wrong"}[self.right]


@dataclass(frozen=True)
class Part:
    """One thing to find out."""

    name: str
    action: Callable[..., Finding]
    limit: float = 120.0
    """Seconds that it may take."""
    timed: bool = False
    """The action is told how many seconds it has, and keeps to it: it starts processes."""
    of: Mapping[str, Any] = field(default_factory=dict)
    """What it is done with: what was done with something else has to be done again."""


class Ledger:
    """The parts by name, in a file."""

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        """Take up the file if it is there, else begin it.

        Raises `UsageError` if it is about something else, such as another card.
        """
        self.path = path
        self.about = dict(about)
        self.parts: dict[str, dict[str, Any]] = {}
        self.under_way: dict[str, Any] = {}
        if path.exists():
            self._take_up(read_json(path))

    def _take_up(self, found: Mapping[str, Any]) -> None:
        differing = [k for k, v in self.about.items() if found.get(k) != v]
        if differing:
            theirs = ", ".join(f"{k} {found.get(k)}" for k in differing)
            ours = ", ".join(f"{k} {self.about[k]}" for k in differing)
            raise UsageError(
                f"{self.path} is of {theirs}, and this is {ours}",
                "one file holds what one machine did: give another folder with --out",
            )
        self.parts = dict(found["parts"])
        self.under_way = dict(found.get("under way", {}))

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        more = {"under way": self.under_way} if self.under_way else {}
        write_json(self.path, {**self.about, **more, "parts": self.parts})

    # --- what is to be done ---------------------------------------------------------------

    def begin_call(self) -> None:
        """Forget what an earlier call had under way when it was ended."""
        self.under_way = {}
        self.save()

    def wants(self, part: Part, call: str, again: bool) -> bool:
        """Whether a call is to do the part: it has not done so, and no earlier one has."""
        mine = self.parts.get(part.name, {}).get("call") == call
        return not mine and (again or not self._done(part))

    def _done(self, part: Part) -> bool:
        found = self.parts.get(part.name, {})
        return found.get("state") in DONE and found.get("of", {}) == part.of

    # --- doing it -------------------------------------------------------------------------

    def do(self, part: Part, end: float, call: str) -> None:
        """Do a part; its errors are written down, and its warnings.

        If it takes too long this process ends, with a trace of where it was; and with
        `RESTART` after an error of the device, which spoils all that would follow.
        """
        seconds = min(part.limit, end - time.monotonic())
        if seconds < _LEAST:
            if part.name not in self.parts:  # figures of an earlier call are worth more
                self._put(part.name, UNFINISHED, {}, call)
            return
        self.under_way = {
            "part": part.name,
            "limit": round(seconds),
            "cut": seconds < part.limit,
            "call": call,
        }
        self.save()
        start = time.monotonic()
        with _watched(seconds + _LEAST * part.timed), _warned() as texts:
            state, values = _outcome(part, seconds)
        took = time.monotonic() - start
        if state == "failed" and self.under_way["cut"] and took > seconds - 1:
            state, values = UNFINISHED, {}
        values |= {"seconds": round(took, 2)} | ({"warnings": texts} if texts else {})
        self._put(part.name, state, values | {"of": dict(part.of)}, call)
        if any(word in values.get("error", "") for word in _SPOILT):
            sys.exit(RESTART)

    def ended(self, code: int) -> bool:
        """Write down that the part under way ended its process; False if none was."""
        if not (found := self.under_way):
            return False
        why = (
            f"its process ended (exit code {code}), in {found['limit']} s or after them"
        )
        state = UNFINISHED if found["cut"] else "failed"
        self._put(found["part"], state, {"error": why}, found["call"])
        return True

    def _put(self, name: str, state: str, values: dict[str, Any], call: str) -> None:
        """Write a part down in place of what was known of it, and print it."""
        self.parts[name] = {"state": state, **values, "call": call}
        self.under_way = {}
        self.save()
        shown = {k: v for k, v in values.items() if k not in ("of", "trace")}
        print(f"{name}: {state} {json.dumps(shown, default=str)[:700]}", flush=True)

    # --- what came of it ------------------------------------------------------------------

    def state_of(self, name: str) -> str:
        return str(self.parts.get(name, {}).get("state", UNFINISHED))

    def verdict(self, names: Sequence[str]) -> tuple[str, int]:
        """A line about these parts, and the exit code."""
        states = {name: self.state_of(name) for name in names}
        counts = Counter(states.values())
        line = f"of {len(names)} parts: " + ", ".join(
            f"{count} {state}" for state, count in counts.most_common()
        )
        if bad := [n for n, state in states.items() if state in ("wrong", "failed")]:
            return f"WRONG: {line}: {'; '.join(bad)}", EXIT_WRONG
        if counts[UNFINISHED] or not names:
            return f"UNFINISHED: {line}", EXIT_UNFINISHED
        return f"RIGHT: {line}", EXIT_RIGHT


def _outcome(part: Part, seconds: float) -> tuple[str, dict[str, Any]]:
    try:
        finding = part.action(seconds) if part.timed else part.action()
    except Exception as error:
        return "failed", {
            "error": f"{type(error).__name__}: {error}"[:_TEXT],
            "hint": getattr(error, "hint", None),
            "trace": traceback.format_exc().splitlines()[-25:],
        }
    return finding.state, {"result": dict(finding.values)}


@contextlib.contextmanager
def _warned() -> Iterator[list[str]]:
    """What the block was warned of, each once; there at its end."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        yield texts
    found = {f"{w.category.__name__}: {w.message}"[:300] for w in caught}
    texts += sorted(found)[:12]


@contextlib.contextmanager
def _watched(seconds: float) -> Iterator[None]:
    """End this process if the block takes longer, even if it hangs in a library."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


# --- the process above --------------------------------------------------------------------


def supervised(
    command: Callable[[float], Sequence[str]],
    reopened: Callable[[], Ledger],
    end: float,
) -> None:
    """Run the command that does a ledger's parts, anew each time that a part ended it.

    The command is made from the seconds that are left.
    """
    while (left := end - time.monotonic()) > 0:
        code = _exit_code(command(left))
        if not reopened().ended(code) and code != RESTART:
            return


def _exit_code(command: Sequence[str]) -> int:
    """Run a command; if this process is asked to stop, so is that one."""
    child = subprocess.Popen(command)
    try:
        return child.wait()
    except BaseException:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_LEAST)
        child.kill()
        raise
