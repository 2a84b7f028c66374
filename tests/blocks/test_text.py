"""The text form: digests stay as they were, and no two different programs share a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from resgraph.compiler import Compiler
from resgraph.expr import Condition, Expr
from resgraph.graph import (
    HEAD,
    STEM,
    Block,
    Call,
    Node,
    Param,
    Program,
    Row,
    Style,
    digest,
    text,
)
from resgraph.graph.uses import is_default
from resgraph.ops import OPS, Op
from tests.conftest import GOLDEN, ROOT
from tests.helpers import SPECS
from tests.programs import programs

FROZEN = [line.split() for line in (GOLDEN / "digests.txt").read_text().splitlines()]
"""Spec, network and digest, as they were before blocks stood in blocks. Never written anew."""


@cache
def digests(path: str) -> dict[str, str]:
    return {graph.name: digest(graph) for graph in Compiler().graphs(Path(path))}


@pytest.mark.parametrize(("path", "name", "frozen"), FROZEN, ids=lambda word: word[:40])
def test_digests_stay(path: str, name: str, frozen: str, root: Path) -> None:
    assert digests(path)[name] == frozen


def test_every_committed_network_is_frozen() -> None:
    specs = {path for path, _, _ in FROZEN}
    assert {f"specs/{p.name}" for p in (ROOT / "specs").glob("*.yaml")} <= specs


# --- what a program is, without its places ------------------------------------------------

COUNT = {
    Block: ("params", "inputs", "outputs", "nodes"),
    Param: ("name", "default"),
    Node: ("name", "inputs", "op", "when"),
    Row: ("name", "inputs", "calls", "style", "when"),
    Call: ("block", "args", "repeat", "given"),
}
"""The fields that make a program another one; the rest say where and why."""


def key(value: Any) -> Any:
    """A value that two programs share only if they are the same."""
    match value:
        case Program():
            units = [(unit.name, key(unit)) for unit in value.used]
            rows = [*value.network.rows]
            ends = [key(value.ends[r.name]) for r in rows if r.name in (STEM, HEAD)]
            results = [*value.network.results.items()]
            return repr((value.input, units, ends, key(tuple(rows)), results))
        case Expr() | Condition():
            return (type(value).__name__, repr(value.tree))
        case Op():
            return (value.kind, key(value.attributes()))
        case Mapping():
            return [(name, key(item)) for name, item in value.items()]
        case tuple() | list():
            return [key(item) for item in value]
    if isinstance(value, Block) and value.outputs is None:
        return [*(key(getattr(value, f)) for f in COUNT[Block]), value.output]
    if type(value) in COUNT:
        return [key(getattr(value, field)) for field in COUNT[type(value)]]
    return (type(value).__name__, str(value))


# --- every program that differs in one thing ----------------------------------------------


def changed(value: Any) -> Iterator[Any]:
    """The value with one thing in it changed, in every way."""
    match value:
        case Program():
            yield replace(value, input=(*value.input[:-1], value.input[-1] + 1))
            yield from (replace(value, network=n) for n in changed(value.network))
            for part in ("blocks", "ends"):
                blocks = getattr(value, part)
                for name in blocks:
                    for other in changed(blocks[name]):
                        yield replace(value, **{part: blocks | {name: other}})
        case bool():
            yield not value
        case int() | float() | Fraction():
            yield value + 1
        case str():
            yield value + "z"
        case Style():
            yield Style.SINGLE if value is Style.NUMBERED else Style.NUMBERED
        case Expr():
            yield Expr.parse(f"{value} + 1")
            yield Expr.parse(f"2 * ({value})")
        case Condition():
            yield Condition.parse(f"not ({value})")
            yield None
        case Op():
            yield OPS["sigmoid"]() if value.kind != "sigmoid" else OPS["relu"]()
            for name, given in value.attributes().items():
                yield from (value.having({name: other}) for other in changed(given))
        case Mapping():
            yield from _mapping(value)
        case tuple():
            yield from _items(value)
    if type(value) in COUNT:
        yield from _fields(value)


def _fields(value: Any) -> Iterator[Any]:
    for field in COUNT[type(value)]:
        if not _fixed(value, field):
            for other in changed(getattr(value, field)):
                yield replace(value, **{field: other})
    if isinstance(value, Node | Row) and value.when is None:
        yield replace(value, when=Condition.parse("in > 9"))
    if isinstance(value, Param) and value.default is None:
        yield replace(value, default=Fraction(1))


def _fixed(value: Any, field: str) -> bool:
    """Whether it cannot be otherwise: the stem and the head are what they are."""
    end = isinstance(value, Row) and value.style is Style.INLINE
    return end and field in ("style", "calls", "name")


def _mapping(value: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name in value:
        if is_default(value[name]):
            continue  # it is as the callee's parameter says
        for other in changed(value[name]):
            yield {**value, name: other}
        yield {n: item for n, item in value.items() if n != name}
        yield {f"{n}z" if n == name else n: item for n, item in value.items()}


def _items(value: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for i, item in enumerate(value):
        yield from ((*value[:i], other, *value[i + 1 :]) for other in changed(item))
        if len(value) > 1:
            yield (*value[:i], *value[i + 1 :])
    if len(value) > 1:
        yield (value[1], value[0], *value[2:])


def of(spec: str, folder: Path) -> Program:
    path = folder / "spec.yaml"
    path.write_text(spec, encoding="utf-8")
    return Compiler().graphs(path)[0].program


def plain(program: Program) -> str:
    return text(program).partition("\n")[2]


def possible(program: Program) -> bool:
    """Whether a spec could say it: every unit is there, a row that is not numbered has one,
    and stages are numbered and always there."""
    blocks = [*program.blocks.values(), *program.ends.values()]
    rows = [row for block in blocks for row in block.rows]
    stages = [*program.network.rows]
    calls = [call for row in (*rows, *stages) for call in row.calls]
    return (
        all(program.find(call) for call in calls)
        and all(r.style is not Style.SINGLE or r.calls[0].repeat == 1 for r in rows)
        and all(r.style is not Style.SINGLE and r.when is None for r in stages)
    )


def compare(found: list[Program]) -> None:
    keys: dict[str, str] = {}
    texts: dict[str, str] = {}
    for program in found:
        own, said = key(program), plain(program)
        assert keys.setdefault(said, own) == own, said
        assert texts.setdefault(own, said) == said


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[*HealthCheck],
)
@given(programs(), programs())
def test_no_two_programs_share_a_text(tmp_path: Path, one: str, other: str) -> None:
    first = of(one, tmp_path)
    near = [program for program in changed(first) if possible(program)]
    assert len(near) > 50
    compare([first, of(other, tmp_path), *near])


@pytest.mark.parametrize("name", ["tiny", "zoo", "nested/blocks"])
def test_no_other_program_has_the_text(name: str) -> None:
    for graph in Compiler().graphs(SPECS / f"{name}.yaml"):
        first = graph.program
        compare([first, *(p for p in changed(first) if possible(p))])


def test_a_parameter_that_is_called_as_an_op_is_told_from_it(tmp_path: Path) -> None:
    spec = """
resgraph: 1
title: A parameter called relu
units:
  inner: {params: [act], paths: {out: {from: x, ops: [act]}}}
  body:
    params: [{relu: sigmoid}]
    paths: {out: {from: x, ops: [{inner: {act: relu}}, {inner: {act: ACT}, name: b}]}}
network: {input: [4, 8, 8], stages: [[body]], head: [bn]}
"""
    parameter = of(spec.replace("ACT", "relu"), tmp_path)
    op = of(spec.replace("ACT", "{relu: {}}"), tmp_path)
    assert plain(parameter) != plain(op)
