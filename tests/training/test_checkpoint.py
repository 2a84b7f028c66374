"""Checkpoints that were damaged, lost or exchanged, and weights files that were damaged."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from resgraph.data import Dataset
from resgraph.diagnostics import ResgraphError
from resgraph.seal import unsealed
from resgraph.train import (
    Event,
    Generated,
    TrainOptions,
    load_generated,
    loop,
    open_run,
    train,
)
from resgraph.train.records import Journal
from tests.helpers import refused
from tests.training.conftest import Trained, at_step, checkpoint_of, written
from tests.training.test_resume import comparable


def flipped(contents: bytes, chance: random.Random) -> bytes:
    """The contents with one bit turned."""
    damaged = bytearray(contents)
    damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def equal(one: Any, other: Any) -> bool:
    """Whether two nested states are the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    return bool(one == other)


def test_no_damage_passes_for_a_checkpoint(trained: Trained) -> None:
    """A turned bit or a cut: either it hit nothing that is read, or it is noticed."""
    run = open_run(trained(stop_at=15).folder)
    good, state = run.state.read_bytes(), checkpoint_of(run).state
    chance, noticed = random.Random(0), 0
    damages = [flipped(good, chance) for _ in range(60)]
    damages += [good[: chance.randrange(len(good))] for _ in range(10)]
    for damaged in damages:
        run.state.write_bytes(damaged)
        found = checkpoint_of(run)
        if found.remark is None:
            assert equal(found.state, state)
            continue
        noticed += 1
        assert "state.pt is damaged" in found.remark
        assert found.state["standing"]["iteration"] == 10
        assert run.damaged_state.read_bytes() == damaged
    assert noticed > 40


def test_a_run_goes_on_from_the_checkpoint_before(
    tiny: Generated, digits: Dataset, options: TrainOptions, tmp_path: Path
) -> None:
    whole = train(tiny, digits, dataclasses.replace(options, out=tmp_path / "whole"))
    train(tiny, digits, dataclasses.replace(options, stop_at=15))
    state = tmp_path / "run" / "state.pt"
    state.write_bytes(state.read_bytes()[:5000])
    texts: list[str] = []

    def listen(event: Event) -> None:
        if event.text:
            texts.append(f"{event.iteration} {event.text}")

    resumed = dataclasses.replace(options, resume=True)
    assert train(tiny, digits, resumed, on_event=listen).test_error == whole.test_error
    assert texts[1].startswith("10 ")
    assert "state.pt is damaged" in texts[1]
    assert "from the checkpoint before it, state.previous.pt" in texts[1]
    assert comparable(tmp_path / "run") == comparable(tmp_path / "whole")
    one, other = (
        load_file(tmp_path / name / "best.safetensors") for name in ("run", "whole")
    )
    assert equal(one, other)


def test_a_missing_checkpoint_is_the_one_before(trained: Trained) -> None:
    """So it is between the two renames of a save."""
    run = open_run(trained(stop_at=15).folder)
    run.state.unlink()
    found = checkpoint_of(run)
    assert (found.state["standing"]["iteration"], found.remark) == (10, None)


def test_two_damaged_checkpoints_are_told_and_left_alone(trained: Trained) -> None:
    run = open_run(trained(stop_at=15).folder)
    for path in (run.state, run.previous_state):
        path.write_bytes(b"PK" + path.read_bytes()[2:900])
    before = {p.name: p.read_bytes() for p in run.folder.iterdir()}
    told = refused(lambda: trained(resume=True))
    assert "state.pt is damaged" in told
    assert "state.previous.pt is damaged" in told
    assert "start anew" in told
    assert {p.name: p.read_bytes() for p in run.folder.iterdir()} == before


def test_the_checkpoint_of_another_run(trained: Trained, tmp_path: Path) -> None:
    other = trained(out=tmp_path / "other", seed=1, stop_at=15).folder
    run = open_run(trained(stop_at=15).folder)
    run.state.write_bytes((other / "state.pt").read_bytes())
    told = refused(lambda: trained(resume=True))
    assert "is the checkpoint of another run (seed 1, here 0)" in told
    assert open_run(run.folder).status == "stopped"


def test_a_checkpoint_that_does_not_fit(
    trained: Trained, digits: Dataset, options: TrainOptions, tmp_path: Path
) -> None:
    """The same digest over another network: only its tensors tell."""
    trained(stop_at=5)
    wider = written(tmp_path, ("Conv2d(1, 8,", "Conv2d(1, 9,"))
    wider.write_text(
        wider.read_text().replace("2d(8)", "2d(9)").replace("8 * 16, 10", "9 * 16, 10")
    )
    again = dataclasses.replace(options, resume=True)
    told = refused(lambda: train(load_generated(wider), digits, again))
    assert "does not fit the network" in told


def test_a_state_without_numbers_is_never_saved(
    tmp_path: Path, digits: Dataset, options: TrainOptions
) -> None:
    generated = load_generated(written(tmp_path, at_step(14, "x = x * float('nan')")))
    chosen = dataclasses.replace(options, log_every=100, stop_at=15)
    assert "diverged" in refused(lambda: train(generated, digits, chosen))
    run = open_run(tmp_path / "run")
    assert run.status == "diverged"
    assert "diverged by iteration 15" in run.about["failure"]
    assert checkpoint_of(run).state["standing"]["iteration"] == 10


def test_checkpoints_come_as_often_as_asked(
    tiny: Generated, digits: Dataset, options: TrainOptions, tmp_path: Path
) -> None:
    """Any failure, here one of the listener's, is noted, and the run can go on."""

    def fail(event: Event) -> None:
        if event.iteration == 9:
            raise RuntimeError("no more paper")

    chosen = dataclasses.replace(options, checkpoint_every=4)
    with pytest.raises(RuntimeError, match="no more paper"):
        train(tiny, digits, chosen, on_event=fail)
    run = open_run(tmp_path / "run")
    assert (run.status, run.about["failure"]) == ("failed", "no more paper")
    assert checkpoint_of(run).state["standing"]["iteration"] == 8
    assert train(tiny, digits, dataclasses.replace(chosen, resume=True)).iteration == 24
    train(tiny, digits, dataclasses.replace(options, out=tmp_path / "whole"))
    assert comparable(tmp_path / "run") == comparable(tmp_path / "whole")
    assert open_run(tmp_path / "run").about["failure"] is None


def test_weights_bear_a_checksum_of_all_they_hold(
    trained: Trained, tmp_path: Path
) -> None:
    result = trained()
    run, copy = open_run(result.folder), tmp_path / "copy.safetensors"
    about = unsealed(run.last)
    assert about["network"] == "tiny"
    assert about["iteration"] == "24"
    assert float(about["test_error"]) == result.test_error
    good, chance, noticed = run.last.read_bytes(), random.Random(0), 0
    for _ in range(60):
        copy.write_bytes(flipped(good, chance))
        try:
            assert equal(load_file(copy), load_file(run.last))
            unsealed(copy)
        except Exception:  # the library's errors are of many kinds
            noticed += 1
    assert noticed >= 58  # the padding of the header holds nothing
    copy.write_bytes(good[:-1])
    with pytest.raises(ResgraphError, match="is damaged"):
        unsealed(copy)


def test_weights_of_others_need_no_checksum(tmp_path: Path) -> None:
    save_file({"w": torch.ones(3)}, tmp_path / "w.safetensors", {"by": "hand"})
    assert unsealed(tmp_path / "w.safetensors") == {"by": "hand"}
    save_file({"w": torch.ones(3)}, tmp_path / "w.safetensors")
    assert unsealed(tmp_path / "w.safetensors") == {}


def test_damaged_best_weights_are_replaced(trained: Trained) -> None:
    """At once, though at such a learning rate no later test is better."""
    run = open_run(trained(stop_at=15, lr=1e-12).folder)
    assert run.about["results"]["best_iteration"] == 10
    run.best.write_bytes(run.best.read_bytes()[:-1])
    assert trained(resume=True, stop_at=20, lr=1e-12).best_iteration == 20
    assert unsealed(run.best)["iteration"] == "20"


def test_best_weights_of_a_step_that_no_checkpoint_covers(trained: Trained) -> None:
    """What the file holds is what is said of it."""
    run = open_run(trained(stop_at=10).folder)
    state = run.state.read_bytes()
    later = trained(stop_at=20, resume=True)
    assert later.best_iteration == 20
    run.state.write_bytes(state)
    result = trained(stop_at=12, resume=True)
    assert (result.best_error, result.best_iteration) == (later.best_error, 20)


def test_by_default_a_test_makes_a_checkpoint_once_a_minute(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the first, that of the end, and none where no time has passed."""
    kept: list[int] = []
    monkeypatch.setattr(
        Journal,
        "checkpoint",
        lambda _, state: kept.append(state["standing"]["iteration"]),
    )
    trained(checkpoint_every=None)
    assert kept == [0, 24]
    kept.clear()
    monkeypatch.setattr(loop, "BETWEEN_CHECKPOINTS", 0.0)
    trained(checkpoint_every=None, overwrite=True)
    assert kept == [0, 10, 20, 24]
