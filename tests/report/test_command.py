"""`resgraph report` as a user meets it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from resgraph.cli.reporting import report_command
from tests.helpers import refused
from tests.test_cli import resgraph

TINY = "tests/specs/tiny.yaml"


def test_a_spec(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = resgraph("report", TINY, "-o", out)
    assert done.returncode == 0, done.stderr
    assert str(out) in done.stdout
    assert out.read_text().startswith("<!doctype html>")


def test_json(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = resgraph(
        "report",
        "specs/preact_basic.yaml",
        "--network",
        "resnet20",
        "--out",
        out,
        "--json",
    )
    told = json.loads(done.stdout)
    assert told["networks"] == ["resnet20"]
    assert told["bytes"] == out.stat().st_size
    assert {f["level"] for f in told["findings"]} >= {"holds", "fact"}


def test_settings_and_generated_files(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    spec = "specs/preact_basic.yaml"
    done = resgraph("report", spec, "--set", "depth=26", "-o", out, "--json")
    assert json.loads(done.stdout)["networks"] == ["preact_basic_depth26"]
    done = resgraph("report", "generated/resnet20.py", "-o", out, "--json")
    assert json.loads(done.stdout)["networks"] == ["resnet20"]


def test_a_spec_with_findings_is_shown_and_exits_1(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = resgraph("report", "tests/bad/add_map_size.yaml", "-o", out)
    assert done.returncode == 1
    assert "1 finding" in done.stderr
    assert "add needs equal shapes" in out.read_text()


def test_a_run(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = resgraph("report", "results/resnet20-600", "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["networks"] == ["resnet20"]


def test_exit_codes_of_mistakes(tmp_path: Path) -> None:
    done = resgraph("report", "nowhere.yaml", "-o", tmp_path / "page.html")
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere.yaml: no such file")
    done = resgraph("report", TINY, "-o", tmp_path)
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert [*tmp_path.iterdir()] == []


def test_mistakes(root: Path, tmp_path: Path) -> None:
    run, spec = Path("results/resnet20-600"), Path(TINY)
    page = tmp_path / "page.html"
    for arguments, told in (
        ({"path": tmp_path}, "is not a run folder"),
        ({"path": spec, "network": "nope"}, "no network 'nope'"),
        ({"path": run, "network": "x"}, "--network and --set are for specs"),
        ({"path": run, "settings": ["a=1"]}, "--network and --set are for specs"),
        ({"path": spec, "spec": spec}, "--spec is for run folders"),
        ({"path": spec, "out": tmp_path / "no" / "such.html"}, "cannot write"),
        ({"path": Path("tests/helpers.py")}, "no spec is where its first line says"),
    ):
        arguments = {"out": page} | arguments
        assert told in refused(partial(report_command, **arguments))
    assert not page.exists()
