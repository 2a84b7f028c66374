"""What is usually a mistake: activations that are missing, doubled or on the wrong side.

Published designs leave activations out on purpose, and none of these is told: gates read
what is there; a depthwise layer and the next are one separable convolution; a linear
bottleneck (MobileNetV2) hands few channels on to a layer that widens them; an embedding of
patches (ConvNeXt) is linear; F may be linear at both ends, between two normalisations
(PyramidNet).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from resgraph import codes
from resgraph.diagnostics import Code, Note, Span
from resgraph.graph import HEAD, Graph, Instance, Node
from resgraph.ops import POINT, Role, Shape
from resgraph.prove.finding import Finding, Topic
from resgraph.prove.parts import Parts, stacking
from resgraph.prove.passages import STRANGER, Mark, Passage, State, follow, passages
from resgraph.prove.sites import Stage, places

_LINEAR = "two weight layers with no activation between them are one linear map: put one there"
_SHARED = (
    "activate before the split, a: {from: x, ops: [bn, relu]}, and start h and F from a"
)
_BARE = "the authors' release has none: the next unit's normalisation sees the sum"
_STEM = ": the stem of a pre-activation network ends in its weight layer"
_NOTES = 2


@dataclass(frozen=True)
class _Suspicion:
    """A node under suspicion in one passage; equal ones of other passages are told with it."""

    code: Code
    node: Node
    text: str
    hint: str
    note: Note | None


@dataclass
class _Case:
    """A suspicion with every passage in which it arose."""

    suspicion: _Suspicion
    passages: list[Passage] = field(default_factory=list)
    notes: dict[Note, None] = field(default_factory=dict)


def mistakes(graph: Graph, network: Sequence[Stage], total: int) -> Iterator[Finding]:
    """Every place that looks wrong, each once, with all the units that have it."""
    cases: dict[tuple[str, str], _Case] = {}
    walked = passages(graph, network)
    last, stem = _endings(walked), _spans(graph.stem)
    for passage in walked:
        for suspicion in _suspicions(passage, last, stem):
            inside = suspicion.node.name.rpartition(".")[0]  # of which unit in the unit
            text = (
                suspicion.text.replace(f"{inside}.", "") if inside else suspicion.text
            )
            key = (str(suspicion.node.span), text)
            case = cases.setdefault(key, _Case(suspicion))
            if not (case.passages and case.passages[-1] is passage):
                case.passages.append(passage)
            if suspicion.note:
                case.notes.setdefault(suspicion.note)
    for case in cases.values():
        yield _told(case, total)


def _told(case: _Case, total: int) -> Finding:
    suspicion, node = case.suspicion, case.suspicion.node
    sites = [passage.site for passage in case.passages]
    units = [site for site in sites if not site.loose]
    where = places(units, total) if units else sites[0].unit()
    return Finding(
        suspicion.code,
        Topic.MISTAKE,
        f"{where}: {suspicion.text}" if where else suspicion.text,
        node.span,
        tuple(site.path(node) for site in sites),
        suspicion.hint,
        tuple(case.notes)[:_NOTES],
    )


def _endings(walked: Sequence[Passage]) -> set[int]:
    """What leads to the outputs with no residual or dense unit on the way: heads, by id."""
    readers: dict[int, list[Passage]] = {}
    for passage in walked:
        for source in passage.sources:
            readers.setdefault(id(source), []).append(passage)
    found = set[int]()
    for passage in reversed(walked):
        plain = not (passage.site.shortcuts or stacking(passage.instance))
        if plain and all(
            id(reader) in found for reader in readers.get(id(passage), ())
        ):
            found.add(id(passage))
    return found


def _spans(stem: Instance | None) -> set[Span]:
    return {node.span for node in stem.steps} if stem else set()


def _suspicions(
    passage: Passage, last: set[int], stem: set[Span]
) -> Iterator[_Suspicion]:
    told: set[Mark | None] = {None}
    for x, source in zip(passage.routes.inputs, passage.sources, strict=True):
        ends = id(passage) in last and source is not None and id(source) not in last
        if ends and source and (tail := _tail(passage, x, source)):
            told.add(passage.states.values[x].raw)
            yield tail
    early = _early(passage)
    for node, inputs in passage.inputs():
        raw = _raw(inputs)
        projects = early is not None and node in early.breaks_h
        if node.op.role is Role.WEIGHT and raw and raw not in told and not projects:
            yield from _linear(node, raw, passage)
        yield from _doubled(node, inputs, stem)
    yield from _unbounded(passage)
    if early is not None and not _ends_in_norm(passage, early):
        yield from _projected(early, passage)


def _raw(inputs: Sequence[State]) -> Mark | None:
    return next((state.raw for state in inputs if state.raw), None)


def _early(passage: Passage) -> Parts | None:
    """The parts of units that activate first, and of no others."""
    return next((p for p in passage.site.shortcuts if preactivated(passage, p)), None)


def preactivated(passage: Passage, parts: Parts) -> bool:
    """Whether f is the identity and F activates before its first weight, on its own."""
    return parts.is_identity_f and _activates_first(passage, parts.F)


def _activates_first(passage: Passage, nodes: Sequence[Node]) -> bool:
    """Whether there are weights among the nodes, and none reads x before an activation."""
    local, trunk = (
        follow(passage.site.plain, [STRANGER] * len(passage.sources)),
        passage.routes.trunk,
    )
    weights = [n for n in nodes if n.op.role is Role.WEIGHT and n.name in trunk]
    late = any(s.raw == STRANGER.raw for n in weights for s in local.reads[n.name])
    return bool(weights) and not late


def _ends_in_norm(passage: Passage, parts: Parts) -> bool:
    """Whether what F adds is normalised last, gates and other plain ops aside."""
    endings = passage.routes.endings(parts.F_values)
    return all(node.op.role is Role.NORM for node in endings)


def _on_purpose(node: Node, raw: Mark, passage: Passage) -> bool:
    """Whether published designs do without an activation between these weight layers."""
    shapes = passage.routes.shapes
    (read,) = passage.routes.reads[node.name]
    if raw.embeds or raw.lateral or _separable(raw, node, shapes[read]):
        return True
    if not _reads_from_outside(node, passage):
        return False
    widens = shapes[node.name][0] >= shapes[read][0]
    return (raw.narrows and widens) or _linear_at_both_ends(node, passage)


def _separable(raw: Mark, node: Node, shape: Shape) -> bool:
    """Whether the two are parts of one convolution: depthwise, or one of them and 1x1."""
    if not node.op.mixes(shape):
        return raw.pointwise or not raw.mixes
    return not raw.mixes and node.op.receptive_field() == POINT


def _reads_from_outside(node: Node, passage: Passage) -> bool:
    """Whether the unit's input reaches the node with no activation or weight between."""
    return any(state.raw == STRANGER.raw for state in passage.local.reads[node.name])


def _linear_at_both_ends(node: Node, passage: Passage) -> bool:
    """Whether F normalises its input before this weight, and its output, and f is none."""
    normalised = all(state.norm for state in passage.local.reads[node.name])
    return normalised and any(
        parts.is_identity_f and _ends_in_norm(passage, parts)
        for parts in passage.site.shortcuts
    )


def _linear(node: Node, raw: Mark, passage: Passage) -> Iterator[_Suspicion]:
    if _on_purpose(node, raw, passage):
        return
    text = f"{node.name} reads a value that has met no activation since the last weight layer"
    if _first_of_f(node, passage):
        text += ". It is the first weight of F: nothing activates F's input"
    note = _note("that weight layer", raw)
    yield _Suspicion(codes.UNACTIVATED_WEIGHT, node, text, _LINEAR, note)


def _first_of_f(node: Node, passage: Passage) -> bool:
    """Whether x reaches this node of F alone without an activation or a weight between."""
    inside = any(node in p.F and node not in p.h for p in passage.site.shortcuts)
    return inside and _reads_from_outside(node, passage)


def _projected(parts: Parts, passage: Passage) -> Iterator[_Suspicion]:
    """What is wrong with the projection of a pre-activation unit whose F ends in a weight.

    Where F ends in a normalisation so may the projection, and read what is there (Xception):
    the two are alike then.
    """
    behind = False
    for node in parts.breaks_h:
        if node.op.role is Role.WEIGHT:
            behind = True
            if (raw := _raw(passage.states.reads[node.name])) is not None:
                yield _unactivated(node, raw)
        elif node.op.role is Role.NORM and behind:
            text = f"{node.name} normalises the projection of a pre-activation unit by itself"
            hint = f"remove it: {_BARE}"
            yield _Suspicion(codes.NORMALISED_PROJECTION, node, text, hint, None)


def _unactivated(node: Node, raw: Mark) -> _Suspicion:
    text = (
        f"the projection {node.name} reads x before it is activated, where F activates it: "
        "a pre-activation unit that changes the shape lets both paths see the activation"
    )
    note = _note("the last weight layer", raw)
    return _Suspicion(codes.UNACTIVATED_PROJECTION, node, text, _SHARED, note)


def _unbounded(passage: Passage) -> Iterator[_Suspicion]:
    """Gates of several layers, and complements of gates, that end in a weight layer."""
    graph = passage.routes
    for name, node in graph.nodes.items():
        gates = graph.gates.get(name, frozenset()) if graph.only_scales(name) else ()
        states = dict(zip(graph.reads[name], passage.states.reads[name], strict=True))
        deep = [gate for gate in gates if graph.weights([gate]) > 1]
        for value in graph.reads[name] if node.op.complements else deep:
            if (raw := states[value].raw) is not None:
                text = f"{raw.name} ends a gate of {name}, and nothing bounds what it gives"
                hint = "end the gate in sigmoid"
                note = _note("that weight layer", raw)
                yield _Suspicion(codes.UNBOUNDED_GATE, node, text, hint, note)


def _doubled(
    node: Node, inputs: Sequence[State], stem: set[Span]
) -> Iterator[_Suspicion]:
    """A normalisation or an activation that only repeats an earlier one."""
    alone = inputs[0] if len(inputs) == 1 else State()
    if node.op.role is Role.NORM and alone.norm:
        text = f"{node.name} normalises again, with no weight layer since the last normalisation"
        yield _repeated(codes.REPEATED_NORM, node, text, alone.norm, stem)
    if node.op.role is not Role.ACTIVATION:
        return
    earlier = alone.activation
    if node.op.idle(*(state.never_negative for state in inputs)):
        text = f"{node.name} changes nothing: its input is never negative"
        yield _repeated(codes.IDLE_ACTIVATION, node, text, earlier, stem)
    elif earlier and earlier.kind == node.op.kind:
        text = f"{node.name} activates again, with no weight layer since the last activation"
        yield _repeated(codes.REPEATED_ACTIVATION, node, text, earlier, stem)


def _repeated(
    code: Code, node: Node, text: str, earlier: Mark | None, stem: set[Span]
) -> _Suspicion:
    if earlier is None:
        return _Suspicion(code, node, text, "remove it", None)
    in_stem = earlier.span in stem
    hint = f"remove one of them{_STEM if in_stem else ''}"
    return _Suspicion(code, node, text, hint, _note("the earlier one", earlier))


def _tail(passage: Passage, x: str, source: Passage) -> _Suspicion | None:
    """The activation that the last unit leaves to what follows it, if it is missing."""
    left, raw = [*_left_to_the_next(source)], passage.states.values[x].raw
    for node, inputs in passage.inputs() if left and raw else ():
        reach = node.op.receptive_field()
        whole = reach is not None and math.isinf(reach.last)
        weighty = whole or node.op.role is Role.WEIGHT
        if raw and weighty and any(state.raw == raw for state in inputs):
            merge = "addition" if source.site.shortcuts else "concatenation"
            text = (
                f"{node.name} reads the last {merge} without an activation: the last "
                "unit of a pre-activation network is followed by an extra one"
            )
            end = HEAD if passage.site.row.name == HEAD else "ops"
            hint = f"{end}: [{', '.join(left)}, {node.op.kind}, ...]"
            note = _note("the last weight layer", raw)
            return _Suspicion(codes.MISSING_TAIL, node, text, hint, note)
    return None


def _left_to_the_next(passage: Passage) -> Iterator[str]:
    """The ops by which units that activate first do so, as a spec writes them."""
    nodes = [node for node, _ in passage.inputs()]
    if passage.site.shortcuts:
        parts = passage.site.shortcuts[0]
        nodes = [*parts.before, *parts.F]
        first = preactivated(passage, parts)
    else:
        first = bool(stacking(passage.instance)) and _activates_first(passage, nodes)
    for node in nodes if first else ():
        if node.op.role is Role.WEIGHT:
            return
        if node.op.role in (Role.NORM, Role.ACTIVATION):
            yield node.op.kind


def _note(what: str, mark: Mark) -> Note:
    return Note(f"{what}, {mark.name}, is here", mark.span)
