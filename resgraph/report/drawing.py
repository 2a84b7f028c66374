"""A drawing as the page takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resgraph.draw import Figure, SizeError, note


def drawn(draw: Callable[[], Figure], prefix: str) -> dict[str, Any]:
    """With its colours left to the page, which knows its nodes by the prefix.

    Of what is too large to be drawn, the words that say so.
    """
    try:
        figure = draw()
    except SizeError as error:
        figure = note(error.message)
    svg = figure.svg(theme="css")
    return {"prefix": prefix, "svg": svg, "width": round(figure.width)}
