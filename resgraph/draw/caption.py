"""The lines above a drawing that say what it shows."""

from __future__ import annotations

from resgraph.draw.items import MARGIN, Item, Text
from resgraph.draw.text import width, wrap

CAPTION = 210.0
"""Pixels that a caption may take, where the drawing is narrower."""


def captioned(title: str, subtitle: str, across: float) -> tuple[list[Item], float]:
    """The lines of a caption above a drawing, and the height that they take."""
    items: list[Item] = []
    y = 0.0
    for kind, text, size, colour, bold in (
        ("title", title, 14.0, "text", True),
        ("subtitle", subtitle, 11.0, "muted", False),
    ):
        for line in wrap(text, size, across, 3, bold):
            y += size * 1.35
            where = (MARGIN + across / 2, MARGIN + y - size * 0.6)
            items.append(Text(kind, "", line, *where, width(line, size, bold), size, colour, bold))
    return items, y + 10 if items else 0.0
