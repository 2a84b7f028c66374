"""How a file of bytes comes to harm, and the names that nobody should give."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

NAMES = (
    "\x1b]0;x\x07",
    "\x1b[31mred\x1b[0m",
    "\x9b2J",
    "two\nlines",
    "a\rb",
    "\u202egnp.exe",
    "half a pair \ud800",
    "no text \udcff",
    "../../x",
    "/etc/passwd",
    "x" * 5000,
    "",
    "nul\0",
    "t\tab",
    "\u2028",
    "<script>alert(1)</script>",
    "[bold]x[/]",
    "%s%n{0}",
)
"""Escape sequences, ends of lines, bidi controls, half surrogates, paths, length, markup."""

_SIZES = (0, 1, 0x7F, 0xFF, 2**15, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1)


def name(random: Random) -> str:
    """One of them, alone or within another name."""
    chosen = random.choice(NAMES)
    return chosen if random.random() < 0.7 else f"layer{chosen}1.weight"


def damaged(random: Random, data: bytes) -> bytes:
    """The bytes after one to four accidents."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = random.choice(_ACCIDENTS)(random, data)
    return data


def _truncated(random: Random, data: bytes) -> bytes:
    return data[: random.randint(0, len(data))]


def _flipped(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 3, 20))):
        if changed:
            changed[_place(random, data)] ^= 1 << random.randrange(8)
    return bytes(changed)


def _resized(random: Random, data: bytes) -> bytes:
    """A number of four or eight bytes put where a size may be."""
    width, order = random.choice((2, 4, 8)), random.choice(("little", "big"))
    size = random.choice(_SIZES) % 256**width
    place = _place(random, data)
    return data[:place] + size.to_bytes(width, order) + data[place + width :]  # type: ignore[arg-type]


def _spliced(random: Random, data: bytes) -> bytes:
    """A piece of it once more, elsewhere."""
    start, place = _place(random, data), _place(random, data)
    piece = data[start : start + random.randint(1, 200)]
    over = random.choice((0, len(piece)))
    return data[:place] + piece + data[place + over :]


def _without(random: Random, data: bytes) -> bytes:
    place = _place(random, data)
    return data[:place] + data[place + random.randint(1, 50) :]


def _noise(random: Random, data: bytes) -> bytes:
    place = _place(random, data)
    return data[:place] + random.randbytes(random.randint(1, 30)) + data[place:]


def _place(random: Random, data: bytes) -> int:
    """Anywhere; more often at either end, where headers and directories are."""
    last = max(0, len(data) - 1)
    start, stop = random.choice(
        ((0, last), (0, min(200, last)), (max(0, last - 300), last))
    )
    return random.randint(start, stop)


_ACCIDENTS: tuple[Callable[[Random, bytes], bytes], ...] = (
    _truncated,
    _flipped,
    _resized,
    _spliced,
    _without,
    _noise,
)
