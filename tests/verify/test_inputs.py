"""Networks of tokens and vectors, without weights, and with weights that nothing depends on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resgraph.cli.subjects import exporter
from resgraph.data import load_data
from resgraph.emit.torch_source import torch_source
from resgraph.infer import Classifier
from resgraph.verify import Check, Options, Present, Subject, load_generated, verify
from tests.helpers import graph_from, refused

RELU = "units: {{u: {{paths: {{out: {{from: x, ops: [relu]}}}}}}}}\n"
HEAD = "  head: [flatten, {{linear: {{features: 3}}}}]\n"
ENDS = "network:\n  input: {shape}\n  stages: [[u]]\n"
PLAIN = "resgraph: 1\ntitle: Small\n" + RELU + ENDS
BARE = PLAIN + "  outputs: {{y: stage1}}\n"
CLASSES = PLAIN + HEAD
SHAPES = ["[6]", "[4, 6]", "[2, 3, 3]"]
DEAD = """\
resgraph: 1
title: A weight that no output depends on
{recipe}
units:
  u:
    outputs: [p, q]
    paths:
      p: {{from: x, ops: [{first}]}}
      q: {{from: x, ops: [{{conv: {{kernel: 3, channels: 5}}}}]}}
network:
  input: [3, 8, 8]
  stages: {{s: [u]}}
  outputs: {{y: s.p}}
"""
CONV = "{conv: {kernel: 3, channels: 4}}"
RECIPES = [
    "",
    "train: {optimizer: adamw, weight_decay: 0.05}",
    "train: {clip_grad_norm: 0.1}",
]


def verified(text: str, folder: Path, edit: tuple[str, str] = ("", "")) -> list[Check]:
    """The checks of a spec; `edit` changes a word of its generated file."""
    graph = graph_from(text, folder)
    path = folder / f"{graph.name}.py"
    source = torch_source(graph, folder)
    assert edit[0] in source
    path.write_text(source.replace(*edit), encoding="utf-8")
    subject = Subject(graph, Present(load_generated(path)), exporter(graph, folder))
    return list(verify(subject, Options()))


def verdicts(found: list[Check]) -> dict[str, str]:
    return {check.name: str(check.verdict) for check in found}


@pytest.mark.parametrize("shape", SHAPES)
def test_any_input_is_verified_in_full(shape: str, tmp_path: Path) -> None:
    found = verdicts(verified(CLASSES.format(shape=shape), tmp_path))
    assert {*found.values()} == {"passed"}
    assert {"gradients: spec", "updates of SGD: spec", "ONNX on cpu, batch 3"} <= {
        *found
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_without_weights_there_are_no_gradients(shape: str, tmp_path: Path) -> None:
    found = verdicts(verified(BARE.format(shape=shape), tmp_path))
    left = [name for name, verdict in found.items() if verdict != "passed"]
    assert left == ["gradients and updates: spec"]
    assert found[left[0]] == "skipped"


@pytest.mark.parametrize("shape", SHAPES)
def test_without_weights_another_network_is_found(shape: str, tmp_path: Path) -> None:
    edit = (".relu(", ".tanh(")
    found = verified(BARE.format(shape=shape), tmp_path, edit)
    assert "failed" in verdicts(found).values()


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("first", ["relu", CONV])
def test_weights_that_no_output_depends_on(
    first: str, recipe: str, tmp_path: Path
) -> None:
    found = verified(DEAD.format(first=first, recipe=recipe), tmp_path)
    assert {*verdicts(found).values()} == {"passed"}
    (gradients,) = [check for check in found if check.name == "gradients: spec"]
    assert ("no output changes with a weight" in gradients.detail) == (first == "relu")


Feed = Callable[[Path, tuple[int, ...]], object]
FEEDS: dict[str, Feed] = {
    "data": lambda model, shape: load_data("digits", shape),
    "classifier": lambda model, shape: Classifier(model, "cpu"),
}


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize(
    ("shape", "told"), [("[6]", "a vector [C] = [6]"), ("[4, 6]", "tokens [T, C] =")]
)
def test_images_are_fed_to_networks_of_images(
    feed: str, shape: str, told: str, tmp_path: Path
) -> None:
    graph = graph_from(CLASSES.format(shape=shape), tmp_path)
    path = tmp_path / f"{graph.name}.py"
    path.write_text(torch_source(graph, tmp_path), encoding="utf-8")
    weights = Present(load_generated(path)).initial(0)
    model = exporter(graph, tmp_path)({n: w.numpy() for n, w in weights.items()})
    message = refused(lambda: FEEDS[feed](model.path, graph.input))
    assert told in message
