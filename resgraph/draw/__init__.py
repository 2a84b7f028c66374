"""Drawings of units and networks: SVG with text that stays text, PNG."""

from resgraph.draw.caption import note
from resgraph.draw.figure import Figure, beside
from resgraph.draw.items import Box, Mark
from resgraph.draw.layout import SizeError
from resgraph.draw.look import unfolded_units
from resgraph.draw.network import draw_network
from resgraph.draw.unit import draw_unit

__all__ = [
    "Box",
    "Figure",
    "Mark",
    "SizeError",
    "beside",
    "draw_network",
    "draw_unit",
    "note",
    "unfolded_units",
]
