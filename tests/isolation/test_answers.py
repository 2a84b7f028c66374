"""What comes from the other process: the same flows and numbers, or an error."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resgraph.diagnostics import ResgraphError
from resgraph.isolation import Message
from resgraph.isolation.messages import read_message, write_message
from resgraph.recipe import HE2016
from resgraph.train import load_generated
from resgraph.verify import Present
from resgraph.verify.apart import Apart
from resgraph.verify.flow import Flow
from resgraph.verify.isomorphism import Match, match
from resgraph.verify.numbers import Batch, Point
from resgraph.verify.rule import Rule
from resgraph.verify.telling import heard, told
from resgraph.verify.witness import Naming, Task
from tests.conftest import ROOT

GENERATED = sorted((ROOT / "generated").glob("*.py"))
SHALLOW = [p for p in GENERATED if not p.stem.startswith(("resnet1001", "resnet1202"))]

SHAPE = (3, 16, 16)
LOGITS = {"logits": (10,)}
"""The outputs of the networks here, with their shapes without the batch."""


@pytest.fixture
def both(tiny: Path) -> Iterator[tuple[Present, Apart]]:
    text = tiny.read_text()
    with closing(Apart(tiny, text)) as apart:
        yield Present(load_generated(tiny, text)), apart


def same(ours: Flow, theirs: Flow) -> bool:
    """The same steps, to the last attribute's text, and the same values."""
    assert replace(ours, values=()) == replace(theirs, values=())
    assert repr(ours.steps) == repr(theirs.steps)
    pairs = zip(ours.values, theirs.values, strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_both_witnesses_say_the_same(both: tuple[Present, Apart]) -> None:
    here, there = both
    assert here.declared() == there.declared()
    first, second = here.initial(3), there.initial(3)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert same(here.flows(SHAPE).training, there.flows(SHAPE).training)
    assert same(here.flows(SHAPE).inference, there.flows(SHAPE).inference)
    doubles = {n: t.double() for n, t in first.items() if t.is_floating_point()}
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    momentum = {n: torch.ones_like(t) for n, t in doubles.items() if "running" not in n}
    kept = {"momentum_buffer": momentum}
    points = [Point(doubles), Point(doubles, kept, 1)]
    batch, rule = Batch(images, torch.arange(4)), Rule(HE2016, 0.1)
    naming = Naming({name: name for name in doubles}, LOGITS)
    task = Task(points, batch, rule, [*momentum], naming)
    torch.set_num_threads(1)
    for ours, theirs in zip(here.computed(task), there.computed(task), strict=True):
        assert ours.keys() == theirs.keys()
        for quantity, tensors in ours.items():
            assert tensors.keys() == theirs[quantity].keys()
            assert all(torch.equal(t, theirs[quantity][n]) for n, t in tensors.items())
    images = images.float()
    given = {n: first[n] for n in doubles}
    ours, theirs = (w.outputs(LOGITS, given, images, "cpu") for w in (here, there))
    assert ours.keys() == theirs.keys() == {"logits"}
    assert torch.equal(ours["logits"], theirs["logits"])
    for training in (True, False):
        recorded = [
            w.recorded(naming, doubles, images.double(), training)
            for w in (here, there)
        ]
        assert same(*recorded)


@pytest.mark.parametrize("path", SHALLOW, ids=lambda path: path.stem)
def test_a_flow_is_told_and_heard(path: Path) -> None:
    flow = Present(load_generated(path)).flows((3, 32, 32)).training
    again = heard(json.loads(json.dumps(told(flow))))
    assert same(flow, again)
    assert isinstance(match(flow, again), Match)


def test_what_json_lacks_equals_what_is_printed_alike() -> None:
    class Conv(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.to(torch.float16, memory_format=torch.channels_last).cumsum(1)

    from resgraph.verify.trace import trace

    flow = trace(Conv(), (3, 4, 4), training=True)
    again = heard(json.loads(json.dumps(told(flow))))
    assert repr(again.steps) == repr(flow.steps)
    assert isinstance(match(flow, again), Match)


DAMAGE: dict[str, Any] = {
    "no steps": lambda flow: flow.pop("steps"),
    "nothing of outputs": lambda flow: flow.pop("outputs"),
    "no output": lambda flow: flow.update(outputs=[]),
    "an output beyond": lambda flow: flow["outputs"].append(10**6),
    "an output before": lambda flow: flow["outputs"].append(-2),
    "an output in words": lambda flow: flow["outputs"].append("last"),
    "outputs in words": lambda flow: flow.update(outputs="last"),
    "a truth for a number": lambda flow: flow["outputs"].append(True),
    "nothing of names": lambda flow: flow.pop("names"),
    "a name too many": lambda flow: flow["names"].append("more"),
    "an edge forwards": lambda flow: flow["steps"][0].update(inputs=[1]),
    "an edge from nowhere": lambda flow: flow["steps"][0].update(inputs=[-2]),
    "a shape in words": lambda flow: flow["steps"][0].update(shape=["wide"]),
    "weights of one part": lambda flow: flow["steps"][0].update(weights=[["weight"]]),
    "a step that is none": lambda flow: flow["steps"].append(None),
    "an attribute of any class": lambda flow: flow["steps"][0].update(
        attributes=[["x", {"class": ["os", "system"], "fields": {"command": "true"}}]]
    ),
    "an attribute of no dataclass": lambda flow: flow["steps"][0].update(
        attributes=[["x", {"class": ["resgraph.verify.trace", "trace"], "fields": {}}]]
    ),
    "a type that is none": lambda flow: flow["steps"][0].update(
        attributes=[["x", {"dtype": "load"}]]
    ),
    "an unknown form": lambda flow: flow["steps"][0].update(attributes=[["x", {}]]),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_no_flow_is_refused(case: str) -> None:
    flow = told(Present(load_generated(SHALLOW[0])).flows((3, 32, 32)).training)
    heard(copy.deepcopy(flow))
    DAMAGE[case](flow)
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        heard(flow)


def task_of(there: Apart) -> Task:
    start = {
        n: t.double() for n, t in there.initial(0).items() if t.is_floating_point()
    }
    momentum = {n: torch.ones_like(t) for n, t in start.items() if "running" not in n}
    batch = Batch(torch.zeros(2, 3, 16, 16, dtype=torch.float64), torch.zeros(2).long())
    return Task(
        [Point(start), Point(start, {"momentum_buffer": momentum}, 1)],
        batch,
        Rule(HE2016, 0.1),
        [*momentum],
        Naming({name: name for name in start}, LOGITS),
    )


ODD: dict[str, tuple[str, str]] = {
    "float32": ("x.float()", "passes"),
    "no logits": ("None", "NoneType"),
    "another batch": ("x[:1]", "batch"),
    "fewer classes": ("x[:, 1:]", "of shape [2, 9]"),
    "a map": ("x[:, :, None]", "of shape [2, 10, 1]"),
    "two vectors": ("x, x", "returns 2 tensors, and not 1"),
    "whole numbers": ("x.long()", "Long"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_logits_are_told(case: str, tiny: Path) -> None:
    """Whether torch refuses them in the other process, or this one by their shape."""
    code, message = ODD[case]
    last = "return self.head_linear(x)"
    text = tiny.read_text()
    assert last in text
    text = text.replace(last, f"x = self.head_linear(x)\n        return {code}")
    with closing(Apart(tiny, text)) as there:
        if message == "passes":  # float64 is kept, whatever a module casts to
            there.computed(task_of(there))
            return
        with pytest.raises(ResgraphError) as error:
            there.computed(task_of(there))
    assert message in error.value.message
    assert "tiny.py is not verified" in error.value.message


def test_numbers_that_were_not_asked_for(both: tuple[Present, Apart]) -> None:
    _, there = both
    shapes = {"gradients": {"a": (2, 3)}}
    good = np.zeros((2, 3))
    found = there._numbers(Message({}, {"gradients/a": good}), shapes)
    assert torch.equal(found["gradients"]["a"], torch.zeros(2, 3).double())
    for arrays, message in [
        ({}, "has no gradients/a"),
        ({"gradients/a": good, "gradients/b": good}, "not asked for: gradients/b"),
        ({"gradients/a": good.T}, "as torch.float64 of shape [3, 2]"),
        ({"gradients/a": good.astype(np.float32)}, "as torch.float32"),
        ({"gradients/a": good.astype(bool)}, "as torch.bool"),
        ({"gradients/a": good.astype(np.uint16)}, "in torch.uint16"),
        ({"gradients/a": np.zeros((2, 3, 1))}, "of shape [2, 3, 1]"),
    ]:
        with pytest.raises(ResgraphError) as error:
            there._numbers(Message({}, arrays), shapes)
        assert message in error.value.message


def test_a_message_is_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "answer"
    sent = Message({"a": [1, None, "é"]}, {"x": np.arange(6.0).reshape(2, 3).T})
    write_message(path, sent)
    got = read_message(path)
    assert got.values == sent.values
    assert np.array_equal(got.arrays["x"], sent.arrays["x"])
    data = path.read_bytes()
    for size in (0, 7, 8, 50, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"."):
            read_message(path)
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")  # a pickle
    with pytest.raises(ValueError, match=r"."):
        read_message(path)
    path.unlink()
    with pytest.raises(OSError, match=r"."):
        read_message(path)
