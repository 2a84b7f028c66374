"""The smallest exact form of a trained network for inference, and what was done with its BNs."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from resgraph.diagnostics import ResgraphError, did_you_mean, plural
from resgraph.graph import Graph, Style
from resgraph.ops import Role
from resgraph.passes.base import EVERYTHING, Pass, Watch, run
from resgraph.passes.clip import clip_before_layers
from resgraph.passes.edit import Remark, Source, Weighted
from resgraph.passes.folds import (
    bn_as_convolution,
    fold_after_conv,
    remove_identities,
)

TARGETS: Mapping[str, tuple[Pass[Weighted, Weighted, Remark], ...]] = {
    "portable": (),
    "cpu": (remove_identities, fold_after_conv),
    "cuda": (remove_identities, fold_after_conv, clip_before_layers),
    "integers": (remove_identities, fold_after_conv, bn_as_convolution),
}
"""Which passes are run for which execution provider. The CPU keeps the BNs that no convolution
precedes: onnxruntime makes depthwise convolutions of them in its blocked layout, which Max and
Min would leave (benchmarks/). The form int8 is made of `integers`."""

LEFT = "left as it is: no pass has looked at it"


def prepare(
    graph: Graph, weights: Source, target: str, watch: Watch | None = None
) -> tuple[Weighted, list[Remark]]:
    """The network as it suits a target, and what is to be told of it.

    Raises `ResgraphError` for an unknown target.
    """
    if target not in TARGETS:
        raise ResgraphError(f"unknown target '{target}'", did_you_mean(target, TARGETS))
    network, remarks = run(TARGETS[target], Weighted(graph, weights), EVERYTHING, watch)
    assert isinstance(network, Weighted)
    return network, remarks


# --- what is told of it -----------------------------------------------------------------

_Line = tuple[str, str, Hashable]
"""The prefix of a unit, a layer in it, and what is to be told of that."""


def report(network: Weighted, remarks: Sequence[Remark]) -> list[str]:
    """A line for each group of BNs: where they are, what was done with them and why."""
    lines = _judged(remarks) if remarks else _untouched(network)
    return [
        f"{place}{layer}: {words} ({count} {plural(count, 'BN')})"
        for place, layer, words, count in _grouped(lines)
    ]


def folded(network: Weighted) -> str:
    """JSON for the model's metadata: each new layer and those of the state_dict it is from.

    A list of {"places", "layer", "from"}, with places that are alike in one entry.
    """
    lines = []
    for name, origins in network.origins.items():
        prefix = _prefix(network.graph, name)
        parents = tuple(origin.removeprefix(prefix) for origin in origins)
        lines.append((prefix, name.removeprefix(prefix), parents))
    entries = [
        {"places": place.rstrip("."), "layer": layer, "from": origins}
        for place, layer, origins, _ in _grouped(lines)
    ]
    return json.dumps(entries, separators=(",", ":"))


def _prefix(graph: Graph, name: str) -> str:
    """What of a layer's full name is the prefix of a unit of the network's rows."""
    rows = [row.name for row in graph.network.block.rows if row.style is Style.NUMBERED]
    found = re.match(rf"({'|'.join(rows)})\.\d+\.", name) if rows else None
    return found[0] if found else ""


def _judged(remarks: Iterable[Remark]) -> Iterator[_Line]:
    """Of each layer what was done with it; of one that is kept, each pass's reason."""
    found = defaultdict[tuple[str, str], list[Remark]](list)
    for remark in remarks:
        found[remark.place, remark.layer].append(remark)
    for (place, layer), several in found.items():
        done = [remark.words for remark in several if not remark.missed]
        reasons = "; ".join(remark.words for remark in several)
        yield place, layer, done[-1] if done else f"kept: {reasons}"


def _untouched(network: Weighted) -> Iterator[_Line]:
    for prefix, instance in network.graph.parts():
        for node in instance.steps:
            if node.op.role is Role.NORM:
                yield prefix, node.name, LEFT


def _grouped(lines: Iterable[_Line]) -> Iterator[tuple[str, str, Any, int]]:
    """Where (`stage1.1-17.`), the layer, what is told of it, and of how many."""
    groups: dict[_Line, list[int]] = {}
    for prefix, layer, told in lines:
        stage, _, index = prefix.rstrip(".").partition(".")
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
