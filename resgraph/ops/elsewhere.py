"""What is said of an op's name that resgraph does not have.

A name that is another op's would build another network, so none is proposed unless the
word is an op's name in another library, or clearly one misspelt.
"""

from __future__ import annotations

import math
import re

from resgraph.diagnostics import edits, slips_in
from resgraph.ops import OPS
from resgraph.ops.facts import Role

_ACTIVATIONS = """
activation celu clamp clip crelu elu geglu gelu glu gumbel_softmax hard_shrink hard_sigmoid
hard_swish hard_tanh leaky_relu log_sigmoid log_softmax lrelu maxout mish nonlinearity pelu
prelu quick_gelu reglu relu6 rrelu selu silu snake soft_shrink softmax softmin softplus
softsign sparsemax swiglu swish tanh tanh_shrink threshold thresholded_relu
"""
_NORMS = """
batch_norm1d batch_norm3d batch_renorm evonorm filter_response_norm frn gn gdn group_norm in
instance_norm layer_norm layer_norm2d ln local_response_norm lrn norm normalization
normalize rms_norm spectral_norm sync_batch_norm sync_bn weight_norm weight_standardization
"""
_WEIGHTS = """
attention bilinear bmm cbam conv1d conv3d conv_transpose convt deconv deconvolution
deformable_conv depthwise_conv dwconv dynamic_conv einsum embedding gru involution lstm
matmul mha multi_head_attention octave_conv partial_conv pointwise_conv pwconv rnn se
se_block self_attention separable_conv sepconv squeeze_and_excitation squeeze_excite
squeeze_excitation transformer transposed_conv weight
"""
_POOLS = """
adaptive_avg_pool adaptive_max_pool attention_pool avg_pool1d avg_pool3d blur_pool
fractional_max_pool gem global_max_pool global_pool lp_pool max_pool1d max_pool3d
max_unpool median_pool min_pool mix_pool mixed_pool pool pooling roi_align roi_pool
soft_pool spatial_pyramid_pool spp stochastic_pool sum_pool unpool
"""
_OTHERS = """
abs alpha_dropout bias chunk channel_shuffle conv_bn cutout depth_to_space detach div divide
drop_block drop_connect drop_path dropout1d dropout2d dropout3d erf exp expand feature_dropout
fold gather gaussian_noise gate interpolate lambda layer_scale log maximum max mean min minimum
minus neg noise pad permute pixel_shuffle pixel_unshuffle pow reciprocal reflection_pad
replication_pad rescale reshape residual resize sequential shakedrop shake_shake shift
shortcut skip slice space_to_depth spatial_dropout split sqrt square squeeze stack
stochastic_depth stop_gradient sub subsample subtract transpose unflatten unfold unsqueeze
upsample upsampling view zero_pad
"""


def _plain(name: str) -> str:
    """Without case, module and the marks between words: `nn.MaxPool2d` is `maxpool2d`."""
    return re.sub(r"[\W_]", "", name.lower().rpartition(".")[2])


def _kinds(role: Role) -> list[str]:
    return [kind for kind, op in OPS.items() if op.role is role]


FAMILIES: dict[str, tuple[str, list[str]]] = {
    "activations": (_ACTIVATIONS, _kinds(Role.ACTIVATION)),
    "normalisations": (_NORMS, _kinds(Role.NORM)),
    "layers with weights": (_WEIGHTS, _kinds(Role.WEIGHT)),
    "poolings": (_POOLS, [kind for kind in OPS if kind.endswith("pool")]),
    "ops": (_OTHERS, [*OPS]),
}
"""Names of the field that are no op's here, by family, and the ops here of that family."""

HERE = {_plain(n): kind for kind, op in OPS.items() for n in (kind, *op.also)}
"""What an op is called, here and elsewhere, and its name here."""

ELSEWHERE = {
    _plain(word): (word, family)
    for family, (words, _) in FAMILIES.items()
    for word in words.split()
    if _plain(word) not in HERE
}
"""What other ops are called, with the family."""


def hint(word: str) -> str:
    """What to write instead of a name that is no op's, or what there is."""
    plain = _plain(word)
    if plain in HERE:
        return f"here it is '{HERE[plain]}'"
    if known := ELSEWHERE.get(plain) or ELSEWHERE.get(re.sub(r"[123]d$", "", plain)):
        name, family = known
        listed = ", ".join(FAMILIES[family][1])
        how = "docs/adding-an-op.md says how to add one"
        return f"resgraph has no '{name}'; {family} here: {listed}; {how}"
    if meant := _meant(plain):
        return f"did you mean '{meant}'?"
    return f"ops: {', '.join(OPS)}"


def unit_for_op(name: str) -> str:
    """A hint at a unit's name where an op's is needed."""
    return f"'{name}' is a unit, and here stands an op's name"


def _meant(word: str) -> str | None:
    """The op whose name this is but for a slip; None where it may as well be another's."""
    slips = {name: _slips(word, name) for name in (*HERE, *ELSEWHERE)}
    fewest = min(slips.values())
    nearest = [name for name, count in slips.items() if count == fewest]
    kinds = {HERE.get(name) for name in nearest if fewest < math.inf}
    likely = any(_alike(word, name) for name in nearest)
    return kinds.pop() if len(kinds) == 1 and likely else None


def _slips(word: str, name: str) -> float:
    """How many slips of a finger make the one word of the other; infinite for many.

    A letter that is doubled or not counts half.
    """
    count = edits(word, name, most=min(2, slips_in(word, name)))
    if count is None:
        return math.inf
    doubled = re.sub(r"(.)\1", r"\1", word) == re.sub(r"(.)\1", r"\1", name)
    return count / 2 if doubled else count


def _alike(word: str, name: str) -> bool:
    """Whether they have the digits (relu6) and the first letter (gelu) in common, which
    are meant, unless the letter changed places."""
    first = word[:1] == name[:1] or word[:2] == name[1::-1]
    return first and re.findall(r"\d", word) == re.findall(r"\d", name)
