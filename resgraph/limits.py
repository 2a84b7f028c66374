"""How much of anything is taken: every limit of resgraph, each once.

What goes beyond one is refused before the work is begun, with the number that it would need.
"""

from __future__ import annotations

# --- networks and their models ------------------------------------------------------------

MODEL_BYTES = 2_000_000_000
"""Of an ONNX file: protobuf ends at 2 GiB. Weights that do not fit go to `NAME.onnx.data`
beside it; nodes that do not fit are refused."""
PIECE_NODES = 10_000
"""Nodes of a model that `onnx.checker` reads at a time: it takes about 3 KB for each."""
PIECE_BYTES = 64 * 2**20
"""Bytes of a model that `onnx.checker` reads at a time: it has them in memory twice."""
SHOWN_NODES = 100_000
"""Nodes that `show --emit onnx` prints: nobody reads more, and they are in memory at once."""

# --- arithmetic in specs ----------------------------------------------------------------

EXPRESSION_TEXT = 200
"""Characters of an expression in a spec."""
EXPRESSION_MAGNITUDE = 10**15
"""The largest number that arithmetic may come to: every whole number up to it is exact in
float64, and no size of a network comes near."""
EXPRESSION_DENOMINATOR = 10**30
"""The largest denominator of a fraction that arithmetic may come to; without a bound a chain
of products doubles its digits at every step."""

# --- specs ------------------------------------------------------------------------------

SPEC_BYTES = 256 * 1024
"""Bytes of a spec's file; the largest of ours has a hundredth of it."""
SPEC_NESTING = 24
"""Levels of nesting in YAML; the language needs 8."""
SPEC_VALUES = 20_000
"""Values in a spec, those that aliases stand for counted each time."""
SPEC_EXTENDS = 8
"""Specs in a chain of `extends`."""
# --- drawings -----------------------------------------------------------------------------

DRAWN_NODES = 1_000
"""Ops of a unit, or parts of a network, in one drawing: Graphviz takes seconds for them, and
no eye takes them in."""
DRAWN_LANES = 4_000
"""Rows that the lines of a drawing pass between their ends, in sum: what Graphviz takes for
their order grows faster than by the square of it."""

# --- comparisons --------------------------------------------------------------------------

ISOMORPHISM_STEPS = 5_000_000
"""Nodes that are looked at to tell whether two graphs are the same one: some seconds. Graphs
that look alike from every node need more than any number."""
