"""What was done with each BN and why, equal places together."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

from resgraph.deploy.network import Network
from resgraph.ops import Role

LEFT = "left as it is: no pass has looked at it"

Row = tuple[str, Hashable]
"""A layer's full name, and what is to be told of it."""


def report(network: Network) -> list[str]:
    """A line for each group of BNs: where they are, what was done with them and why."""
    named = network.notes or dict.fromkeys(_norms(network), (LEFT,))
    rows = [(name, "; ".join(words)) for name, words in named.items()]
    return [
        f"{place}{layer}: {words} ({count} BN{'s' * (count > 1)})"
        for place, layer, words, count in _grouped(rows)
    ]


def folded(network: Network) -> str:
    """JSON for the model's metadata: each new layer and those of the state_dict it is from.

    A list of {"places", "layer", "from"}, with places that are alike in one entry.
    """
    rows = []
    for name, origins in network.origins.items():
        prefix = name.rpartition(".")[0] + "."
        rows.append((name, tuple(o.removeprefix(prefix) for o in origins)))
    entries = [
        {"places": place.rstrip("."), "layer": layer, "from": origins}
        for place, layer, origins, _ in _grouped(rows)
    ]
    return json.dumps(entries, separators=(",", ":"))


def _norms(network: Network) -> Iterator[str]:
    for prefix, instance in network.graph.parts():
        for _, node, _ in instance.unit.steps():
            if node.op.role is Role.NORM:
                yield prefix + node.name


def _grouped(rows: Iterable[Row]) -> Iterator[tuple[str, str, Any, int]]:
    """Where (`stage1.1-17.`), the layer, what is told of it, and of how many."""
    groups: dict[tuple[str, str, Hashable], list[int]] = {}
    for name, told in rows:
        place, _, layer = name.rpartition(".")
        stage, _, index = place.partition(".")
        groups.setdefault((stage, layer, told), []).append(int(index or 0))
    for (stage, layer, told), found in groups.items():
        where = f"{stage}.{_ranges(found)}." if stage else ""
        yield where, layer, told, len(found)


def _ranges(numbers: Sequence[int]) -> str:
    """`0,2-5` for 0, 2, 3, 4, 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(
        str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs
    )
