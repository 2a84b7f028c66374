"""Training within a memory budget: the same numbers, and told where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.diagnostics import ResgraphError
from resgraph.train import open_run

SHORT = ("--data", "digits", "--device", "cpu", "--iterations", "2", "--batch", "8")
SHORT += ("--log-every", "1")


def trained(out: Path, *words: str, network: str = "resnet20") -> str:
    command = ["train", f"generated/{network}.py", *SHORT, "--out", str(out), *words]
    result = CliRunner().invoke(app, command)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


@pytest.mark.parametrize(
    ("budget", "anew"),
    [("8MiB", "BN-ReLU anew"), ("4MiB", "segments and BN-ReLU anew")],
)
def test_a_budget_changes_no_number(
    root: Path, tmp_path: Path, budget: str, anew: str
) -> None:
    plain = trained(tmp_path / "plain")
    planned = trained(tmp_path / "planned", "--memory-budget", budget)
    assert "anew" not in plain
    assert f"{anew}: at most" in planned
    one, two = (
        load_file(tmp_path / n / "last.safetensors") for n in ("plain", "planned")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    memory = open_run(tmp_path / "planned").about["memory"]
    assert memory["peak"] <= int(budget.removesuffix("MiB")) * 2**20
    assert open_run(tmp_path / "plain").about["memory"]["anew"] == 0


def test_what_cannot_be_is_told_before_anything_is_written(
    root: Path, tmp_path: Path
) -> None:
    for words, message in (
        (("--memory-budget", "100KiB"), "cannot train at batch 8 within"),
        (("--memory-budget", "plenty"), "is no amount of memory"),
    ):
        with pytest.raises(ResgraphError, match=message):
            trained(tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()


def test_the_monitor_sees_through_segments(root: Path, tmp_path: Path) -> None:
    """It writes the same with and without a budget, and leaves the weights alone."""
    original = "resnet20_original"
    plain = trained(tmp_path / "plain", network=original)
    assert plain
    trained(tmp_path / "seen", "--monitor", network=original)
    words = ("--monitor", "--memory-budget", "4MiB")
    trained(tmp_path / "small", *words, network=original)
    seen, small = (
        [json.loads(line) for line in (tmp_path / n / "units.jsonl").open()]
        for n in ("seen", "small")
    )
    assert [line.get("iteration") for line in seen] == [None, 1, 2]
    assert seen == small
    assert max(seen[-1]["truncated"]) > 0.1
    weights = [
        load_file(tmp_path / n / "last.safetensors") for n in ("plain", "seen", "small")
    ]
    for other in weights[1:]:
        assert all(torch.equal(weights[0][name], other[name]) for name in other)
