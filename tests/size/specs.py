"""Specs of any size, as text."""

from __future__ import annotations

from collections.abc import Iterable

RESIDUAL = """\
  body:
    params: [width]
    paths:
      F: {from: x, ops: [bn, relu, {conv: {kernel: 3, channels: width}}]}
      out: {from: [x, F], ops: [add]}
"""


def spec(units: str, stages: str, width: int = 4) -> str:
    """A whole spec of these units and stages, on maps of `width` channels and 8x8."""
    return f"""\
resgraph: 1
title: Generated
units:
{units}
network:
  params: {{classes: 3}}
  input: [3, 8, 8]
  stem: [{{conv: {{kernel: 3, channels: {width}}}}}]
  stages:
{stages}
  head: [relu, global_avg_pool, {{linear: {{features: classes}}}}]
"""


def deep(repeat: int, width: int = 4) -> str:
    """One residual unit in a row."""
    return spec(
        RESIDUAL, f"    - [{{body: {{width: {width}}}, repeat: {repeat}}}]", width
    )


def plain(repeat: int) -> str:
    """As many layers, and nothing else."""
    unit = "  body: {paths: {out: {from: x, ops: [{conv: {kernel: 3, channels: 4}}]}}}"
    return spec(unit, f"    - [{{body: {{}}, repeat: {repeat}}}]")


def dense(repeat: int) -> str:
    """Units that each change the shape: as many distinct instances."""
    unit = """\
  body:
    paths:
      F: {from: x, ops: [bn, relu, {conv: {kernel: 3, channels: 2}}]}
      out: {from: [x, F], ops: [concat]}
"""
    return spec(unit, f"    - [{{body: {{}}, repeat: {repeat}}}]")


def one_unit(paths: Iterable[str]) -> str:
    """A network of one unit with these paths, each `name: {...}`."""
    lines = "".join(f"      {path}\n" for path in paths)
    return spec(f"  body:\n    paths:\n{lines}", "    - [body]")


def branches(count: int, op: str = "relu", reads: str = "x") -> str:
    """One unit of paths side by side, all added up."""
    names = [f"p{i}" for i in range(count)]
    paths = [f"{name}: {{from: {reads}, ops: [{op}]}}" for name in names]
    return one_unit([*paths, f"out: {{from: [x, {', '.join(names)}], ops: [add]}}"])


def chain(count: int, op: str) -> str:
    """One unit of so many ops in a row."""
    ops = ", ".join([op] * count)
    return one_unit(
        [f"F: {{from: x, ops: [{ops}]}}", "out: {from: [x, F], ops: [add]}"]
    )


def all_to_all(count: int) -> str:
    """One unit in which each path reads all the earlier ones: lines by the square."""
    names, paths = ["x"], []
    for i in range(count):
        merge = "add, relu" if i else "relu"
        paths.append(f"p{i}: {{from: [{', '.join(names)}], ops: [{merge}]}}")
        names.append(f"p{i}")
    return one_unit([*paths, f"out: {{from: [{', '.join(names)}], ops: [add]}}"])
