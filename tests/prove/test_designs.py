"""What people build beside the published networks: small nets, with what is told of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from resgraph.compiler import Compiler
from tests.prove.common import warnings

Ops = list[Any]
B, R, G = "bn", "relu", "global_avg_pool"


def conv(kernel: int = 3, channels: int = 16, **attributes: Any) -> dict[str, Any]:
    return {"conv": {"kernel": kernel, "channels": channels, **attributes}}


def linear(features: int) -> dict[str, Any]:
    return {"linear": {"features": features}}


def path(source: Any, *ops: Any) -> dict[str, Any]:
    return {"from": source, "ops": [*ops]}


def residual(f: Ops, *after: Any, merge: str = "add") -> dict[str, Any]:
    return {"F": path("x", *f), "out": path(["x", "F"], merge, *after)}


POOLED = {G: {"keepdim": True}}
HALF = {"scale": {"factor": 0.5}}
DROPOUT = {"dropout": {"rate": 0.2}}
STEM, BARE = [conv(), B, R], [conv()]
HEAD = [G, linear(10)]
TAIL = [B, R, *HEAD]
POST = [conv(), B, R, conv(), B]
PRE = [B, R, conv(), B, R, conv()]
SQUEEZE = [POOLED, conv(1, 4), R, conv(1), "sigmoid"]
BRANCH = [R, conv(), B, R, conv(), B]
NARROW = [conv(1, 4), B, R, conv(3, 4), B, R, conv(1), B]

# Unit, stem, head: nothing is told of these.
FINE: dict[str, tuple[dict[str, Any], Ops, Ops]] = {
    "residual scaled to nothing at first": (
        residual([*POST, {"scale": {"factor": 0}}], R),
        STEM,
        HEAD,
    ),
    "pre-activation, scaled": (residual([*PRE, HALF]), BARE, TAIL),
    "an end in sigmoid": (residual(POST, R), STEM, [*HEAD, "sigmoid"]),
    "several linear layers": (
        residual(POST, R),
        STEM,
        [G, linear(32), R, DROPOUT, linear(16), R, *HEAD[1:]],
    ),
    "a stem of several convolutions": (
        residual(POST, R),
        [conv(stride=2, bias=True), R, conv(bias=True), R, conv(bias=True), R],
        HEAD,
    ),
    "a convolution at the end": (
        residual(POST, R),
        STEM,
        [conv(1, 10, bias=True), G],
    ),
    "two branches, averaged": (
        {
            "a": path("x", *BRANCH),
            "F": path("x", *BRANCH),
            "mean": path(["a", "F"], "add", HALF),
            "out": path(["x", "mean"], "add"),
        },
        [conv(), B],
        [R, *HEAD],
    ),
    "two bottlenecks": (
        {
            "a": path("x", *NARROW),
            "F": path("x", *NARROW),
            "out": path(["x", "a", "F"], "add", R),
        },
        STEM,
        HEAD,
    ),
    "cross-stage partial": (
        {
            "p": path("x", conv(1, 8), B, R),
            "q": path("x", conv(1, 8), B, R),
            "r": path("q", conv(1, 8), B, R, conv(3, 8), B, R),
            "s": path(["q", "r"], "add"),
            "out": path(["p", "s"], "concat", conv(1), B, R),
        },
        STEM,
        HEAD,
    ),
    "ReLU before the addition": (residual([*POST, R]), STEM, HEAD),
    "BN behind ReLU": (residual([conv(), R, B, conv(), R, B]), [conv(), R, B], HEAD),
    "residual attention": (
        {
            "t": path("x", *PRE),
            "m": path("t", B, R, conv(1), B, R, conv(1), "sigmoid"),
            "tm": path(["t", "m"], "mul"),
            "out": path(["x", "t", "tm"], "add"),
        },
        BARE,
        TAIL,
    ),
    "gated linear unit": (
        {
            "a": path("x", conv()),
            "g": path("x", conv(), "sigmoid"),
            "F": path(["a", "g"], "mul", B),
            "out": path(["x", "F"], "add"),
        },
        STEM,
        HEAD,
    ),
    "swish": (
        {
            "p": path("x", conv(), B),
            "q": path("p", "sigmoid"),
            "F": path(["p", "q"], "mul", conv(), B),
            "y": path(["x", "F"], "add"),
            "z": path("y", "sigmoid"),
            "out": path(["y", "z"], "mul"),
        },
        STEM,
        HEAD,
    ),
    "a gate on the shortcut": (
        {
            "w": path("x", *SQUEEZE),
            "h": path(["x", "w"], "mul"),
            "F": path("x", *PRE),
            "out": path(["h", "F"], "add"),
        },
        BARE,
        TAIL,
    ),
    "dense with dropout": (
        residual([B, R, conv(3, 4), DROPOUT], merge="concat"),
        BARE,
        TAIL,
    ),
    "BN in a pre-activation stem, for the shortcut": (
        residual(PRE),
        [conv(), B],
        TAIL,
    ),
    "BN last in F": (residual([*PRE, B]), BARE, TAIL),
    "group convolutions around a depthwise one": (
        residual(
            [
                conv(1, groups=4),
                B,
                R,
                conv(groups=16),
                B,
                conv(1, groups=4),
                B,
            ],
            R,
        ),
        STEM,
        HEAD,
    ),
    "vectors": (
        residual([R, linear(32), R, linear(32)]),
        ["flatten", linear(32)],
        [R, linear(10)],
    ),
    "one linear map": ({"out": path("x", "flatten")}, [], [linear(10)]),
}

WRONG: dict[str, tuple[dict[str, Any], Ops, Ops, str]] = {
    "a dense network without a tail": (
        residual([B, R, conv(3, 4)], merge="concat"),
        BARE,
        HEAD,
        "missing-tail",
    ),
    "a separable network without any activation": (
        {"out": path("x", conv(groups=16), B, conv(1), B)},
        STEM,
        HEAD,
        "unactivated-weight",
    ),
    "two linear layers": (
        residual(POST, R),
        STEM,
        [G, linear(32), *HEAD[1:]],
        "unactivated-weight",
    ),
    "the complement of what no sigmoid bounds": (
        {
            "t": path("x", conv(1)),
            "k": path("t", "one_minus"),
            "h": path(["k", "x"], "mul"),
            "F": path("x", *POST),
            "out": path(["h", "F"], "add", R),
        },
        STEM,
        HEAD,
        "unbounded-gate",
    ),
    "a stem that does what the units do": (
        residual(PRE),
        STEM,
        TAIL,
        "repeated-norm",
    ),
    "units that activate last, and first": (
        residual(PRE, R),
        BARE,
        HEAD,
        "repeated-activation",
    ),
}


def told(unit: dict[str, Any], stem: Ops, head: Ops, folder: Path) -> set[str]:
    spec = folder / "spec.yaml"
    network = {"input": [3, 32, 32], "stem": stem, "head": head}
    tree = {
        "resgraph": 1,
        "title": "A design",
        "units": {"unit": {"paths": unit}},
        "network": network | {"stages": [[{"unit": {}, "repeat": 3}]]},
    }
    spec.write_text(json.dumps(tree), encoding="utf-8")
    (graph,) = Compiler().graphs(spec)
    return {finding.code.name for finding in warnings(graph) if finding.code}


@pytest.mark.parametrize("name", FINE)
def test_nothing_is_told(name: str, tmp_path: Path) -> None:
    assert told(*FINE[name], tmp_path) == set()


@pytest.mark.parametrize("name", WRONG)
def test_a_warning_is_told(name: str, tmp_path: Path) -> None:
    unit, stem, head, code = WRONG[name]
    assert told(unit, stem, head, tmp_path) == {code}
