"""The colours of drawings, on a white page and on a dark one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Paint = Callable[[str], str]
"""From a colour's name to what stands in the SVG."""

COLOURS: Mapping[str, tuple[str, str]] = {
    # name: (light, dark)
    "page": ("#ffffff", "#14181f"),
    "text": ("#1c2430", "#e8ecf2"),
    "muted": ("#5a6575", "#a3adbb"),
    "line": ("#3a4554", "#b4bdca"),
    "shortcut": ("#9aa5b4", "#8391a3"),
    "broken": ("#c8321f", "#ff8a75"),
    "weight": ("#2f5f9e", "#7fb0ee"),
    "weight-fill": ("#cfe0f5", "#1f3a5c"),
    "norm": ("#3b7a4c", "#85cf9b"),
    "norm-fill": ("#e6f4e9", "#1d3526"),
    "act": ("#a8700b", "#efbe62"),
    "act-fill": ("#fff2d4", "#3d2f12"),
    "other": ("#6a559f", "#bda9f2"),
    "other-fill": ("#f1edfa", "#2e2647"),
    "merge": ("#3a4554", "#b4bdca"),
    "merge-fill": ("#ffffff", "#14181f"),
    "run": ("#3a4554", "#b4bdca"),
    "run-fill": ("#ffffff", "#14181f"),
    "frame-fill": ("#eef1f5", "#222934"),
    "added": ("#1d7f3b", "#69d58b"),
    "removed": ("#b3261e", "#ff9184"),
    "moved": ("#6d3fc0", "#c6a6ff"),
    "changed": ("#9a5b00", "#f4b860"),
    "finding": ("#b4126c", "#ff85c2"),
    "badge-text": ("#ffffff", "#14181f"),
}
"""Text on its fill keeps a contrast of 4.5 or more in both."""


def _plain(index: int) -> Paint:
    return lambda name: COLOURS[name][index]


THEMES: Mapping[str, Paint] = {
    "light": _plain(0),
    "dark": _plain(1),
    "css": lambda name: f"var(--rg-{name}, {COLOURS[name][0]})",
}
"""`css` leaves the colours to the page: custom properties, light where it sets none."""
