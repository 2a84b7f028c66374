"""A unit as in the paper's Fig. 4: the shortcut straight down, F beside it.

A unit that it uses is one box, or unfolded: a frame with what it is made of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from resgraph.draw.boxes import Frame, box, framed_unit, terminals
from resgraph.draw.caption import framed
from resgraph.draw.figure import Figure
from resgraph.draw.items import LABEL, Item, Mark, Wire, shape_label
from resgraph.draw.layout import Layout, Link, layout, named
from resgraph.draw.look import Look
from resgraph.draw.shortcut import shortcut
from resgraph.draw.structure import Structure
from resgraph.draw.wires import Wiring, wire
from resgraph.graph import Instance
