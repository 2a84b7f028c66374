"""How much of anything is taken: every limit of resgraph, each once.

What goes beyond one is refused before the work is begun, with the number that it would need.
"""

from __future__ import annotations

# --- models -------------------------------------------------------------------------------

MODEL_BYTES = 2_000_000_000
"""Of an ONNX file: protobuf ends at 2 GiB. Weights that do not fit go to `NAME.onnx.data`
beside it; nodes that do not fit are refused."""
PIECE_NODES = 10_000
"""Nodes of a model that `onnx.checker` reads at a time: it takes about 3 KB for each. A larger
model is checked in as many pieces."""
PIECE_BYTES = 64 * 2**20
"""Bytes of a model that `onnx.checker` reads at a time: it has them in memory twice."""
SHOWN_NODES = 100_000
"""Nodes that `show --emit onnx` prints: nobody reads more, and they are in memory at once."""
# --- files from elsewhere ---------------------------------------------------------------

READ_BYTES = 2 * 2**30
"""Bytes of memory that reading one file may take; `RESGRAPH_READ_BYTES` sets another number."""
READ_VARIABLE = "RESGRAPH_READ_BYTES"
"""The environment variable, in bytes or as 500M, 8G, 8GiB."""

HEADER_SHARE = 64
"""One in so many of the bytes may describe (headers, directories, nodes); the rest are data.
Text becomes objects of Python or of C++, which take up to so many times its length."""
BYTES_PER_PIXEL = 24
"""Of a picture while it is decoded, turned, laid over white and brought to its mode. So two
GiB are 89,478,485 pixels, which is also where Pillow begins to warn."""

SOURCE_SHARE = 128
"""One in so many may be a generated Python file; that of ResNet-1001 has 5 KB."""
METADATA_CHARACTERS = 2**20
"""Of one property of an ONNX model."""

ARCHIVE_BYTES = 2**29
"""Of an official CIFAR archive, unpacked: they have 186 MB. No option raises this."""
MEMBER_BYTES = 2**28
"""Of a file in one: the largest is CIFAR-100's training set, of 155 MB."""
MEMBERS = 100
"""Files in one: the official archives have ten at most."""
MEMBER_NAME_BYTES = 2**16
"""Of a tar header that holds a long name or further fields of the next member."""

PICKLE_OPS = 2**20
"""Instructions of a pickle in a CIFAR archive: CIFAR-100's training set has 300,000."""
PICKLE_DIGITS = 64
"""Bytes of a whole number in a pickle."""

CHUNK_SHARE = 32
"""One in so many of the bytes may be one stored picture of a parquet file; and so many of
decoded pictures are in memory at a time, at least one picture."""

PAGE_SHARE = 4
"""One in so many of the bytes may be one page of a parquet file, unpacked."""

PROBLEMS = 10_000
"""Pictures of a data set that cannot be read; then the rest is not tried."""
CLASSES = 10**6
"""Of a data set: a label is below this."""

PICTURE_SCANS = 100
"""Of a progressive JPEG: each goes over the whole picture and may be a few bytes long, so
that a megabyte of them is computed for minutes. Usual files have about ten."""

# --- arithmetic in specs ----------------------------------------------------------------

EXPRESSION_TEXT = 200
"""Characters of an expression in a spec."""
EXPRESSION_MAGNITUDE = 10**15
"""The largest number that arithmetic may come to: every whole number up to it is exact in
float64, and no size of a network comes near."""
EXPRESSION_DENOMINATOR = 10**30
"""The largest denominator of a fraction that arithmetic may come to; without a bound a chain
of products doubles its digits at every step."""
LIST_ITEMS = 1_000
"""Items of a list that is a parameter's value; a network has as many stages at most."""

# --- drawings -----------------------------------------------------------------------------

DRAWN_NODES = 1_010
"""Ops of a unit, or parts of a network, in one drawing: Graphviz takes seconds for them, and
no eye takes them in."""
DRAWN_LANES = 4_000
"""Rows that the lines of a drawing pass between their ends, in sum: what Graphviz takes for
their order grows faster than by the square of it."""

# --- comparisons --------------------------------------------------------------------------

VERIFIED_OPS = 100_000
"""Ops of a network that `verify` and `import-weights` run: thirty times as many as ResNet-1001
has. Each is a module of torch, and is computed several times in float64."""
ISOMORPHISM_STEPS = 5_000_000
"""Nodes that are looked at to tell whether two graphs are the same one: some seconds. Graphs
that look alike from every node need more than any number."""

# --- specs ------------------------------------------------------------------------------

SPEC_BYTES = 256 * 1024
"""Bytes of a spec's file; the largest of ours has a hundredth of it."""
SPEC_NESTING = 24
"""Levels of nesting in YAML; the language needs 8."""
SPEC_VALUES = 20_000
"""Values in a spec, those that aliases stand for counted each time."""
SPEC_EXTENDS = 8
"""Specs that one extends, directly or by way of others, each counted once."""

# --- networks -----------------------------------------------------------------------------

SPEC_UNITS = 300
"""Units in a spec."""
SPEC_NETWORKS = 100
"""Networks in a spec: each is built and checked with its own parameters."""
SPEC_OPS = 50_000
"""Ops of all units, times the networks that are built of them."""
UNIT_OPS = 1_000
"""Ops of a unit, of a stem or of a head, and values that one path starts from. A unit is one
class, and a sum of more operands is a tree deeper than Python reads."""
PARAMETERS = 100
"""Parameters of a unit or of a network."""
NETWORK_SLOTS = 1_000
"""Entries in a network's stages, `repeat`s counted once."""
LIST_ITEMS = 1_000
"""Numbers of a parameter that is a list."""
NESTED_UNITS = 16
"""Units within one another: a network of the field has three or four."""
DISTINCT_UNITS = 2_000
"""Units of a network that differ in arguments or input shape; each is typed by itself."""
DISTINCT_OPS = 50_000
"""Ops of all of those together."""
NETWORK_OPS = 4_000_000
"""Ops of a network, `repeat`s counted out: a hundred times as many as anything that was trained
has, and about what an ONNX model holds."""
VALUE_NUMBERS = 2**30
"""Numbers of one value of one image: 4 GiB in float32."""
NETWORK_NUMBERS = 2**34
"""Numbers of all weights: 64 GiB in float32, and the same again for each copy in training."""
# --- the server -------------------------------------------------------------------------

SERVE_REQUEST_BYTES = 10_000_000
"""Of a request's body; `--max-bytes` of `resgraph serve`."""
SERVE_PICTURE_PIXELS = 25_000_000
"""Of a picture, as its header says; `--max-pixels`."""
SERVE_REQUEST_PICTURES = 64
"""In a request."""
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
# --- recipes ----------------------------------------------------------------------------

MILESTONES = 1000
"""Of a schedule: each is looked at in every step."""
# --- run folders ------------------------------------------------------------------------

JSON_BYTES = 4 * 2**20
"""Of a JSON file that resgraph wrote, such as run.json: the longest it writes has 100 kB."""
RECORDS_BYTES = 256 * 2**20
"""Of metrics.jsonl and units.jsonl: 333 units take 8 kB a record."""
