"""Sweeps: real runs on the digits, a few steps each."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from resgraph.cli.sweeping import sources, sweep_command
from resgraph.data import Dataset, load_data
from resgraph.study.sweep import SWEEP, Ended, Sweep, TrainOne
from resgraph.train import (
    Event,
    Generated,
    Result,
    TrainOptions,
    load_generated,
    open_run,
    train,
)
from resgraph.train.monitor import UnitRecords
from tests.helpers import refused
from tests.training.conftest import DIGEST, written

OPTIONS = TrainOptions(data="digits", device="cpu", iterations=6, log_every=3)
SPOIL = ("        return self.linear(", "        return float('nan') * self.linear(")
SPEC = """\
resgraph: 1
title: Two small ones
units:
  body:
    params: [width]
    paths:
      F: {from: x, ops: [{conv: {kernel: 3, channels: width}}, bn]}
      out: {from: [x, F], ops: [add, relu]}
network:
  params: {classes: 10, width: 4}
  input: [1, 8, 8]
  stem: [{conv: {kernel: 3, channels: width}}, bn, relu]
  stages:
    - [{body: {width: width}}]
  head: [global_avg_pool, {linear: {features: classes}}]
networks:
  thin: {width: 4}
  wide: {width: 8}
"""


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_data("digits", (1, 8, 8))


@pytest.fixture
def one(digits: Dataset) -> TrainOne:
    return lambda generated, options: train(generated, digits, options)


def quiet(text: str) -> None:
    """Nobody listens."""


def statuses(ended: list[Ended]) -> list[tuple[str, str]]:
    return [(run.job.name, run.status) for run in ended]


def tiny(folder: Path, *edits: tuple[str, str], name: str = "tiny") -> Generated:
    return load_generated(written(folder, *edits, name=name))


def test_the_grid_is_networks_times_seeds(tmp_path: Path, one: TrainOne) -> None:
    networks = [tiny(tmp_path), tiny(tmp_path, name="other")]
    told: list[str] = []
    sweep = Sweep(tmp_path / "sweep", networks, 2, OPTIONS)
    ended = sweep.run(one, told.append)
    names = ["tiny-s0", "other-s0", "tiny-s1", "other-s1"]
    assert statuses(ended) == [(name, "finished") for name in names]
    assert [text.split(" ")[0] for text in told] == names
    for run in ended:
        about = open_run(run.job.folder).about
        assert about["seed"] == run.job.seed
        assert about["network"] == run.job.generated.name
        assert about["recipe"]["iterations"] == 6
        assert run.test_error == about["results"]["test_error"]
        assert run.iteration == 6


def test_finished_runs_are_left_alone(tmp_path: Path, one: TrainOne) -> None:
    first = Sweep(tmp_path / "sweep", [tiny(tmp_path)], 1, OPTIONS).run(one, quiet)
    trained: list[str] = []

    def count(generated: Generated, options: TrainOptions) -> Result:
        trained.append(f"{generated.name}-s{options.seed}")
        return one(generated, options)

    networks = [tiny(tmp_path), tiny(tmp_path, name="more")]
    ended = Sweep(tmp_path / "sweep", networks, 2, OPTIONS).run(count, quiet)
    assert trained == ["more-s0", "tiny-s1", "more-s1"]
    assert ended[0].as_json() == first[0].as_json()


def interrupting(digits: Dataset, seed: int) -> TrainOne:
    """Ctrl-C at the fourth step of the run with that seed."""

    def train_one(generated: Generated, options: TrainOptions) -> Result:
        def interrupt(event: Event) -> None:
            if options.seed == seed and event.iteration == 4 and not event.text:
                signal.raise_signal(signal.SIGINT)

        return train(generated, digits, options, on_event=interrupt)

    return train_one


def test_ctrl_c_stops_the_sweep_and_it_goes_on(
    tmp_path: Path, digits: Dataset, one: TrainOne
) -> None:
    networks = [tiny(tmp_path)]
    folder = tmp_path / "sweep"
    ended = Sweep(folder, networks, 3, OPTIONS).run(interrupting(digits, 1), quiet)
    assert [run.status for run in ended] == ["finished", "interrupted", "not begun"]
    assert ended[1].iteration == 4
    again = Sweep(folder, networks, 3, OPTIONS).run(one, quiet)
    assert {run.status for run in again} == {"finished"}
    whole = Sweep(tmp_path / "whole", networks, 3, OPTIONS).run(one, quiet)
    assert [run.test_error for run in again] == [run.test_error for run in whole]
    for name in ("tiny-s0", "tiny-s1", "tiny-s2"):
        one_run, other = open_run(folder / name), open_run(tmp_path / "whole" / name)
        losses = [[r.train_loss for r in run.records()] for run in (one_run, other)]
        assert losses[0][-1:] == losses[1][-1:]


def test_a_run_that_diverges_is_noted_and_the_next_begins(
    tmp_path: Path, one: TrainOne
) -> None:
    networks = [tiny(tmp_path, SPOIL, name="spoilt"), tiny(tmp_path)]
    told: list[str] = []
    ended = Sweep(tmp_path / "sweep", networks, 1, OPTIONS).run(one, told.append)
    assert [run.status for run in ended] == ["diverged", "finished"]
    assert ended[0].test_error is None
    assert "no longer a finite number" in str(ended[0].failure)
    assert any("spoilt-s0: diverged: " in text for text in told)
    # It would diverge again.
    told.clear()
    again = Sweep(tmp_path / "sweep", networks, 1, OPTIONS).run(one, told.append)
    assert [run.status for run in again] == ["diverged", "finished"]
    assert told == []


def test_a_run_that_cannot_begin_is_noted_and_tried_again(
    tmp_path: Path, one: TrainOne
) -> None:
    networks = [tiny(tmp_path)]
    folder = tmp_path / "sweep"
    (folder / "tiny-s0").mkdir(parents=True)
    (folder / "tiny-s0" / "thesis.tex").write_text("years of work")
    ended = Sweep(folder, networks, 2, OPTIONS).run(one, quiet)
    assert [run.status for run in ended] == ["failed", "finished"]
    assert "not a run folder" in str(ended[0].failure)
    (folder / "tiny-s0" / "thesis.tex").unlink()
    ended = Sweep(folder, networks, 2, OPTIONS).run(one, quiet)
    assert [run.status for run in ended] == ["finished", "finished"]


def test_a_run_killed_before_its_first_checkpoint_begins_anew(
    tmp_path: Path, one: TrainOne
) -> None:
    networks = [tiny(tmp_path)]
    sweep = Sweep(tmp_path / "sweep", networks, 1, OPTIONS)
    (whole,) = sweep.run(one, quiet)
    run = open_run(whole.job.folder)
    run.update(status="running")
    run.state.unlink()
    run.previous_state.unlink(missing_ok=True)
    (ended,) = sweep.run(one, quiet)
    assert (ended.status, ended.test_error) == ("finished", whole.test_error)


@pytest.mark.parametrize(
    "change", [{"iterations": 7}, {"lr": 0.05}, {"data": "cifar10"}, {"log_every": 2}]
)
def test_other_options_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    networks = [tiny(tmp_path)]
    Sweep(tmp_path / "sweep", networks, 1, OPTIONS)
    other = dataclasses.replace(OPTIONS, **change)
    told = refused(lambda: Sweep(tmp_path / "sweep", networks, 1, other))
    ((name, value),) = change.items()
    assert f"{name} {getattr(OPTIONS, name)}, now {value}" in told
    Sweep(tmp_path / "sweep", networks, 1, OPTIONS)


def test_another_network_of_that_name_is_refused(tmp_path: Path) -> None:
    Sweep(tmp_path / "sweep", [tiny(tmp_path)], 1, OPTIONS)
    changed = tiny(tmp_path, (DIGEST, DIGEST.replace("0", "f")))
    told = refused(lambda: Sweep(tmp_path / "sweep", [changed], 1, OPTIONS))
    assert "another tiny: its spec has changed" in told
    twice = [tiny(tmp_path), tiny(tmp_path)]
    told = refused(lambda: Sweep(tmp_path / "new", twice, 1, OPTIONS))
    assert "two of the networks are called tiny" in told
    assert not (tmp_path / "new").exists()


def test_a_sweep_json_of_something_else(tmp_path: Path) -> None:
    (tmp_path / SWEEP).write_text("{}")
    told = refused(lambda: Sweep(tmp_path, [tiny(tmp_path)], 1, OPTIONS))
    assert "is not of a sweep" in told


def test_an_option_that_is_new_since_then_had_its_default(tmp_path: Path) -> None:
    networks = [tiny(tmp_path)]
    Sweep(tmp_path / "sweep", networks, 1, OPTIONS)
    path = tmp_path / "sweep" / SWEEP
    about = json.loads(path.read_text())
    del about["options"]["schedule_scale"]
    path.write_text(json.dumps(about))
    Sweep(tmp_path / "sweep", networks, 1, OPTIONS)
    other = dataclasses.replace(OPTIONS, schedule_scale=0.5)
    told = refused(lambda: Sweep(tmp_path / "sweep", networks, 1, other))
    assert "schedule_scale 1.0, now 0.5" in told


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec in a project's folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    path = Path("specs") / "two.yaml"
    path.parent.mkdir()
    path.write_text(SPEC)
    return path


def test_specs_stand_for_their_networks_compiled(spec: Path) -> None:
    folder = Path("generated")
    assert [p.name for p in sources([spec], None, {}, folder)] == ["thin.py", "wide.py"]
    thin = folder / "thin.py"
    before = thin.stat().st_mtime_ns
    assert sources([spec], "thin", {}, folder) == {thin: spec}
    assert sources([thin], None, {}, folder) == {thin: None}
    assert thin.stat().st_mtime_ns == before
    thin.write_text(thin.read_text() + "# edited\n")
    told = refused(lambda: sources([spec], None, {}, folder))
    assert "thin.py is not what its spec says now" in told
    assert "are for specs" in refused(lambda: sources([thin], "thin", {}, folder))
    assert "no such file" in refused(lambda: sources([Path("x")], None, {}, folder))
    Path("x.txt").write_text("")
    assert "is no spec" in refused(lambda: sources([Path("x.txt")], None, {}, folder))


Sweeping = Callable[..., None]


@pytest.fixture
def sweeping(spec: Path) -> Sweeping:
    def run(**changes: Any) -> None:
        given = {
            "out": Path("sweep"),
            "seeds": 2,
            "data": "digits",
            "device": "cpu",
            "iterations": 4,
        }
        sweep_command([spec], **(given | changes))

    return run


def test_the_command_from_spec_to_summary(
    sweeping: Sweeping, capsys: pytest.CaptureFixture[str]
) -> None:
    sweeping(monitor=True, eval_every=2)
    shown = capsys.readouterr().out
    assert "thin-s0 (1 of 4)" in shown
    assert "wide: test error in %: " in shown
    assert "median [min, max] over 2 seeds" in shown
    assert "next: resgraph table sweep" in shown
    assert (Path("sweep") / "thin-s0" / "spec.yaml").is_file()
    units = UnitRecords.read(Path("sweep") / "thin-s0")
    assert units is not None
    assert units.units == ("stage1.0",)
    assert [record.iteration for record in units.records] == [2, 4]
    sweeping(monitor=True, eval_every=2, json=True)
    printed = json.loads(capsys.readouterr().out)
    assert {run["status"] for run in printed["runs"]} == {"finished"}
    assert [group["network"] for group in printed["networks"]] == ["thin", "wide"]
    thin = [r["test_error"] for r in printed["runs"] if r["network"] == "thin"]
    assert printed["networks"][0]["min"] == min(thin)
    assert printed["networks"][0]["median"] == pytest.approx(sum(thin) / 2)


def test_the_command_says_what_failed(
    sweeping: Sweeping, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = Path("sweep") / "wide-s0"
    blocked.mkdir(parents=True)
    (blocked / "thesis.tex").write_text("years of work")
    with pytest.raises(typer.Exit) as ended:
        sweeping(seeds=1)
    assert ended.value.exit_code == 1
    shown = capsys.readouterr().out
    assert "wide-s0: failed: sweep/wide-s0 exists and is not a run folder" in shown
    assert "the same command again goes on" in shown


def test_wrong_data_are_told_before_anything_begins(sweeping: Sweeping) -> None:
    assert "no data set 'digit'" in refused(lambda: sweeping(data="digit"))
    assert not Path("sweep").exists()


def test_a_sweep_trains_what_resgraph_wrote(spec: Path) -> None:
    """Foreign code may end the process, and the sweep with it."""
    (thin,) = sources([spec], "thin", {}, Path("generated"))
    wanted = {"out": Path("sweep"), "data": "digits"}
    text = thin.read_text()
    thin.write_text(text + "import sys; sys.exit(0)\n")
    told = refused(lambda: sweep_command([thin], **wanted))
    assert "is not what resgraph compile writes" in told
    assert "resgraph train generated/thin.py" in told
    thin.write_text(text)
    spec.rename("two.yaml")
    told = refused(lambda: sweep_command([thin], **wanted))
    assert "its spec specs/two.yaml is not there" in told
    assert not Path("sweep").exists()


def test_a_named_spec_may_lie_anywhere(
    spec: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As for `train`; only what a file names has to be of the project."""
    Path("resgraph.toml").write_text("")
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "two.yaml"
    elsewhere.write_text(spec.read_text())
    options = {"data": "digits", "device": "cpu", "iterations": 2}
    sweep_command([elsewhere], Path("sweep"), 1, "thin", **options)
    assert open_run(Path("sweep/thin-s0")).status == "finished"
    told = refused(lambda: sweep_command([Path("generated/thin.py")], Path("other")))
    assert "outside of the project" in told


def test_what_is_refused_leaves_no_files(spec: Path) -> None:
    text = spec.read_text().replace(
        "[global_avg_pool, {linear: {features: classes}}]", "[relu]"
    )
    spec.write_text(text.replace("classes: 10, ", ""))
    told = refused(lambda: sources([spec], None, {}, Path("generated")))
    assert "training needs logits" in told
    assert not Path("generated").exists()


def test_a_sweep_is_one_process(
    sweeping: Sweeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "2")
    assert "a sweep is one process" in refused(sweeping)


@pytest.mark.parametrize("key", ["options", "networks", ("options", "data")], ids=str)
def test_a_sweep_json_with_wrong_values(
    tmp_path: Path, one: TrainOne, key: str | tuple[str, str]
) -> None:
    """Each is refused by the folder's name, or is no other sweep; never a traceback."""
    networks, folder = [tiny(tmp_path)], tmp_path / "sweep"
    Sweep(folder, networks, 1, OPTIONS)
    path = folder / SWEEP
    whole = json.loads(path.read_text())
    for value in (None, True, -1, 10**400, "x", [], {}, [None], {"tiny": []}):
        changed = (
            whole | {key: value}
            if isinstance(key, str)
            else whole | {key[0]: whole[key[0]] | {key[1]: value}}
        )
        path.write_text(json.dumps(changed))
        if changed[key if isinstance(key, str) else key[0]] == {}:
            continue  # what is not said is as it was
        assert str(folder) in refused(lambda: Sweep(folder, networks, 1, OPTIONS))
    for text in (b"", b"[]", b"{", b"[" * 100_000, b'{"options": NaN}', bytes(99)):
        path.write_bytes(text)
        assert str(path) in refused(lambda: Sweep(folder, networks, 1, OPTIONS))


def test_a_run_of_a_sweep_with_a_damaged_run_json(
    tmp_path: Path, one: TrainOne
) -> None:
    networks, folder = [tiny(tmp_path)], tmp_path / "sweep"
    Sweep(folder, networks, 1, OPTIONS).run(one, quiet)
    (folder / "tiny-s0" / "run.json").write_text('{"network": ["tiny"]}')
    (ended,) = Sweep(folder, networks, 1, OPTIONS).run(one, quiet)
    assert ended.status == "failed"
    assert "network should be a valid string, not a list" in str(ended.failure)
