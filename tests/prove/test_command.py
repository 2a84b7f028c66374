"""The command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.prove.report import judge, report
from resgraph.settings import parse_settings
from tests.conftest import ROOT
from tests.helpers import graph_of
from tests.prove.common import PREACT, TINY
from tests.prove.test_mistakes import MISTAKES


def command(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["prove", *map(str, arguments)])
    return result.exit_code, result.stdout


def test_command_tells_equal_networks_together(root: Path) -> None:
    code, text = command("specs/shortcut_gating.yaml")
    assert code == 0
    heading = (
        "resnet110_shortcut_gating_b0, resnet110_shortcut_gating_b6: Shortcut-only"
    )
    assert text.startswith(heading)
    assert text.count("\nidentity path\n") == 1
    assert text.endswith("2 networks, no warnings\n")


def test_command_shows_warnings_with_their_lines(
    tmp_path: Path, golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _ = MISTAKES["a forgotten tail and a projection from x and its BN"]
    monkeypatch.chdir(tmp_path)
    Path("wrong.yaml").write_text(text + "networks: {resnet20: {depth: 14}}\n")
    code, text = command("wrong.yaml")
    assert code == 0
    golden("prove/wrong.txt", text)
    assert command("wrong.yaml", "--strict") == (1, text)


def test_command_prints_json(root: Path) -> None:
    code, text = command("specs/preact_bottleneck.yaml", "--json")
    assert code == 0
    networks = json.loads(text)
    assert [entry["network"] for entry in networks] == ["resnet164", "resnet1001"]
    keys = {
        *("level", "code", "severity", "allowed"),
        *("topic", "message", "file", "line", "col", "where", "hint"),
    }
    for entry in networks:
        for finding in entry["findings"]:
            assert set(finding) == keys
            assert finding["file"] == "specs/preact_bottleneck.yaml"
            assert finding["line"] > 1
    entries = [f for f in networks[0]["findings"] if "stage2.0.h_conv" in f["where"]]
    assert [f["level"] for f in entries] == ["fact", "fact"]
    assert all(f["code"] is f["severity"] is None for f in entries)


def test_titles_come_out_as_text(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(TINY.replace("A tiny original network", '"[red]x[/red] %s {0}"'))
    code, text = command(path)
    assert code == 0
    assert text.startswith("spec: [red]x[/red] %s {0}\n")
    graph = graph_of(path)
    program = replace(graph.program, title="\x1b[31mred\u202e")
    graph = replace(graph, program=program)
    told = report(judge([(graph, [])], whole=True), {})
    assert told.startswith("spec: �[31mred�\n")


def test_settings_reach_the_command() -> None:
    assert parse_settings(["depth=29"])["depth"] == 29
    code, text = command(ROOT / "specs/preact_bottleneck.yaml", "--set", "depth=29")
    assert code == 0
    assert "29 weight layers" in text


WRONG = MISTAKES["a forgotten tail and a projection from x and its BN"][0]


def allowing(text: str, *codes: str) -> str:
    return text.replace(
        "title: Small\n", f"title: Small\nallow: [{', '.join(codes)}]\n"
    )


def test_allowed_warnings_are_told_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(allowing(WRONG, "missing-tail", "normalised-projection"))
    code, text = command(path, "--strict")
    assert code == 1
    assert re.findall(r"warning\[(.*?)\]", text) == ["unactivated-projection"]
    ending = "warnings: spec 1\nallowed: normalised-projection 1, missing-tail 1\n"
    assert text.endswith(ending)


def test_what_is_allowed_is_not_strict(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    every = ("missing-tail", "normalised-projection", "unactivated-projection")
    path.write_text(allowing(WRONG, *every))
    code, text = command(path, "--strict")
    assert code == 0
    assert "1 network, no warnings\nallowed: " in text
    told = json.loads(command(path, "--json")[1])[0]["findings"]
    assert {f["code"]: f["allowed"] for f in told if f["code"]} == dict.fromkeys(
        every, True
    )


def test_an_allowed_code_that_nothing_needs_is_a_note(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    networks = "networks: {small14: {depth: 14}, resnet20: {depth: 14}}\n"
    path.write_text(allowing(PREACT, "wrong-depth", "idle-activation") + networks)
    code, text = command(path, "--strict")
    assert code == 0
    assert text.count("note[unused-allow]") == 1
    assert "'idle-activation' is not found here" in text
    assert text.endswith("2 networks, no warnings\nallowed: wrong-depth 1\n")
    notes = json.loads(command(path, "--json")[1])[0]["notes"]
    assert [note["code"] for note in notes] == ["unused-allow"]
    # of one network alone, it is not known what the others need
    assert "unused-allow" not in command(path, "--network", "small14")[1]
