"""Values that are right, and read as another framework's convention has them.

Nothing is wrong with such a spec; it is another network, or another schedule, than the one
that whoever comes from there has in mind. So there are warnings, which `allow` acknowledges.
"""

from __future__ import annotations

from collections.abc import Iterator

from resgraph import codes
from resgraph.diagnostics import Diagnostic
from resgraph.expr import Expr
from resgraph.ops import Op
from resgraph.recipe import Recipe, Steps
from resgraph.recipe.words import where
from resgraph.spec.gaps import Gaps
from resgraph.spec.model import Spec, items
from resgraph.spec.tree import Loc, Mapping, at, plain

COLOURS = (1, 3, 4)
"""Channels of pictures: grey, colour, colour with transparency."""
STEPS_PER_EPOCH = 100
"""Fewer steps are hardly an epoch: the paper's have 391."""


def conventions(spec: Spec, tree: Mapping, gaps: Gaps) -> Iterator[Diagnostic]:
    """A warning for each such value, at its place; none where a gap is."""
    for loc, message, hint in (
        *_input(spec),
        *_schedule(spec, tree),
        *_attributes(spec),
    ):
        if not any(gaps.at(*loc[:depth]) for depth in range(len(loc) + 1)):
            span = at(tree, loc).span
            yield Diagnostic(codes.FOREIGN_CONVENTION, message, span, hint)


_Found = tuple[Loc, str, str]


def _input(spec: Spec) -> Iterator[_Found]:
    first, second, last = (spec.network.input + [None] * 3)[:3]
    sides = [side for side in (first, second) if not isinstance(side, Expr)]
    large = all(side is not None and side > max(COLOURS) for side in sides)
    if large and first == second and last in COLOURS:
        shape = f"[{first}, {second}, {last}]"
        yield (
            ("network", "input"),
            f"the input {shape} has {first} channels and maps of {second} x {last}",
            f"channels come first: [{last}, {first}, {second}]",
        )


def _schedule(spec: Spec, tree: Mapping) -> Iterator[_Found]:
    train, schedule = spec.train, spec.train.schedule
    if not isinstance(schedule, Steps):
        return
    unit, end = ("epoch", train.epochs) if train.epochs else ("step", train.iterations)
    last = max(schedule.milestones, default=0)
    at_milestones = _written(tree, "milestones")
    if at_milestones and last >= end:
        message = f"training ends at {unit} {end}, before the milestone {last}"
        yield at_milestones, message, f"milestones are {unit}s below '{_length(train)}'"
    elif at_milestones and not train.epochs and 0 < last * STEPS_PER_EPOCH <= end:
        yield (
            at_milestones,
            f"lr has its last value from step {last} of {end} on",
            "milestones are steps: an epoch of 50,000 images has 391 at a batch of 128",
        )
    if schedule.gamma > 1:
        message = f"lr grows at each milestone: it is multiplied by {schedule.gamma}"
        hint = f"where it was to be divided: {1 / schedule.gamma:.4g}"
        yield _written(tree, "gamma"), message, hint


def _length(train: Recipe) -> str:
    return "epochs" if train.epochs else "iterations"


def _written(tree: Mapping, word: str) -> Loc:
    """Where the spec writes a word of its recipe; nothing where it does not."""
    found = where(word, plain(at(tree, ("train",))))
    return ("train", *found) if found else ()


def _attributes(spec: Spec) -> Iterator[_Found]:
    for loc, item in items(spec):
        if isinstance(item.what, Op):
            for field, (message, hint) in item.what.conventions().items():
                yield (*loc, item.what.kind, field), message, hint
