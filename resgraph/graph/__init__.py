"""The IR: unit graphs and the network built from them, its text form and digest."""

from resgraph.graph.ir import (
    OUTPUT,
    Graph,
    Instance,
    Node,
    Param,
    Path,
    Run,
    Slot,
    Unit,
)
from resgraph.graph.text import digest, text, used_units
from resgraph.names import INPUT

__all__ = [
    "INPUT",
    "OUTPUT",
    "Graph",
    "Instance",
    "Node",
    "Param",
    "Path",
    "Run",
    "Slot",
    "Unit",
    "digest",
    "text",
    "used_units",
]
