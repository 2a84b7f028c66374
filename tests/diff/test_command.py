"""The command: text, JSON, exit codes, what is wrong with what was asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.compiler import Compiler
from tests.conftest import ROOT
from tests.diff.common import tree
from tests.helpers import refused

GOLDEN = {
    "fig4-a-b": ("original_basic", "bn_after_add_basic"),
    "fig4-a-c": ("original_basic", "relu_before_add_basic"),
    "fig4-a-d": ("original_basic", "relu_only_preact_basic"),
    "fig4-a-e": ("original_basic", "preact_basic"),
    "fig4-d-e": ("relu_only_preact_basic", "preact_basic"),
    "fig4-a-e-bottleneck": ("original_bottleneck", "preact_bottleneck"),
    "fig2-b": ("original_basic", "constant_scaling"),
    "fig2-c": ("shortcut_gating", "exclusive_gating"),
    "fig2-d": ("original_basic", "shortcut_gating"),
    "fig2-e": ("original_basic", "conv_shortcut"),
    "fig2-f": ("original_basic", "dropout_shortcut"),
    "one-layer": ("preact_1layer", "preact_basic"),
    "bottleneck": ("original_basic", "original_bottleneck"),
    "classes": ("preact_bottleneck", "preact_bottleneck_cifar100"),
}


def diff(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["diff", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def specs(*names: str) -> list[str]:
    return [f"specs/{name}.yaml" for name in names]


def trimmed(text: str) -> str:
    """Without the blanks that fill a table's lines."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


@pytest.mark.parametrize("name", GOLDEN)
def test_text(name: str, root: Path, golden: Callable[[str, str], None]) -> None:
    code, text = diff(*specs(*GOLDEN[name]))
    assert code == 1
    golden(f"diff/{name}.txt", trimmed(text))


def test_text_of_two_depths(root: Path, golden: Callable[[str, str], None]) -> None:
    spec = "specs/preact_bottleneck.yaml"
    code, text = diff(spec, spec, "--networks", "resnet164", "resnet1001")
    assert code == 1
    golden("diff/depth.txt", trimmed(text))


def test_a_spec_and_what_was_generated_from_it_are_the_same(root: Path) -> None:
    code, text = diff("specs/preact_bottleneck.yaml", "generated/resnet1001.py")
    assert code == 0
    assert text == (
        "the same graph: resnet1001 (specs/preact_bottleneck.yaml) and resnet1001 "
        "(specs/preact_bottleneck.yaml)\n"
    )


def test_networks_are_chosen_by_depth_or_by_name(root: Path) -> None:
    spec = "specs/preact_basic.yaml"
    for arguments, names in (
        ([], ["resnet110_relu_only_preact", "resnet110"]),
        (["--networks", "resnet110_relu_only_preact", "resnet20"], [None, "resnet20"]),
    ):
        _, text = diff("specs/relu_only_preact_basic.yaml", spec, "--json", *arguments)
        found = [json.loads(text)[side]["network"] for side in ("before", "after")]
        assert all(
            name in (None, known) for name, known in zip(names, found, strict=True)
        )
    both = json.loads(diff(spec, spec, "--set", "depth=26", "--json")[1])
    assert both["same"]
    assert both["before"]["network"] == "preact_basic_depth26"


def test_json(root: Path) -> None:
    code, text = diff(*specs("original_basic", "preact_basic"), "--json")
    assert code == 1
    found = json.loads(text)
    assert set(found) == {
        *("same", "before", "after", "pairs", "properties", "findings", "recipe")
    }
    body = found["pairs"][2]
    assert body["before"]["part"] == "stage1"
    assert body["before"]["count"] == 2
    moved = body["edits"][0]
    assert moved["change"] == "moved"
    assert moved["before"]["name"] == "bn2"
    assert moved["before"]["file"] == "specs/original_basic.yaml"
    assert moved["after"]["name"] == "bn1"
    assert moved["after"]["line"] > 1
    assert body["factor"] == {"before": "the ReLU mask [input > 0]", "after": "1"}
    assert "f is the identity" in body["gained"]


def changed(folder: Path, **parts: Any) -> Path:
    path = folder / "changed.yaml"
    path.write_text(json.dumps(json.loads(tree("preact_basic")) | parts))
    return path


def test_another_recipe_is_the_same_graph(root: Path, tmp_path: Path) -> None:
    other = changed(tmp_path, train={"recipe": "he2016", "batch": 64})
    code, text = diff("specs/preact_basic.yaml", other)
    assert code == 0
    assert text.startswith("the same graph: ")
    assert text.endswith("\nrecipe\n  batch: 128 -> 64\n")


def test_another_input_is_another_graph(root: Path, tmp_path: Path) -> None:
    network = json.loads(tree("preact_basic"))["network"] | {"input": [3, 64, 64]}
    code, text = diff("specs/preact_basic.yaml", changed(tmp_path, network=network))
    assert code == 1
    assert "input: 3x32x32 -> 3x64x64\n" in text


def test_a_run_folder_stands_for_its_spec(root: Path, tmp_path: Path) -> None:
    spec = ROOT / "specs/preact_basic.yaml"
    text = Compiler().resolved(spec, "resnet110", alone=True)
    (tmp_path / "spec.yaml").write_text(text)
    assert diff(spec, tmp_path)[0] == 0


def test_broken_specs_are_told_together(root: Path) -> None:
    both = ["tests/bad/groups.yaml", "tests/bad/even_kernel.yaml"]
    told = refused(lambda: diff(*both))
    assert "3 groups do not divide the 8 input channels" in told
    assert "no centre to pad around" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["specs/nowhere.yaml"], "no such file"),
        (["specs"], "specs is a folder without a spec.yaml | name a spec"),
        (["specs/preact_basic.yaml", "--network", "resnt20"], "no network 'resnt20'"),
        (["specs/preact_basic.yaml", "--set", "dept=20"], "no parameter 'dept'"),
        (["generated/nowhere.py"], "no such file"),
        (["generated/resnet20.py", "--set", "depth=26"], "is one network"),
        (["resgraph/cli/diffing.py"], "no generated file whose spec"),
        (
            ["specs/preact_basic.yaml", "--out", "x.gif"],
            "--out draws .svg or .png files",
        ),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], message: str, root: Path) -> None:
    assert message in refused(lambda: diff(arguments[0], *arguments))


def test_titles_and_names_come_out_as_text(root: Path, tmp_path: Path) -> None:
    other = changed(tmp_path, title="[red]x[/red] <script>", networks={"net": {}})
    code, text = diff("specs/original_basic.yaml", other)
    assert code == 1
    assert f"net ({other}): [red]x[/red] <script>\n" in text


def test_a_stale_generated_file_is_refused(root: Path, tmp_path: Path) -> None:
    for name in ("specs", "generated"):
        (tmp_path / name).mkdir()
    spec = tmp_path / "specs/preact_basic.yaml"
    spec.write_text(
        Path("specs/preact_basic.yaml").read_text().replace("relu", "sigmoid")
    )
    copy = shutil.copy("generated/resnet20.py", tmp_path / "generated")
    assert "it has changed since" in refused(lambda: diff(spec, copy))
