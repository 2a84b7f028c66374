"""Every kind of finding by its code: what it weighs, what it means, why it matters, and an
example, which a test holds to what the compiler says. `resgraph explain` prints them."""

from __future__ import annotations

from resgraph.diagnostics import Code, Example, Severity

_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

# --- the spec that the examples change

_TITLE = "title: A small network"
_FROM = "        from: x"
_CONV = "          - conv: {kernel: 3, channels: width}"
_OUT = "      out: {from: [x, F], ops: [add]}"
_PARAMS = "  params: {depth: 8, classes: 10, n: (depth - 2) / 2}"
_INPUT = "  input: [3, 32, 32]"
_STEM = "  stem: [{conv: {kernel: 3, channels: 16}}]"
_STAGE = "    - [{body: {width: 16}, repeat: n}]"
_HEAD = "  head: [bn, relu, global_avg_pool, {linear: {features: classes}}]"
_TRAIN = "train: {batch: 64}"

SPEC = f"""\
resgraph: 1
{_TITLE}
units:
  body:
    params: [width]
    paths:
      F:
{_FROM}
        ops:
          - bn
          - relu
{_CONV}
          - bn
          - relu
{_CONV}
{_OUT}
network:
{_PARAMS}
{_INPUT}
{_STEM}
  stages:
{_STAGE}
{_HEAD}
{_TRAIN}
"""

_OUTPUTS = "outputs: {a: stage1.a, b: stage1.b}"
_FORK = f"""\
resgraph: 1
title: Two outputs
units: {{fork: {{outputs: [a, b], paths: {{a: {{from: x, ops: [bn]}}, b: {{from: x, ops: [relu]}}}}}}}}
network: {{input: [3, 32, 32], stages: [[fork]], {_OUTPUTS}}}
"""

# --- the file

INVALID_YAML = Code(
    "invalid-yaml",
    _ERROR,
    "The text is not YAML.",
    "Nothing can be said about the rest before it can be read.",
    Example("  stem: [{conv: {kernel: 3, channels: 16}]", _STEM),
)
UNSUPPORTED_YAML = Code(
    "unsupported-yaml",
    _ERROR,
    "YAML that the language does without: tags, several documents, keys that are no text.",
    "A spec is plain data, which every program reads in the same way.",
    Example("title: !!python/name:os.system", _TITLE),
)
DUPLICATE_KEY = Code(
    "duplicate-key",
    _ERROR,
    "The same key is given twice.",
    "Most programs would take the last one and say nothing.",
    Example("  input: [1, 28, 28]\n  input: [3, 32, 32]", _INPUT),
)
NOT_A_SPEC = Code(
    "not-a-spec",
    _ERROR,
    "The file holds no mapping of keys to values.",
    "A spec begins with `resgraph: 1`, and has units and a network.",
    Example("# nothing yet\n", SPEC),
)
TOO_LARGE = Code(
    "too-large",
    _ERROR,
    "The spec passes a limit: of values, of nesting, of `extends`, of distinct units.",
    "No network needs as much, and a hostile file could take all memory.",
    Example(f"  input: {'[' * 25}3{']' * 25}", _INPUT),
)
UNREADABLE_EXTENDS = Code(
    "unreadable-extends",
    _ERROR,
    "A spec that this one extends cannot be read.",
    "Its path is relative to the file that names it.",
    Example(f"{_TITLE}\nextends: nowhere.yaml", _TITLE),
)
CIRCULAR_EXTENDS = Code(
    "circular-extends",
    _ERROR,
    "A spec extends itself, perhaps by way of others.",
    "There would be no spec to begin with.",
    Example(f"{_TITLE}\nextends: spec.yaml", _TITLE),
)

# --- keys and values

UNKNOWN_KEY = Code(
    "unknown-key",
    _ERROR,
    "There is no key of this name here.",
    "Were it ignored, the network would silently be another one than is written.",
    Example("  stem: [{conv: {kernal: 3, channels: 16}}]", _STEM),
)
MISSING_KEY = Code(
    "missing-key",
    _ERROR,
    "A key that must be there is not.",
    "It has no default, since none would be right for most networks.",
    Example("  stem: [{conv: {channels: 16}}]", _STEM),
)
WRONG_TYPE = Code(
    "wrong-type",
    _ERROR,
    "A value of another kind is expected here, such as a list in the place of a mapping.",
    "`resgraph schema` has the kind of each value, and an editor completes by it.",
    Example("  stem: {conv: {kernel: 3, channels: 16}}", _STEM),
)
WRONG_FORM = Code(
    "wrong-form",
    _ERROR,
    "An item of a list is not written as such items are.",
    "An op, a parameter and a unit of a stage are each a name, or one name with values.",
    Example("    - [{body: {width: 16}, tail: {width: 16}, repeat: n}]", _STAGE),
)
WRONG_LENGTH = Code(
    "wrong-length",
    _ERROR,
    "A list or mapping has too few or too many items.",
    "The input has one to three sizes, and what is listed elsewhere must not be nothing.",
    Example("  input: [1, 3, 32, 32]", _INPUT),
)
UNKNOWN_CHOICE = Code(
    "unknown-choice",
    _ERROR,
    "The value is none of those that one can choose from here.",
    "There is one version, 1, and one recipe, he2016; docs/recipes.md has optimisers and schedules.",
    Example("resgraph: 2", "resgraph: 1"),
)
INVALID_TITLE = Code(
    "invalid-title",
    _ERROR,
    "The text cannot be a title.",
    "It becomes a line in the docstrings of generated code.",
    Example('title: ""', _TITLE),
)
INVALID_NAME = Code(
    "invalid-name",
    _ERROR,
    "The word cannot be a name.",
    "Names become Python's, where keywords and what torch.nn.Module has are taken.",
    Example("  stem: [{conv: {kernel: 3, channels: 16, name: forward}}]", _STEM),
)
NAME_CLASH = Code(
    "name-clash",
    _ERROR,
    "Two things would bear one name in generated code.",
    "The second would overwrite the first, in the module and in its state_dict.",
    Example("  stem: [{conv: {kernel: 3, channels: 16, name: stage1}}]", _STEM),
)
UNKNOWN_OP = Code(
    "unknown-op",
    _ERROR,
    "There is no op of this name.",
    "`resgraph ops` lists those that there are; docs/adding-an-op.md says how to add one.",
    Example(_HEAD.replace("relu", "rellu"), _HEAD),
)

# --- numbers and parameters

INVALID_EXPRESSION = Code(
    "invalid-expression",
    _ERROR,
    "The text is not arithmetic over parameters.",
    "Numbers, parameters and + - * / // % ( ) are, and are computed exactly.",
    Example("  stem: [{conv: {kernel: 3, channels: 2 x 8}}]", _STEM),
)
INVALID_NUMBER = Code(
    "invalid-number",
    _ERROR,
    "A number, or what an expression comes out as, is not one that may stand here.",
    "Rounding it would build a network of another depth or width than is written.",
    Example(_PARAMS.replace("8", "9"), _PARAMS),
)
NOT_CONSTANT = Code(
    "not-constant",
    _ERROR,
    "A parameter is read where only plain numbers may be.",
    "`train` and `networks` stand outside the network, whose parameters have no value there.",
    Example("train: {batch: 8 * depth}", _TRAIN),
)
UNKNOWN_PARAMETER = Code(
    "unknown-parameter",
    _ERROR,
    "There is no parameter of this name.",
    "A unit's ops read the unit's own parameters; stages and the head read the network's.",
    Example(_HEAD.replace("classes", "clases"), _HEAD),
)
UNUSED_PARAMETER = Code(
    "unused-parameter",
    _ERROR,
    "Nothing reads the parameter.",
    "Setting it would change nothing, and generated code would take an unused argument.",
    Example(_PARAMS.replace("n:", "width: 16, n:"), _PARAMS),
)
USED_BEFORE_DEFINITION = Code(
    "used-before-definition",
    _ERROR,
    "A parameter or a path is used above the line that defines it.",
    "A spec reads from top to bottom, as the code that it becomes does.",
    Example("  params: {classes: 10, n: (depth - 2) / 2, depth: 8}", _PARAMS),
)
UNKNOWN_ARGUMENT = Code(
    "unknown-argument",
    _ERROR,
    "A stage gives a unit something that it has no parameter for.",
    "The unit would be built without it.",
    Example("    - [{body: {width: 16, stride: 1}, repeat: n}]", _STAGE),
)
MISSING_ARGUMENT = Code(
    "missing-argument",
    _ERROR,
    "A stage leaves out a parameter of the unit that has no default.",
    "The unit cannot be built without it.",
    Example("    - [{body: {}, repeat: n}]", _STAGE),
)

# --- topology

UNKNOWN_UNIT = Code(
    "unknown-unit",
    _ERROR,
    "There is no unit of this name.",
    "A stage is made of the units that stand under `units`, in this spec or one it extends.",
    Example("    - [{boddy: {width: 16}, repeat: n}]", _STAGE),
)
UNUSED_OUTPUT = Code(
    "unused-output",
    _WARNING,
    "One of a unit's outputs is read by nothing, though others are.",
    "What only that output needs is computed for nothing, and its weights never learn.",
    Example("outputs: {a: stage1.a}", _OUTPUTS, _FORK),
)
UNUSED_UNIT = Code(
    "unused-unit",
    _WARNING,
    "No stage names the unit.",
    "It is in no generated file. Perhaps a stage names another unit by mistake.",
    Example("units:\n  spare: {paths: {out: {from: x, ops: [relu]}}}", "units:"),
)
FOREIGN_CONVENTION = Code(
    "foreign-convention",
    _WARNING,
    "The value may stand here, and reads as another framework's convention has it.",
    "Channels come first, BN's momentum is the share of the new batch, milestones are steps.",
    Example("  input: [32, 32, 3]", _INPUT),
)
MISSING_OUTPUT = Code(
    "missing-output",
    _ERROR,
    "The unit has no path 'out'.",
    "The value of that path is what the unit returns.",
    Example("      total: {from: [x, F], ops: [add]}", _OUT),
)
UNKNOWN_VALUE = Code(
    "unknown-value",
    _ERROR,
    "A path starts from a value that is not there.",
    "Values are `x`, the unit's input, and the paths by their names.",
    Example("      out: {from: [x, G], ops: [add]}", _OUT),
)
CIRCULAR_UNITS = Code(
    "circular-units",
    _ERROR,
    "A unit is made of itself, perhaps by way of others.",
    "There would be no end to it. Units that follow one another are repeated in a stage.",
    Example(f"          - body: {{width: width}}\n{_CONV}", _CONV),
)
CIRCULAR_PATHS = Code(
    "circular-paths",
    _ERROR,
    "Paths need one another, so none can be computed first.",
    "A unit is a graph without cycles, computed in one pass.",
    Example("        from: out", _FROM),
)
UNUSED_PATH = Code(
    "unused-path",
    _ERROR,
    "The path never reaches 'out'.",
    "Its ops would be computed for nothing, and its weights would never learn.",
    Example(f"      G: {{from: x, ops: [relu]}}\n{_OUT}", _OUT),
)
WRONG_INPUT_COUNT = Code(
    "wrong-input-count",
    _ERROR,
    "An op gets more or fewer values than it takes.",
    "The first op of a path gets what stands in `from`; add, mul and concat merge.",
    Example("      out: {from: [x, F], ops: [relu]}", _OUT),
)

# --- shapes

SHAPE_MISMATCH = Code(
    "shape-mismatch",
    _ERROR,
    "Values that are merged differ in shape.",
    "A shortcut must change the shape as F does: with a projection, or option_a.",
    Example(_CONV.replace("width", "width, stride: 2"), _CONV),
)
WRONG_RANK = Code(
    "wrong-rank",
    _ERROR,
    "An op for maps gets a vector, or the other way round.",
    "global_avg_pool and flatten make vectors of maps; after them only linear has weights.",
    Example("  head: [bn, relu, {linear: {features: classes}}]", _HEAD),
)
INVALID_ATTRIBUTE = Code(
    "invalid-attribute",
    _ERROR,
    "An op's attribute does not fit its input or its other attributes.",
    "torch would refuse it as well, or compute something else than its name says.",
    Example("  stem: [{conv: {kernel: 3, channels: 16, groups: 2}}]", _STEM),
)
WRONG_OUTPUT = Code(
    "wrong-output",
    _ERROR,
    "The network does not end in a vector with a logit for each class.",
    "Training and inference read it as such.",
    Example(_HEAD.replace("classes", "2 * classes"), _HEAD),
)

# --- allow

UNKNOWN_CODE = Code(
    "unknown-code",
    _ERROR,
    "`allow` names a kind of finding that there is not.",
    "It would allow nothing.",
    Example(f"{_TITLE}\nallow: [unused-units]", _TITLE),
)
NOT_ALLOWABLE = Code(
    "not-allowable",
    _ERROR,
    "`allow` names an error.",
    "With an error there is no network; only warnings and notes can be meant.",
    Example(f"{_TITLE}\nallow: [shape-mismatch]", _TITLE),
)
UNUSED_ALLOW = Code(
    "unused-allow",
    _NOTE,
    "`allow` names a kind of finding that the spec does not have.",
    "Left there, it would hide the next one.",
    Example(f"{_TITLE}\nallow: [unused-unit]", _TITLE),
)

# --- of prove

_BN_RELU = "          - bn\n          - relu"
_H = "      h: {from: a, ops: [{conv: {kernel: 1, channels: width, stride: 2}}]}"
_SIGMOID = "          - sigmoid"
_RESNET = "networks: {resnet8: {depth: 8}}"
_THREE = "networks: {deep110: {depth: 110}}"
_ENTRY = f"""\
  entry:
    params: [width]
    paths:
      a: {{from: x, ops: [bn, relu]}}
{_H}
      F:
        from: a
        ops:
          - conv: {{kernel: 3, channels: width, stride: 2}}
{_BN_RELU}
{_CONV}
{_OUT.replace("x, F", "h, F")}
network:
"""
_GATED = f"""\
      gate:
        from: F
        ops:
          - global_avg_pool: {{keepdim: true}}
          - conv: {{kernel: 1, channels: width / 4, bias: true}}
          - relu
          - conv: {{kernel: 1, channels: width, bias: true}}
{_SIGMOID}
      scaled: {{from: [F, gate], ops: [mul]}}
      out: {{from: [x, scaled], ops: [add]}}
"""
_WITH_ENTRY = SPEC.replace("network:\n", _ENTRY).replace(
    _STAGE, f"{_STAGE}\n    - [{{entry: {{width: 32}}}}]"
)
_WITH_GATE = SPEC.replace(f"{_OUT}\n", _GATED)
_OF_THREE = SPEC.replace(
    f"{_CONV}\n{_OUT}", f"{_CONV}\n{_BN_RELU}\n{_CONV}\n{_OUT}"
).replace("(depth - 2) / 2", "(depth - 2) / 3")

UNACTIVATED_WEIGHT = Code(
    "unactivated-weight",
    _WARNING,
    "A weight layer reads a value that has met no activation since the last one.",
    "Two linear maps in a row are one: the second adds weights, and no depth. Gates, "
    "separable convolutions, linear bottlenecks and embeddings of patches are known to be "
    "linear on purpose, and are not told.",
    Example(f"{_CONV}\n{_CONV}", f"{_CONV}\n{_BN_RELU}\n{_CONV}"),
    by_prove=True,
)
UNACTIVATED_PROJECTION = Code(
    "unactivated-projection",
    _WARNING,
    "A projection reads x before the activation that F sees.",
    "Where the shape changes, the paper activates once, before h and F part.",
    Example(_H.replace("from: a", "from: x"), _H, _WITH_ENTRY),
    by_prove=True,
)
NORMALISED_PROJECTION = Code(
    "normalised-projection",
    _WARNING,
    "The projection of a pre-activation unit has a normalisation of its own.",
    "F ends in its weight layer, and so does the authors' projection: the next unit "
    "normalises the sum.",
    Example(_H.replace("}}]}", "}}, bn]}"), _H, _WITH_ENTRY),
    by_prove=True,
)
UNBOUNDED_GATE = Code(
    "unbounded-gate",
    _WARNING,
    "A gate ends in a weight layer, with no sigmoid to bound it.",
    "What a gate lets pass is a share; without a bound it is a factor of any size or sign.",
    Example("          - identity", _SIGMOID, _WITH_GATE),
    by_prove=True,
)
REPEATED_NORM = Code(
    "repeated-norm",
    _WARNING,
    "A normalisation repeats an earlier one, with no weight layer between.",
    "The first is undone by the second, and costs time and memory.",
    Example(f"          - bn\n{_BN_RELU}\n{_CONV}", f"{_BN_RELU}\n{_CONV}"),
    by_prove=True,
)
IDLE_ACTIVATION = Code(
    "idle-activation",
    _WARNING,
    "An activation changes nothing: its input is never negative.",
    "ReLU of what ReLU gave is the same: one of them was meant for another place.",
    Example(f"{_BN_RELU}\n          - relu\n{_CONV}", f"{_BN_RELU}\n{_CONV}"),
    by_prove=True,
)
REPEATED_ACTIVATION = Code(
    "repeated-activation",
    _WARNING,
    "An activation repeats an earlier one, with no weight layer between.",
    "Units that activate last and units that activate first were put together.",
    Example(f"          - relu\n{_BN_RELU}\n{_CONV}", f"{_BN_RELU}\n{_CONV}"),
    by_prove=True,
)
MISSING_TAIL = Code(
    "missing-tail",
    _WARNING,
    "Nothing activates the last sum of a pre-activation network.",
    "Each unit activates the sum of the one before it, so the head must activate the last: "
    "it is among the most reported mistakes of re-implementations.",
    Example(_HEAD.replace("bn, relu, ", ""), _HEAD),
    by_prove=True,
)
WRONG_DEPTH = Code(
    "wrong-depth",
    _WARNING,
    "The network is named after another number of layers than it has.",
    "The names of the field count the weight layers of the longest path; shortcuts and "
    "gates do not count.",
    Example(_RESNET.replace("depth: 8", "depth: 12"), _RESNET, f"{SPEC}{_RESNET}\n"),
    by_prove=True,
)
UNUSUAL_UNITS = Code(
    "unusual-units",
    _WARNING,
    "The depth is that of the name, and the units are not those of that network.",
    "ResNet-110 of bottlenecks, or ResNet-164 of basic units, is no network of the paper.",
    Example(_THREE.replace("deep", "resnet"), _THREE, f"{_OF_THREE}{_THREE}\n"),
    by_prove=True,
)

CODES = {code.name: code for code in [*vars().values()] if isinstance(code, Code)}
"""Every code by its name, in the order of this file."""
