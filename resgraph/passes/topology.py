"""Check each unit as a graph: values known, used and reachable, no cycles, right arities."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resgraph import codes
from resgraph.diagnostics import (
    Diagnostic,
    Span,
    did_you_mean,
    like,
    meant,
    nearest,
)
from resgraph.graph import (
    HEAD,
    INPUT,
    OUTPUT,
    STEM,
    Block,
    Call,
    Node,
    Part,
    Path,
    Program,
)
from resgraph.graph.ir import Gaps
from resgraph.graph.uses import Uses
from resgraph.names import SOMETHING
from resgraph.passes.reads import Reads

if TYPE_CHECKING:
    import networkx as nx


def check_topology(program: Program, uses: Uses) -> list[Diagnostic]:
    """Findings on every unit, the stem, the head and the network, in the order of the spec."""
    check = _Check(program, uses)
    blocks = [*program.blocks.values(), *program.ends.values(), program.network]
    findings = [finding for block in blocks for finding in check.block(block)]
    return [*findings, *check.circles()]


@dataclass(frozen=True)
class _Check:
    program: Program
    uses: Uses

    def block(self, block: Block) -> Iterator[Diagnostic]:
        reads = Reads(self.program, self.uses)
        yield from _arities(block)
        if block.gaps.stranger:
            return
        if block.name in self.program.blocks:
            yield from reads.parameters(block)
            if OUTPUT not in block.values and block.outputs is None:
                yield from _no_output(block)
        elif block.name in self.program.ends:
            yield from reads.unknown_names(block)
            if block.paths and OUTPUT not in block.values:
                yield from _no_output(block)
        words = STAGES if block is self.program.network else PATHS
        if _plainly_sound(block):
            yield from self._unread(block)
            return
        if not block.gaps.paths:
            yield from _unknown(block, words, self._open(block))
        knots = _knots(block)
        yield from () if knots else self._unread(block)
        yield from _cycles(block, knots, words)
        yield from _late(block, knots, words)
        if block.outputs is not None or OUTPUT in block.values:
            yield from _unreachable(block, knots, words, self._nothing(block))

    def _nothing(self, block: Block) -> set[str]:
        """The network's stem, where it is none: nobody need start from it."""
        network = block is self.program.network
        return {STEM} if network and not self.program.ends[STEM].nodes else set()

    def _made(self, block: Block) -> set[str]:
        """The values that there are in a block."""
        made = {*block.inputs, *(node.name for node in block.nodes)}
        for row in block.rows:
            unit = self.program.find(row.calls[-1])
            made |= {f"{row.name}.{name}" for name in (unit.results if unit else ())}
        return made

    def _unread(self, block: Block) -> Iterator[Diagnostic]:
        """Outputs of units that are there for nothing, though others of the unit are read."""
        read = {i for node in block.nodes for i in node.inputs}
        read |= {*block.results.values()}
        if block.gaps != Gaps() or not read <= self._made(block):
            return  # what is not known may mean any of them
        for row in block.rows:
            unit = self.program.find(row.calls[-1])
            made = self._made(unit) if unit else set[str]()
            results = unit.results.items() if unit and not unit.gaps.paths else ()
            names = [name for name, value in results if value in made]
            dead = [n for n in names if f"{row.name}.{n}" not in read]
            if len(names) < 2 or len(dead) == len(names) or row.name in read:
                continue
            for name in dead:
                message = f"nothing reads the output '{name}' of '{row.name}'"
                hint = "what it alone needs is computed for nothing, and never learns"
                yield Diagnostic(codes.UNUSED_OUTPUT, message, row.span, hint)

    def _open(self, block: Block) -> set[str]:
        """The paths of which it is not known which values they have."""
        last = {node.path: node for node in block.nodes}
        return {name for name, node in last.items() if not self._closed(node)}

    def _closed(self, node: Part) -> bool:
        if isinstance(node, Node):
            return node.op.known
        unit = self.program.find(node.calls[-1])
        return unit is not None and not (unit.gaps.stranger or unit.gaps.paths)

    def circles(self) -> Iterator[Diagnostic]:
        """Units that are made of themselves, each circle once."""
        done = set[str]()
        for name in self.program.blocks:
            trail: list[tuple[str, Iterator[Call]]] = [(name, self._calls(name))]
            while trail:
                call = next(trail[-1][1], None)
                if call is None:
                    done.add(trail.pop()[0])
                    continue
                names = [each for each, _ in trail]
                if call.block in names:
                    route = [*names[names.index(call.block) :], call.block]
                    yield _circle(route, call)
                elif call.block not in done and call.block in self.program.blocks:
                    trail.append((call.block, self._calls(call.block)))

    def _calls(self, name: str) -> Iterator[Call]:
        rows = self.program.blocks[name].rows
        return (call for row in rows for call in row.calls)


@dataclass(frozen=True)
class Words:
    """What the parts of a block are called, and what it ends in."""

    part: str
    end: str
    whole: str


PATHS = Words("path", "'out'", "a unit")
STAGES = Words("stage", "what the network returns", "a network")


def _circle(route: Sequence[str], call: Call) -> Diagnostic:
    message = f"the unit '{route[0]}' is made of itself: {' -> '.join(route)}"
    hint = "a unit may use others, and these others again, but none that it is part of"
    return Diagnostic(codes.CIRCULAR_UNITS, message, call.span, hint)


def _no_output(block: Block) -> Iterator[Diagnostic]:
    if block.gaps.paths:
        return
    what = f"the unit '{block.name}'"
    if block.name in (STEM, HEAD):
        what = f"the {block.name}"
    yield Diagnostic(
        codes.MISSING_OUTPUT,
        f"{what} has no path 'out'",
        block.span,
        "out: {from: [x, F], ops: [add]} returns x + F(x)",
        missing=(*_holder(block), "paths", OUTPUT),
    )


def _holder(block: Block) -> tuple[str, ...]:
    """Where the block is written."""
    if block.name in (STEM, HEAD):
        return ("network", block.name)
    return ("units", block.name)


def _arities(block: Block) -> Iterator[Diagnostic]:
    several = {name for values in block.several.values() for name in values}
    for node in block.nodes:
        if isinstance(node, Node):
            yield from _op_arity(node)
        elif node.when is not None and any(_path(v) == node.path for v in several):
            message = "what makes several values cannot be left out: none would stand for them"
            hint = "let the condition be in the unit, on its paths"
            yield Diagnostic(codes.WRONG_INPUT_COUNT, message, node.span, hint)


def _op_arity(node: Node) -> Iterator[Diagnostic]:
    low, high = node.op.inputs
    if len(node.inputs) < low:
        hint = "name them in from: [x, F]" if low > 1 else None
        yield _arity(node, f"at least {low} values", len(node.inputs), hint)
    elif high is not None and len(node.inputs) > high:
        hint = "merge them first, with add, mul or concat"
        wanted = "one value" if high == 1 else f"{high}"
        yield _arity(node, wanted, len(node.inputs), hint)


def _arity(node: Node, wanted: str, got: int, hint: str | None) -> Diagnostic:
    message = f"{node.op.kind} takes {wanted}, and gets {got}"
    return Diagnostic(codes.WRONG_INPUT_COUNT, message, node.span, hint)


def _plainly_sound(block: Block) -> bool:
    """Whether every path reads from above, and each but the outputs is read below.

    Then the block is acyclic, all of it reaches its outputs, and networkx, whose import is
    a tenth of a second, has nothing to explain.
    """
    above, unread = {*_readable(block, block.inputs)}, {*block.inputs} - {INPUT}
    for path in block.paths:
        if not above.issuperset(path.sources):
            return False
        unread = unread.difference(map(_path, path.sources)) | {path.name}
        above |= _readable(block, [path.name])
    returned = {*_returned(block)}
    return above.issuperset(returned) and unread <= {*map(_path, returned)}


def _returned(block: Block) -> tuple[str, ...]:
    """The paths, or values of them, that the block returns."""
    if block.outputs is None:
        return (OUTPUT,)
    return block.returned


def _path(source: str) -> str:
    """The path of which a source names a value."""
    return source.partition(".")[0]


def _readable(block: Block, names: Iterable[str]) -> set[str]:
    """What can be read of these inputs and paths: of one that has several values, each."""
    return {value for name in names for value in block.several.get(name, (name,))}


def _sources(block: Block) -> Iterator[tuple[Path, str, Span]]:
    for path in block.paths:
        for source, span in zip(path.sources, path.source_spans, strict=True):
            yield path, source, span


def _unknown(
    block: Block, words: Words, unsure: Collection[str]
) -> Iterator[Diagnostic]:
    """Values that nothing makes; of the `unsure` paths, values of any name."""
    known = {*_readable(block, block.values)}
    in_stages = words is STAGES
    values = ("network", "stages") if in_stages else (*_holder(block), "paths")
    for path, source, span in _sources(block):
        if source not in known | {SOMETHING} and _path(source) not in unsure:
            ends = {path.name, HEAD} if in_stages else {path.name}
            others = [name for name in known if _path(name) not in ends]
            what = f"{_called(path, words)} starts from"
            finding = _unknown_value(block, source, span, what, others)
            yield replace(finding, missing=(*values, source))
    for source, span in zip(_returned(block), block.returned_spans, strict=False):
        if source not in known | {SOMETHING} and _path(source) not in unsure:
            finding = _unknown_value(block, source, span, "an output is", [*known])
            yield replace(finding, missing=(*values, source))


def _unknown_value(
    block: Block, source: str, span: Span, what: str, known: Sequence[str]
) -> Diagnostic:
    hint = did_you_mean(source, known)
    if source in block.several:
        values = " and ".join(block.several[source])
        hint = f"it has several values: name {values}"
    return Diagnostic(
        codes.UNKNOWN_VALUE, f"{what} an unknown value '{source}'", span, hint
    )


Knots = dict[str, frozenset[str]]
"""By path, the paths that it needs and that need it, itself among them; of a circle."""


def _knots(unit: Block) -> Knots:
    import networkx as nx

    knots: Knots = {}
    needs = _needs(unit)
    for knot in nx.strongly_connected_components(needs):
        if len(knot) > 1 or any(needs.has_edge(name, name) for name in knot):
            knots |= dict.fromkeys(knot, frozenset(knot))
    return knots


def _needs(unit: Block) -> nx.DiGraph[str]:
    """The paths, with an edge to each from those that it starts from."""
    import networkx as nx

    pairs = ((_path(s), p.name) for p in unit.paths for s in p.sources)
    return nx.DiGraph(pair for pair in pairs if pair[0] not in unit.inputs)


def _cycles(unit: Block, knots: Knots, words: Words) -> Iterator[Diagnostic]:
    """One finding per knot of paths that need one another."""
    import networkx as nx

    spans = {path.name: path.span for path in unit.paths}
    for knot in dict.fromkeys(knots.values()):
        first = next(name for name in spans if name in knot)
        edges = nx.find_cycle(_needs(unit).subgraph(knot), first)
        route = " -> ".join([edges[0][0], *(edge[1] for edge in edges)])
        yield Diagnostic(
            codes.CIRCULAR_PATHS,
            f"the {words.part}s of '{unit.name}' go in a circle: {route}",
            spans[first],
            f"{words.whole} is computed in one pass: start one of them from x",
        )


def _late(block: Block, knots: Knots, words: Words) -> Iterator[Diagnostic]:
    """Paths that start from one written below them, and not because of a circle."""
    done = {*block.inputs}
    order = {path.name: i for i, path in enumerate(block.paths)}
    for path, source, span in _sources(block):
        done |= {name for name, i in order.items() if i < order[path.name]}
        name = _path(source)
        circular = name in knots.get(path.name, ())
        if name in block.values and name not in done and not circular:
            yield Diagnostic(
                codes.USED_BEFORE_DEFINITION,
                f"{_called(path, words)} starts from '{name}', which comes later",
                span,
                f"write '{name}' above it: {words.whole} reads from top to bottom",
            )


def _unreachable(
    block: Block, knots: Knots, words: Words, nothing: set[str]
) -> Iterator[Diagnostic]:
    """Paths, and inputs, whose value never reaches an output, nor may be meant to.

    A path of a circle must start from another value, which may be any.
    """
    paths = {path.name: path for path in block.paths}
    values = [*paths, *block.inputs]
    pending = [*map(_path, _returned(block)), *meant(block.gaps.sources, values)]
    strange = {*pending} - {*values, SOMETHING}
    pending += meant(like(strange, values), values)
    needed = set[str]()
    while pending:
        name = pending.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in knots:
            return
        if name in paths:
            sources = {*map(_path, paths[name].sources)} - {SOMETHING}
            others = [n for n in values if n != name]
            pending += sources
            strange = sources - {*values}
            pending += meant(like(strange, others), others)
    strange = {_path(s) for path in block.paths for s in path.sources}
    strange = strange.union(map(_path, _returned(block))) - {*values, SOMETHING}
    nothing |= {name for name in paths if any(nearest(s, [name]) for s in strange)}
    yield from (
        _dead(path, block, words)
        for path in block.paths
        if path.name not in needed | nothing
    )
    for name in block.inputs:
        if name not in needed and name != INPUT and not block.gaps.paths:
            message = f"the input '{name}' never reaches {_end(block, words)}"
            span = block.input_spans.get(name, block.span)
            yield Diagnostic(codes.UNUSED_PATH, message, span, "remove it")


def _end(block: Block, words: Words) -> str:
    """What the block ends in, in words."""
    own = block.outputs is not None and words is PATHS
    return f"an output of '{block.name}'" if own else words.end


def _called(path: Path, words: Words) -> str:
    """A path in words: of a network's, which are stages, its ends are none."""
    end = words is STAGES and path.name in (STEM, HEAD)
    return f"the {path.name}" if end else f"the {words.part} '{path.name}'"


def _dead(path: Path, block: Block, words: Words) -> Diagnostic:
    what = _called(path, words)
    if words is STAGES:
        ops = "it would be computed for nothing"
        hint = (
            f"start another stage from '{path.name}', name it in outputs, or remove it"
        )
        if path.name in (STEM, HEAD):
            hint = "name it in outputs, or remove it"
    else:
        count = len(dict(block.chains)[path])
        ops = f"its {count} ops" if count > 1 else "its op"
        ops += " would be computed for nothing"
        hint = f"start another path from '{path.name}', or remove it"
    return Diagnostic(
        codes.UNUSED_PATH,
        f"{what} never reaches {_end(block, words)}: {ops}",
        path.span,
        hint,
    )
