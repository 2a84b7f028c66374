"""Which of a network's outputs tells classes apart: one rule for all that classify."""

from __future__ import annotations

from collections.abc import Mapping

LOGITS = ("logits", "out")
"""What the output may be called where several are vectors; the first one that there is."""


def classifying(vectors: Mapping[str, bool]) -> str | None:
    """The output whose numbers are the logits, by the name of each whether it is a vector.

    It is the only vector among them, or the one that is called so; None where that is none.
    """
    found = [name for name, is_vector in vectors.items() if is_vector]
    if len(found) == 1:
        return found[0]
    return next((name for name in LOGITS if name in found), None)
