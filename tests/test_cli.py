"""The command line as a user meets it: output, exit codes, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from resgraph.ops import OPS
from resgraph.spec.schema import schema_text
from tests.conftest import ROOT


def resgraph(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "resgraph", *map(str, arguments)]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False
    )
    assert "Traceback" not in result.stderr
    return result


def test_compile_and_check_as_written(tmp_path: Path) -> None:
    spec = "specs/preact_bottleneck.yaml"
    result = resgraph("compile", spec, "--out", tmp_path / "generated")
    assert result.returncode == 0, result.stderr
    assert "1,703,258 parameters" in result.stdout
    assert "10,327,706 parameters" in result.stdout
    names = sorted(p.name for p in (tmp_path / "generated").iterdir())
    assert names == [
        "resnet1001.onnx",
        "resnet1001.py",
        "resnet164.onnx",
        "resnet164.py",
    ]


def test_committed_files_are_up_to_date() -> None:
    specs = sorted((ROOT / "specs").glob("*.yaml"))
    result = resgraph("compile", "--check", *specs)
    assert result.returncode == 0, result.stdout
    known = {p.stem for p in (ROOT / "generated").glob("*.py")}
    listed = json.loads(resgraph("list", "--json").stdout)
    assert known == {entry["network"] for entry in listed}


def test_check_shows_a_diff_of_a_stale_file(tmp_path: Path) -> None:
    arguments = ("tests/specs/tiny.yaml", "--out", tmp_path)
    missing = resgraph("compile", "--check", *arguments)
    assert missing.returncode == 1
    assert "+class Body(nn.Module):" in missing.stdout
    assert resgraph("compile", "--source-only", *arguments).returncode == 0
    assert resgraph("compile", "--check", *arguments).returncode == 0
    path = tmp_path / "tiny.py"
    path.write_text(path.read_text().replace("torch.relu(h + f)", "h + f"))
    stale = resgraph("compile", "--check", *arguments)
    assert stale.returncode == 1
    assert "-        return h + f" in stale.stdout
    assert "+        return torch.relu(h + f)" in stale.stdout


def test_set_makes_another_network(tmp_path: Path) -> None:
    arguments = ("--set", "depth=29", "--out", tmp_path, "--json")
    result = resgraph("compile", "specs/preact_bottleneck.yaml", *arguments)
    (written,) = json.loads(result.stdout)
    assert written["network"] == "preact_bottleneck_depth29"
    assert (tmp_path / "preact_bottleneck_depth29.py").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["compile", "nowhere.yaml"], 2, "nowhere.yaml: no such file"),
        (["compile", "specs/preact_basik.yaml"], 2, "did you mean 'preact_basic.yaml'"),
        (["compile", "specs"], 2, "specs is a folder"),
        (["compile"], 2, "Missing argument"),
        (["compil"], 2, "No such command"),
        (["compile", "specs/preact_basic.yaml", "--netwrk", "x"], 2, "No such option"),
        (["compile", "specs/preact_basic.yaml", "--network", "resnet2"], 2, "resnet20"),
        (["compile", "specs/preact_basic.yaml", "--set", "depth"], 2, "KEY=VALUE"),
        (["compile", "specs/preact_basic.yaml", "--set", "dpth=20"], 2, "'depth'"),
        (["compile", "specs/preact_basic.yaml", "--set", "depth=os"], 2, "unknown"),
        (
            ["compile", "specs/preact_basic.yaml", "--set", "depth=21"],
            1,
            "must be whole",
        ),
        (["compile", "specs/preact_basic.yaml", "--set", "depth=-4"], 1, "positive"),
        (["compile", "specs/preact_basic.yaml", "--weights", "w"], 2, "--network"),
        (
            ["compile", "specs/preact_basic.yaml", "--out", "README.md/x"],
            1,
            "cannot write",
        ),
        (["compile", "tests/bad/cycle.yaml", "tests/bad/tab.yaml"], 1, "2 errors"),
        (["show", "tests/bad/cycle.yaml"], 1, "circle"),
        (["ops", "convv"], 2, "did you mean 'conv'"),
        (["list", "nowhere.yaml"], 2, "no such file"),
        (["train", "nowhere.py"], 2, "no such file"),
        (["infer", "nowhere.onnx", "x.png"], 2, "no such file"),
        (["export", "nowhere"], 2, "no such"),
    ],
)
def test_mistakes(arguments: list[str], code: int, message: str) -> None:
    result = resgraph(*arguments)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr


def test_the_same_network_twice_is_refused(tmp_path: Path) -> None:
    spec = "tests/specs/tiny.yaml"
    result = resgraph("compile", spec, spec, "--out", tmp_path)
    assert result.returncode == 2
    assert "both build 'tiny'" in result.stderr
    assert not list(tmp_path.iterdir())


def test_findings_as_json() -> None:
    result = resgraph("check", "tests/bad/add_channels.yaml", "--json")
    assert result.returncode == 1
    (finding,) = json.loads(result.stdout)
    assert finding["span"]["line"] == 16
    assert len(finding["notes"]) == 4
    assert json.loads(resgraph("check", "tests/specs/tiny.yaml", "--json").stdout) == []


def test_show_tells_what_parts_read_and_which_are_returned() -> None:
    (shown,) = json.loads(resgraph("show", "tests/draw/pyramid.yaml", "--json").stdout)
    read = {part["part"]: part["from"] for part in reversed(shown["parts"])}
    assert read["p3"] == ["c4", "c3"]
    assert shown["outputs"]["p2"] == {"from": "c2", "shape": [16, 32, 32]}
    known = {*shown["inputs"], *read}
    values = {value for reads in read.values() for value in reads}
    values |= {output["from"] for output in shown["outputs"].values()}
    assert {value.partition(".")[0] for value in values} <= known


def test_show() -> None:
    spec = "specs/preact_bottleneck.yaml"
    table = resgraph("show", spec, "--network", "resnet164").stdout
    assert "1,703,258" in table
    assert "244.50M" in table
    (shown,) = json.loads(resgraph("show", spec, "--set", "depth=164", "--json").stdout)
    assert shown["outputs"] == {"out": {"from": "head", "shape": [10]}}
    assert shown["parts"][0]["from"] == [*shown["inputs"]]
    assert sum(row["parameters"] for row in shown["parts"]) == 1_703_258
    for stage, word in (
        ("spec", "# specs/preact_bottleneck.yaml:42"),
        ("graph", "out_add = add(x, conv3)"),
        ("torch", "class Body(nn.Module):"),
        ("onnx", "BatchNormalization"),
    ):
        result = resgraph("show", spec, "--set", "depth=29", "--emit", stage)
        assert result.returncode == 0, result.stderr
        assert word in result.stdout


def test_show_spec_resolves_extends() -> None:
    shown = resgraph("show", "specs/constant_scaling.yaml", "--emit", "spec").stdout
    assert "specs/constant_scaling.yaml:" in shown
    assert "specs/original_basic.yaml:" in shown
    assert "extends" not in YAML(typ="safe", pure=True).load(shown)


def test_ops_are_listed_from_the_classes() -> None:
    listed = json.loads(resgraph("ops", "--json").stdout)
    assert [op["op"] for op in listed] == list(OPS)
    conv = next(op for op in listed if op["op"] == "conv")
    kernel = next(a for a in conv["attributes"] if a["name"] == "kernel")
    assert kernel["default"] is None


def test_help_shows_an_example() -> None:
    for command in (
        "compile",
        "check",
        "show",
        "list",
        "ops",
        "train",
        "export",
        "infer",
    ):
        assert f"Example: resgraph {command}" in resgraph(command, "--help").stdout
    assert resgraph("--version").stdout.startswith("resgraph ")


def test_committed_schema_is_up_to_date() -> None:
    assert (ROOT / "specs" / "schema.json").read_text() == schema_text()
    assert resgraph("schema").stdout == schema_text()


SCHEMA = json.loads(schema_text())
SPECS = sorted((ROOT / "specs").glob("*.yaml")) + sorted(
    (ROOT / "tests/specs").glob("*.yaml")
)


@pytest.mark.parametrize("path", SPECS, ids=[p.stem for p in SPECS])
def test_schema_admits_every_spec(path: Path) -> None:
    jsonschema.validate(YAML(typ="safe", pure=True).load(path), SCHEMA)


@pytest.mark.parametrize(
    "name",
    ["unknown_keys", "number_ranges", "wrong_types", "a_list"],
)
def test_schema_refuses(name: str) -> None:
    data = YAML(typ="safe", pure=True).load(ROOT / "tests" / "bad" / f"{name}.yaml")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, SCHEMA)


def test_specs_point_editors_to_the_schema() -> None:
    for path in (ROOT / "specs").glob("*.yaml"):
        first = path.read_text().splitlines()[0]
        assert first == "# yaml-language-server: $schema=schema.json"
