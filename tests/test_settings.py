"""Two settings never make one name or one header."""

from __future__ import annotations

import keyword
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resgraph import names
from resgraph.diagnostics import SpecError, UsageError
from resgraph.emit import write
from resgraph.emit.weights import drawn
from resgraph.expr import Expr, total, written
from resgraph.settings import name_with, options, parse_settings
from tests.helpers import SPECS, graph_from, graph_of, printed, refused

PARAMS = ("a", "a1", "a_1", "k", "km", "depth", "n")
NETWORKS = ("net", "net_a1", "net_a_1", "net_depth29")
numbers = st.one_of(
    st.integers(-40, 40).map(Fraction),
    st.fractions(-2, 2, max_denominator=12),
    st.floats(-1e-3, 1e-3, allow_nan=False).map(lambda x: Fraction(repr(x))),
)
settings = st.dictionaries(st.sampled_from(PARAMS), numbers, min_size=1, max_size=4)


@given(st.lists(st.tuples(st.sampled_from(NETWORKS), settings), min_size=2, max_size=8))
def test_no_two_settings_have_one_name(
    made: list[tuple[str, dict[str, Fraction]]],
) -> None:
    seen: dict[str, str] = {}
    for base, values in made:
        name = name_with(base, values, NETWORKS, PARAMS)
        assert name not in NETWORKS
        said = options(base, values)
        assert seen.setdefault(name, said) == said
        assert names.refusal(name[: names.MAX_LENGTH].rstrip("_")) is None


@given(settings)
def test_options_say_the_numbers_in_full(values: dict[str, Fraction]) -> None:
    words = options("net", values).split()
    assert parse_settings([w for w in words if "=" in w]) == values


@given(numbers)
def test_a_number_in_full(number: Fraction) -> None:
    assert Fraction(written(number)) == number


def test_small_numbers_stay_apart(tmp_path: Path) -> None:
    text = (SPECS / "tiny.yaml").read_text().replace("depth: 8,", "depth: 8, k: 1,")
    text = text.replace("bn, relu]\n  stages", "bn, {scale: {factor: k}}]\n  stages")
    made = [graph_from(text, tmp_path, f"k={k}") for k in ("0.00002", "0.00004")]
    assert len({graph.name for graph in made}) == 2
    assert len({graph.options for graph in made}) == 2


def test_one_key_twice() -> None:
    assert "'a' is set twice" in refused(lambda: parse_settings(["a=1", "a=2"]))


@pytest.mark.parametrize("name", ["none", "true", "RECIPE", "DIGEST", "random", "nul"])
def test_names_that_no_network_can_have(name: str, tmp_path: Path) -> None:
    text = (SPECS / "tiny.yaml").read_text()
    with pytest.raises(SpecError, match="cannot be a name"):
        graph_from(f"{text}networks: {{{name}: {{}}}}\n", tmp_path)
    path = tmp_path / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="cannot name its network"):
        graph_of(path)


@pytest.mark.parametrize("name", ["RECIPE", "DIGEST", "none", "tensor", "head"])
def test_names_that_no_unit_can_have(name: str, tmp_path: Path) -> None:
    text = (SPECS / "tiny.yaml").read_text().replace("body", name)
    with pytest.raises(SpecError, match="cannot be a name"):
        graph_from(text, tmp_path)


def test_a_parameter_hides_no_class(tmp_path: Path) -> None:
    text = (SPECS / "tiny.yaml").read_text().replace("stride", "OptionA")
    text = text.replace("OptionA:", "stride:").replace("{stride: 1}", "{OptionA: 1}")
    text = text.replace("width: 16, stride: 2", "width: 16, OptionA: 2")
    with pytest.raises(SpecError, match="hide the class"):
        graph_from(text, tmp_path)


def test_the_lists_know_the_installed_python() -> None:
    """Written down for all versions; what this one has must be among them."""
    found = printed("import builtins; print(*dir(builtins))").split()
    plain = {n for n in found if n[0] != "_"}
    assert plain <= names.BUILTINS | names.KEYWORDS
    assert {*keyword.kwlist, *keyword.softkwlist} - {"_"} <= names.KEYWORDS
    harmless = {"antigravity", "idlelib", "lib2to3", "test", "this", "tkinter"}
    harmless |= {"turtle", "turtledemo"}
    public = {n for n in sys.stdlib_module_names if n[0] != "_"}
    assert public - harmless <= names.MODULES | names.BUILTINS | names.KEYWORDS


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_a_sum_gathers_its_terms(counts: list[int]) -> None:
    """However often values are added to one another, the sum is as long as it has terms."""
    a, b = Expr.parse("a"), Expr.parse("4 * b // 3")
    value: Expr | int = a
    for count in counts:
        value = total([value] * count + [b, 2])
    env = {"a": Fraction(5), "b": Fraction(7)}
    expected = Fraction(5)
    for count in counts:
        expected = expected * count + 9 + 2
    if expected < 10**14:
        assert isinstance(value, Expr)
        assert value.evaluate(env) == expected
    assert len(str(value)) < 120


@pytest.mark.parametrize("start", ["1/3", "1e-9", "7/11"])
def test_a_chain_of_products_ends_in_a_finding(start: str, tmp_path: Path) -> None:
    """Each squares the denominator: without a bound the 16th has 20,000 digits."""
    chain = "".join(f"a{i}: a{i - 1} * a{i - 1}, " for i in range(1, 17))
    text = (SPECS / "tiny.yaml").read_text()
    text = text.replace("{depth: 8,", f"{{a0: {start}, {chain}depth: 8,")
    text = text.replace("bn, relu]\n  stages", "bn, {scale: {factor: a16}}]\n  stages")
    with pytest.raises(SpecError, match="too many digits"):
        graph_from(text, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "{conv: {kernel: 3, channels: 8}}",
            "{conv: {kernel: 3, channels: 8, name: x}}",
            "x is what comes in",
        ),
        (
            "      h: {",
            "      x: {from: x, ops: [relu]}\n      h: {",
            "the unit's input",
        ),
        (
            "bn, relu]\n  stages",
            "{bn: {name: logits}}, relu]\n  stages",
            "not the last op",
        ),
    ],
)
def test_what_comes_in_and_what_goes_out(
    old: str, new: str, told: str, tmp_path: Path
) -> None:
    text = (SPECS / "tiny.yaml").read_text()
    assert old in text
    with pytest.raises(SpecError, match=told):
        graph_from(text.replace(old, new), tmp_path)


def test_the_last_op_may_be_called_logits(tmp_path: Path) -> None:
    text = (SPECS / "tiny.yaml").read_text()
    text = text.replace("features: classes", "features: classes, name: logits")
    write([graph_from(text, tmp_path)], tmp_path / "out", lambda graph: drawn(0))
