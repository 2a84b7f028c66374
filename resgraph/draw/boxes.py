"""The boxes of drawings: ops, folded units, the ground behind an unfolded one."""

from __future__ import annotations

from collections.abc import Sequence

from resgraph.draw.cells import Cell
from resgraph.draw.items import Frame, Mark, Node, Text
from resgraph.draw.labels import label, sign
from resgraph.draw.text import width, wrap
from resgraph.ops import Op, Role
from resgraph.values import show

KINDS = {Role.WEIGHT: "weight", Role.NORM: "norm", Role.ACTIVATION: "act"}
"""How boxes are drawn; all others are alike."""
HEIGHT, DISC, LEAST, SIZE = 30.0, 26.0, 104.0, 12.0
"""Pixels: a box, a merge's circle, a box's least width, its letters."""
SMALL = 10.5
"""Pixels of the letters of arguments."""
WIDEST = 190.0
"""Pixels that a line in the box of folded units may take."""


def op_kind(op: Op) -> str:
    """How it is drawn."""
    return "merge" if sign(op) else KINDS.get(op.role, "other")


def op_node(
    name: str,
    op: Op,
    at: tuple[float, float],
    size: tuple[float, float],
    data: str,
    *,
    broken: bool,
    mark: Mark | None,
) -> Node:
    """An op's box or circle."""
    said, letters = sign(op) or label(op), 17 if sign(op) else SIZE
    text = Text("text", name, said, *at, letters)
    note = f"{name}: {label(op)}"
    return Node(
        op_kind(op),
        name,
        (text,),
        *at,
        *size,
        data,
        broken=broken,
        mark=mark,
        note=note,
    )


def called(cell: Cell) -> str:
    """`body`, or `body x 17`."""
    times = f" \N{MULTIPLICATION SIGN} {cell.count}" if cell.count > 1 else ""
    return cell.unit + times


def arguments(cell: Cell) -> list[str]:
    """Each argument with its value, as far as it is known."""
    args = cell.instance.args if cell.instance else {}
    return [f"{name} {show(value)}" for name, value in args.items()]


def said_of(
    words: Sequence[str], size: float, across: float, lines: int = 3
) -> list[str]:
    """The words in lines, with dots between them; one longer than a line has a longer one,
    up to twice as long."""
    longest = max((width(w, size) for said in words for w in said.split()), default=0)
    across = max(across, min(longest, 2 * across))
    return wrap(" \N{MIDDLE DOT} ".join(words), size, across, lines)


def folded_size(cell: Cell) -> tuple[float, float]:
    """The box of units that are not unfolded."""
    lines = said_of(arguments(cell), SMALL, WIDEST)
    across = [
        width(called(cell), SIZE, bold=True),
        *(width(line, SMALL) for line in lines),
    ]
    return max(LEAST, _even(max(across) + 24)), HEIGHT + 15 * len(lines)


def folded_node(
    cell: Cell,
    name: str,
    at: tuple[float, float],
    size: tuple[float, float],
    data: str,
    *,
    broken: bool,
    mark: Mark | None,
) -> Node:
    """Units that are not unfolded: their name, how many, and their arguments."""
    x, y = at[0], at[1] - size[1] / 2 + HEIGHT / 2
    texts = [Text("text", name, called(cell), x, y, SIZE, bold=True)]
    for line in said_of(arguments(cell), SMALL, WIDEST):
        y += 15
        texts.append(Text("text", name, line, x, y, SMALL, "muted"))
    many = cell.count > 1
    return Node(
        "run",
        name,
        tuple(texts),
        *at,
        *size,
        data,
        broken=broken,
        mark=mark,
        note=f"{name} to {cell.last}" if many else name,
        tags="call",
        copies=many,
    )


TITLE, NAMES, ASIDE, FOOT = 24.0, 15.0, 12.0, 12.0
"""Pixels of a frame: its title's height, that of its inputs' names, its margins."""


def frame_texts(cell: Cell, name: str, ports: Sequence[float]) -> list[Text]:
    """A frame's title, on the left of the lines that come in there, or on their right."""
    across = width(called(cell), 11, bold=True)
    words = said_of(arguments(cell), 10, WIDEST, 1)
    whole = across + sum(8 + width(line, 10) for line in words)
    x = 10.0 if 10 + whole + 10 <= min(ports, default=0) else max(ports, default=0) + 12
    y = TITLE / 2
    bold = Text("frame-title", name, called(cell), x, y, 11, bold=True, anchor="start")
    x += across + 8
    return [
        bold,
        *(
            Text("frame-title", name, line, x, y, 10, "muted", anchor="start")
            for line in words
        ),
    ]


def frame(
    cell: Cell,
    texts: Sequence[Text],
    across: float,
    height: float,
    data: str,
    mark: Mark | None,
) -> Frame:
    """The ground behind the ops of unfolded units; its upper left corner is at 0, 0."""
    note = f"{texts[0].name} to {cell.last}" if cell.count > 1 else texts[0].name
    return Frame(
        0,
        0,
        across,
        height,
        tuple(texts),
        data,
        note=note,
        copies=cell.count > 1,
        mark=mark,
    )


def _even(value: float) -> float:
    return 2.0 * round(value / 2)
