"""The memory planner: what training keeps, what it computes anew, and what that costs."""

from resgraph.plan.budget import parse_bytes, words
from resgraph.plan.memory import fusable
from resgraph.plan.planner import Plan, Planner, plan, strategies

__all__ = [
    "Plan",
    "Planner",
    "fusable",
    "parse_bytes",
    "plan",
    "strategies",
    "words",
]
