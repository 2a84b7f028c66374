"""The planner as training calls it: by then batch, precision and free memory are known."""

from __future__ import annotations

from dataclasses import dataclass

from resgraph.graph import Graph
from resgraph.plan.planner import Plan, plan

_SHARE = 0.75
"""Of the free memory, for saved tensors. The rest is for what ops need while they run, and
for the gradients that flow between them."""


@dataclass(frozen=True)
class Planner:
    """Plans for one network within a budget."""

    graph: Graph
    budget: int | None = None
    """Bytes for saved tensors; None is `auto`: a share of what is free."""

    def __call__(
        self, *, batch: int, element: int, free: int | None, bn_relu: bool
    ) -> Plan:
        """The plan for a batch on one device.

        `free` is the device's free memory in bytes, None where that is not known: then
        `auto` plans nothing. Raises `ResgraphError` if no plan fits.
        """
        budget = self.budget
        if budget is None and free is not None:
            budget = int(_SHARE * free)
        return plan(self.graph, batch, element, budget, bn_relu)
