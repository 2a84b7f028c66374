"""A drawing as the page takes it."""

from __future__ import annotations

from typing import Any

from resgraph.draw import Figure


def drawn(figure: Figure, prefix: str) -> dict[str, Any]:
    """With its colours left to the page, which knows its nodes by the prefix."""
    svg = figure.svg(theme="css")
    return {"prefix": prefix, "svg": svg, "width": round(figure.width)}
