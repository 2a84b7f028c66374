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

# --- specs ------------------------------------------------------------------------------

SPEC_BYTES = 256 * 1024
"""Bytes of a spec's file; the largest of ours has a hundredth of it."""
SPEC_NESTING = 24
"""Levels of nesting in YAML; the language needs 8."""
SPEC_VALUES = 20_000
"""Values in a spec, those that aliases stand for counted each time."""
SPEC_EXTENDS = 8
"""Specs in a chain of `extends`."""

# --- the server -------------------------------------------------------------------------

SERVE_REQUEST_BYTES = 10_000_000
"""Of a request's body; `--max-bytes` of `resgraph serve`."""
SERVE_PICTURE_PIXELS = 25_000_000
"""Of a picture, as its header says; `--max-pixels`."""
SERVE_REQUEST_PICTURES = 64
"""In a request."""
SERVE_PICTURE_SCANS = 100
"""Of a progressive JPEG: each goes over the whole picture and may be a few bytes long, so
that a megabyte of them is computed for minutes. Usual files have about ten."""
SERVE_QUEUE = 256
"""Pictures that are decoded, wait or are computed; `--max-queue`."""
SERVE_HELD_BYTES = 256_000_000
"""Of all bodies that are not here in full, and again of those that are; `--max-held-bytes`."""
SERVE_CONNECTIONS = 1024
"""That keep the server waiting: idle, with half a request, with an answer they do not read;
`--max-connections`."""
SERVE_CONNECTIONS_PER_ADDRESS = 512
"""The same from one address; `--max-per-address`."""
SERVE_HEAD_SECONDS = 10.0
"""For the head of a request; `--head-timeout`."""
SERVE_BODY_SECONDS = 60.0
"""For a body to come in, and for an answer to be read; `--body-timeout`."""
SERVE_BODY_RATE = 1000
"""Bytes per second of a body at least: one that is slower, or does not move, is given up once
it has fallen `SERVE_HEAD_SECONDS` behind; `--min-rate`."""
SERVE_HEAD_BYTES = 16_384
"""Of the head of a request."""
SERVE_HEAD_FIELDS = 100
"""Lines in the head of a request."""
SERVE_CHUNKS = 1000
"""Of a chunked body, whatever their size;"""
SERVE_CHUNK_BYTES = 256
"""if there are more of them, each must have so many bytes on average."""
