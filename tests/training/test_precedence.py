"""Whose word counts: a data set's defaults, then what the spec writes, then options."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import testing
from typer.testing import CliRunner

from resgraph.cli import app, main
from resgraph.data import Dataset
from resgraph.data.digits import RECIPE as DIGITS
from resgraph.fsck import fsck
from resgraph.recipe import HE2016, Recipe
from resgraph.recipe.options import NONE, WORDS
from resgraph.recipe.precedence import chosen
from resgraph.train import Generated, TrainOptions, open_run, train
from tests.helpers import SPECS
from tests.training.conftest import Trained

DATA = {**DIGITS, "pad": 2, "flip": False}
SIZE = 1437


def spec(*written: str, **words: Any) -> Recipe:
    return Recipe.of(words).marked([*written, *words])


def run_of(recipe: Recipe, **options: Any) -> dict[str, Any]:
    return chosen(recipe, DATA, options, SIZE).recipe.as_dict()


def test_without_any_word_the_data_decides() -> None:
    found = run_of(HE2016)
    assert {word: found[word] for word in DATA} == DATA


@pytest.mark.parametrize("word", [w for w in DATA if w != "milestones"])
def test_a_word_that_is_written_wins_even_where_it_is_the_default(word: str) -> None:
    value = HE2016.as_dict()[word]
    found = chosen(HE2016.marked([word]), DATA, {}, SIZE)
    assert found.recipe.as_dict()[word] == value
    assert word not in found.replaced


def test_the_spec_that_was_overridden() -> None:
    found = run_of(spec(lr=0.002, iterations=60, batch=64))
    assert (found["lr"], found["iterations"], found["batch"]) == (0.002, 60, 64)
    assert found["milestones"] == (36, 51)  # the data's, in proportion


def test_options_win_over_all() -> None:
    written = spec(lr=0.002, iterations=60, batch=64, ema=0.9)
    found = run_of(written, lr=0.5, iterations=30, batch=16, pad=0, flip=True, ema=None)
    assert (found["lr"], found["iterations"], found["batch"]) == (0.5, 30, 16)
    assert (found["pad"], found["flip"]) == (0, True)
    assert "ema" not in found


def test_what_the_data_says_of_sgd_is_not_for_adamw() -> None:
    found = run_of(spec(optimizer="adamw"))
    assert (found["lr"], found["weight_decay"]) == (1e-3, 1e-2)
    assert found["iterations"] == 500
    by_option = run_of(HE2016, optimizer="adamw", schedule="cosine")
    assert (by_option["lr"], by_option["warmup_lr"]) == (1e-3, 1e-4)
    assert "momentum" not in by_option
    assert "milestones" not in by_option


def test_milestones_that_are_written_keep_a_length_that_has_them() -> None:
    assert run_of(spec(milestones=[100, 200]))["iterations"] == 500
    assert run_of(spec(milestones=[1000, 2000]))["iterations"] == 64_000


def test_what_lies_beyond_the_datas_length_keeps_the_specs() -> None:
    assert run_of(spec(ema=0.9, ema_start=400))["iterations"] == 500
    assert run_of(spec(ema=0.9, ema_start=1000))["iterations"] == 64_000
    assert run_of(spec(warmup_iterations=800))["iterations"] == 64_000


def test_what_is_taken_back_takes_what_hangs_on_it() -> None:
    assert "ema_start" not in run_of(spec(ema=0.9, ema_start=9), ema=None)


def test_epochs_that_are_written() -> None:
    found = run_of(spec(epochs=10, batch=64))
    assert found["iterations"] == -(-10 * SIZE // 64)
    assert found["milestones"] == tuple(round(m * SIZE / 64) for m in (5, 7.5))
    assert found["warmup_iterations"] == 0


def test_what_was_replaced_is_told() -> None:
    found = chosen(spec(batch=64), DATA, {"iterations": 100}, SIZE)
    assert found.replaced == {
        "milestones": ((32_000, 48_000), (60, 85)),
        "warmup_iterations": (400, 0),
        "pad": (4, 2),
        "flip": (True, False),
    }
    told = found.remark("digits")
    assert told is not None
    assert "pad 2 instead of 4" in told
    assert "milestones [60, 85] instead of [32000, 48000]" in " ".join(told.split())
    assert chosen(HE2016, {}, {}, SIZE).remark("cifar10") is None


# --- from the spec to the run folder ------------------------------------------------------


def invoked(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec with a recipe of its own, compiled."""
    text = (SPECS / "tiny.yaml").read_text()
    (tmp_path / "specs").mkdir()
    train_words = (
        "train: {lr: 0.002, iterations: 6, batch: 128, warmup_iterations: 0}\n"
    )
    (tmp_path / "specs" / "tiny.yaml").write_text(text + train_words)
    monkeypatch.chdir(tmp_path)
    invoked("compile", "specs/tiny.yaml", "--source-only")
    return Path("generated/tiny.py")


def test_a_specs_own_recipe_is_followed_and_what_is_replaced_is_said(
    compiled: Path,
) -> None:
    assert '"explicit": ("batch",),' in compiled.read_text()
    told = invoked("train", compiled, "--data", "digits", "--out", "run")
    about = json.loads(Path("run/run.json").read_text())
    recipe = about["recipe"]
    assert (recipe["lr"], recipe["iterations"], recipe["batch"]) == (0.002, 6, 128)
    assert about["replaced"].keys() == {"milestones", "pad", "flip"}
    assert about["replaced"]["pad"] == [4, recipe["pad"]]
    assert "for digits: milestones" in told
    resumed = invoked("train", compiled, "--data", "digits", "--out", "run", "--resume")
    assert "for digits" not in resumed


def test_options_are_the_recipes_words(compiled: Path) -> None:
    options = ["--optimizer", "adamw", "--betas", "0.8,0.9", "--ema", "0.5", "--flip"]
    options += ["--lr", "0.01", "--no-weight-decay", "bn", "--schedule", "cosine"]
    invoked("train", compiled, "--data", "digits", "--out", "run", *options)
    recipe = open_run("run").recipe.as_dict()
    wanted = {"optimizer": "adamw", "betas": (0.8, 0.9), "ema": 0.5, "lr": 0.01}
    wanted |= {"flip": True, "no_weight_decay": ("bn",), "schedule": "cosine"}
    assert {word: recipe[word] for word in wanted} == wanted
    assert fsck(Path("run")).whole
    told = invoked("export", "run", "--ema")
    assert "run/last.ema.safetensors" in told
    Path("run/last.ema.safetensors").write_bytes(b"no weights")
    assert not fsck(Path("run")).whole


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--ema", "1"], "--ema: expected a number from 0 and below 1"),
        (["--optimizer", "adam"], "unknown optimizer 'adam'"),
        (["--momentum", "0.9", "--optimizer", "adamw"], "field of the optimizer sgd"),
        (["--iterations", "none"], "--iterations: expected a positive whole number"),
        (["--clip-grad-norm", "x"], "--clip-grad-norm: expected a positive number"),
        (["--epochs", "1", "--iterations", "1"], "both say how long"),
        (["--betas", "0.9", "--optimizer", "adamw"], "--betas: expected two numbers"),
    ],
)
def test_a_wrong_command_line_is_one(
    compiled: Path,
    options: list[str],
    part: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ["resgraph", "train", str(compiled), "--data", "digits", *options]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert part in capsys.readouterr().err
    assert not Path("runs").exists()


def test_options_and_words_are_the_same() -> None:
    recipe = Recipe.of(
        {"optimizer": "adamw", "ema": 0.9, "flip": False, "no_weight_decay": ["bn"]}
    )
    read = {}
    for name, value in recipe.as_dict().items():
        items = value if isinstance(value, list | tuple) else [value]
        text = NONE if value is None else ",".join(map(str, items))
        read[name] = WORDS[name].read(value if WORDS[name].is_flag else text)
    assert Recipe.of(read) == recipe


# --- from before --------------------------------------------------------------------------


def test_a_run_of_before_resumes(
    tiny: Generated, digits: Dataset, trained: Trained, tmp_path: Path
) -> None:
    """A folder that was written before recipes had parts goes on to the same end."""
    folder = tmp_path / "before"
    shutil.copytree(Path(__file__).parent / "before", folder)
    before = json.loads((folder / "run.json").read_text())
    assert "replaced" not in before
    options = TrainOptions(
        device="cpu", iterations=24, eval_every=10, log_every=4, out=folder, resume=True
    )
    ended = train(tiny, digits, options)
    assert (ended.status, ended.iteration) == ("finished", 24)
    assert open_run(folder).about["recipe"] == before["recipe"]
    whole = trained(out=tmp_path / "whole")
    assert open_run(whole.folder).about["recipe"] == before["recipe"]
    one, two = (load_file(f / "last.safetensors") for f in (folder, whole.folder))
    for name, tensor in one.items():
        testing.assert_close(tensor, two[name], rtol=1e-3, atol=1e-3)
