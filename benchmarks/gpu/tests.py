"""The suite's tests that need CUDA, each written down as it ends; needs pytest."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from benchmarks.gpu.choosing import VARIABLE
from benchmarks.gpu.ledger import EXIT_RIGHT, EXIT_UNFINISHED, EXIT_WRONG
from benchmarks.gpu.session import Session
from benchmarks.measure import within
from resgraph.files import read_json, write_json

PLUGIN = "benchmarks.gpu.choosing"
FOLDERS = ("tests/training", "tests/infer", "tests/deploy", "tests/verify")


def arguments(parser: argparse.ArgumentParser) -> None:
    help_ = "files or folders of tests (default: those of what runs on a device)"
    parser.add_argument("places", nargs="*", metavar="PLACE", help=help_)


def run(session: Session) -> int:
    """Let pytest do them; the plugin chooses them and writes their outcomes."""
    path = session.out / "tests.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**session.about(), "tests": {}})
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        PLUGIN,
        "-p",
        "no:cacheprovider",
    ]
    command += ["--continue-on-collection-errors", *session.options.places]
    done = within(
        session.left - 2,
        command + ([] if session.options.places else [*FOLDERS]),
        {VARIABLE: str(path.resolve())},
    )
    print(done.printed[-6000:], done.told[-2000:], sep="\n")
    return verdict(path, done.code)


def verdict(path: Path, code: int | None) -> int:
    """Say in the last line what came of them; skipped ones need what is not here."""
    outcomes = Counter(t["outcome"] for t in read_json(path)["tests"].values())
    line = ", ".join(f"{count} {what}" for what, count in outcomes.most_common())
    if code is None:
        print(f"{path}: UNFINISHED: {line}")
        return EXIT_UNFINISHED
    right = code == 0 and not outcomes["failed"]
    print(
        f"{path}: {'RIGHT' if right else 'WRONG'}: {line} (pytest's exit code {code})"
    )
    return EXIT_RIGHT if right else EXIT_WRONG
