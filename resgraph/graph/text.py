"""The program as text: what `resgraph show --emit graph` prints and what the digest is of.

No two different programs have one text. What the language could say from the beginning is
written as it was then, so that digests stay; whatever came later has words of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from resgraph.expr import Expr
from resgraph.graph.ir import (
    HEAD,
    OUTPUT,
    STEM,
    Block,
    Call,
    Node,
    Part,
    Program,
    Row,
    row_values,
    stage_name,
)
from resgraph.graph.typed import Graph
from resgraph.graph.uses import is_default, word
from resgraph.names import INPUT
from resgraph.ops import OPS
from resgraph.values import Value, written


def text(graph: Graph | Program) -> str:
    """One line per op of each distinct unit, one line per use of a unit in each stage."""
    program = _program(graph)
    return "\n".join([f"network {program.name}", *_lines(program)]) + "\n"


def digest(graph: Graph | Program) -> str:
    """`sha256:` and 64 hex digits of the topology: names of layers count, of networks don't."""
    body = "\n".join(_lines(_program(graph))).encode()
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _program(graph: Graph | Program) -> Program:
    return graph.program if isinstance(graph, Graph) else graph


def _lines(program: Program) -> Iterator[str]:
    yield f"input {list(program.input)}"
    for unit in program.used:
        yield ""
        yield f"unit {unit.name}({_params(unit)})"
        yield from _body(unit)
    yield ""
    before: tuple[str, ...] = (INPUT,)
    for number, row in enumerate(program.network.rows):
        yield _heading(row, number)
        if row.inputs != before:
            yield f"  from {', '.join(row.inputs)}"
        if row.name in (STEM, HEAD):
            end = program.ends[row.name]
            yield from [f"  params {_params(end)}"] if end.params else []
            yield from _body(end)
        else:
            yield from (f"  {call_text(call)}" for call in row.calls)
        before = row_values(row.name, program.block(row.calls[-1]).results)
    if program.network.results != {OUTPUT: HEAD}:
        yield f"outputs {_results(program.network.results)}"


def _heading(row: Row, number: int) -> str:
    """`stage2` of the second stage, whether it has a name or not; `stage c2` of any other."""
    plain = row.name in (STEM, HEAD, stage_name(number))
    return row.name if plain else f"stage {row.name}"


def _params(block: Block) -> str:
    return ", ".join(
        p.name if p.default is None else f"{p.name}={written(p.default)}"
        for p in block.params
    )


def _body(block: Block) -> Iterator[str]:
    if block.inputs != (INPUT,):
        yield f"  inputs {', '.join(block.inputs)}"
    yield from (f"  {_node(node)}" for node in block.nodes)
    if block.outputs is None:
        yield f"  return {block.output}"
    else:
        yield f"  return {_results(block.outputs)}"


def _results(outputs: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in outputs.items())


def _node(node: Part) -> str:
    when = "" if node.when is None else f" when {node.when}"
    inputs = ", ".join(node.inputs)
    if isinstance(node, Node):
        values = [f"{k}={_attribute(v)}" for k, v in node.op.attributes().items()]
        listed = ", ".join([*node.inputs, *values])
        return f"{node.name} = {node.op.kind}({listed}){when}"
    (call,) = node.calls
    repeat = "" if node.prefix(0) == f"{node.name}." else f" x {_repeat(call)}"
    given = _given(call)
    return f"{node.name} = unit {_call(call)} of {inputs}{repeat}{given}{when}"


def _repeat(call: Call) -> str:
    return f"({call.repeat})" if isinstance(call.repeat, Expr) else str(call.repeat)


def _call(call: Call) -> str:
    own = ((n, v) for n, v in call.args.items() if not is_default(v))
    args = ", ".join(f"{name}={_argument(v)}" for name, v in own)
    return f"{call.block}({args})"


def _argument(value: Value | Expr) -> str:
    """A number in full; a parameter that is called as an op is, told from the op."""
    return f"({value})" if word(value) in OPS else written(value)


def _attribute(value: Value | Expr | int | float | None) -> str:
    """As Python has it."""
    return (
        str(value) if isinstance(value, Expr | int | float | None) else written(value)
    )


def call_text(call: Call) -> str:
    """The use of a unit as in the text form: `body(width=16) x 17`."""
    repeat = "" if call.repeat == 1 else f" x {_repeat(call)}"
    return f"{_call(call)}{repeat}{_given(call)}"


def _given(call: Call) -> str:
    """What the call reads of the network."""
    given = ", ".join(f"{name}={written(v)}" for name, v in call.given.items())
    return f" with {given}" if given else ""
