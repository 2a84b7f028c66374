"""The paper's tables beside our runs."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest

from resgraph.cli.studying import table_command
from resgraph.compiler import Compiler
from resgraph.recipe import HE2016
from resgraph.study import tables
from resgraph.study.outcomes import Outcomes, outcomes, run_folders
from resgraph.study.paper import FAIL_ABOVE, TABLES
from resgraph.study.tables import Row
from tests.conftest import ROOT
from tests.helpers import refused
from tests.study.conftest import DATA_DIGEST, DIGEST, MakeRun

SPECS = sorted((ROOT / "specs").glob("*.yaml"))
ENTRIES = [entry for table in TABLES for entry in table.entries]


def found_in(folder: Path) -> Outcomes:
    return outcomes(run_folders([folder]))


def rows_of(network: str, found: Outcomes) -> list[Row]:
    """A network's rows in the first table that has it."""
    for table in tables.tables(found):
        if rows := [row for row in table.rows if row.network == network]:
            return rows
    raise AssertionError(network)


def test_the_networks_and_their_data_are_those_of_the_specs() -> None:
    graphs = {graph.name: graph for spec in SPECS for graph in Compiler().graphs(spec)}
    for entry in ENTRIES:
        classes = graphs[entry.network].classes
        assert entry.data == f"CIFAR-{classes}"
        assert dict(graphs[entry.network].recipe) == HE2016.as_dict()
    left = graphs.keys() - {entry.network for entry in ENTRIES}
    assert left == {"resnet20", "resnet20_original", "resnet1202"}


def test_the_papers_figures_say_the_same_in_every_table() -> None:
    values: dict[str, str] = {}
    for entry in ENTRIES:
        plain = "fail" if entry.value.error is None else f"{entry.value.error:.2f}"
        assert values.setdefault(entry.network, plain) == plain
        assert (entry.value.error or 0) <= FAIL_ABOVE or entry.data == "CIFAR-100"


def test_the_papers_figures_as_it_prints_them() -> None:
    printed = {entry.network: str(entry.value) for entry in ENTRIES}
    assert printed["resnet110_original"] == "6.61"
    assert printed["resnet110_scale_05_05"] == "12.35†"
    assert printed["resnet110_dropout_shortcut"] == "fail†"
    assert printed["resnet1001"] == "4.92 (4.89 ± 0.14)"
    assert [len(table.entries) for table in TABLES] == [12, 10, 12]


def test_rows_that_were_not_run_stay_empty() -> None:
    made = tables.tables(Outcomes((), ()))
    assert len(made) == len(TABLES)
    for row in [row for table in made for row in table.rows]:
        assert set(row.cells()[3:]) == {""}
        assert row.as_json()["ours"] is None


def test_median_and_range_over_seeds(make_run: MakeRun, tmp_path: Path) -> None:
    for seed, error in enumerate([6.9, 6.5, 6.4]):
        make_run(f"s{seed}", "resnet110", seed=seed, error=error)
    (row,) = rows_of("resnet110", found_in(tmp_path))
    assert row.cells()[2:] == (
        "6.37",
        "6.50 [6.40, 6.90]",
        "cifar10",
        "64,000",
        "128",
        "3",
        "",
    )
    # It stands in Table 2 and in Table 3, the same in both.
    made = tables.tables(found_in(tmp_path))
    again = [row for table in made for row in table.rows if row.network == "resnet110"]
    assert [one.group for one in again] == [row.group] * 2


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        ({"iterations": 640}, "shortened to 1 % of the schedule"),
        ({"recipe": {"batch": 64}}, None),
        ({"recipe": {"lr": 0.05}}, "lr 0.05"),
        ({"recipe": {"milestones": (10, 20)}}, "milestones 10, 20"),
        ({"recipe": {"warmup_iterations": 0}}, "warm-up 0"),
        ({"data": "digits", "data_digest": "x"}, "not the paper's data, CIFAR-10"),
        ({"execution": {"precision": "bf16"}}, "bf16"),
        ({"digest": DIGEST.replace("0", "f")}, "graph ffffffff"),
        ({"data_digest": DATA_DIGEST.replace("1", "e")}, "data eeeeeeee"),
    ],
)
def test_other_conditions_are_other_rows(
    change: dict[str, object], remark: str | None, make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("a", "resnet110", seed=0, error=6.5)
    make_run("b", "resnet110", seed=1, error=9.5, **change)
    rows = rows_of("resnet110", found_in(tmp_path))
    assert {row.cells()[3] for row in rows} == {"6.50", "9.50"}
    changed = next(row for row in rows if row.cells()[3] == "9.50")
    assert remark is None or remark in changed.remarks
    assert {row.cells()[2] for row in rows} == {"6.37"}


def test_a_run_that_diverged_counts_as_worse_than_any(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("a", "resnet110", seed=0, error=6.5)
    make_run("b", "resnet110", seed=1, error=6.7)
    make_run("c", "resnet110", seed=2, error=None, status="diverged")
    (row,) = rows_of("resnet110", found_in(tmp_path))
    assert row.cells()[3] == "6.70 [6.50, diverged]"
    assert "1 of 3 diverged" in row.remarks
    ours = row.as_json()["ours"]
    assert ours["test_errors"] == {"0": 6.5, "1": 6.7, "2": None}
    assert ours["max"] is None
    assert row.group is not None
    assert math.isinf(row.group.highest)


def test_what_is_not_counted_is_said(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("a", "resnet110", seed=0)
    make_run("b", "resnet110", seed=1, status="stopped", iterations=100)
    make_run("c", "resnet110", seed=0, error=1.0)
    make_run("d", "resnet110", seed=3)
    (tmp_path / "d" / "run.json").write_text("{")
    make_run("e", "resnet110", seed=4, recipe={"lr": 0.1}).update(recipe={"lr": 0.1})
    found = found_in(tmp_path)
    (row,) = rows_of("resnet110", found)
    assert row.cells()[3:8:4] == ("6.50", "1")
    told = "\n".join(found.notes)
    assert "b: stopped at iteration 100 of 100: not counted" in told
    assert "c: a second run of seed 0: not counted" in told
    assert "d/run.json" in told
    assert "no iterations" in told
    assert len(found.notes) == 4


def test_networks_of_no_table_have_one_of_their_own(
    make_run: MakeRun, tmp_path: Path
) -> None:
    make_run("a", "resnet20", iterations=640)
    *_, other = tables.tables(found_in(tmp_path))
    (row,) = other.rows
    assert row.network == "resnet20"
    assert row.cells()[2] == ""


def test_folders_without_runs_are_refused(tmp_path: Path) -> None:
    assert "there is no run in it" in refused(lambda: run_folders([tmp_path]))
    assert "no such folder" in refused(lambda: run_folders([tmp_path / "x"]))


def test_the_forms(
    make_run: MakeRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Text, Markdown, CSV and JSON have the same rows."""
    make_run("runs/a", "resnet110|x", seed=0, error=7.25)
    make_run("runs/b", "resnet110", seed=0, error=6.25)
    monkeypatch.chdir(tmp_path)
    printed = {}
    for form in ("text", "markdown", "csv", "json"):
        table_command(form=form)
        printed[form] = capsys.readouterr().out
    rows = [*csv.DictReader(io.StringIO(printed["csv"]))]
    assert [row["ours"] for row in rows if row["ours"]] == ["6.25", "6.25", "7.25"]
    made = json.loads(printed["json"])
    assert sum(len(table["rows"]) for table in made) == len(rows)
    assert made[1]["rows"][8]["ours"]["median"] == 6.25
    assert made[1]["rows"][8]["paper"]["test_error"] == 6.37
    marked = [line for line in printed["markdown"].splitlines() if "| " in line]
    assert len(marked) == len(rows) + 2 * len(made)
    columns = {line.replace("\\|", "").count("|") for line in marked}
    assert columns == {len(tables.COLUMNS) + 1}
    assert "resnet110\\|x" in printed["markdown"]
    for row in rows:
        assert any(
            row["network"] in text and row["paper"] in text
            for text in printed["text"].splitlines()
        )
    assert "median [min, max]" in printed["text"]


def test_the_table_without_any_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table_command()
    assert "12.35†" in capsys.readouterr().out
    assert "known here: csv" in refused(lambda: table_command(form="marked"))
