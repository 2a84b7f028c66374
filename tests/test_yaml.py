"""YAML 1.2, with places, without what the language refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from resgraph.diagnostics import Span, SpecError
from resgraph.limits import SPEC_VALUES
from resgraph.spec.dump import dump
from resgraph.spec.tree import Mapping, at, key_span, plain
from resgraph.spec.yaml import parse as parsed


def parse(text: str, file: str) -> Mapping:
    """The tree of a text in which nothing is wrong."""
    found = parsed(text, file)
    assert not found.findings
    assert not found.doubts
    return found.tree


def value(text: str) -> Any:
    return plain(parse(f"a: {text}\n", "f"))["a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("1e3", 1000.0),
        ("+7", 7),
        (".5", 0.5),
        ("'7'", "7"),
        ('"\\u0041"', "A"),
        ("~", None),
        ("", None),
        ("True", True),
        ("null", None),
        ("! 7", "7"),
    ],
)
def test_yaml_1_2_core_schema(text: str, expected: object) -> None:
    result = value(text)
    assert result == expected
    assert type(result) is type(expected)


def test_places() -> None:
    tree = parse("a:\n  - b: 1\n    c: [x, yy]\n  - d\n", "f.yaml")
    assert str(at(tree, ("a", 0, "c", 1)).span) == "f.yaml:3:12"
    assert str(key_span(tree, ("a", 0, "c"))) == "f.yaml:3:5"
    block = at(tree, ("a", 0)).span
    assert (block.line, block.end_line, block.end_col) == (2, 3, 15)


def test_alias_is_shared_and_bounded() -> None:
    tree = parse("a: &x {k: 1}\nb: *x\n", "f")
    assert plain(tree) == {"a": {"k": 1}, "b": {"k": 1}}
    with pytest.raises(SpecError, match=str(SPEC_VALUES)):
        parse("a: &a [" + "x, " * 200 + "]\nb: [" + "*a, " * 200 + "]\n", "f")


def test_every_duplicate_is_reported() -> None:
    found = parsed("a: 1\na: 2\nb: {c: 1, c: 2}\n", "f")
    assert [d.span.line for d in found.findings if d.span] == [2, 3]
    assert plain(found.tree) == {"a": 2, "b": {"c": 2}}


def test_what_is_wrong_before_a_syntax_error_is_reported_with_it() -> None:
    with pytest.raises(SpecError) as caught:
        parsed("a: 1\na: !!x 2\nb: {c: 1\nd: e\n", "f")
    lines = [d.span.line for d in caught.value.diagnostics if d.span]
    assert lines == [2, 2, 4]


@pytest.mark.parametrize(
    ("text", "places", "words"),
    [
        ("a: 1\na: [b, {c: d e}]\n", ["f:1:1", "f:2:4"], "b c d e"),
        ("a: !!set x\n", ["f:1:4"], "x"),
        ("a: *nowhere\n", ["f:1:4"], ""),
        ("? [a, b]\n: c\nd: 1\n", ["f:1:1"], "c"),
    ],
)
def test_doubts(text: str, places: list[str], words: str) -> None:
    doubts = parsed(text, "f").doubts
    assert sorted(map(str, doubts)) == places
    assert sorted(frozenset().union(*doubts.values())) == words.split()


keys = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1)
words = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 _.+-]{0,9}", fullmatch=True)


def trees(keys: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    scalars = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | keys
    nested = st.recursive(
        scalars, lambda c: st.lists(c) | st.dictionaries(keys, c), max_leaves=8
    )
    return st.dictionaries(keys, nested, min_size=1)


@given(trees(words))
def test_reads_what_ruamel_writes(data: dict[str, Any]) -> None:
    import io

    stream = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.version, writer.width = (1, 2), 10_000
    writer.dump(data, stream)
    assert plain(parse(stream.getvalue(), "f")) == data


@given(trees(keys))
def test_dump_loads_to_the_same(data: dict[str, Any]) -> None:
    import json

    tree = parse(json.dumps(data, ensure_ascii=False), "f")
    assert plain(parse(dump(tree), "f")) == data


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(parsed(text, "f").tree, Mapping)
    except SpecError as error:
        assert error.diagnostics


KEYS = st.text("abcxyz", min_size=1, max_size=4)
NESTED = st.recursive(
    st.none() | st.integers(0, 99),
    lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, NESTED, min_size=1, max_size=4), st.data())
def test_what_is_not_there_stands_at_its_key(
    wanted: dict[str, Any], data: st.DataObject
) -> None:
    def lines(value: dict[str, Any], indent: str) -> Iterator[str]:
        for key, inner in value.items():
            if data.draw(st.booleans()):
                yield "# a line between"
            yield f"{indent}{key}:" + (f" {inner}" if isinstance(inner, int) else "")
            if isinstance(inner, dict):
                yield from lines(inner, indent + "  ")

    def empty(tree: Mapping) -> Iterator[tuple[Span, Span]]:
        for entry in tree.entries.values():
            if isinstance(entry.value, Mapping):
                yield from empty(entry.value)
            elif plain(entry.value) is None:
                yield entry.key_span, entry.value.span

    tree = parse("\n".join([*lines(wanted, ""), ""]), "f")
    assert plain(tree) == wanted
    assert all(key == value for key, value in empty(tree))
