"""Amounts of memory as people write them."""

from __future__ import annotations

import re

from resgraph.diagnostics import UsageError
from resgraph.reading import in_bytes

_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{p}b": 1000**k for k, p in enumerate("kmgt", 1)}
_UNITS |= {f"{p}ib": 1024**k for k, p in enumerate("kmgt", 1)}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def parse_bytes(text: str) -> int:
    """Bytes of `2GiB`, `1500 MB` or plain digits. Raises `UsageError`."""
    match = _AMOUNT.fullmatch(text)
    unit = match and _UNITS.get(match[2].lower())
    if not match or not unit or not (amount := int(float(match[1]) * unit)):
        raise UsageError(
            f"{text!r} is no amount of memory", "write it like 2GiB or 1500MiB"
        )
    return amount


def words(amount: float) -> str:
    """`1,144 MiB`, and `6.4 KiB` of small networks."""
    if 10 <= amount / 2**20 < 10**5:  # one unit for what is compared
        return f"{amount / 2**20:,.0f} MiB"
    return in_bytes(int(amount))
