"""Two settings never make one name or one header."""

from __future__ import annotations

import keyword
import shlex
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resgraph import names
from resgraph.compiler import Compiler
from resgraph.diagnostics import SpecError, UsageError
from resgraph.emit import write
from resgraph.emit.weights import drawn
from resgraph.expr import Expr, total
from resgraph.limits import LIST_ITEMS
from resgraph.ops import OPS
from resgraph.provenance import Header, header_of
from resgraph.settings import name_with, options, parse_settings
from resgraph.values import Value, show, written
from tests.helpers import SPECS, graph_from, graph_of, printed, refused

PARAMS = ("a", "a1", "a_1", "k", "km", "depth", "n")
NETWORKS = ("net", "net_a1", "net_a_1", "net_depth29")
numbers = st.one_of(
    st.integers(-40, 40).map(Fraction),
    st.fractions(-2, 2, max_denominator=12),
    st.floats(-1e-3, 1e-3, allow_nan=False).map(lambda x: Fraction(repr(x))),
)
texts = st.sampled_from(["relu", "leaky_relu", "a1", "depth29", "Relu", "true", "x"])
ops = st.one_of(
    st.builds(OPS["scale"], factor=st.integers(2, 9) | st.floats(0.1, 0.9)),
    st.builds(OPS["bn"], eps=st.floats(1e-9, 1e-6), name=st.sampled_from(["a", "b1"])),
    st.builds(
        OPS["conv"], kernel=st.just(3), channels=st.integers(1, 3), bias=st.booleans()
    ),
)
values: st.SearchStrategy[Value] = st.one_of(
    numbers,
    ops,
    st.booleans(),
    texts,
    st.text(max_size=8),
    st.lists(numbers, min_size=1, max_size=4).map(tuple),
    st.lists(st.integers(1, 3).map(Fraction), min_size=1, max_size=3).map(tuple),
)
of_numbers = st.dictionaries(st.sampled_from(PARAMS), numbers, min_size=1, max_size=4)
settings = st.dictionaries(st.sampled_from(PARAMS), values, min_size=1, max_size=4)


@given(st.lists(st.tuples(st.sampled_from(NETWORKS), settings), min_size=2, max_size=8))
def test_no_two_settings_have_one_name(
    made: list[tuple[str, dict[str, Value]]],
) -> None:
    seen: dict[str, str] = {}
    for base, values in made:
        name = name_with(base, values, NETWORKS, PARAMS)
        assert name not in NETWORKS
        said = options(base, values)
        assert seen.setdefault(name, said) == said
        assert names.refusal(name[: names.MAX_LENGTH].rstrip("_")) is None


@given(settings)
def test_options_are_read_back_equal(values: dict[str, Value]) -> None:
    words = shlex.split(options("net", values))
    assert words[:2] == ["--network", "net"]
    assert {*words[2::2]} == {"--set"}
    assert same(parse_settings(words[3::2]), values)


@given(settings)
def test_a_generated_file_says_them(values: dict[str, Value]) -> None:
    made = Header("specs/a b.yaml", "sha256:" + "0" * 64, options("net", values))
    assert header_of(f"{made}\nimport torch\n") == made


def same(a: dict[str, Value], b: dict[str, Value]) -> bool:
    """Whether they are equal, and of one kind: `True` is 1 in Python."""
    return a == b and [type(v) for v in a.values()] == [type(v) for v in b.values()]


@given(of_numbers)
def test_numbers_need_no_quotes(values: dict[str, Value]) -> None:
    assert options("net", values).split() == shlex.split(options("net", values))


@given(numbers)
def test_a_number_in_full(number: Fraction) -> None:
    assert Fraction(written(number)) == number


@given(values, values)
def test_no_two_values_are_written_alike(a: Value, b: Value) -> None:
    assert (written(a) == written(b)) == same({"": a}, {"": b})


@pytest.mark.parametrize(
    ("value", "in_full", "shown"),
    [
        (Fraction(1, 2), "0.5", "0.5"),
        (Fraction(163, 9), "163/9", "18.1111"),
        (True, "true", "true"),
        ("two\nwords", '"two\\nwords"', "'two�words'"),
        ((Fraction(3), Fraction(4)), "[3, 4]", "[3, 4]"),
        ((), "[]", "[]"),
        (OPS["relu"](), "relu", "relu"),
        (OPS["scale"](factor=0.1), "scale(factor=0.1)", "scale(factor=0.1)"),
        (
            OPS["conv"](kernel=3, channels="4 * width", bias=True, name="c"),
            'conv(name="c", kernel=3, channels=4 * width, bias=true)',
            "conv(name='c', kernel=3, channels=4 * width, bias=true)",
        ),
    ],
)
def test_values_in_words(value: Value, in_full: str, shown: str) -> None:
    assert (written(value), show(value)) == (in_full, shown)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("n=(29 - 2) / 9", Fraction(3)),
        ("depths=[2,2,2,2]", (Fraction(2),) * 4),
        ("depths=[ 4 * 2, 1/2 ]", (Fraction(8), Fraction(1, 2))),
        ("wide=true", True),
        ("wide= false", False),
        ("act=relu", "relu"),
        ("act=relu()", "relu"),
        ("act=scale( factor = 1 / 2 )", OPS["scale"](factor=0.5)),
        ('act="relu"', "relu"),
        ('mode="true"', "true"),
        ('mode="a b\\u00e9"', "a b\u00e9"),
    ],
)
def test_values_of_options(pair: str, value: Value) -> None:
    key = pair.partition("=")[0]
    assert same(parse_settings([pair]), {key: value})


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        ("a", "expected KEY=VALUE"),
        ("a=", "is not arithmetic"),
        ("a=[1,]", "is not arithmetic"),
        ("a=[1,x]", "unknown parameter 'x'"),
        ("a=[[1]]", "a list has numbers, and no lists"),
        ("a=[1", "is not a complete arithmetic expression"),
        ("a=b + 1", "unknown parameter 'b'"),
        ("a=1 < 2", "only under 'when'"),
        ('a="x', "as in JSON"),
        ('a="x" "y"', "as in JSON"),
        ("a=swish(x=1)", "unknown op 'swish'"),
        ("a=reluu()", "unknown op 'reluu': did you mean 'relu'?"),
        ("a=scale()", "scale needs 'factor'"),
        ("a=scale(factr=2)", "scale has no 'factr': did you mean 'factor'?"),
        ("a=scale(0.5)", "attributes are written scale(NAME=VALUE, ...)"),
        ("a=scale(factor=)", "attributes are written scale(NAME=VALUE, ...)"),
        (
            "a=scale(factor=2, factor=3)",
            "attributes are written scale(NAME=VALUE, ...)",
        ),
        ("a=scale(factor=width)", "'factor' of scale: width has no value here"),
        ("a=scale(factor=b + 1)", "unknown parameter 'b'"),
        ("a=scale(factor=[1])", "is no attribute's value"),
        (
            "a=dropout(rate=2)",
            "'rate' of dropout: expected a number from 0 to 1, got 2",
        ),
        (f"a=[{'1,' * LIST_ITEMS}1]", f"{LIST_ITEMS} numbers, not {LIST_ITEMS + 1}"),
        ("a=[]", f"a list has 1 to {LIST_ITEMS} numbers, not 0"),
    ],
)
def test_no_value(pair: str, why: str) -> None:
    told = refused(lambda: parse_settings([pair]))
    assert told.startswith("--set a")
    assert why in told


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"depth": Fraction(29)}, "net_depth29"),
        ({"k": Fraction(-1, 2), "n": Fraction(1, 3)}, "net_km0p5_n1d3"),
        ({"depths": (Fraction(2),) * 4}, "net_depths2x2x2x2"),
        ({"depths": (Fraction(2),)}, "net_depths2x"),
        ({"act": "leaky_relu"}, "net_act_leaky_relu"),
        ({"wide": True, "n": Fraction(2)}, "net_wide_true_n2"),
        ({"act": "relu", "wide": False}, "net_act_relu_wide_false"),
    ],
)
def test_readable_names(values: dict[str, Value], name: str) -> None:
    assert name_with("net", values, ["net"], [*values]) == name


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "two words"},
        {"mode": "true"},
        {"act": "Relu"},
        {"act": OPS["relu"]()},
        {"depths": (Fraction(12345),) * 12},
        {"a": "x_b1"},
        {"a": "b_x"},
    ],
)
def test_other_names_have_a_digest(values: dict[str, Value]) -> None:
    name = name_with("net", values, ["net"], ["a", "b", "a_b", "mode", "act", "depths"])
    assert name.startswith("net_set")
    assert names.refusal(name) is None


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        ("depth=os", "unknown parameter 'os'"),
        ("depth=true", "in the spec 'depth' is a number, not true or false"),
        ("depth=[8]", "in the spec 'depth' is a number, not a list"),
    ],
)
def test_a_parameter_that_is_a_number(pair: str, why: str) -> None:
    values = parse_settings([pair])
    told = refused(lambda: Compiler().graphs(SPECS / "tiny.yaml", None, values))
    assert why in told


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
    ],
)
def test_what_comes_in_and_what_goes_out(
    old: str, new: str, told: str, tmp_path: Path
) -> None:
    text = (SPECS / "tiny.yaml").read_text()
    assert old in text
    with pytest.raises(SpecError, match=told):
        graph_from(text.replace(old, new), tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("features: classes", "features: classes, name: logits"),
        ("bn, relu]\n  stages", "{bn: {name: logits}}, relu]\n  stages"),
    ],
)
def test_an_op_may_be_called_logits(old: str, new: str, tmp_path: Path) -> None:
    text = (SPECS / "tiny.yaml").read_text()
    assert old in text
    text = text.replace(old, new)
    write([graph_from(text, tmp_path)], tmp_path / "out", lambda graph: drawn(0))
