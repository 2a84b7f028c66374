"""Every kind of finding by its code: what it weighs and what it means."""

from __future__ import annotations

from resgraph.diagnostics import Code, Severity

# --- the file

INVALID_YAML = Code("invalid-yaml", Severity.ERROR, "The text is not YAML.")
UNSUPPORTED_YAML = Code(
    "unsupported-yaml", Severity.ERROR, "YAML that the language does without."
)
DUPLICATE_KEY = Code("duplicate-key", Severity.ERROR, "The same key is given twice.")
NOT_A_SPEC = Code("not-a-spec", Severity.ERROR, "The file holds no mapping of keys.")
TOO_LARGE = Code("too-large", Severity.ERROR, "The spec passes a limit on its size.")
UNREADABLE_EXTENDS = Code(
    "unreadable-extends", Severity.ERROR, "The spec that is extended cannot be read."
)
CIRCULAR_EXTENDS = Code(
    "circular-extends",
    Severity.ERROR,
    "A spec extends itself, perhaps by way of others.",
)

# --- keys and values

UNKNOWN_KEY = Code("unknown-key", Severity.ERROR, "There is no key of this name here.")
MISSING_KEY = Code("missing-key", Severity.ERROR, "A key that must be there is not.")
WRONG_TYPE = Code(
    "wrong-type", Severity.ERROR, "A value of another kind is expected here."
)
WRONG_FORM = Code(
    "wrong-form", Severity.ERROR, "An item of a list is not written as such items are."
)
WRONG_LENGTH = Code(
    "wrong-length", Severity.ERROR, "A list or mapping has too few or too many items."
)
UNKNOWN_CHOICE = Code(
    "unknown-choice", Severity.ERROR, "The value is none of those to choose from."
)
INVALID_TITLE = Code("invalid-title", Severity.ERROR, "The text cannot be a title.")
INVALID_NAME = Code("invalid-name", Severity.ERROR, "The word cannot be a name.")
NAME_CLASH = Code(
    "name-clash", Severity.ERROR, "Two things would bear one name in generated code."
)
UNKNOWN_OP = Code("unknown-op", Severity.ERROR, "There is no op of this name.")

# --- numbers and parameters

INVALID_EXPRESSION = Code(
    "invalid-expression", Severity.ERROR, "The text is not arithmetic over parameters."
)
INVALID_NUMBER = Code(
    "invalid-number", Severity.ERROR, "A number is not one that may stand here."
)
NOT_CONSTANT = Code(
    "not-constant",
    Severity.ERROR,
    "A parameter is read where only plain numbers may be.",
)
UNKNOWN_PARAMETER = Code(
    "unknown-parameter", Severity.ERROR, "There is no parameter of this name."
)
UNUSED_PARAMETER = Code(
    "unused-parameter", Severity.ERROR, "Nothing reads the parameter."
)
USED_BEFORE_DEFINITION = Code(
    "used-before-definition",
    Severity.ERROR,
    "A parameter or a path is used above the line that defines it.",
)
UNKNOWN_ARGUMENT = Code(
    "unknown-argument",
    Severity.ERROR,
    "A stage gives a unit what it has no parameter for.",
)
MISSING_ARGUMENT = Code(
    "missing-argument", Severity.ERROR, "A stage does not give a unit's parameter."
)

# --- topology

UNKNOWN_UNIT = Code("unknown-unit", Severity.ERROR, "There is no unit of this name.")
UNUSED_UNIT = Code("unused-unit", Severity.ERROR, "No stage names the unit.")
MISSING_OUTPUT = Code("missing-output", Severity.ERROR, "The unit has no path 'out'.")
UNKNOWN_VALUE = Code(
    "unknown-value", Severity.ERROR, "A path starts from a value that is not there."
)
CIRCULAR_PATHS = Code("circular-paths", Severity.ERROR, "Paths need one another.")
UNUSED_PATH = Code("unused-path", Severity.ERROR, "The path never reaches 'out'.")
WRONG_INPUT_COUNT = Code(
    "wrong-input-count",
    Severity.ERROR,
    "An op gets more or fewer values than it takes.",
)

# --- shapes

SHAPE_MISMATCH = Code(
    "shape-mismatch", Severity.ERROR, "Values that are merged differ in shape."
)
WRONG_RANK = Code(
    "wrong-rank",
    Severity.ERROR,
    "An op for maps gets a vector, or the other way round.",
)
INVALID_ATTRIBUTE = Code(
    "invalid-attribute",
    Severity.ERROR,
    "An op's attribute does not fit its input or its other attributes.",
)
WRONG_OUTPUT = Code(
    "wrong-output", Severity.ERROR, "The network does not end in a logit per class."
)

# --- of prove

UNACTIVATED_WEIGHT = Code(
    "unactivated-weight",
    Severity.WARNING,
    "A weight layer reads a value that has met no activation since the last one.",
    by_prove=True,
)

CODES = {code.name: code for code in [*vars().values()] if isinstance(code, Code)}
"""Every code by its name, in the order of this file."""
