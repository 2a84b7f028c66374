"""The lines above a drawing that say what it shows."""

from __future__ import annotations

from collections.abc import Sequence

from resgraph.draw.figure import Figure
from resgraph.draw.items import Item, Text
from resgraph.draw.text import wrap

LEAST = 230.0
"""Pixels that a caption may take, where the drawing is narrower."""
MARGIN = 16.0


def framed(
    items: Sequence[Item],
    extent: tuple[float, float, float],
    title: str,
    subtitle: str,
) -> Figure:
    """A drawing with its caption and margins; `extent` is its left, its right, its height
    without what stands beside lines."""
    left, right, height = extent
    boxes = [box for item in items for box in item.boxes()]
    left = min([left, *(box.x for box in boxes)])
    right = max([right, *(box.x + box.width for box in boxes)])
    across = max(right - left, LEAST)
    caption, y = list[Item](), MARGIN
    for kind, text, size, colour, bold in (
        ("title", title, 14.0, "text", True),
        ("subtitle", subtitle, 11.0, "muted", False),
    ):
        for line in wrap(text, size, across, 3, bold):
            y += size * 1.35
            x = MARGIN + across / 2
            caption.append(Text(kind, "", line, x, y - size * 0.6, size, colour, bold))
    top = y + 10 if caption else y
    dx = MARGIN + (across - (right - left)) / 2 - left
    return Figure(
        across + 2 * MARGIN,
        top + height + MARGIN,
        (*caption, *(item.moved(dx, top) for item in items)),
        f"{title}: {subtitle}" if subtitle else title,
        top,
    )


def note(text: str) -> Figure:
    """Words in the place of a drawing."""
    return framed((), (0.0, LEAST, 0.0), "", text)
