"""Pages of runs: curves, truncation, the paper's table; and of runs that lack them."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from resgraph.diagnostics import ResgraphError
from resgraph.report import of_run
from resgraph.report.runs import CELLS, POINTS, thinned
from tests.conftest import ROOT
from tests.helpers import refused
from tests.report.conftest import Open, serious_faults

CUTS = ROOT / "results" / "resnet110_original-500"
SMALL = ROOT / "results" / "resnet20-600"


@pytest.fixture
def folder(root: Path, tmp_path: Path) -> Path:
    """A copy of a committed run, to be damaged."""
    return Path(shutil.copytree(CUTS, tmp_path / "run"))


def change(folder: Path, **about: Any) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | about))


def test_curves_truncation_and_table(opened: Open, root: Path) -> None:
    page = opened(of_run(CUTS))
    titles = page.locator("#training figcaption b").all_inner_texts()
    assert titles[:3] == ["Training loss", "Test error", "Learning rate"]
    assert "Truncated by f, over depth and time" in titles
    records = [json.loads(t) for t in (CUTS / "metrics.jsonl").read_text().splitlines()]
    points = page.locator(".line-loss polyline").first.get_attribute("points").split()
    assert len(points) == len(records)
    last = float(f"{records[-1]['train_loss']:.3g}")
    assert str(last) in page.locator(".readout").first.inner_text()
    own = page.locator("tr.own").first.inner_text()
    assert "6.61" in own  # the paper's
    assert (
        f"{json.loads((CUTS / 'run.json').read_text())['results']['test_error']:.2f}"
        in own
    )
    assert "shortened" in own


def test_values_are_read_off(opened: Open, root: Path) -> None:
    page = opened(of_run(CUTS))
    chart = page.locator("figure.chart svg").first
    chart.focus()
    for _ in range(50):
        page.keyboard.press("ArrowLeft")
    first = json.loads((CUTS / "metrics.jsonl").read_text().splitlines()[0])
    told = page.locator(".readout").first.inner_text()
    assert f"iteration {first['iteration']}" in told
    assert f"{first['train_loss']:.3g}" in told
    units = [json.loads(t) for t in (CUTS / "units.jsonl").read_text().splitlines()]
    canvas = page.locator("canvas")
    canvas.hover(position={"x": 1, "y": canvas.bounding_box()["height"] - 1})
    told = page.locator(".map .readout").inner_text()
    share = 100 * units[1]["truncated"][0]
    assert told.startswith(
        f"{units[0]['units'][0]} at iteration {units[1]['iteration']}:"
    )
    assert float(told.split(":")[1].rstrip(" %")) == pytest.approx(share, abs=0.06)


def test_the_runs_network_is_the_other_view(opened: Open, root: Path) -> None:
    page = opened(of_run(CUTS))
    assert page.locator("#explorer").is_hidden()
    page.click("#views button >> text=Network")
    assert page.locator("#training").is_hidden()
    assert page.locator("#graph .row.site").count() == 5
    page.click("#views button >> text=Training")
    page.fill("#search", "stage2.1.conv1")
    page.keyboard.press("Enter")
    assert "stage2.1.conv1" in page.locator("#details").inner_text()


def test_f_that_cuts_nothing_is_said(opened: Open, root: Path) -> None:
    page = opened(of_run(SMALL))
    assert page.locator("canvas").count() == 0
    assert "cuts nothing" in page.locator("#training").inner_text()


def test_a_run_without_metrics(opened: Open, folder: Path) -> None:
    (folder / "metrics.jsonl").unlink()
    (folder / "units.jsonl").unlink()
    page = opened(of_run(folder))
    told = page.locator("#training").inner_text()
    assert "there are no records in it yet" in told
    assert "No values yet." in told
    assert "train with --monitor" in told


@pytest.mark.parametrize("file", ["metrics.jsonl", "units.jsonl"])
def test_a_half_written_line(opened: Open, folder: Path, file: str) -> None:
    path = folder / file
    whole = path.read_text()
    path.write_text(whole[: -len(whole.splitlines()[-1]) // 2])
    page = opened(of_run(folder))
    assert "a line is not whole" in page.locator("#training").inner_text()
    assert page.locator(".line-loss polyline").count() >= 1


def test_a_run_under_way(opened: Open, folder: Path) -> None:
    change(folder, status="running", results={})
    page = opened(of_run(folder))
    told = page.locator("#training").inner_text()
    assert "unfinished, or being trained, at iteration 500" in told
    assert "not counted" in told
    assert "running" in page.locator(".status").inner_text()


def test_losses_that_are_no_numbers(opened: Open, folder: Path) -> None:
    path = folder / "metrics.jsonl"
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    for line in lines[3:]:
        line["train_loss"] = None
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    change(folder, status="diverged", failure="the loss is no number")
    report = of_run(folder)
    assert report.facts["run"]["curves"]["loss"][3] is None
    page = opened(report)
    points = page.locator(".line-loss polyline").first.get_attribute("points").split()
    assert len(points) == 3
    assert "the loss is no number" in page.locator(".status").inner_text()


def test_a_run_json_with_odd_values(folder: Path) -> None:
    odd = {"recipe": None, "results": ["x"], "execution": [], "data": {"a": 1}}
    change(folder, **odd)
    with pytest.raises(ResgraphError, match="is not as training writes it"):
        of_run(folder)


def test_a_spec_that_changed_since(opened: Open, folder: Path) -> None:
    change(folder, digest="sha256:" + "0" * 64)
    page = opened(of_run(folder))
    assert "it has changed since" in page.locator("#training").inner_text()
    assert page.locator("#views").is_hidden()
    assert page.locator("#explorer").is_hidden()


def test_what_a_run_says_is_text(opened: Open, folder: Path) -> None:
    hostile = "<img src=x onerror=document.title='broken'>"
    change(folder, failure=hostile, data=hostile, status="failed", device=hostile)
    page = opened(of_run(folder))
    assert page.locator("img").count() == 0
    assert hostile in page.locator(".status").inner_text()


def test_a_run_is_accessible(opened: Open, root: Path) -> None:
    report = of_run(CUTS)
    assert serious_faults(opened(report, color_scheme="light")) == []
    dark = opened(report, color_scheme="dark")
    assert serious_faults(dark, ["color-contrast"]) == []


def test_no_run_folder(tmp_path: Path) -> None:
    assert "is not a run folder" in refused(lambda: of_run(tmp_path))


def test_long_records_are_thinned_evenly() -> None:
    for count in (0, 1, 2, POINTS, POINTS + 1, 6400):
        kept = thinned(range(count), POINTS)
        assert len(kept) <= POINTS
        assert kept[-1:] == [*range(count)][-1:]
        assert len({b - a for a, b in itertools.pairwise(kept)}) <= 1


def test_a_deep_runs_page_stays_small(folder: Path) -> None:
    path = folder / "units.jsonl"
    head, record, *_ = map(json.loads, path.read_text().splitlines())
    deep = {
        key: [value] * 333 for key, value in (("units", "stage1.0"), ("cuts", True))
    }
    record |= {k: v * 7 for k, v in record.items() if isinstance(v, list)}
    lines = [head | deep] + [
        record
        | {"iteration": i}
        | {k: v[:333] for k, v in record.items() if k != "iteration"}
        for i in range(1, 500)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    report = of_run(folder)
    table = report.facts["run"]["units"]["truncated"]
    assert len(table) * len(table[0]) <= CELLS
    assert report.facts["run"]["units"]["iterations"][-1] == 499
    assert len(report.html().encode()) < 1_000_000
