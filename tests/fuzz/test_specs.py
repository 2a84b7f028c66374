"""The short form of `python -m tests.fuzz specs` and `text`."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from resgraph.ops.weighted import Conv
from resgraph.syntax import Call
from tests.fuzz import target
from tests.fuzz.__main__ import run
from tests.fuzz.target import Outcome


@pytest.mark.parametrize(("target", "seed"), [("specs", 0), ("specs", 1), ("text", 0)])
def test_nothing_gets_through(target: str, seed: int) -> None:
    assert run(target, iter(range(25)), seed).faults == []


WRONG = {
    "another number": (
        Conv,
        "onnx",
        lambda old: (
            lambda op, g, *v, shapes: g.node("Neg", old(op, g, *v, shapes=shapes))
        ),
    ),
    "another layout": (
        Call,
        "__str__",
        lambda old: lambda tree: old(tree).replace(", ", ","),
    ),
    "an exception": (Conv, "shape", lambda old: lambda op, *inputs: 1 // 0),
    "another name": (
        Conv,
        "weights",
        lambda old: lambda op, *i: tuple(replace(w, name="w") for w in old(op, *i)),
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_seen(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, planted = WRONG[kind]
    monkeypatch.setattr(owner, name, planted(getattr(owner, name)))
    assert run("specs", iter(range(12)), 0).faults


def test_what_hangs_or_dies_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "SECONDS", 1)
    assert "SIGALRM" in target.contained(lambda: Outcome("", str(time.sleep(60)))).fault
    assert (
        "SIGKILL"
        in target.contained(lambda: Outcome("", str(os.kill(os.getpid(), 9)))).fault
    )
    large = target.contained(lambda: Outcome("", str(len(bytearray(2**40)))))
    assert "MemoryError" in large.fault
