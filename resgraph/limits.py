"""How much of anything is taken: every limit of resgraph, each once.

What goes beyond one is refused before the work is begun, with the number that it would need.
"""

from __future__ import annotations

# --- arithmetic in specs ----------------------------------------------------------------

EXPRESSION_TEXT = 200
"""Characters of an expression in a spec."""
EXPRESSION_MAGNITUDE = 10**15
"""The largest number that arithmetic may come to: every whole number up to it is exact in
float64, and no size of a network comes near."""
EXPRESSION_DENOMINATOR = 10**30
"""The largest denominator of a fraction that arithmetic may come to; without a bound a chain
of products doubles its digits at every step."""

# --- run folders ------------------------------------------------------------------------

JSON_BYTES = 4 * 2**20
"""Of a JSON file that resgraph wrote, such as run.json: the longest it writes has 100 kB."""
RECORDS_BYTES = 256 * 2**20
"""Of metrics.jsonl and units.jsonl: 333 units take 8 kB a record."""
