"""The IR: blocks made of ops and of other blocks; its text form and digest."""

from resgraph.graph.ir import (
    HEAD,
    OUTPUT,
    STEM,
    Block,
    Call,
    Node,
    Param,
    Part,
    Path,
    Program,
    Row,
    Style,
)
from resgraph.graph.text import digest, text
from resgraph.graph.typed import Graph, Instance, Run
from resgraph.names import INPUT

__all__ = [
    "HEAD",
    "INPUT",
    "OUTPUT",
    "STEM",
    "Block",
    "Call",
    "Graph",
    "Instance",
    "Node",
    "Param",
    "Part",
    "Path",
    "Program",
    "Row",
    "Run",
    "Style",
    "digest",
    "text",
]
