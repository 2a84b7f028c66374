"""A run, and what its folder tells."""

from __future__ import annotations

import getpass
import json
import platform
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from resgraph.data import Dataset
from resgraph.train import Event, Generated, TrainOptions, open_run, train
from resgraph.train.progress import Display
from tests.training.conftest import (
    DIGEST,
    SOURCE,
    Trained,
)


def test_loss_falls_and_the_folder_tells_all(trained: Trained, tmp_path: Path) -> None:
    result = trained(iterations=120, eval_every=40, log_every=10)
    assert result.status == "finished"
    assert result.iteration == 120
    assert result.test_accuracy is not None
    assert result.test_accuracy > 60
    run = open_run(tmp_path / "run")
    names = {p.name for p in run.folder.iterdir()}
    assert names == {
        "run.json",
        "tiny.py",
        "metrics.jsonl",
        "events.out.tfevents.000001",
        "state.pt",
        "state.previous.pt",
        "last.safetensors",
        "best.safetensors",
    }
    assert run.generated.read_text() == SOURCE
    records = list(run.records())
    assert [r.iteration for r in records] == list(range(10, 121, 10))
    assert records[-1].train_loss < 0.6 * records[0].train_loss
    tested = [r.iteration for r in records if r.test_error is not None]
    assert tested == [40, 80, 120]
    assert records[0].lr == pytest.approx(0.1)
    assert records[-1].lr == pytest.approx(0.001)
    assert records[3].epoch == pytest.approx(40 * 32 / 1437)


def test_run_json(trained: Trained, tiny: Generated, digits: Dataset) -> None:
    result = trained(seed=5)
    about = json.loads((result.folder / "run.json").read_text())
    assert about["network"] == "tiny"
    assert about["digest"] == DIGEST
    assert about["spec"] == "specs/tiny.yaml"
    assert about["data"] == "digits"
    assert about["classes"] == list("0123456789")
    assert about["mean"] == list(digits.mean)
    assert about["std"] == list(digits.std)
    assert about["input_shape"] == [1, 8, 8]
    assert about["seed"] == 5
    assert about["status"] == "finished"
    assert about["recipe"]["iterations"] == 24
    assert about["recipe"]["milestones"] == [14, 20]
    assert about["environment"]["torch"] == torch.__version__
    assert about["environment"]["threads"] == torch.get_num_threads()
    assert about["environment"]["gpu"] is None
    assert about["parameters"] == sum(p.numel() for p in tiny.build().parameters())
    assert about["results"]["test_error"] == result.test_error


def test_the_environment_tells_of_the_machine_and_of_nobody(trained: Trained) -> None:
    text = (trained().folder / "run.json").read_text()
    about = json.loads(text)["environment"]
    assert about["python"] == platform.python_version()
    assert about["numpy"] == np.__version__
    assert about["cpu"]
    assert str(Path.home()) not in json.dumps(about)
    assert getpass.getuser() not in json.dumps(about)
    assert platform.node() not in json.dumps(about)


def test_another_environment_is_added(trained: Trained) -> None:
    run = open_run(trained(stop_at=5).folder)
    before = {**run.about["environment"], "torch": "2.6.0"}
    run.update(environment=before)
    trained(stop_at=7, resume=True)
    about = open_run(trained(resume=True).folder).about
    assert about["environment"]["torch"] == torch.__version__
    assert about["earlier_environments"] == [before]


def test_weights_give_the_error_that_was_recorded(
    trained: Trained, tiny: Generated, digits: Dataset
) -> None:
    result = trained(iterations=60, eval_every=20)
    run = open_run(result.folder)
    images = torch.from_numpy(digits.test_images) / 255
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (digits.mean, digits.std))
    errors = {run.last: result.test_error, run.best: result.best_error}
    for path, error in errors.items():
        network = tiny.build().eval()
        network.load_state_dict(load_file(path))
        with torch.inference_mode():
            classes = network((images - mean) / std).argmax(1)
        wrong = (classes.numpy() != digits.test_labels).sum()
        assert 100 * wrong / len(images) == error


def test_default_folder(
    tiny: Generated, digits: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = TrainOptions(device="cpu", iterations=1, seed=7)
    assert train(tiny, digits, chosen).folder == Path("runs/tiny-digits-s7")


def test_seeds_decide_everything(trained: Trained, tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> dict[str, torch.Tensor]:
        trained(out=tmp_path / name, seed=seed)
        return load_file(tmp_path / name / "last.safetensors")

    torch.manual_seed(99)
    before = torch.get_rng_state()
    one, two, other = weights("a", 1), weights("b", 1), weights("c", 2)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not torch.equal(one["conv.weight"], other["conv.weight"])


def test_events_and_display(
    tiny: Generated, digits: Dataset, options: TrainOptions, tmp_path: Path
) -> None:
    events: list[Event] = []
    with (tmp_path / "out.txt").open("w+") as file:
        console = Console(file=file, width=100)
        train(tiny, digits, options, console=console, on_event=events.append)
        file.seek(0)
        shown = file.read()
    assert "tiny (1,378 parameters) on digits (1,437 images)" in shown
    assert shown.count("test error") == 3
    assert max(map(len, shown.splitlines())) < 80
    steps = [e.iteration for e in events if e.record is None and e.text is None]
    assert steps == list(range(1, 25))
    assert [e.record.iteration for e in events if e.record] == [
        4,
        8,
        10,
        12,
        16,
        20,
        24,
    ]
    assert events[-1].text == "finished"


def test_one_live_line_on_a_terminal(
    tiny: Generated, digits: Dataset, options: TrainOptions, tmp_path: Path
) -> None:
    with (tmp_path / "out.txt").open("w+") as file:
        console = Console(file=file, width=80, force_terminal=True, color_system=None)

        def draw(event: Event) -> None:
            display(event)
            display.progress.refresh()

        with Display(console) as display:
            train(tiny, digits, options, on_event=draw)
        file.seek(0)
        frames = re.split(r"[\r\n]|\x1b\[\??\d*[A-Za-z]", file.read())
    live = [frame for frame in frames if "ETA" in frame]
    assert max(map(len, live)) <= 80
    last = live[-1].split()
    assert last[0] == "24/24"
    record = [*open_run(tmp_path / "run").records()][-1]
    shown = f"loss {record.train_loss:.4f}  error {record.test_error:.2f} %  lr 0.001"
    assert shown in live[-1]
    assert f"{record.images_per_s:,.0f} img/s" in live[-1]
