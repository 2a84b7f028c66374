"""A difference as text: a heading, a block per way of changing, what is gained and lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from resgraph.diagnostics import visible
from resgraph.diff.blocks import Block, blocks
from resgraph.diff.edits import arrow
from resgraph.diff.network import OUTPUTS, Difference, Pair
from resgraph.diff.units import Units
from resgraph.graph import Graph
from resgraph.values import amount

T = TypeVar("T")
Line = tuple[str, str]
"""A line of text and what it is: a `Change`, `heading`, `gained`, `lost` or nothing."""
_NESTED = "how sums, products and concatenations are nested"
_CUT = "where units begin and end and how their inputs and outputs are ordered"
_WIDTH = 8
"""Of the word that says what a line is."""


def report(difference: Difference) -> Iterator[Line]:
    """The difference line by line, without the table of numbers."""
    before, after = difference.before, difference.after
    if difference.same:
        names = f"{_named(before)} and {_named(after)}"
        yield (
            visible(f"the same graph{_up_to(difference)}: {names}"),
            "heading",
        )
    else:
        yield visible(f"before: {_named(before)}: {before.title}"), "removed"
        yield visible(f"after:  {_named(after)}: {after.title}"), "added"
        yield from _topology(difference)
    yield from _recipe(difference)


def _up_to(difference: Difference) -> str:
    kinds = ((_NESTED, difference.regrouped), (_CUT, difference.recut))
    told = ", and ".join(text for text, holds in kinds if holds)
    return f" up to {told}" if told else ""


def rows(difference: Difference) -> list[tuple[str, ...]]:
    """What differs in numbers, a row per part and one of totals; none where none does.

    Part, units, output, parameters, multiply-adds; `a -> b` where they differ.
    """
    whole = max(difference.total("multiply_adds"))
    found = [cells for pair in difference.pairs if (cells := _cells(pair, whole))]
    return [*found, ("total", "", "", *_totals(difference))] if found else []


def _totals(difference: Difference) -> tuple[str, str]:
    costs = difference.total("multiply_adds")
    return (
        _change(*difference.total("parameters"), _count),
        _change(*costs, partial(amount, of=max(costs))),
    )


def _named(graph: Graph) -> str:
    return f"{graph.name} ({graph.file})"


def _topology(difference: Difference) -> Iterator[Line]:
    old, new = difference.before.input, difference.after.input
    if old != new:
        yield "", ""
        yield f"input: {_shape(old)} -> {_shape(new)}", "heading"
    for block in blocks(difference.pairs):
        yield "", ""
        yield from _block(block)
    yield from _section("units in a row", _repeats(difference))
    yield from _section("between stages", _wiring(difference))
    yield from _section(f"the same up to {_NESTED}", _regrouped(difference))
    yield from _section("properties, in how many units", _shares(difference))
    lost, gained = difference.findings
    told = [*((t, "before") for t in lost), *((t, "after") for t in gained)]
    yield from _section("prove says", [(f"  {w:<{_WIDTH}} {t}", "") for t, w in told])
    if not rows(difference):
        parameters, cost = _totals(difference)
        text = f"as before: {parameters} parameters, {cost} multiply-adds"
        yield from (("", ""), (text, "heading"))


def _block(block: Block) -> Iterator[Line]:
    yield visible(block.heading), "heading"
    for change, text in block.lines():
        yield f"  {change:<{_WIDTH}} {text}", change
    lost, gained = block.first.properties
    for name in lost:
        yield f"  {'lost':<{_WIDTH}} {name}", "lost"
    for name in gained:
        yield f"  {'gained':<{_WIDTH}} {name}", "gained"
    if block.first.factors:
        old, new = block.first.factors
        yield f"  {'Eq. (5)':<{_WIDTH}} in place of its 1: {old}", "lost"
        yield f"  {'':<{_WIDTH}} -> {new}", "gained"


def _repeats(difference: Difference) -> Iterator[Line]:
    for pair in difference.pairs:
        old, new = pair.before, pair.after
        if old and new and old.count != new.count:
            text = f"{old.part}: {_times(old)} -> x{new.count}"
            if old.name != new.name:
                text = f"{old.part}: {_times(old)} -> {_times(new)}"
            yield f"  {'changed':<{_WIDTH}} {text}", "changed"
        elif new and not old:
            yield f"  {'added':<{_WIDTH}} {_part(new)}", "added"
        elif old and not new:
            yield f"  {'removed':<{_WIDTH}} {_part(old)}", "removed"


def _wiring(difference: Difference) -> Iterator[Line]:
    for name, old, new in difference.wiring:
        reads = "" if name == OUTPUTS else "reads "
        yield f"  {'changed':<{_WIDTH}} {name}: {reads}{old} -> {new}", "changed"


def _regrouped(difference: Difference) -> Iterator[Line]:
    for pair in difference.pairs:
        if pair.before and pair.after and pair.regrouped:
            names = arrow(pair.before.name, pair.after.name)
            yield f"  {pair.before.place}: {names}", ""


def _shares(difference: Difference) -> Iterator[Line]:
    for name, (old, new) in difference.properties.items():
        yield f"  {name}: {old} -> {new}", ""


def _recipe(difference: Difference) -> Iterator[Line]:
    lines = [
        (f"  {name}: {_value(old)} -> {_value(new)}", "changed")
        for name, (old, new) in difference.recipe.items()
    ]
    yield from _section("recipe", lines)


def _section(title: str, lines: Iterable[Line]) -> Iterator[Line]:
    found = [*lines]
    if found:
        yield "", ""
        yield title, "heading"
        yield from ((visible(text), kind) for text, kind in found)


def _cells(pair: Pair, whole: int) -> tuple[str, ...] | None:
    """The row of a pair; `whole` is the network's multiply-adds."""
    old, new = pair.before, pair.after
    if new is None:
        return _alone(old, "removed", whole) if old else None
    if old is None:
        return _alone(new, "added", whole)
    numbers = ("name", "count", "output", "parameters", "multiply_adds")
    if all(getattr(old, n) == getattr(new, n) for n in numbers):
        return None
    return (
        old.part if old.count != new.count else old.place,
        arrow(_times(old), _times(new)),
        _change(old.output, new.output, _shape),
        _change(old.parameters, new.parameters, _count),
        _change(old.multiply_adds, new.multiply_adds, partial(amount, of=whole)),
    )


def _alone(units: Units, what: str, whole: int) -> tuple[str, ...]:
    return (
        f"{units.place} ({what})",
        _times(units),
        _shape(units.output),
        _count(units.parameters),
        amount(units.multiply_adds, of=whole),
    )


def _change(old: T, new: T, show: Callable[[T], str]) -> str:
    return arrow(show(old), show(new))


def _times(units: Units) -> str:
    if units.is_end:
        return ""
    return f"{units.name} x{units.count}"


def _part(units: Units) -> str:
    """`stage1: body x17`; of a stem or a head, its name."""
    return units.part if units.is_end else f"{units.part}: {_times(units)}"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _count(number: int) -> str:
    return f"{number:,}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
