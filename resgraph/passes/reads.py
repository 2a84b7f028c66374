"""Check what a block's expressions read: parameters, and what else there is, each as one kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from resgraph import codes
from resgraph.diagnostics import (
    ANY,
    Diagnostic,
    Note,
    Span,
    did_you_mean,
    like,
    meant,
    nearest,
)
from resgraph.graph import INPUT, Block, Param, Program
from resgraph.graph.uses import POSITION, Kind, Use, Uses, context, word_meant


@dataclass(frozen=True)
class Reads:
    """Findings on the names in a block's expressions."""

    program: Program
    uses: Uses

    def unknown_names(self, block: Block) -> Iterator[Diagnostic]:
        """Expressions of the stem or the head that read what has no value there."""
        known = {param.name for param in block.params} | context(block) - {*POSITION}
        sides = context(block) - {param.name for param in block.params}
        for use in self.uses.of(block):
            if use.name in sides - {*POSITION}:
                yield from _no_number(use)
            if use.name not in known and use.name in POSITION:
                message = (
                    f"'{use.name}' is of a unit in a stage: the {block.name} has none"
                )
                yield Diagnostic(codes.UNKNOWN_PARAMETER, message, use.span)

    def parameters(self, unit: Block) -> Iterator[Diagnostic]:
        """Expressions that read unknown parameters, and parameters that nothing reads, or
        that are read as different kinds of values."""
        known = [param.name for param in unit.params]
        around, told = context(unit), set[tuple[str, Span]]()
        used: dict[str, Use] = {}
        for use in self.uses.of(unit):
            first = used.setdefault(use.name, use)
            if use.name in around and use.name not in known:
                yield from _no_number(use)
            elif not first.kind.takes(use.kind):
                yield _two_kinds(first, use)
            if first.kind in (Kind.ANY, Kind.UNKNOWN):
                used[use.name] = use
            if use.name in known or use.name in around or unit.gaps.params:
                continue
            if ("." in use.name and unit.gaps.paths) or (use.name, use.span) in told:
                continue
            told.add((use.name, use.span))
            yield _no_parameter(unit, use, known, around)
        unsure = unit.gaps.reads | like({*used}.difference(known, around), known)
        read = {*used} | meant(unsure - {ANY}, known)
        for param in unit.params:
            if param.name not in read and not (
                ANY in unsure and self._given(param, unit)
            ):
                message = f"the parameter '{param.name}' is never used"
                yield Diagnostic(
                    codes.UNUSED_PARAMETER, message, param.span, "remove it"
                )

    def _given(self, param: Param, unit: Block) -> bool:
        """Whether a use gives the parameter a value of its own, and so wants it read.

        What uses a unit that is not there may mean this one.
        """
        blocks = [self.program.network, *self.program.blocks.values()]
        meant = {block.name for block in blocks if block.gaps.stranger} | {unit.name}
        calls = [
            call
            for block in blocks
            for row in block.rows
            for call in row.calls
            if call.block in meant
        ]
        own = any(
            param.name in call.args and call.args[param.name] != param.default
            for call in calls
        )
        return own or param.default is None or unit.gaps.params


def _no_parameter(
    unit: Block, use: Use, known: Sequence[str], around: Iterable[str]
) -> Diagnostic:
    """A finding on a name that nothing has: a parameter, or a side of an input."""
    what, side, _ = use.name.partition(".")
    kind = f"input '{what}'" if side else f"parameter '{use.name}'"
    message = f"the unit '{unit.name}' has no {kind}"
    hint = did_you_mean(use.name, known)
    if meant := word_meant(use.name):
        hint = meant
    elif (near := nearest(use.name, around)) and nearest(use.name, known) is None:
        hint = f"did you mean '{near}'?"
    elif side:
        hint = f"sides of inputs can be read, as {_listed(unit)}"
    elif what in unit.inputs:
        hint = f"sides of it can be read, as {_listed(unit, what)}"
    elif not known:
        hint = f"declare it: params: [{use.name}], and give it where it is used"
    missing = ("units", unit.name, "params", use.name)
    return Diagnostic(codes.UNKNOWN_PARAMETER, message, use.span, hint, missing=missing)


def _listed(unit: Block, *inputs: str) -> str:
    """The sides of the inputs, as expressions have them."""
    first = ("in", "in.h", "in.w") if unit.inputs == (INPUT,) else ()
    names = (n for n in inputs or unit.inputs if not first)
    return ", ".join((*first, *(f"{name}.{side}" for name in names for side in "chw")))


def _two_kinds(first: Use, other: Use) -> Diagnostic:
    message = f"'{first.name}' is used as {other.kind.value} here"
    note = Note(f"and as {first.kind.value} here", first.span)
    hint = "make two parameters of it"
    return Diagnostic(codes.WRONG_TYPE, message, other.span, hint, (note,))


def _no_number(use: Use) -> Iterator[Diagnostic]:
    """A finding where a side, or a position, is used as what no number can be."""
    if not Kind.NUMBER.takes(use.kind):
        message = f"'{use.name}' is a number, and is used as {use.kind.value} here"
        yield Diagnostic(codes.WRONG_TYPE, message, use.span)
