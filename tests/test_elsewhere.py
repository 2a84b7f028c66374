"""A name that is no op's: no hint names another op as if it were meant."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator

import pytest

from resgraph.ops import OPS
from resgraph.ops.elsewhere import ELSEWHERE, HERE, hint

NAMES = [word for word, _ in ELSEWHERE.values()]
ASKED = """
gelu silu swish selu celu elu mish prelu leaky_relu relu6 hardswish hardsigmoid softmax tanh
layer_norm group_norm instance_norm max_unpool conv_transpose upsample dropout2d stack pad
conv1d conv3d AdaptiveAvgPool2d nn.GELU F.silu torch.nn.LeakyReLU InstanceNorm2d norm
activation skip gate nn.Softmax ConvTranspose2d nn.MaxPool3d
"""
LETTERS = string.ascii_lowercase + "_"


def styles(word: str) -> Iterator[str]:
    """As other libraries write it."""
    yield word
    yield word.upper()
    camel = "".join(part[:1].upper() + part[1:] for part in word.split("_"))
    yield camel
    yield f"torch.nn.{camel}"
    yield word.replace("_", "-")


def slipped(word: str, rng: random.Random) -> str:
    """The word with a letter added, lost, changed or swapped."""
    i = rng.randrange(len(word))
    before, after = word[:i], word[i + 1 :]
    return rng.choice(
        [
            before + rng.choice(LETTERS) + word[i:],
            before + after,
            before + rng.choice(LETTERS) + after,
            before + after[:1] + word[i] + after[1:],
        ]
    )


@pytest.mark.parametrize("name", [*NAMES, *ASKED.split()])
def test_an_op_of_the_field_is_not_taken_for_another(name: str) -> None:
    for word in styles(name):
        said = hint(word)
        assert said.startswith("resgraph has no '"), word
        assert "adding-an-op" in said


def test_the_family_is_told() -> None:
    assert "activations here: relu, sigmoid;" in hint("gelu")
    assert "normalisations here: bn;" in hint("layer_norm")
    assert "layers with weights here: conv, linear;" in hint("conv_transpose")
    assert "poolings here: max_pool, avg_pool, global_avg_pool;" in hint("lp_pool")


@pytest.mark.parametrize("kind", OPS)
def test_an_ops_own_names_elsewhere_are_told(kind: str) -> None:
    for name in (kind, *OPS[kind].also):
        for word in styles(name):
            assert hint(word) == f"here it is '{kind}'"


def test_no_name_is_two_ops() -> None:
    names = [name for op in OPS.values() for name in op.also]
    assert len(names) == len({*names})
    assert not HERE.keys() & ELSEWHERE.keys()


@pytest.mark.parametrize("kind", OPS)
def test_a_misspelt_op_is_never_taken_for_another(kind: str) -> None:
    rng = random.Random(kind)
    for slips in [1] * 60 + [2] * 40:
        word = kind
        for _ in range(slips):
            word = slipped(word, rng) if word else word
        said = hint(word)
        meant = re.fullmatch(r"(?:did you mean|here it is) '(\w+)'\??", said)
        assert meant is None or meant[1] == kind or slips == 2, (word, said)
        if meant is not None and meant[1] != kind:
            assert nearer(word, meant[1], kind), (word, said)


def nearer(word: str, one: str, other: str) -> bool:
    """Whether a slipped word has become more like another op, by what it is called."""
    from resgraph.diagnostics import edits

    def least(kind: str) -> int:
        plain = re.sub(r"[\W_]", "", word)
        names = [name for name, k in HERE.items() if k == kind]
        return min(n for a in names if (n := edits(plain, a, 99)) is not None)

    return least(one) <= least(other)


def test_most_slips_are_understood() -> None:
    """In words that are long enough to be known again, beside their first letter."""
    rng = random.Random(0)
    said = [
        hint(kind[0] + slipped(kind[1:], rng)) == f"did you mean '{kind}'?"
        for kind in OPS
        for _ in range(100)
        if len(kind) >= 6
    ]
    assert sum(said) > 0.8 * len(said)
    assert hint("rellu") == "did you mean 'relu'?"


def test_a_name_of_any_kind_has_a_hint() -> None:
    for word in ("", ".", "x" * 100_000, "ｒｅｌｕ", "re\u202elu", "1", "bn bn"):
        assert hint(word)
