"""Pairs of units that changed alike, told together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from resgraph.diagnostics import plural
from resgraph.diff.edits import Change, Edit, Spot, arrow
from resgraph.diff.network import Pair
from resgraph.graph.sites import listing


@dataclass(frozen=True)
class Block:
    """Pairs of units on both sides with the same edits, up to the numbers in attributes."""

    pairs: tuple[Pair, ...]

    @property
    def first(self) -> Pair:
        return self.pairs[0]

    @property
    def heading(self) -> str:
        """`stage1.0, stage2.0 (2 units): body -> entry`."""
        rows = [pair.before for pair in self.pairs if pair.before]
        places = listing([row.place for row in rows])
        new = self.first.after
        names = arrow(rows[0].name, new.name if new else "")
        if rows[0].is_end:
            return places
        count = sum(row.count for row in rows)
        return f"{places} ({count} {plural(count, 'unit')}): {names}"

    def lines(self) -> list[tuple[str, str]]:
        """Each edit with what it is: (`moved`, `bn (bn2 -> bn1): in F ... -> ...`)."""
        groups: list[list[tuple[Edit, ...]]] = []
        for alike in zip(*(pair.edits for pair in self.pairs), strict=True):
            if groups and _together(groups[-1][-1][0], alike[0]):
                groups[-1].append(alike)
            else:
                groups.append([alike])
        return [(group[0][0].change.value, _line(group)) for group in groups]


def blocks(pairs: Iterable[Pair]) -> list[Block]:
    """The pairs that have edits, those that changed alike in one block."""
    groups: dict[Any, list[Pair]] = {}
    for pair in pairs:
        if pair.edits:
            groups.setdefault(_shape(pair), []).append(pair)
    return [Block(tuple(group)) for group in groups.values()]


def _shape(pair: Pair) -> Any:
    names = (pair.before and pair.before.name, pair.after and pair.after.name)
    changes = tuple(
        (edit.change, _stand(edit.before), _stand(edit.after), len(edit.attributes))
        for edit in pair.edits
    )
    return names, changes, pair.properties, pair.factors


def _stand(spot: Spot | None) -> Any:
    return spot and (spot.name, spot.kind, spot.where, spot.reads)


def _together(a: Edit, b: Edit) -> bool:
    """Whether two edits in a row go from one place to one place, and so make one line."""
    if a.change != b.change or a.change in (Change.CHANGED, Change.REWIRED):
        return False
    before = a.before or a.after
    return _way(b) in (_way(a), f"after {before.name if before else ''}")


def _way(edit: Edit) -> str:
    old, new = edit.before, edit.after
    if old and new and old.where == new.where:
        return f"{old.where}: {arrow(old.after, new.after)}"
    return arrow(old.where if old else "", new.where if new else "")


def _line(group: Sequence[tuple[Edit, ...]]) -> str:
    firsts = [alike[0] for alike in group]
    ops = ", ".join(_op(alike) for alike in group)
    old = ", ".join(e.before.name for e in firsts if e.before)
    new = ", ".join(e.after.name for e in firsts if e.after)
    return f"{ops} ({arrow(old, new)}): {_what(group[0])}"


def _what(alike: Sequence[Edit]) -> str:
    """Where it stands and stood; of a changed op, its attributes; of one rewired, its reads."""
    edit = alike[0]
    old, new = edit.before, edit.after
    if edit.attributes:
        changes = [
            f"{name} {_values(e.attributes[i][1] for e in alike)} -> "
            f"{_values(e.attributes[i][2] for e in alike)}"
            for i, (name, _, _) in enumerate(edit.attributes)
        ]
        return ", ".join(changes)
    if edit.change is Change.REWIRED and old and new:
        if old.reads == new.reads:
            return f"reads {', '.join(old.reads)}, which are other values than before"
        return f"reads {', '.join(old.reads)} -> {', '.join(new.reads)}"
    return _way(edit)


def _op(alike: Sequence[Edit]) -> str:
    """`conv(kernel=3, channels=16/32/64)`: the values of all pairs."""
    spots = [edit.after or edit.before for edit in alike]
    first = spots[0]
    if first is None or alike[0].attributes:
        return first.kind if first else ""
    names = dict.fromkeys(name for spot in spots if spot for name in spot.attributes)
    texts = [
        f"{name}={_values(s.attributes.get(name, '') for s in spots if s)}"
        for name in names
    ]
    return f"{first.kind}({', '.join(texts)})" if texts else first.kind


def _values(values: Iterable[Any]) -> str:
    """`16/32/64`; an attribute that is None is left to what the op makes of it."""
    texts = ("default" if value is None else str(value) for value in values)
    return "/".join(dict.fromkeys(text for text in texts if text))
