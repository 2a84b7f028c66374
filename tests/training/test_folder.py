"""Run folders whose files hold anything but what training writes: told, never a traceback."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resgraph.cli.exporting import export_command
from resgraph.cli.running import run_training
from resgraph.cli.tasks import asked, task
from resgraph.diagnostics import ResgraphError
from resgraph.report import of_run
from resgraph.study.outcomes import outcomes
from resgraph.study.plot import plot
from resgraph.study.series import read
from resgraph.study.tables import tables
from resgraph.train import open_run
from resgraph.train.about import read_records
from tests.helpers import refused
from tests.training.conftest import resume

LONG = 10**400
DEEP: Any = []
for _ in range(80):
    DEEP = [DEEP]
WRONG = (
    *(
        None,
        True,
        -1,
        0,
        0.5,
        LONG,
        1e308,
        "",
        "x",
        "../x",
        "x\0",
        "x" * 5000,
        "\ud800",
    ),
    *([], {}, [None], {"a": 1}, [1, 2, 3], ["a", "a"], DEEP),
)
COMMANDS: dict[str, Callable[[Path], object]] = {
    "export": lambda run: export_command(run, out=run.parent / "exported"),
    "plot": lambda run: plot([run], run.parent / "plots", ("svg",)),
    "report": lambda run: of_run(run, run / "spec.yaml").html(),
    "train --resume": resume,
    "train RUN": lambda run: run_training(task(asked([run], None, [], {})), json=True),
}


def keys(about: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, value in about.items():
        yield (key,)
        if key in ("results", "recipe", "execution", "options"):
            yield from ((key, inner) for inner in value)


def with_value(about: dict[str, Any], key: tuple[str, ...], value: Any) -> str:
    changed = copy.deepcopy(about)
    inner = changed
    for part in key[:-1]:
        inner = inner[part]
    inner[key[-1]] = value
    return json.dumps(changed)


def without(about: dict[str, Any], key: tuple[str, ...]) -> str:
    changed = copy.deepcopy(about)
    inner = changed
    for part in key[:-1]:
        inner = inner[part]
    del inner[key[-1]]
    return json.dumps(changed)


def tried(command: str, run: Path) -> str:
    """How the command refuses, without a traceback; empty where it does its work."""
    try:
        COMMANDS[command](run)
    except ResgraphError as error:
        return error.message
    return ""


def test_every_key_of_run_json_and_every_wrong_value(real_run: Path) -> None:
    """Each is refused with the file and the key, or is a value that all commands take."""
    run = real_run
    path = run / "run.json"
    about, taken = json.loads(path.read_text()), []
    assert len([*keys(about)]) > 40
    for key in keys(about):
        for value in WRONG:
            path.write_text(with_value(about, key, value))
            try:
                open_run(run)
            except ResgraphError as error:
                assert len(error.message) < 1000
                if value == "\ud800":
                    assert "half a surrogate pair" in error.message
                    continue
                assert error.message.startswith(
                    f"{path} is not as training writes it: "
                )
                whole = key[0] in ("recipe", "options")
                assert (key[0] if whole else ".".join(key)) in error.message
                assert error.message.isprintable()
            else:
                taken.append((key, value))
    of_key = dict(taken)  # the last value of each key
    assert 10 < len(of_key) < 80
    for key, value in of_key.items():
        for command in COMMANDS if key[0] != "options" else ("train RUN",):
            for name in ("exported", "plots"):
                shutil.rmtree(name, ignore_errors=True)
            path.write_text(with_value(about, key, value))
            tried(command, run)
            path.write_text(with_value(about, key, value))
            assert outcomes([run]).groups is not None


def test_every_key_of_run_json_that_is_missing(real_run: Path) -> None:
    run = real_run
    path = run / "run.json"
    about = json.loads(path.read_text())
    for key in keys(about):
        path.write_text(without(about, key))
        try:
            open_run(run)
        except ResgraphError as error:
            assert f"no {key[-1]}" in error.message
        else:
            assert key[0] in (
                *("results", "execution", "environment", "memory", "device"),
                *(
                    "ranks",
                    "failure",
                    "files",
                    "options",
                    "data_at",
                    "replaced",
                    "weights",
                ),
            )


TEXTS = {
    "nothing": b"",
    "no object": b"[1]",
    "cut": b'{"network": "ti',
    "NaN": b'{"network": NaN}',
    "twice": b'{"network": "a", "network": "b"}',
    "deep": b"[" * 200_000,
    "latin-1": '{"network": "café"}'.encode("latin-1"),
    "utf-16": '{"network": "x"}'.encode("utf-16"),
    "digits": b'{"seed": ' + b"9" * 5000 + b"}",
    "zeros": bytes(1000),
    "much": b" " * (5 * 2**20),
    "empty": b"{}",
}


@pytest.mark.parametrize("command", [*COMMANDS, "table"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_run_json_that_is_none(real_run: Path, name: str, command: str) -> None:
    run = real_run
    (run / "run.json").write_bytes(TEXTS[name])
    if command == "table":
        (note,) = outcomes([run]).notes
        assert "run.json" in note
    else:
        assert "run.json" in tried(command, run)
        assert {p.name for p in Path().iterdir()} == {"generated", "run", "specs"}


@pytest.mark.parametrize(
    "name", ["run.json", "metrics.jsonl", "units.jsonl", "state.pt"]
)
@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "gone"])
def test_what_is_no_file(real_run: Path, name: str, kind: str) -> None:
    run = real_run
    path = run / name
    path.unlink(missing_ok=True)
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(name)
    for command in COMMANDS:
        tried(command, run)
    outcomes([run])


def test_every_key_of_a_record_and_every_wrong_value(real_run: Path) -> None:
    run = real_run
    path = run / "metrics.jsonl"
    first, second, *others = path.read_text().splitlines()
    for key in json.loads(first):
        for value in WRONG:
            line = with_value(json.loads(second), (key,), value)
            path.write_text("\n".join([first, line, *others, ""]))
            found = read_records(path)
            if found.wrong is None:
                tables(outcomes([run]))
                continue
            assert found.wrong.startswith(f"{path}:2: ")
            assert key in found.wrong or value == "\ud800"
            assert len(found.records) == 1
            assert not found.torn
            (series,) = read([run])
            assert found.wrong in "\n".join(series.notes)
            if value is None:
                assert found.wrong in refused(lambda: resume(run))


@pytest.mark.parametrize("name", TEXTS)
def test_records_that_are_none(real_run: Path, name: str) -> None:
    run = real_run
    path = run / "metrics.jsonl"
    for text in (TEXTS[name], TEXTS[name] + b"\n"):
        path.write_bytes(text)
        found = read_records(path)
        assert not found.records
        assert (found.wrong is None) == (not text)
        for command in ("plot", "report", "export"):
            assert tried(command, run) == ""
            shutil.rmtree("exported", ignore_errors=True)


def test_records_come_in_order(real_run: Path) -> None:
    run = real_run
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[0], ""]))
    told = read_records(path).wrong
    assert told == f"{path}:5: iteration 1 is not above the one before"


@pytest.mark.parametrize("value", WRONG, ids=lambda value: str(type(value).__name__))
def test_records_of_units(real_run: Path, value: Any) -> None:
    run = real_run
    path = run / "units.jsonl"
    head = {"units": ["stage1.0"], "cuts": [True], "images": 32}
    line = {"iteration": 1} | {
        k: [0.5] for k in ("truncated", "negative", "response", "gradient")
    }
    for key in ("units", "cuts"):
        path.write_text(
            with_value(head, (key,), value) + "\n" + json.dumps(line) + "\n"
        )
        for command in ("plot", "report"):
            assert tried(command, run) == ""
    for key in line:
        changed = with_value(line, (key,), value)
        path.write_text(f"{json.dumps(head)}\n{changed}\n")
        for command in ("plot", "report"):
            assert tried(command, run) == ""


@pytest.mark.parametrize("value", [None, True, LONG, "x", {}], ids=str)
def test_a_checkpoint_with_a_wrong_value(real_run: Path, value: Any) -> None:
    run = real_run
    import torch

    path = run / "state.pt"
    state = torch.load(path, weights_only=True)
    for key in ("standing", "generators", "network", "run"):
        torch.save({**state, key: value}, path)
        assert "checkpoint" in refused(lambda: resume(run))
    for key in ("optimizer", "loss_sum", "loss_count"):
        torch.save({**state, key: value}, path)
        tried("train --resume", run)
    for key in state["standing"]:
        wrong = {**state["standing"], key: value}
        torch.save({**state, "standing": wrong}, path)
        tried("train --resume", run)
