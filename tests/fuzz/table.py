"""`python -m tests.fuzz.table`: every target at full count, as results/robustness.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.measure import machine
from tests.conftest import ROOT

COUNTS = {"specs": 4_000, "text": 6_000, "files": 2_000, "http": 5_000}
"""Attacks on each target."""
PLACE = ROOT / "results" / "robustness.md"
"""The page; the counts themselves are kept beside it, as JSON."""
ABOUT = {
    "specs": "specs as trees, changed at one to six places",
    "text": "specs as text, lines, words, characters and bytes changed",
    "files": "every kind of file that a command reads, damaged or hostile",
    "http": "requests to a server that answers others meanwhile",
}
HEAD = """\
# Robustness

What got through of so many inputs that nobody should write. An accepted spec was compiled;
its files parsed, imported, constructed, were left as they are by `ruff format`, and agreed
with their ONNX model in names, shapes and, in float64, in numbers. A refused input gave
findings or an error in words: no traceback, nothing half-written, no character that steers
a terminal. Every attack runs in a process of its own within 60 s and 6 GiB; *slowest* is the
processor's time of the slowest one, *memory* the most that one held, imports among it.

This page is written by `python -m tests.fuzz.table`; one attack is repeated by
`python -m tests.fuzz TARGET --seed S --only N`. With `--only TARGET` that row alone is new.

| target | attacks | seeds | accepted | refused | other | faults | slowest | memory |
|---|---|---|---|---|---|---|---|---|
"""


def main() -> int:
    """Run all, write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.table")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="of the full counts")
    parser.add_argument("--seed", type=int, default=100, help="of the first job")
    parser.add_argument("--only", choices=COUNTS, action="append")
    parser.add_argument("--page", type=Path, default=PLACE)
    wanted = parser.parse_args()
    kept = wanted.page.with_suffix(".json")
    known = json.loads(kept.read_text()) if kept.exists() else {}
    for target in wanted.only or COUNTS:
        count = int(COUNTS[target] * wanted.share) // wanted.jobs
        seeds = [wanted.seed + job for job in range(wanted.jobs)]
        with ThreadPoolExecutor(wanted.jobs) as pool:
            told = [*pool.map(lambda seed: _run(target, seed, count), seeds)]  # noqa: B023
        known[target] = {"seeds": seeds, "told": told}
        kept.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    rows = [_row(name, **known[name]) for name in COUNTS if name in known]
    kinds = "".join(_kinds(n, known[n]["told"]) for n in COUNTS if n in known)
    text = HEAD + "\n".join(rows) + f"\n\nProcessor: {machine()['cpu']}.\n{kinds}"
    wanted.page.write_text(text, encoding="utf-8")
    return 1 if any(t["faults"] for one in known.values() for t in one["told"]) else 0


def _run(target: str, seed: int, count: int) -> dict[str, Any]:
    words = ["-m", "tests.fuzz", target, "--seed", str(seed), "--count", str(count)]
    command = [sys.executable, *words, "--seconds", "1e6"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if not done.stdout.startswith("{"):
        raise SystemExit(done.stderr)
    for fault in (told := json.loads(done.stdout))["faults"]:
        print(target, seed, fault["number"], fault["fault"][-600:], file=sys.stderr)
    return dict(told)


def _row(target: str, seeds: list[int], told: list[dict[str, Any]]) -> str:
    verdicts: Counter[str] = Counter()
    for one in told:
        verdicts.update(one["verdicts"])
    accepted, refused = verdicts.pop("accepted", 0), verdicts.pop("refused", 0)
    cells = (
        f"{target}: {ABOUT[target]}",
        f"{sum(one['attacks'] for one in told):,}",
        ", ".join(map(str, seeds)),
        f"{accepted:,}",
        f"{refused:,}",
        ", ".join(f"{n:,} {name}" for name, n in verdicts.items()) or "0",
        str(sum(len(one["faults"]) for one in told)),
        f"{max(one['slowest_seconds'] for one in told):.1f} s",
        f"{max(one['largest_mib'] for one in told)} MiB",
    )
    return f"| {' | '.join(cells)} |"


def _kinds(target: str, told: list[dict[str, Any]]) -> str:
    counts: Counter[str] = Counter()
    for one in told:
        counts.update(one["kinds"])
    listed = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    return f"\nBy kind, {target}: {listed}.\n"


if __name__ == "__main__":
    sys.exit(main())
