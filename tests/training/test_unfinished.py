"""Runs that did not come to their end are told to be so wherever their weights go."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest

from resgraph.cli.exporting import export_command
from resgraph.emit.forms import FORMS
from resgraph.infer import Classifier
from resgraph.report import of_run
from resgraph.study.outcomes import outcomes
from resgraph.study.series import read
from resgraph.train import open_run
from tests.helpers import refused
from tests.test_cli import resgraph
from tests.training.conftest import resume


def standing(run: Path, **about: Any) -> None:
    path = run / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | about))


def metadata(model: Path) -> dict[str, str]:
    return {p.key: p.value for p in onnx.load(model).metadata_props}


UNFINISHED = {
    "stopped": "stopped at iteration 4 of 6",
    "interrupted": "interrupted at iteration 4 of 6",
    "failed": "failed at iteration 4 of 6",
    "running": "unfinished, or being trained, at iteration 4 of 6",
}


@pytest.mark.parametrize("status", UNFINISHED)
def test_an_unfinished_run(
    real_run: Path, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = UNFINISHED[status]
    standing(real_run, status=status)
    export_command(real_run, form=[*FORMS], json=True)
    said = capsys.readouterr()
    shown = f"not the end of its training ({told}): weights of iteration 3"
    assert f"note: run: {shown}" in said.err
    assert json.loads(said.out)["unfinished"] == shown
    for form in FORMS:
        model = Path("run") / (
            "tiny.onnx" if form == "portable" else f"tiny.{form}.onnx"
        )
        assert metadata(model)["resgraph.unfinished"] == shown
        if form != "bf16":  # which the CPU has no convolutions for
            assert f"the model: {shown}" in Classifier(model, "cpu").notes
    (series,) = read([real_run])
    assert f"run: {told}" in series.notes
    assert f"run: {told}: not counted" in outcomes([real_run]).notes
    assert f"run: {told}" in of_run(real_run).facts["run"]["notes"]


def test_a_run_that_diverged(
    real_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    standing(real_run, status="diverged", failure="the loss is no number")
    told = refused(lambda: export_command(real_run))
    assert "diverged at iteration 4 of 6" in told
    assert "--diverged" in told
    assert not (real_run / "tiny.onnx").exists()
    export_command(real_run, diverged=True)
    assert "diverged at iteration 4 of 6" in capsys.readouterr().err
    assert "diverged" in metadata(real_run / "tiny.onnx")["resgraph.unfinished"]


def test_weights_from_before_any_training(
    real_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(real_run)
    resume(real_run, resume=False, stop_at=2)
    export_command(real_run)
    assert "weights of iteration 0, before any training" in capsys.readouterr().err


def test_a_finished_run_says_nothing(
    real_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resume(real_run)
    assert open_run(real_run).unfinished is None
    capsys.readouterr()
    export_command(real_run)
    assert capsys.readouterr().err == ""
    assert "resgraph.unfinished" not in metadata(real_run / "tiny.onnx")
    assert Classifier(real_run / "tiny.onnx", "cpu").notes == ()


def test_infer_warns(real_run: Path) -> None:
    export_command(real_run)
    model = (real_run / "tiny.onnx").absolute()
    done = resgraph("infer", model, "--data", "digits", "--show", "0")
    assert done.returncode == 0
    assert "note: the model: not the end of its training" in done.stderr
