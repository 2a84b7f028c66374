"""`python -m tests.machines`: the whole, on two processes; ends with 1 if anything is wrong.

python -m tests.machines --part faults --out runs/machines
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.conftest import ROOT
from tests.machines import injected, judging, settings
from tests.machines.networks import is_deeper
from tests.machines.report import FAULTS, INJECTED, SETTINGS, Findings

SEEDS, DEEP_SEEDS = 100, 5


@dataclass(frozen=True)
class Job:
    """What one process does: a setting, or a network's noise or faults."""

    part: str
    name: str
    only: tuple[str, ...] = ()
    """Of a setting: these networks alone."""
    seeds: int = SEEDS
    """Of injected noise, up to 110 layers."""
    kept: Path | None = None
    """Of a setting: where processes leave weights and noise for one another."""

    def environment(self) -> Mapping[str, str]:
        if self.part == SETTINGS:
            return settings.environment(settings.SETTINGS[self.name])
        return {**os.environ, "OMP_NUM_THREADS": "1"}

    def rows(self) -> Iterator[Mapping[str, object]]:
        if self.part == SETTINGS:
            networks = settings.everything()
            chosen = [n for n in networks if not self.only or n.label in self.only]
            yield from settings.rows(settings.SETTINGS[self.name], chosen, self.kept)
        elif self.part == INJECTED:
            (network,) = (n for n in settings.everything() if n.label == self.name)
            few = min(DEEP_SEEDS, self.seeds)
            seeds = few if is_deeper(network) else self.seeds
            yield from injected.rows(network, seeds)
        else:
            (network,) = (n for n in judging.NETWORKS if n.label == self.name)
            yield from judging.rows(network)


def jobs(
    parts: list[str], only: tuple[str, ...], seeds: int, kept: Path
) -> Iterator[Job]:
    """The longest first, so that both processes end together."""
    if SETTINGS in parts:
        for setting in settings.SETTINGS.values():
            if not settings.lacking(setting) and not settings.is_usual(setting):
                yield Job(SETTINGS, setting.name, only, kept=kept)
    if INJECTED in parts:
        for network in reversed(settings.everything()):
            if not only or network.label in only:
                yield Job(INJECTED, network.label, seeds=seeds)
    if FAULTS in parts:
        for network in judging.NETWORKS:
            if not only or network.label in only:
                yield Job(FAULTS, network.label)


def run(job: Job) -> list[dict[str, object]]:
    """The rows of a job, which runs in a process of its own."""
    command = [sys.executable, "-m", "tests.machines", "--job", job.part, job.name]
    command += ["--seeds", str(job.seeds)]
    command += ["--kept", str(job.kept)] if job.kept else []
    command += [f"--only={network}" for network in job.only]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=job.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1:] or done.returncode)
    return [json.loads(line) for line in done.stdout.splitlines()]


def whole(
    parts: list[str],
    only: tuple[str, ...],
    seeds: int,
    out: Path,
    say: Callable[[str], None],
) -> Findings:
    """All jobs, two at a time; what is found is written after each of them."""
    found = Findings(settings.processor(), "make test-machines")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as kept, ThreadPoolExecutor(2) as pool:
        todo = list(jobs(parts, only, seeds, Path(kept)))
        running = {pool.submit(run, job): job for job in todo}
        for count, future in enumerate(as_completed(running), 1):
            job = running[future]
            try:
                rows = future.result()
                found.rows[job.part] += rows
                bad = sum(not row["ok"] for row in rows)
                said = f"{len(rows):,} rows, {bad} wrong"
            except RuntimeError as error:
                said = f"did not end: {error}"
                found.errors.append(f"{job.part}: {job.name} {said}")
            minutes = (time.monotonic() - began) / 60
            say(
                f"[{count}/{len(todo)} {minutes:.0f} min] {job.part}, {job.name}: {said}"
            )
            found.write(out)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.machines")
    every = [SETTINGS, INJECTED, FAULTS]
    parser.add_argument("--part", action="append", choices=every)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--out", type=Path, default=Path("runs/machines"))
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--kept", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", action="append", help="a network, again for more")
    given = parser.parse_args()
    only = tuple(given.only or ())
    if given.job:
        job = Job(*given.job, only, given.seeds, given.kept)
        for row in job.rows():
            print(json.dumps(row), flush=True)
        return 0
    parts = given.part or every
    found = whole(parts, only, given.seeds, given.out, partial(print, flush=True))
    print(found.markdown())
    print(f"written to {given.out}/machines.md and machines.json")
    return 1 if found.wrong() else 0


if __name__ == "__main__":
    sys.exit(main())
