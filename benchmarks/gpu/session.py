"""What all steps are told: the device, how long they have, where their files go."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.ledger import EXIT_RIGHT, Ledger, Part, supervised
from benchmarks.gpu.surroundings import HOME
from resgraph.diagnostics import UsageError

CALL = str(time.time_ns())
"""Names this call, in which nothing is done twice."""


@dataclass(frozen=True)
class Session:
    """One call of a step."""

    step: str
    arguments: Sequence[str]
    """As given, with which a worker is called."""
    more: Sequence[str]
    """What came after `--`."""
    options: argparse.Namespace
    end: float
    """By the monotonic clock."""

    @property
    def device(self) -> str:
        return str(self.options.device)

    @property
    def small(self) -> bool:
        return bool(self.options.small)

    @property
    def out(self) -> Path:
        return Path(self.options.out)

    @property
    def scratch(self) -> Path:
        """Where a step may leave what is of no use after it."""
        return self.out / "scratch"

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def about(self) -> dict[str, Any]:
        """What a file is of, which may not change while it is gone on with."""
        cuda = self.device == "cuda"
        return {
            "device": torch.cuda.get_device_name() if cuda else "cpu",
            "memory_bytes": torch.cuda.mem_get_info()[1] if cuda else None,
            "torch": torch.__version__,
            "cuda": torch.version.cuda if cuda else None,
            "small": self.small,
        }

    def work(
        self, name: str, parts: Iterable[Part], more: Mapping[str, Any] | None = None
    ) -> int:
        """Do the parts that were asked for, in `NAME.json`; the exit code.

        This process only watches over another, which does them.
        """
        asked = [part for part in parts if self._asked(part.name)]
        names = [part.name for part in asked]
        path = self.out / f"{name}.json"
        if self.options.list:
            ledger = Ledger(path, {})
            print(*(f"{n}: {ledger.state_of(n)}" for n in names), sep="\n")
            return EXIT_RIGHT
        about = {**self.about(), **(more or {})}
        ledger = Ledger(path, about)
        if self.options.worker:
            call, again = self.options.worker, self.options.again
            for part in asked:
                if ledger.wants(part, call, again):
                    ledger.do(part, self.end, call)
            return EXIT_RIGHT
        ledger.begin_call()
        supervised(self._worker, lambda: Ledger(path, about), self.end)
        line, code = Ledger(path, about).verdict(names)
        print(f"{path}: {line}")
        return code

    def _asked(self, name: str) -> bool:
        words = getattr(self.options, "parts", ())
        return not words or any(word in name for word in words)

    def _worker(self, left: float) -> list[str]:
        program = [sys.executable, "-m", "benchmarks.gpu", self.step]
        return [
            *program,
            *self.arguments,
            "--minutes",
            str(left / 60),
            "--worker",
            CALL,
        ]


def common() -> argparse.ArgumentParser:
    """The options of every step."""
    parser = argparse.ArgumentParser(add_help=False)
    add = parser.add_argument
    add("--device", default="cuda", choices=("cuda", "cpu"))
    add("--small", action="store_true", help="a dry run: small, and nothing compiled")
    add("--minutes", type=float, default=9.0, help="that it may take (default: 9)")
    add("--out", type=Path, default=HOME / "results", help="folder of its JSON")
    add("--again", action="store_true", help="do what is done already, too")
    add("--list", action="store_true", help="say which parts there are, do nothing")
    add("--worker", help=argparse.SUPPRESS)
    return parser


def take_parts(parser: argparse.ArgumentParser) -> None:
    """Let a step's parts be chosen."""
    words = "only parts with one of these words in their name"
    parser.add_argument("parts", nargs="*", metavar="WORD", help=words)


def require_device(name: str) -> None:
    """Raise `UsageError` if it is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "no CUDA device here", "--device cpu --small is a dry run of this step"
        )
