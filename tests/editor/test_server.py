"""The JSON Schema in a YAML language server, the one inside VS Code's YAML extension."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resgraph.ops import OPS
from resgraph.recipe import Recipe
from resgraph.spec.model import Network, Spec, Unit
from resgraph.spec.model import Path as SpecPath
from tests.conftest import ROOT
from tests.editor.client import Server

HERE = Path(__file__).parent
SPECS = sorted((ROOT / "specs").glob("*.yaml"))
GOOD = (ROOT / "specs" / "preact_basic.yaml").read_text()
MODELINE = "# yaml-language-server: $schema=schema.json\n"
CURSOR = "|"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    if shutil.which("node") is None:
        pytest.skip("needs Node.js")
    own = HERE / "node_modules" / ".bin" / "yaml-language-server"
    found = str(own) if own.exists() else shutil.which("yaml-language-server")
    if found is None:
        pytest.skip("no yaml-language-server: npm ci --prefix tests/editor")
    running = Server([found, "--stdio"], ROOT)
    yield running
    running.stop()


def opened(server: Server, text: str) -> Path:
    """The text as an unsaved file beside the specs."""
    path = ROOT / "specs" / f"unsaved-{uuid.uuid4().hex}.yaml"
    server.open(path, text)
    return path


def place(text: str, index: int) -> tuple[int, int]:
    """Line and column of an index, from 0."""
    return text.count("\n", 0, index), index - text.rfind("\n", 0, index) - 1


def complete(server: Server, text: str) -> dict[str, str]:
    """What is offered at the cursor: labels, and what each explains."""
    index = text.index(CURSOR)
    without = text.replace(CURSOR, "", 1)
    path = opened(server, without)
    found = server.at("completion", path, *place(without, index))
    return {item["label"]: _words(item.get("documentation")) for item in found["items"]}


def _words(documentation: Any) -> str:
    if isinstance(documentation, dict):
        return str(documentation["value"])
    return documentation or ""


def test_no_complaint_about_a_committed_spec(server: Server) -> None:
    for spec in SPECS:
        server.open(spec, spec.read_text())
    assert {s.name: found for s in SPECS if (found := server.diagnostics(s))} == {}


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("- bn\n", "- 5\n", '"bn"'),
        ("- bn\n", "- {bn: {}, repeat: 0}\n", "minimum of 1"),
        ("- bn\n", "- {bn: {}, when: 5}\n", "string, boolean"),
        ("kernel: 3", "kernl: 3", "kernl is not allowed"),
        ("kernel: 3", "kernel: [3]", "integer, string"),
        ("kernel: 3", "kernel: 0", "minimum of 1"),
        ("kernel: 3, ", "", 'Missing property "kernel"'),
        ("paths:", "path:", "path is not allowed"),
        ("from: x", "from: {x: y}", "string, array"),
        ("input: [3, 32, 32]", "input: [1, 3, 32, 32]", "too many items"),
        ("  head:", "  haed:", "haed is not allowed"),
        ("title: Full", "titel: Full", "titel is not allowed"),
        ("recipe: he2016", "recipe: he2017", "he2016"),
        ("resgraph: 1", "resgraph: 2", "Value must be 1"),
        ("  body:", "  my-body:", "my-body is not allowed"),
    ],
)
def test_a_mistake_is_marked_on_its_line(
    server: Server, right: str, wrong: str, said: str
) -> None:
    line = place(GOOD, GOOD.index(right))[0]
    found = server.diagnostics(opened(server, GOOD.replace(right, wrong, 1)))
    lines = [d["range"]["start"]["line"] for d in found if said in d["message"]]
    assert lines == [line], found


def test_a_missing_network_is_told_unless_it_is_inherited(server: Server) -> None:
    start = GOOD.index("network:")
    alone = GOOD[:start] + GOOD[GOOD.index("networks:") :]
    found = server.diagnostics(opened(server, alone))
    assert [d["message"] for d in found] == ['Missing property "network".']
    extending = opened(server, alone + "extends: original_basic.yaml\n")
    assert server.diagnostics(extending) == []


REMOVING = """\
extends: [original_basic.yaml, conv_shortcut.yaml]
title: ~
units: {down: ~, body: {params: ~, paths: {F: ~, h: {ops: ~}}}}
network: {head: ~, params: {n: ~}}
train: {lr: ~, optimizer: ~, warmup: ~}
"""


def test_what_is_inherited_may_be_removed(server: Server) -> None:
    assert server.diagnostics(opened(server, MODELINE + REMOVING)) == []


@pytest.mark.parametrize("key", ["  head:", "title:", "      out:"])
def test_nothing_is_no_value_where_nothing_is_inherited(
    server: Server, key: str
) -> None:
    line = place(GOOD, GOOD.index(key))[0]
    lines = GOOD.splitlines()
    lines[line] = f"{key} ~"
    found = server.diagnostics(opened(server, "\n".join(lines)))
    assert [d["range"]["start"]["line"] for d in found] == [line]


def test_ops_are_completed(server: Server) -> None:
    """By their names, and explained in the words of their classes."""
    offered = complete(server, GOOD.replace("- bn\n", f"- {CURSOR}\n", 1))
    assert set(OPS) <= set(offered)
    for kind, op in OPS.items():
        assert (op.__doc__ or "").splitlines()[0] in offered[kind]


@pytest.mark.parametrize("kind", OPS)
def test_attributes_are_completed(server: Server, kind: str) -> None:
    line = f"          - {kind}:\n              {CURSOR}\n"
    offered = complete(server, GOOD.replace("          - bn\n", line, 1))
    for name, field in OPS[kind].model_fields.items():
        assert (field.description or "") in offered[name]


@pytest.mark.parametrize(
    ("before", "model"),
    [
        ("", Spec),
        ("units:\n  body:\n    ", Unit),
        ("units:\n  body:\n    paths:\n      F:\n        ", SpecPath),
        ("network:\n  ", Network),
        ("train:\n  ", Recipe),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_keys_are_completed(server: Server, before: str, model: type[Spec]) -> None:
    offered = complete(server, f"{MODELINE}{before}{CURSOR}\n")
    keys = {field.alias or name for name, field in model.model_fields.items()}
    assert keys <= set(offered)


@pytest.mark.parametrize(
    ("place_of", "said"),
    [
        ("conv: {", "2-d convolution"),
        ("kernel: 3", "Side of the square kernel"),
        ("kernel: 3", "a positive whole number, or arithmetic over parameters"),
        ("bn\n", "Batch normalisation"),
        ("add]", "Eq. (1)"),
        ("paths:", "'out' is what the unit returns"),
        ("F:\n", "A chain of ops"),
        ("from: x", "it starts from"),
        ("stages:", "each a list of units"),
        ("repeat: n", "follow one another"),
        ("recipe: ", "CIFAR recipe"),
    ],
)
def test_hover_explains(server: Server, place_of: str, said: str) -> None:
    index = GOOD.index(place_of, GOOD.index("units:")) + 1
    shown = server.at("hover", opened(server, GOOD), *place(GOOD, index))
    assert said in shown["contents"]["value"].replace("\\", "")
    assert "||" not in shown["contents"]["value"], "one explanation, not several"


NESTED = (ROOT / "tests" / "specs" / "nested" / "blocks.yaml").read_text()


def test_no_complaint_about_blocks_within_blocks(server: Server) -> None:
    assert server.diagnostics(opened(server, MODELINE + NESTED)) == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("when: gated", "when: 5", "string, boolean"),
        ("repeat: 2, name", "repeat: 0, name", "minimum of 1"),
        ("name: deep", "name: 3", "string"),
        ("units: [{merge", "unit: [{merge", "unit is not allowed"),
        ("from: c1.low", "from: 5", "string, array"),
        ("inputs: [below, skip]", "inputs: below", "array"),
        ("outputs: [low, high]", "outputs: low", "object, array"),
        ("outputs: {map", "output: {map", "output is not allowed"),
        ("d1:", "d-1:", "d-1 is not allowed"),
    ],
)
def test_a_mistake_in_blocks_is_marked_on_its_line(
    server: Server, right: str, wrong: str, said: str
) -> None:
    line = place(MODELINE + NESTED, (MODELINE + NESTED).index(right))[0]
    text = MODELINE + NESTED.replace(right, wrong, 1)
    found = server.diagnostics(opened(server, text))
    lines = [d["range"]["start"]["line"] for d in found if said in d["message"]]
    assert line in lines, found


@pytest.mark.parametrize(
    ("before", "keys"),
    [
        (
            "units:\n  body:\n    paths:\n      F:\n        ops:\n"
            "          - se: {}\n            ",
            {"when", "repeat", "name"},
        ),
        ("network:\n  stages:\n    c1:\n      ", {"from", "units"}),
        ("network:\n  head:\n    ", {"from", "inputs", "ops", "paths"}),
        ("network:\n  stages:\n    - - body: {}\n        ", {"repeat"}),
    ],
    ids=["beside a unit", "a stage", "the head", "beside a stage's unit"],
)
def test_keys_of_blocks_are_completed(
    server: Server, before: str, keys: set[str]
) -> None:
    assert keys <= set(complete(server, f"{MODELINE}{before}{CURSOR}\n"))


@pytest.mark.parametrize(
    ("place_of", "said"),
    [
        ("when: gated", "It is there only where this holds"),
        ("repeat: 2, name", "How many such units"),
        ("name: deep", "The name of a unit's layers"),
        ("inputs: [below", "the values that come in"),
        ("outputs: [low", "the values that are returned"),
        ("outputs: {map", "whose values the network returns"),
        ("d1:", "what the stage starts from"),
        ("from: c1.low", "Earlier stages, stem, or x"),
        ("se: {width", "A unit's arguments"),
    ],
)
def test_hover_explains_blocks(server: Server, place_of: str, said: str) -> None:
    text = MODELINE + NESTED
    index = text.index(place_of) + 1
    shown = server.at("hover", opened(server, text), *place(text, index))
    assert said in shown["contents"]["value"].replace("\\", "")
    assert "||" not in shown["contents"]["value"], "one explanation, not several"


def test_an_empty_file_is_offered_a_skeleton(server: Server) -> None:
    found = server.at("completion", opened(server, MODELINE + "\n"), 1, 0)["items"]
    whole = [item for item in found if "resgraph spec" in item["label"]]
    assert len(whole) == 1
    text = whole[0]["textEdit"]["newText"]
    keys = [line for line in text.splitlines() if not line.startswith(" ")]
    assert [key.partition(":")[0] for key in keys] == [
        "resgraph",
        "title",
        "units",
        "network",
    ]
