"""A spec file, with what it extends, to a validated `Spec` that knows its places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from resgraph.allow import Allow
from resgraph.allow import read as read_allow
from resgraph.diagnostics import Diagnostic, Span, SpecError
from resgraph.spec.bounds import bounds
from resgraph.spec.conventions import conventions
from resgraph.spec.extends import stacked
from resgraph.spec.files import Sources
from resgraph.spec.gaps import Gaps
from resgraph.spec.mend import Mender
from resgraph.spec.merge import Removals, merged
from resgraph.spec.model import Spec
from resgraph.spec.tree import Items, Mapping, Scalar, at, without

T = TypeVar("T")


@dataclass(frozen=True)
class Loaded:
    """A spec, the tree it came from, the findings so far, and what is not known for them.

    With findings, `spec` has stand-ins at the gaps, so that later checks can add theirs.
    `removed` has what the spec, or one that it extends, removed of those below.
    """

    spec: Spec
    tree: Mapping
    file: str
    findings: tuple[Diagnostic, ...] = ()
    gaps: Gaps = field(default_factory=Gaps)
    allow: tuple[Allow, ...] = ()
    removed: Removals = field(default_factory=dict)

    def without_parameter(self, name: str) -> Loaded:
        """The same, where the network has no such parameter, and nothing sets one."""
        tree, params = self.tree, _less(self.spec.network.params, name)
        for place in (
            ("network", "params"),
            *(("networks", n) for n in self.spec.networks),
        ):
            tree = without(tree, (*place, name))
        changed = {
            "network": self.spec.network.model_copy(update={"params": params}),
            "networks": {n: _less(v, name) for n, v in self.spec.networks.items()},
        }
        return replace(self, spec=self.spec.model_copy(update=changed), tree=tree)


def _less(values: dict[str, T], name: str) -> dict[str, T]:
    return {key: value for key, value in values.items() if key != name}


def load(path: Path, sources: Sources) -> Loaded:
    """Read, merge and validate the spec at `path`.

    Raises `SpecError` for text that is not YAML and `ResgraphError` for a file that cannot
    be read; findings of the language are returned, so that more can join them.
    """
    stack = stacked(path, sources)
    whole = merged(stack.layers)
    if beyond := bounds(whole.tree):
        raise SpecError([*stack.findings, *beyond])
    mender = Mender(whole.tree, stack, whole.idle)
    spec = mender.spec()
    allow, refused = read_allow(_allowed(mender.tree), str(path))
    foreign = conventions(spec, mender.tree, mender.gaps)
    found = dict.fromkeys([*stack.findings, *mender.findings, *refused, *foreign])
    about = (tuple(found), mender.gaps, allow, whole.removals)
    return Loaded(spec, mender.tree, str(path), *about)


def _allowed(tree: Mapping) -> Iterator[tuple[str, Span]]:
    """The items of `allow` that are text, each with its place."""
    items = at(tree, ("allow",))
    for item in items.items if isinstance(items, Items) else ():
        if isinstance(item, Scalar) and isinstance(item.value, str):
            yield item.value, item.span
