"""Pickles from elsewhere, read instruction by instruction before an unpickler sees them.

An unpickler believes the sizes and places that an instruction names, and allocates for them:
nine bytes (`LONG_BINPUT`) take sixteen GiB. Nothing here allocates more than the pickle has.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from resgraph import limits

_MEMO = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_NUMBERS = frozenset({"LONG", "INT", "LONG1", "LONG4"})
_NAMES = frozenset({"GLOBAL", "INST"})


@dataclass
class Scanned:
    """What a pickle has in it."""

    ops: int = 0
    end: int = 0
    """Where the pickle's last instruction is."""
    calls: int = 0
    longest: int = 0
    """Bytes or characters of its longest text."""
    names: frozenset[str] = frozenset()
    """What it asks for, as `module name`, where that stands in one instruction."""


def scanned(data: bytes, most: int = limits.PICKLE_OPS) -> Scanned:
    """Look at every instruction up to the end of the first pickle.

    Raises `ValueError` if it is no whole pickle, has more instructions than `most`, keeps
    values at places beyond its own length, or holds an absurdly long number.
    """
    found = Scanned()
    for name, argument, found.end in _instructions(data):
        found.ops += 1
        if found.ops > most:
            raise ValueError(f"it has more than {most:,} instructions")
        _check(name, argument, found.ops)
        found.calls += name in ("REDUCE", "BUILD", "NEWOBJ", "OBJ", "INST")
        if name in _NAMES:
            found.names |= {str(argument)}
        elif isinstance(argument, (bytes, bytearray, str)):
            found.longest = max(found.longest, len(argument))
    return found


def _instructions(data: bytes) -> Iterator[tuple[str, Any, int]]:
    try:
        for op, argument, place in pickletools.genops(data):
            yield op.name, argument, place or 0
    except Exception as error:  # what damaged pickles raise is of many kinds
        raise ValueError("it is damaged") from error


def _check(name: str, argument: Any, ops: int) -> None:
    if name in _MEMO and argument > ops:
        raise ValueError(
            f"its instruction {ops:,} keeps a value at place {argument:,}, and an "
            "unpickler would make room for all places before it"
        )
    if name in _NUMBERS and argument.bit_length() > 8 * limits.PICKLE_DIGITS:
        raise ValueError(
            f"it holds a whole number of more than {limits.PICKLE_DIGITS} bytes"
        )
