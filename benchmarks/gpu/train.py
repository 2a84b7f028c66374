"""A training run within a time: interrupted before it ends, gone on with by the same command.

The run folder is .gpu/runs/NAME. What a later machine needs to go on is put into pieces of a
given size, in the folder `pieces` of --out: carried there into .gpu/pieces, `kit install`
joins them, and the same command goes on. Options after `--` are for `resgraph train`.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu import pieces
from benchmarks.gpu.kit import RUNS, packed
from benchmarks.gpu.ledger import EXIT_RIGHT, EXIT_UNFINISHED, EXIT_WRONG
from benchmarks.gpu.session import Session
from benchmarks.measure import ROOT
from resgraph.files import read_json, write_json

SAVING = 25.0
"""Seconds before the end in which a run has to save itself and is packed."""
KILLED_AFTER = 60.0
"""Seconds after which a run that does not end by itself is ended."""
GOES_ON = ("stopped", "interrupted", "running")
"""How a run stands that can be gone on with."""


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("network", nargs="?", help="default: resnet164, or resnet20 if small")
    add("--run", help="name of the run folder (default: the network's)")
    add("--data", help="default: cifar10, or digits if small")
    add("--iterations", type=int, help="default: the recipe's, or 6 if small")
    add("--piece", default="15M", help="size of a piece (default: 15M)")
    add("--saving", type=float, default=SAVING, help="seconds kept for saving (25)")
    add("--runs", type=Path, default=RUNS, help="folder of run folders")


def run(session: Session) -> int:
    options, small = session.options, session.small
    network = options.network or ("resnet20" if small else "resnet164")
    folder = options.runs / (options.run or network)
    size, seconds = pieces.size_of(options.piece), session.left - options.saving
    if seconds < 1:
        print(
            f"{folder.name}: UNFINISHED: no time beside the {options.saving:.0f} s of --saving"
        )
        return EXIT_UNFINISHED
    line = command(session, network, folder)
    print(*line, flush=True)
    about = {**session.about(), "command": line[1:]}
    write(session.out, folder, {**about, "status": "begun"})
    code = until(line, seconds)
    return report(folder, {**about, "exit": code}, session.out, size)


def write(out: Path, run: Path, about: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / f"train-{run.name}.json", about)


def command(session: Session, network: str, folder: Path) -> list[str]:
    """What begins the run, or goes on with it."""
    options, small = session.options, session.small
    data = options.data or ("digits" if small else "cifar10")
    line = [sys.executable, "-m", "resgraph", "train", f"generated/{network}.py"]
    line += ["--data", data, "--device", session.device, "--out", str(folder)]
    if (folder / "run.json").exists():
        return [*line, "--resume", *session.more]
    iterations = options.iterations or (6 if small else None)
    line += ["--iterations", str(iterations)] if iterations else []
    return [*line, *(["--batch", "16"] if small else []), *session.more]


def until(command: Sequence[str], seconds: float) -> int:
    """Run a command, and interrupt it after so many seconds; its exit code.

    It is in a group of its own: Ctrl-C and a request to stop come to it once, from here.
    """
    end = time.monotonic() + max(0.0, seconds)
    child = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        return child.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return _interrupted(child)
    except BaseException:
        _interrupted(child)
        raise


def _interrupted(child: subprocess.Popen[bytes]) -> int:
    child.send_signal(signal.SIGINT)
    try:
        return child.wait(KILLED_AFTER)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def report(folder: Path, about: dict[str, Any], out: Path, size: int) -> int:
    """Write down how the run stands, and pack it; the exit code."""
    name = folder.name
    if not (folder / "run.json").exists():
        write(out, folder, {**about, "status": "not begun"})
        print(f"{name}: WRONG: not begun (exit code {about['exit']})")
        return EXIT_WRONG
    found = read_json(folder / "run.json")
    kept = {
        k: found.get(k) for k in ("network", "status", "results", "failure", "recipe")
    }
    made = packed(folder, out / "pieces", size)
    write(out, folder, {**about, **kept, "pieces": [p.name for p in made]})
    for file in ("run.json", "metrics.jsonl"):
        if (folder / file).exists():
            shutil.copyfile(folder / file, out / f"{name}.{file}")
    return verdict(name, str(found["status"]), about["exit"])


def verdict(name: str, status: str, code: int) -> int:
    """Say in the last line how the run stands."""
    if status == "finished" and code == 0:
        print(f"{name}: RIGHT: finished")
        return EXIT_RIGHT
    if status in GOES_ON and code in (0, 130):
        print(f"{name}: UNFINISHED: {status}; the same command goes on")
        return EXIT_UNFINISHED
    print(f"{name}: WRONG: {status} (exit code {code})")
    return EXIT_WRONG
