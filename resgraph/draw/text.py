"""Widths of texts, lines of a given width, and text as XML."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from unicodedata import east_asian_width
from xml.sax.saxutils import escape, quoteattr

from PIL import ImageFont

from resgraph.diagnostics import visible

FAMILY = "DejaVu Sans, Verdana, sans-serif"
"""The second has the first's widths, and is where the first is not."""
_UNITS = 1000
"""The size at which widths are measured."""


@cache
def font_file(bold: bool = False) -> Path:
    """DejaVu Sans, which comes with matplotlib; matplotlib itself is not imported."""
    spec = find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("matplotlib, whose font drawings use, is not there")
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return Path(spec.submodule_search_locations[0]) / "mpl-data/fonts/ttf" / name


@cache
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(
        font_file(bold), _UNITS, layout_engine=ImageFont.Layout.BASIC
    )


@cache
def width(text: str, size: float, bold: bool = False) -> float:
    """Pixels of a line of text; a character that Asian fonts draw wide counts as a square."""
    narrow = "".join(c for c in text if east_asian_width(c) not in "WF")
    wide = len(text) - len(narrow)
    return (_font(bold).getlength(narrow) / _UNITS + wide) * size


def wrap(
    text: str, size: float, limit: float, lines: int, bold: bool = False
) -> list[str]:
    """The text in lines of at most `limit` pixels, of about one length.

    "..." ends the last line where there would be more of them.
    """
    rows = _filled(text, size, limit, bold)
    if len(rows) > lines:
        return [*rows[: lines - 1], _cut(rows[lines - 1], size, limit, bold)]
    narrower, even = limit, rows
    longest = max(
        (width(word, size, bold) for word in visible(text).split()), default=0
    )
    while len(even) == len(rows) > 1 and narrower >= min(longest, limit):
        rows, narrower = even, narrower - size
        even = _filled(text, size, narrower, bold)
    return rows


def _filled(text: str, size: float, limit: float, bold: bool) -> list[str]:
    rows, row = list[str](), ""
    for word in visible(text).split():
        for piece in _pieces(word, size, limit, bold):
            longer = f"{row} {piece}" if row else piece
            if row and width(longer, size, bold) > limit:
                rows.append(row)
                longer = piece
            row = longer
    return [*rows, row] if row else rows


def _pieces(word: str, size: float, limit: float, bold: bool) -> list[str]:
    """A word in pieces that each fit the line."""
    pieces = [""]
    for character in word:
        if pieces[-1] and width(pieces[-1] + character, size, bold) > limit:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _cut(line: str, size: float, limit: float, bold: bool) -> str:
    while line and width(line + "...", size, bold) > limit:
        line = line[:-1]
    return line.rstrip() + "..."


def content(text: str) -> str:
    """Text for between tags: markup escaped, and what XML forbids replaced."""
    return escape(visible(text))


def attribute(text: str) -> str:
    """Text as an attribute's value, with its quotes."""
    return quoteattr(visible(text))


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")
