"""For notebooks: a network of a spec, which shows itself as a drawing.

`resgraph.Network` is public; `draw` and `report` give figures and pages that show themselves
as well. A `ResgraphError` is told as on the command line, without a traceback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from resgraph.compiler import Compiler
from resgraph.diagnostics import UsageError, did_you_mean
from resgraph.settings import parse_settings
from resgraph.values import written

if TYPE_CHECKING:
    from resgraph.draw import Figure
    from resgraph.graph import Graph, Instance
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
        """The typed units by name, each as it stands first in the network."""
        found: dict[str, Instance] = {}
        for stage in self.graph.runs:
            for run in stage:
                found.setdefault(run.slot.unit, run.instances[0])
        return found

    @property
    def main(self) -> str | None:
        """The unit that is repeated most; None for a network without units."""
        from resgraph.draw.choice import commonest, places

        return commonest(places(self.graph)).unit.name if any(self.graph.runs) else None

    def draw(self, unit: str | None = None) -> Figure:
        """The network, or one of its units as in the paper's Fig. 4.

        Raises `UsageError` for a unit that is not there.
        """
        from resgraph.draw import draw_network, draw_unit

        if unit is None:
            return draw_network(self.graph)
        if unit not in self.units:
            hint = did_you_mean(unit, self.units)
            raise UsageError(f"{self.graph.name} has no unit '{unit}'", hint)
        return draw_unit(self.units[unit], title=unit, subtitle=self.graph.name)

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
            f"{graph.total('multiply_adds') / 1e6:,.2f}M multiply-adds"
        )
