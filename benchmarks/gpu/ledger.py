"""A JSON file of what was found on one device: whole after every part, gone on with later.

A part has a name and a state: `begun`; `right` or `wrong`, where a rule judges it; `shown`,
where none does; `failed`, with the error. What is right or shown is not done again.
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resgraph.diagnostics import UsageError
from resgraph.files import read_json, write_json

DONE = ("right", "shown")
RIGHT, WRONG, UNFINISHED = 0, 1, 3
"""Exit codes; 2 is for a wrong command line."""
RESTART = 75
"""The exit code of a process that needs another one to go on (EX_TEMPFAIL)."""
NO_TIME = "no time was left"
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

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {**self.about, "parts": self.parts})

    def done(self, part: Part) -> bool:
        found = self.parts.get(part.name, {})
        return found.get("state") in DONE and found.get("of", {}) == part.of

    def put(self, name: str, state: str, **values: Any) -> None:
        """Write a part down, and print it."""
        self.parts[name] = {"state": state, **values}
        self.save()
        if state != "begun":
            shown = json.dumps(values, default=str)
            print(f"{name}: {state} {shown[:700]}", flush=True)

    def prepare(self, parts: Iterable[Part], again: bool) -> None:
        """Forget what of these is to be done."""
        for part in parts:
            if again or not self.done(part):
                self.parts.pop(part.name, None)
        self.save()

    def do(self, part: Part, end: float) -> None:
        """Do a part; its errors are written down, and its warnings.

        If it takes too long this process ends, with a trace of where it was; and with
        `RESTART` after an error of the device, which spoils all that would follow.
        """
        left = min(part.limit, end - time.monotonic())
        if left < _LEAST:
            self.put(part.name, "failed", error=NO_TIME)
            return
        self.put(part.name, "begun", limit=round(left))
        start = time.monotonic()
        grace = _LEAST if part.timed else 0.0
        with _watched(left + grace), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            state, values = _outcome(part, left)
        texts = sorted({f"{w.category.__name__}: {w.message}"[:300] for w in caught})
        more = ({"of": dict(part.of)} if part.of else {}) | (
            {"warnings": texts[:12]} if texts else {}
        )
        seconds = round(time.monotonic() - start, 2)
        self.put(part.name, state, seconds=seconds, **values, **more)
        if state == "failed" and any(word in values["error"] for word in _SPOILT):
            sys.exit(RESTART)

    def begun(self) -> str | None:
        """The part that was begun and not ended."""
        names = (n for n, p in self.parts.items() if p["state"] == "begun")
        return next(names, None)

    def state(self, name: str) -> str:
        """`not done` for what there was no time for."""
        found = self.parts.get(name, {})
        missing = not found or found.get("error") == NO_TIME
        return "not done" if missing else str(found["state"])

    def verdict(self, names: Sequence[str]) -> tuple[str, int]:
        """A line about these parts, and the exit code."""
        states = {name: self.state(name) for name in names}
        counts = Counter(states.values())
        line = f"of {len(names)} parts: " + ", ".join(
            f"{count} {state}" for state, count in counts.most_common()
        )
        if bad := [n for n, state in states.items() if state in ("wrong", "failed")]:
            return f"WRONG: {line}: {'; '.join(bad)}", WRONG
        if counts["not done"] or not names:
            return f"UNFINISHED: {line}", UNFINISHED
        return f"RIGHT: {line}", RIGHT


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
def _watched(seconds: float) -> Iterator[None]:
    """End this process if the block takes longer, even if it hangs in a library."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def supervised(
    command: Callable[[float], Sequence[str]],
    reopened: Callable[[], Ledger],
    end: float,
) -> None:
    """Run the command that does a ledger's parts, anew each time that a part ended it.

    The command is made from the seconds that are left.
    """
    while (left := end - time.monotonic()) > 0:
        code = subprocess.run([*command(left)], check=False).returncode
        ledger = reopened()
        name = ledger.begun()
        if name is not None:
            limit = ledger.parts[name]["limit"]
            why = f"it ended its process (exit code {code}) within {limit} s or at their end"
            ledger.put(name, "failed", error=why)
        elif code != RESTART:
            return
