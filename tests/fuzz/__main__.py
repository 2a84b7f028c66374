"""`python -m tests.fuzz TARGET --seconds N --seed S`: attack, count, keep what got through.

Every attack is a function of the seed and its number, so `--seed S --only N` repeats one.
Ends with exit code 1 if anything got through; each such input is kept in `--out`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz.target import Outcome, Target, contained

TARGETS = ("specs", "text", "files", "http")


@dataclass
class Tally:
    """What has happened so far."""

    verdicts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, object]] = field(default_factory=list)
    slowest: float = 0.0
    largest: int = 0

    def add(self, number: int, outcome: Outcome) -> None:
        self.verdicts[outcome.verdict] += 1
        self.kinds[outcome.kind] += 1
        self.slowest = max(self.slowest, outcome.seconds)
        self.largest = max(self.largest, outcome.peak)
        if outcome.fault:
            self.faults.append(
                {"number": number, "kind": outcome.kind, "fault": outcome.fault}
            )

    def told(self) -> dict[str, object]:
        return {
            "attacks": sum(self.verdicts.values()),
            "verdicts": dict(sorted(self.verdicts.items())),
            "kinds": dict(sorted(self.kinds.items())),
            "faults": self.faults,
            "slowest_seconds": round(self.slowest, 2),
            "largest_mib": self.largest >> 20,
        }


def run(name: str, numbers: Iterator[int], seed: int, out: Path | None = None) -> Tally:
    """Attack target `name` with these numbers; faults are kept below `out`."""
    tally = Tally()
    module = importlib.import_module(f"tests.fuzz.{name}")
    target: Target = module.target()
    with target:
        for number in numbers:
            folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
            random = Random(f"{name}/{seed}/{number}")
            outcome = contained(lambda: target.attack(random, folder))  # noqa: B023
            tally.add(number, outcome)
            if outcome.fault and out is not None:
                _keep(folder, out / f"{name}-{seed}-{number}", outcome)
            shutil.rmtree(folder, ignore_errors=True)
    return tally


def _keep(folder: Path, place: Path, outcome: Outcome) -> None:
    shutil.copytree(
        folder, place, symlinks=True, dirs_exist_ok=True, ignore=_only_plain
    )
    (place / "FAULT.txt").write_text(outcome.fault, "utf-8", "backslashreplace")


def _only_plain(folder: str, names: list[str]) -> list[str]:
    """What cannot be copied: pipes, sockets, devices, a large sparse file."""
    paths = {name: Path(folder, name) for name in names}
    return [n for n, p in paths.items() if not (p.is_symlink() or _small(p))]


def _small(path: Path) -> bool:
    return path.is_dir() or (path.is_file() and path.stat().st_size < 2**27)


def _numbers(seconds: float, count: int | None, only: int | None) -> Iterator[int]:
    if only is not None:
        yield only
        return
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end and (count is None or number < count):
        yield number
        number += 1


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--count", type=int, help="so many attacks at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this attack alone")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"))
    wanted = parser.parse_args()
    numbers = _numbers(wanted.seconds, wanted.count, wanted.only)
    tally = run(wanted.target, numbers, wanted.seed, wanted.out)
    told = {"target": wanted.target, "seed": wanted.seed, **tally.told()}
    print(json.dumps(told, indent=2))
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
