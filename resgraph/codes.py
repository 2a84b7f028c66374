"""Every kind of finding by its code: what it weighs and what it means."""

from __future__ import annotations

from resgraph.diagnostics import Code, Severity

UNKNOWN_OP = Code("unknown-op", Severity.ERROR, "There is no op of this name.")
UNACTIVATED_WEIGHT = Code(
    "unactivated-weight",
    Severity.WARNING,
    "A weight layer reads a value that has met no activation since the last one.",
)
