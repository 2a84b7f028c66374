"""`resgraph plan` as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.cli.planning import planner
from resgraph.diagnostics import ResgraphError
from tests.helpers import refused


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["plan", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_the_table(root: Path, golden: Callable[[str, str], None]) -> None:
    """The issue's figures for ResNet-1001, predicted."""
    words = ("--network", "resnet1001", "--memory-budget", "2GiB")
    text = run("specs/preact_bottleneck.yaml", *words)
    golden("plan-resnet1001.txt", "\n".join(map(str.rstrip, text.splitlines())) + "\n")


def test_json_of_a_generated_file(root: Path) -> None:
    words = ("--batch", "16", "--precision", "bf16", "--memory-budget", "20MiB")
    (told,) = json.loads(run("generated/resnet110.py", *words, "--json"))
    assert told["network"] == "resnet110"
    plain, *_ = told["strategies"]
    assert (plain["batch"], plain["element"], plain["segments"]) == (16, 2, {})
    assert told["chosen"]["peak"] <= 20 * 2**20
    assert told["chosen"]["segments"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generated/absent.py"], "no such file"),
        (["generated/resnet20.py", "--set", "depth=29"], "is one network"),
        (["generated/resnet20.py", "--memory-budget", "2 pints"], "no amount of"),
        (["generated/resnet20.py", "--memory-budget", "1KiB"], "cannot train at batch"),
    ],
)
def test_mistakes(root: Path, words: list[str], message: str) -> None:
    with pytest.raises(ResgraphError, match=message):
        run(*words)


def test_a_generated_file_whose_spec_is_gone(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "alone" / "resnet20.py"
    copy.parent.mkdir()
    copy.write_text(Path("generated/resnet20.py").read_text())
    assert "name the spec instead" in refused(lambda: run(str(copy)))


def test_a_budget_without_a_spec() -> None:
    assert planner(None, "auto") is None
    assert "needs the spec" in refused(lambda: planner(None, "2GiB"))
