"""What was found stays, whatever happens to a part, a process or a call."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu.ledger import (
    EXIT_RIGHT,
    EXIT_UNFINISHED,
    EXIT_WRONG,
    Finding,
    Ledger,
    Part,
    supervised,
)
from resgraph.diagnostics import UsageError
from tests.conftest import ROOT

ABOUT = {"device": "card", "small": False}
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from benchmarks.gpu.ledger import Finding, Ledger, Part

def note(name):
    with open(sys.argv[2], "a") as log:
        log.write(name + "\\n")

def shown(): return Finding({"figure": 1})
def right(): return Finding({}, True)
def wrong(): return Finding({"apart": 1}, False)
def raises(): raise ValueError("no such thing")
def spoils(): raise RuntimeError("CUDA error: an illegal memory access was encountered")
def dies(): os.kill(os.getpid(), signal.SIGKILL)
def leaves(): os._exit(0)
def hangs(): time.sleep(600)

ledger = Ledger(Path(sys.argv[1]), {"device": "card", "small": False})
for name in sys.argv[4:]:
    part = Part(name, lambda: (note(name), globals()[name]())[1], 2.5)
    if ledger.wants(part, sys.argv[3], False):
        ledger.do(part, time.monotonic() + 60, sys.argv[3])
"""
NAMES = ["shown", "raises", "spoils", "dies", "right", "leaves", "hangs", "wrong"]


def call(folder: Path, number: str, names: list[str]) -> list[str]:
    """Do these parts under supervision; the names of those that were begun."""
    path, log = folder / "found.json", folder / "log"
    log.write_text("")
    rest = [str(path), str(log), number, *names]
    command = [sys.executable, "-c", PROGRAM, *rest]
    supervised(
        lambda left: command, lambda: Ledger(path, ABOUT), time.monotonic() + 300
    )
    return log.read_text().split()


def test_a_part_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may raise, spoil the device, be killed, exit or hang: the others are done, each once."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert call(tmp_path, "1", NAMES) == NAMES
    parts = json.loads((tmp_path / "found.json").read_text())["parts"]
    states = {name: parts[name]["state"] for name in NAMES}
    failed = dict.fromkeys(("raises", "spoils", "dies", "leaves", "hangs"), "failed")
    assert states == {"shown": "shown", "right": "right", "wrong": "wrong"} | failed
    assert parts["shown"]["result"] == {"figure": 1}
    assert "no such thing" in parts["raises"]["error"]
    assert "-9" in parts["dies"]["error"]
    # Another call does again what did not come out right, and nothing else.
    assert call(tmp_path, "2", ["shown", "raises", "right", "wrong"]) == [
        *("raises", "wrong")
    ]


def test_a_call_that_is_killed_leaves_what_was_found(tmp_path: Path) -> None:
    """SIGKILL while a part is under way: the file is whole, and a new call goes on."""
    path, log = tmp_path / "found.json", tmp_path / "log"
    log.write_text("")
    command = [sys.executable, "-c", PROGRAM, str(path), str(log), "1"]
    child = subprocess.Popen([*command, "shown", "hangs"], cwd=ROOT)
    while "hangs" not in log.read_text():
        assert child.poll() is None
        time.sleep(0.05)
    child.kill()
    child.wait()
    ledger = Ledger(path, ABOUT)
    assert ledger.state_of("shown") == "shown"
    assert ledger.state_of("hangs") == "unfinished"
    ledger.begin_call()
    assert not Ledger(path, ABOUT).ended(1)


@pytest.mark.parametrize("other", [{"device": "another"}, {"small": True}])
def test_one_file_is_of_one_card(tmp_path: Path, other: dict[str, Any]) -> None:
    Ledger(tmp_path / "found.json", ABOUT).save()
    with pytest.raises(UsageError, match=r"one file|is of") as told:
        Ledger(tmp_path / "found.json", ABOUT | other)
    assert "--out" in str(told.value.hint)


def test_what_was_done_with_something_else_is_done_again(tmp_path: Path) -> None:
    """Figures are of choices: a new switch makes them figures of another thing."""
    ledger = Ledger(tmp_path / "found.json", ABOUT)
    end = time.monotonic() + 60
    old = Part("row", lambda: Finding({}), of={"choices": {"fused": True}})
    new = Part("row", lambda: Finding({}), of={"choices": {"fused": True, "x": False}})
    ledger.do(old, end, "1")
    assert not ledger.wants(old, "2", again=False)
    assert ledger.wants(old, "2", again=True)
    assert ledger.wants(new, "2", again=False)
    ledger.do(new, end, "2")
    assert not ledger.wants(new, "2", again=True)


def test_no_time_leaves_earlier_figures(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "found.json", ABOUT)
    part = Part("row", lambda: Finding({"figure": 1}))
    ledger.do(part, time.monotonic() + 60, "1")
    ledger.do(part, time.monotonic(), "2")
    assert ledger.parts["row"]["result"] == {"figure": 1}
    ledger.do(Part("late", lambda: Finding({})), time.monotonic(), "2")
    assert ledger.state_of("late") == "unfinished"


def test_the_verdict(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "found.json", ABOUT)
    end = time.monotonic() + 60
    for name, right in {"a": True, "b": None, "c": False}.items():
        ledger.do(Part(name, lambda r=right: Finding({}, r)), end, "1")  # type: ignore[misc]
    assert ledger.verdict(["a", "b"])[1] == EXIT_RIGHT
    assert ledger.verdict(["a", "d"])[1] == EXIT_UNFINISHED
    assert ledger.verdict([])[1] == EXIT_UNFINISHED
    line, code = ledger.verdict(["a", "b", "c", "d"])
    assert code == EXIT_WRONG
    assert line.startswith("WRONG")
    assert line.endswith(": c")


def test_warnings_are_written_down(tmp_path: Path) -> None:
    import warnings

    def action() -> Finding:
        warnings.warn("compiled once more", stacklevel=1)
        return Finding({})

    ledger = Ledger(tmp_path / "found.json", ABOUT)
    ledger.do(Part("row", action), time.monotonic() + 60, "1")
    assert ledger.parts["row"]["warnings"] == ["UserWarning: compiled once more"]
