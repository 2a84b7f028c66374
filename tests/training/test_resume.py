"""Stopping a run and going on with it."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from resgraph.data import Dataset
from resgraph.train import (
    Event,
    Generated,
    TrainOptions,
    load_generated,
    open_run,
    train,
)
from tests.helpers import refused
from tests.training.conftest import (
    DIGEST,
    Trained,
    written,
)


def comparable(folder: Path) -> list[tuple[Any, ...]]:
    return [
        (r.iteration, r.epoch, r.lr, r.train_loss, r.test_error)
        for r in open_run(folder).records()
    ]


@pytest.mark.parametrize("stops", [[10], [7], [3, 13, 20]])
def test_a_resumed_run_ends_bitwise_the_same(
    trained: Trained, tmp_path: Path, stops: list[int]
) -> None:
    whole = trained(out=tmp_path / "whole")
    parts = tmp_path / "parts"
    for number, stop in enumerate(stops):
        stopped = trained(out=parts, stop_at=stop, resume=number > 0)
        assert (stopped.status, stopped.iteration) == ("stopped", stop)
    ended = trained(out=parts, resume=True)
    assert ended.status == "finished"
    assert ended.test_error == whole.test_error
    for name in ("last.safetensors", "best.safetensors"):
        one, two = load_file(tmp_path / "whole" / name), load_file(parts / name)
        assert all(torch.equal(one[key], two[key]) for key in one)
    assert comparable(tmp_path / "whole") == comparable(parts)


def test_a_killed_run_goes_on_from_its_last_test(
    trained: Trained, tmp_path: Path
) -> None:
    """What a kill leaves: records and a status ahead of the state that was saved."""
    whole = trained(out=tmp_path / "whole")
    run_folder = tmp_path / "killed"
    trained(out=run_folder, stop_at=10)
    state = (run_folder / "state.pt").read_bytes()
    trained(out=run_folder, stop_at=18, resume=True)
    (run_folder / "state.pt").write_bytes(state)
    open_run(run_folder).update(status="running")
    with (run_folder / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 19, "ep')
    assert trained(out=run_folder, resume=True).test_error == whole.test_error
    assert comparable(run_folder) == comparable(tmp_path / "whole")


def test_a_finished_run_is_left_alone(trained: Trained) -> None:
    first = trained()
    told = refused(lambda: trained())
    assert "holds a run already (finished)" in told
    assert "--overwrite" in told
    assert trained(resume=True) == first
    assert trained(overwrite=True, seed=3).status == "finished"


def test_one_process_at_a_time(
    trained: Trained, tiny: Generated, digits: Dataset, options: TrainOptions
) -> None:
    told: list[str] = []

    def disturb(event: Event) -> None:
        if event.iteration == 12 and event.record is not None:
            told.append(refused(lambda: trained(resume=True)))
            told.append(refused(lambda: trained(overwrite=True)))

    assert train(tiny, digits, options, on_event=disturb).status == "finished"
    assert len(told) == 2
    assert all("another process is training in" in text for text in told)
    assert trained(overwrite=True).status == "finished"


def test_an_unfinished_run_is_not_lost(trained: Trained) -> None:
    trained(stop_at=5)
    assert "go on with it with --resume" in refused(lambda: trained())


def test_resume_refuses_another_run(trained: Trained, digits: Dataset) -> None:
    trained(stop_at=5)
    assert "seed 0, now 1" in refused(lambda: trained(resume=True, seed=1))
    told = refused(lambda: trained(resume=True, lr=0.5))
    assert "lr 0.1, now 0.5" in told
    assert trained(resume=True, iterations=None).iteration == 24


def test_resume_refuses_another_topology(
    trained: Trained, digits: Dataset, options: TrainOptions, tmp_path: Path
) -> None:
    trained(stop_at=5)
    path = written(tmp_path, (DIGEST, DIGEST.replace("0", "f")))
    other = dataclasses.replace(options, resume=True)
    told = refused(lambda: train(load_generated(path), digits, other))
    assert "another topology" in told


def test_resume_without_a_run_or_with_a_damaged_one(trained: Trained) -> None:
    assert "does not exist" in refused(lambda: trained(resume=True))
    folder = trained(stop_at=5).folder
    (folder / "state.previous.pt").unlink()
    (folder / "state.pt").write_bytes(b"not a state")
    assert "state.pt is damaged" in refused(lambda: trained(resume=True))
    (folder / "run.json").write_text("{")
    assert "cannot read" in refused(lambda: trained(resume=True))


def test_foreign_folders_are_never_touched(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    told = refused(lambda: trained(overwrite=True))
    assert "is not a run folder" in told
    assert (tmp_path / "run" / "thesis.tex").read_text() == "years of work"


def test_a_run_json_cannot_point_outside(trained: Trained) -> None:
    folder = trained().folder
    open_run(folder).update(network="../tiny")
    assert "no network's name" in refused(lambda: trained(overwrite=True))
    assert (folder.parent / "tiny.py").exists()


def test_ctrl_c_ends_gracefully(
    tiny: Generated, digits: Dataset, options: TrainOptions, tmp_path: Path
) -> None:
    def interrupt(event: Event) -> None:
        if event.iteration == 7 and event.text is None:
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    result = train(tiny, digits, options, on_event=interrupt)
    assert (result.status, result.iteration) == ("interrupted", 7)
    assert signal.getsignal(signal.SIGINT) is handler
    whole = train(tiny, digits, dataclasses.replace(options, out=tmp_path / "whole"))
    ended = train(tiny, digits, dataclasses.replace(options, resume=True))
    assert (ended.status, ended.test_error) == ("finished", whole.test_error)
    assert comparable(tmp_path / "run") == comparable(tmp_path / "whole")


def test_ctrl_c_while_testing_puts_the_test_off(
    tiny: Generated, digits: Dataset, options: TrainOptions, tmp_path: Path
) -> None:
    def interrupt(event: Event) -> None:
        if event == Event(10, 24):
            signal.raise_signal(signal.SIGINT)

    result = train(tiny, digits, options, on_event=interrupt)
    assert (result.status, result.iteration) == ("interrupted", 10)
    assert result.test_error is None
    train(tiny, digits, dataclasses.replace(options, resume=True))
    train(tiny, digits, dataclasses.replace(options, out=tmp_path / "whole"))
    assert comparable(tmp_path / "run") == comparable(tmp_path / "whole")


def test_a_record_that_no_checkpoint_covers_is_not_kept_twice(
    tiny: Generated, digits: Dataset, options: TrainOptions, tmp_path: Path
) -> None:
    """The checkpoint is of step 10 before its test; the kill comes after the record."""

    def interrupt(event: Event) -> None:
        if event == Event(10, 24):
            signal.raise_signal(signal.SIGINT)

    train(tiny, digits, options, on_event=interrupt)
    state = tmp_path / "run" / "state.pt"
    untested, resumed = state.read_bytes(), dataclasses.replace(options, resume=True)
    train(tiny, digits, dataclasses.replace(resumed, stop_at=10))
    assert comparable(tmp_path / "run")[-1][0] == 10
    state.write_bytes(untested)
    train(tiny, digits, resumed)
    train(tiny, digits, dataclasses.replace(options, out=tmp_path / "whole"))
    assert comparable(tmp_path / "run") == comparable(tmp_path / "whole")


def test_a_second_ctrl_c_stops_hard(
    tiny: Generated, digits: Dataset, options: TrainOptions
) -> None:
    def interrupt(event: Event) -> None:
        if event.iteration == 7:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tiny, digits, options, on_event=interrupt)
    ended = train(tiny, digits, dataclasses.replace(options, resume=True))
    assert ended.status == "finished"
