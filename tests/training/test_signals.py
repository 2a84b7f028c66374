"""Signals that ask a run to stop, and terminals that are closed under it."""

from __future__ import annotations

import dataclasses
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from rich.console import Console

from resgraph.data import Dataset
from resgraph.train import Event, Generated, TrainOptions, open_run, train
from resgraph.train.records import OnEvent
from tests.conftest import ROOT
from tests.training.conftest import Trained
from tests.training.test_resume import comparable

STEPS = 400
TINY = (ROOT / "tests" / "specs" / "tiny.yaml").read_text()


def at_seven(*numbers: signal.Signals) -> OnEvent:
    """A listener that raises signals at a step."""

    def interrupt(event: Event) -> None:
        if event.iteration == 7 and event.text is None:
            for number in numbers:
                signal.raise_signal(number)

    return interrupt


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGTERM,),
        (signal.SIGHUP,),
        (signal.SIGHUP, signal.SIGHUP),  # from the shell, and from the system
        (signal.SIGTERM, signal.SIGHUP),  # as systemd sends them
        (signal.SIGHUP, signal.SIGTERM),
    ],
)
def test_what_asks_to_stop_saves(
    tiny: Generated,
    digits: Dataset,
    options: TrainOptions,
    trained: Trained,
    tmp_path: Path,
    numbers: tuple[signal.Signals, ...],
) -> None:
    before = signal.getsignal(signal.SIGHUP)
    result = train(tiny, digits, options, on_event=at_seven(*numbers))
    assert (result.status, result.iteration) == ("interrupted", 7)
    assert signal.getsignal(signal.SIGHUP) is before
    assert trained(resume=True).status == "finished"
    trained(out=tmp_path / "whole")
    assert comparable(tmp_path / "run") == comparable(tmp_path / "whole")


@contextmanager
def ignored(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def test_nohup_goes_on(tiny: Generated, digits: Dataset, options: TrainOptions) -> None:
    with ignored(signal.SIGHUP):
        result = train(tiny, digits, options, on_event=at_seven(signal.SIGHUP))
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert (result.status, result.iteration) == ("finished", 24)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_progress_that_cannot_be_shown(
    tiny: Generated, digits: Dataset, options: TrainOptions
) -> None:
    with suppress(OSError), Path("/dev/full").open("w", buffering=1) as file:
        for terminal in (True, False):
            console = Console(file=file, force_terminal=terminal)
            chosen = dataclasses.replace(options, overwrite=True)
            assert train(tiny, digits, chosen, console=console).status == "finished"
        with pytest.raises(OSError, match="No space left"):
            file.write("a line\n")


# --- the command, in a terminal -------------------------------------------------------


def in_terminal(folder: Path, nohup: bool) -> tuple[int, int]:
    """The process that trains, and the master's side of its terminal."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import resgraph.cli as c; c.main()"
    command = ["train", "generated/tiny.py", "--data", "digits", "--log-every", "1"]
    chosen = ["--iterations", str(STEPS), "--out", "run", "--device", "cpu"]
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(folder)
        if nohup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.execv(sys.executable, [sys.executable, "-c", code, *command, *chosen])
    return pid, master


def wait_for_records(folder: Path, master: int, seconds: float = 60) -> None:
    """Until the run has written some, what it prints being read."""
    end = time.monotonic() + seconds
    metrics, said = folder / "run" / "metrics.jsonl", b""
    while not (metrics.exists() and metrics.read_bytes().count(b"\n") > 2):
        assert time.monotonic() < end, said.decode()
        if select.select([master], [], [], 0.05)[0]:
            said += os.read(master, 4096)


@pytest.mark.parametrize("foreign", [False, True], ids=["own", "foreign"])
@pytest.mark.parametrize("nohup", [False, True], ids=["closed", "nohup"])
def test_a_terminal_that_is_closed(tmp_path: Path, nohup: bool, foreign: bool) -> None:
    from tests.test_cli import resgraph

    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "tiny.yaml").write_text(TINY)
    made = resgraph("compile", "specs/tiny.yaml", "--source-only", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    if foreign:
        with (tmp_path / "generated" / "tiny.py").open("a") as file:
            file.write("# edited\n")
    pid, master = in_terminal(tmp_path, nohup)
    wait_for_records(tmp_path, master)
    os.close(master)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    run = open_run(tmp_path / "run")
    reached = run.about["results"]["iteration"]
    if nohup:
        assert (code, run.status, reached) == (0, "finished", STEPS)
    else:
        assert (code, run.status) == (130, "interrupted")
        assert 0 < reached < STEPS
