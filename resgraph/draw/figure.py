"""A finished drawing: as SVG, as PNG, in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resgraph.draw.items import Box, Item
from resgraph.draw.text import FAMILY, attribute, font_file, number
from resgraph.draw.theme import THEMES


@dataclass(frozen=True)
class Figure:
    """A finished drawing. `top` is where its nodes begin, below the caption."""

    width: float
    height: float
    items: tuple[Item, ...]
    title: str
    top: float = 0.0

    @property
    def boxes(self) -> Sequence[Box]:
        """Every node and every text, with its place."""
        return [box for item in self.items for box in item.boxes()]

    def svg(self, theme: str = "light") -> str:
        """An SVG file's text; theme "light" or "dark", or "css" for part of a page.

        With "css" the colours are the page's custom properties (`--rg-weight`), there is
        no background, and the nodes are open to assistive tools one by one.
        """
        paint = THEMES[theme]
        w, h = number(self.width), number(self.height)
        role = "group" if theme == "css" else "img"
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" '
            f'viewBox="0 0 {w} {h}" role="{role}" aria-label={attribute(self.title)} '
            f'font-family="{FAMILY}" text-anchor="middle">'
        ]
        if theme != "css":
            lines.append(
                f'<rect width="{w}" height="{h}" rx="8" fill="{paint("page")}"/>'
            )
        lines += [line for item in self.items for line in item.svg(paint)]
        return "\n".join([*lines, "</svg>\n"])

    def png(self, scale: float = 2.0, theme: str = "light") -> bytes:
        """A PNG file, `scale` pixels for each of the drawing's; the font is our own."""
        from resvg_py import svg_to_bytes

        fonts = [str(font_file()), str(font_file(bold=True))]
        return bytes(
            svg_to_bytes(
                svg_string=self.svg(theme),
                zoom=scale,
                skip_system_fonts=True,
                font_files=fonts,
            )
        )

    def _repr_svg_(self) -> str:
        """What a notebook shows."""
        return self.svg()


def beside(figures: Sequence[Figure]) -> Figure:
    """The figures side by side, their first nodes at one height."""
    top = max(figure.top for figure in figures)
    x, height, items = 0.0, 0.0, list[Item]()
    for figure in figures:
        items += [item.moved(x, top - figure.top) for item in figure.items]
        x += figure.width
        height = max(height, figure.height + top - figure.top)
    title = "; ".join(figure.title for figure in figures)
    return Figure(x, height, tuple(items), title, top)


def rows(figures: Sequence[Figure], across: float = 1500.0) -> Figure:
    """The figures in rows of at most `across` pixels, one below the other."""
    lines: list[list[Figure]] = [[]]
    for figure in figures:
        if lines[-1] and sum(f.width for f in (*lines[-1], figure)) > across:
            lines.append([])
        lines[-1].append(figure)
    drawn = [beside(line) for line in lines]
    y, items = 0.0, list[Item]()
    for row in drawn:
        items += [item.moved(0, y) for item in row.items]
        y += row.height
    title = "; ".join(row.title for row in drawn)
    return Figure(max(r.width for r in drawn), y, tuple(items), title, drawn[0].top)
