"""What is usually a mistake: activations that are missing, doubled or on the wrong side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from resgraph.diagnostics import Note
from resgraph.graph import INPUT, Graph, Instance, Node
from resgraph.ops import Role
from resgraph.prove.finding import Finding, Level, Topic
from resgraph.prove.flow import STRANGER, Flow, Mark, State, flows, follow
from resgraph.prove.parts import Parts
from resgraph.prove.sites import Site, places, units

_LINEAR = "two weight layers with no activation between them are one linear map: put one there"
_SHARED = (
    "activate before the split, a: {from: x, ops: [bn, relu]}, and start h and F from a"
)
_BARE = "the authors' release has none: the next unit's normalisation sees the sum"
_TWICE = (
    "remove one of them: the stem of a pre-activation network ends in its weight layer"
)
_NOTES = 2


@dataclass(frozen=True)
class _Suspicion:
    """A node under suspicion in one flow; equal ones of other flows are told with it."""

    node: Node
    text: str
    hint: str
    note: Note | None


@dataclass
class _Case:
    """A suspicion with every flow in which it arose."""

    suspicion: _Suspicion
    flows: list[Flow] = field(default_factory=list)
    notes: dict[Note, None] = field(default_factory=dict)


def mistakes(graph: Graph, found: Sequence[Site]) -> Iterator[Finding]:
    """Every suspect place, each once, with all the units that have it."""
    cases: dict[tuple[str, str], _Case] = {}
    walked = flows(graph, tuple(found))
    for flow in walked:
        for suspicion in _suspicions(flow, walked):
            key = (str(suspicion.node.span), suspicion.text)
            case = cases.setdefault(key, _Case(suspicion))
            case.flows.append(flow)
            if suspicion.note:
                case.notes.setdefault(suspicion.note)
    for case in cases.values():
        yield _told(case, units(found))


def _told(case: _Case, total: int) -> Finding:
    suspicion, node = case.suspicion, case.suspicion.node
    chosen = [flow.site for flow in case.flows if flow.site]
    where = f"{places(chosen, total)}: " if chosen else ""
    return Finding(
        Level.SUSPECT,
        Topic.MISTAKE,
        f"{where}{suspicion.text}",
        node.span,
        tuple(flow.path(node) for flow in case.flows),
        suspicion.hint,
        tuple(case.notes)[:_NOTES],
    )


def _suspicions(flow: Flow, walked: Sequence[Flow]) -> Iterator[_Suspicion]:
    tail = _tail(flow, walked[-2]) if flow is walked[-1] else None
    told = flow.states[INPUT].raw if tail else None
    if tail is not None:
        yield tail
    early = flow.parts is not None and preactivated(flow.instance, flow.parts)
    for node, inputs in flow.inputs():
        raw = next((state.raw for state in inputs if state.raw), None)
        if node.op.role is Role.WEIGHT and raw is not None:
            if early and flow.parts and node in flow.parts.breaks_h:
                yield _projection(node, raw)
            elif raw is not told:
                yield _linear(node, raw, flow)
        yield from _doubled(node, inputs)
    if early and flow.parts:
        yield from _own_norm(flow.parts)


def preactivated(instance: Instance, parts: Parts) -> bool:
    """Whether f is the identity and F activates before its first weight, on its own."""
    local = follow(instance, parts, STRANGER)
    reads = {node.name: inputs for _, node, inputs in instance.unit.steps()}
    weights = [node for node in parts.F if node.op.role is Role.WEIGHT]
    late = any(
        local[i].raw is STRANGER.raw for node in weights for i in reads[node.name]
    )
    return parts.is_identity_f and bool(weights) and not late


def _linear(node: Node, raw: Mark, flow: Flow) -> _Suspicion:
    text = f"{node.name} reads a value that has met no activation since the last weight layer"
    if _first_of_f(node, flow):
        text += ". It is the first weight of F: nothing activates F's input"
    return _Suspicion(node, text, _LINEAR, _note("that weight layer", raw))


def _first_of_f(node: Node, flow: Flow) -> bool:
    """Whether x reaches this node of F alone without an activation or a weight between."""
    if flow.parts is None or node not in flow.parts.F or node in flow.parts.h:
        return False
    local = follow(flow.instance, flow.parts, STRANGER)
    for _, other, inputs in flow.instance.unit.steps():
        if other.name == node.name:
            return any(local[i].raw is STRANGER.raw for i in inputs)
    return False


def _projection(node: Node, raw: Mark) -> _Suspicion:
    text = (
        f"the projection {node.name} reads x before it is activated, where F activates it: "
        "a pre-activation unit that changes the shape lets both paths see the activation"
    )
    return _Suspicion(node, text, _SHARED, _note("the last weight layer", raw))


def _own_norm(parts: Parts) -> Iterator[_Suspicion]:
    """Normalisations behind a projection's weight."""
    projected = False
    for node in parts.breaks_h:
        if projected and node.op.role is Role.NORM:
            text = f"{node.name} normalises the projection of a pre-activation unit by itself"
            yield _Suspicion(node, text, f"remove it: {_BARE}", None)
        projected = projected or node.op.role is Role.WEIGHT


def _doubled(node: Node, inputs: Sequence[State]) -> Iterator[_Suspicion]:
    """A normalisation or an activation that only repeats an earlier one."""
    alone = inputs[0] if len(inputs) == 1 else State()
    if node.op.role is Role.NORM and alone.norm:
        text = (
            f"{node.name} normalises what is normalised already, with no weight between"
        )
        yield _Suspicion(node, text, _TWICE, _note("the earlier one", alone.norm))
    if node.op.role is not Role.ACTIVATION:
        return
    earlier = alone.activation
    note = _note("the earlier one", earlier) if earlier else None
    if node.op.idle(*(state.never_negative for state in inputs)):
        text = f"{node.name} changes nothing: its input is never negative"
        yield _Suspicion(node, text, _TWICE, note)
    elif earlier and earlier.kind == node.op.kind:
        text = (
            f"{node.name} activates again, with no weight since the earlier activation"
        )
        yield _Suspicion(node, text, _TWICE, note)


def _tail(head: Flow, last: Flow) -> _Suspicion | None:
    """The activation that the last pre-activation unit leaves to the head, if it is missing."""
    if last.parts is None or not preactivated(last.instance, last.parts):
        return None
    for node, inputs in head.inputs():
        raw = inputs[0].raw
        if raw is None:
            return None
        reach = node.op.reach()
        whole = reach is not None and math.isinf(reach.last)
        if whole or node.op.role is Role.WEIGHT:
            ops = ", ".join(_activation_of(last.parts))
            text = (
                f"{node.name} reads the last addition without an activation: the last "
                "unit of a pre-activation network is followed by an extra one"
            )
            hint = f"head: [{ops}, {node.op.kind}, ...]"
            return _Suspicion(node, text, hint, _note("the last weight layer", raw))
    return None


def _activation_of(parts: Parts) -> Iterator[str]:
    """The ops by which the unit activates its input, as a spec writes them."""
    for node in (*parts.before, *parts.F):
        if node.op.role is Role.WEIGHT:
            return
        if node.op.role in (Role.NORM, Role.ACTIVATION):
            yield node.op.kind


def _note(what: str, mark: Mark) -> Note:
    return Note(f"{what}, {mark.name}, is here", mark.span)
