"""For notebooks: a network of a spec, which shows itself as a drawing.

`resgraph.Network` is public; `draw` and `report` give figures and pages that show themselves
as well. A `ResgraphError` is told as on the command line, without a traceback.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from resgraph.compiler import Compiler
from resgraph.diagnostics import UsageError, did_you_mean
from resgraph.graph import HEAD, STEM
from resgraph.settings import parse_settings
from resgraph.values import amount, written

if TYPE_CHECKING:
    from resgraph.draw import Figure
    from resgraph.graph import Graph, Instance, Run
    from resgraph.report import Report


def _typed(value: object) -> str:
    """A setting as `--set` takes it."""
    return value if isinstance(value, str) else written(value)


class Network:
    """A network of a spec: `Network("specs/preact_basic.yaml", network="resnet20")`.

    Without `network` it is the spec's first one. Settings are those of `--set`:
    `Network(spec, depth=29)`, also as text: `n="(29 - 2) / 9"`; `wide=True`, `depths=[2, 2]`.
    """

    def __init__(
        self,
        spec: str | Path,
        network: str | None = None,
        **settings: float | str | Fraction | Sequence[float],
    ) -> None:
        """Compile it. Raises `SpecError` with all findings, and `UsageError` for what is
        not there."""
        self._compiler = Compiler()
        values = parse_settings([f"{k}={_typed(v)}" for k, v in settings.items()])
        self.graph: Graph = self._compiler.graphs(Path(spec), network, values)[0]

    @cached_property
    def units(self) -> Mapping[str, Instance]:
        """The typed units by name, those that others use among them, each as it stands
        first in the network."""
        found: dict[str, Instance] = {}
        left = [instance for _, runs in self.graph.stages for instance in _first(runs)]
        left += [end for end in (self.graph.stem, self.graph.head) if end]
        seen = set[int]()
        for instance in left:
            if instance.block.name not in (STEM, HEAD):
                found.setdefault(instance.block.name, instance)
            if id(instance) not in seen:
                seen.add(id(instance))
                left += [i for runs in instance.runs.values() for i in _first(runs)]
        return found

    @property
    def main(self) -> str | None:
        """The unit that is repeated most; None for a network without units."""
        from resgraph.draw.cells import parts
        from resgraph.draw.choice import commonest

        return commonest(parts(self.graph)).unit if self.graph.stages else None

    def draw(
        self, unit: str | None = None, *, unfold: Collection[str] | None = None
    ) -> Figure:
        """The network, or one of its units, its stem or its head, as in the paper's Fig. 4.

        `unfold` names the units in it that are drawn as their ops, `("all",)` means each,
        `("none",)` none; without it, small ones are. Raises `UsageError` for a unit that is
        not there.
        """
        from resgraph.draw import draw_network, draw_unit
        from resgraph.draw.cells import parts
        from resgraph.draw.choice import ends, to_unfold

        if unit is None and unfold is not None:
            raise UsageError(
                "a network has nothing to unfold",
                "units of a whole network are folded: name a unit",
            )
        if unit is None:
            return draw_network(self.graph)
        own = {cell.name: cell.instance for cell in ends(parts(self.graph))}
        instance = self.units.get(unit) or own.get(unit)
        if instance is None:
            hint = did_you_mean(unit, [*self.units, *own])
            raise UsageError(f"{self.graph.name} has no unit '{unit}'", hint)
        name = self.graph.name
        if unfold is not None:
            unfold = to_unfold(unfold, [(unit, instance)], name)
        return draw_unit(instance, title=unit, subtitle=name, unfold=unfold)

    def report(self) -> Report:
        """The page of `resgraph report`, for this network alone."""
        from resgraph.report import of_graphs

        return of_graphs([self.graph], self._compiler)

    def _repr_svg_(self) -> str:
        return self.draw(self.main).svg()

    def __repr__(self) -> str:
        graph = self.graph
        return (
            f"{graph.name}: {graph.total('parameters'):,} parameters, "
            f"{amount(graph.total('multiply_adds'))} multiply-adds"
        )


def _first(runs: Iterable[Run]) -> list[Instance]:
    """The first unit of each run."""
    return [run.instances[0] for run in runs]
