"""What goes wrong in training is told, and nothing good is lost."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from resgraph.data import Dataset
from resgraph.files import atomic_write, write_json
from resgraph.train import TrainOptions, load_generated, open_run, train
from tests.helpers import printed, refused
from tests.training.conftest import (
    Trained,
    at_step,
    written,
)


def test_divergence_is_told_and_keeps_good_weights(
    tmp_path: Path, digits: Dataset, options: TrainOptions
) -> None:
    """A loss that becomes NaN at a known step: the weight is spoilt from then on."""
    generated = load_generated(written(tmp_path, at_step(14, "x = x * float('nan')")))
    told = refused(lambda: train(generated, digits, options))
    assert "diverged by iteration 16" in told
    assert "lower --lr" in told
    run = open_run(tmp_path / "run")
    assert run.status == "diverged"
    last = load_file(run.last)
    assert all(t.isfinite().all() for t in last.values() if t.is_floating_point())
    assert [r.iteration for r in run.records()] == [4, 8, 10, 12]


def test_a_learning_rate_far_too_high(trained: Trained, tmp_path: Path) -> None:
    assert "diverged" in refused(lambda: trained(lr=1e30))
    last = load_file(tmp_path / "run" / "last.safetensors")
    assert last["conv.weight"].isfinite().all()


def test_wrong_classes_are_told_before_training(
    tmp_path: Path, digits: Dataset, options: TrainOptions
) -> None:
    generated = load_generated(written(tmp_path, ("8 * 16, 10", "8 * 16, 100")))
    told = refused(lambda: train(generated, digits, options))
    assert "digits has 10 classes, the network tells 100 apart" in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "gpu"}, "device 'gpu' is none of auto, cpu, cuda"),
        ({"log_every": 0}, "log_every must be"),
        ({"seed": -1}, "seed must be"),
        ({"resume": True, "overwrite": True}, "exclude each other"),
    ],
)
def test_bad_options(changes: dict[str, Any], message: str) -> None:
    assert message in refused(lambda: TrainOptions(**changes))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_is_never_replaced_silently(trained: Trained) -> None:
    assert "no CUDA here" in refused(lambda: trained(device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_cuda(trained: Trained, precision: str) -> None:
    result = trained(device="cuda", iterations=120, precision=precision)
    assert result.test_accuracy is not None
    assert result.test_accuracy > 60


def test_bfloat16_on_the_cpu_if_asked_for(trained: Trained) -> None:
    result = trained(precision="bf16", iterations=3)
    assert open_run(result.folder).about["execution"]["precision"] == "bf16"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def half(target: Path) -> None:
        target.write_text("ha")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        atomic_write(path, half)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_json_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": [math.nan, 1.5], "b": {"c": math.inf}})
    value = json.loads((tmp_path / "x.json").read_text())
    assert value == {"a": [None, 1.5], "b": {"c": None}}


@pytest.mark.parametrize(
    ("chosen", "spin"),
    [
        ({}, "1000"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
    ],
)
def test_importing_is_kind_to_other_processes(
    chosen: dict[str, str], spin: str
) -> None:
    code = "import resgraph.train, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    ours = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    env = {k: v for k, v in os.environ.items() if k not in ours} | chosen
    told = printed(code, env=env)
    assert told == spin
