"""`extends`: which files in which order, what merges and what is removed, and what is told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resgraph.compiler import Compiler
from resgraph.diagnostics import ResgraphError
from resgraph.graph import digest
from resgraph.limits import SPEC_EXTENDS
from resgraph.spec.merge import merged
from resgraph.spec.tree import plain
from resgraph.spec.yaml import parse
from tests.extending import (
    TINY,
    TINY_DATA,
    Texts,
    findings,
    names,
    resolved,
    stack_of,
    told,
    written,
)

# --- merging ----------------------------------------------------------------------------

KEYS = st.sampled_from("abcd")
LEAVES = st.one_of(
    st.none(), st.integers(0, 3), st.lists(st.integers(0, 3), max_size=2)
)
TREES = st.recursive(LEAVES, lambda below: st.dictionaries(KEYS, below, max_size=4))
FILES = st.dictionaries(KEYS, TREES, min_size=1, max_size=4)


def over(base: Any, top: Any) -> Any:
    """The rule, as it is written in the documentation."""
    if not isinstance(base, dict) or not isinstance(top, dict):
        return top
    kept = {k: v for k, v in base.items() if k not in top}
    both = {k: over(base[k], v) for k, v in top.items() if k in base and v is not None}
    return kept | both | {k: v for k, v in top.items() if k not in base}


def over_all(files: Sequence[Any]) -> Any:
    """All of them, each over those before it."""
    result = files[0]
    for file in files[1:]:
        result = over(result, file)
    return result


def layers(files: Sequence[Any]) -> Any:
    return [parse(json.dumps(data), f"{n}.yaml") for n, data in enumerate(files)]


@given(st.lists(FILES, min_size=1, max_size=5))
def test_random_stacks_merge_by_the_rule(files: list[Any]) -> None:
    assert plain(merged(layers(files)).tree) == over_all(files)


@given(st.lists(FILES, min_size=1, max_size=5))
def test_every_key_knows_its_file(files: list[Any]) -> None:
    """What is at a place stands so in the file that its span names."""
    tree = merged(layers(files)).tree
    for key, entry in tree.entries.items():
        data = files[int(entry.key_span.file.removesuffix(".yaml"))]
        assert key in data
        if not isinstance(data[key], dict):
            assert data[key] == plain(entry.value)
    assert tree.size == _size(plain(tree))


def _size(data: Any) -> int:
    below = data.values() if isinstance(data, dict) else data
    return 1 + sum(map(_size, below)) if isinstance(data, dict | list) else 1


@given(FILES, FILES)
def test_a_new_key_stands_before_the_next_one_of_both(base: Any, top: Any) -> None:
    found = [*merged(layers([base, top])).tree.entries]
    kept = [key for key in found if key in base]
    assert kept == [k for k in base if k in kept]
    own = [*top]
    for key in (key for key in found if key not in base):
        later = [k for k in own[own.index(key) :] if k in kept]
        if later:
            between = found[found.index(key) + 1 : found.index(later[0])]
            removed = {*base} & {*top} - {*found}
            assert removed or {*between} <= {*own} - {*base}


@given(st.lists(FILES, min_size=2, max_size=5))
def test_what_was_removed_is_remembered(files: list[Any]) -> None:
    found = merged(layers(files))
    for place, removal in found.removals.items():
        data = files[int(removal.span.file.removesuffix(".yaml"))]
        for step in place:
            data = data[step]
        assert data is None


# --- files ------------------------------------------------------------------------------


@st.composite
def acyclic(draw: st.DrawFn) -> dict[str, list[str]]:
    """Files, each of which extends some of those before it; the last is the spec."""
    found: dict[str, list[str]] = {}
    for n in range(draw(st.integers(1, SPEC_EXTENDS))):
        before = st.sampled_from([*found] or ["-"])
        found[f"{n}.yaml"] = draw(st.lists(before, max_size=4)) if found else []
    return found | {"top.yaml": draw(st.lists(st.sampled_from([*found]), min_size=1))}


def file_of(name: str, extended: Sequence[str]) -> str:
    data = {"title": name, name: 1} | ({"extends": [*extended]} if extended else {})
    return json.dumps(data)


@given(acyclic())
def test_each_file_is_read_once_and_stands_above_what_it_extends(
    files: dict[str, list[str]],
) -> None:
    stack, sources = stack_of({n: file_of(n, e) for n, e in files.items()})

    def order(name: str) -> list[str]:
        below = [each for other in files[name] for each in order(other)]
        return [*dict.fromkeys(below), name]

    assert names(stack) == order("top.yaml")
    assert sorted(sources.read_of) == sorted(names(stack))
    assert stack.whole
    assert not stack.findings
    assert "extends" not in merged(stack.layers).tree.entries


def test_a_text_alone_is_a_list_of_one() -> None:
    base = {"base.yaml": "title: base"}
    for one in ("base.yaml", "[base.yaml]", "[base.yaml, base.yaml, ./base.yaml]"):
        stack, _ = stack_of(base | {"top.yaml": f"extends: {one}"})
        assert names(stack) == ["base.yaml", "top.yaml"]


def test_a_change_stays_beside_another_change_of_the_same_spec(tmp_path: Path) -> None:
    """The base of both is below both, so that neither undoes the other."""
    written(
        tmp_path,
        base=TINY,
        wide="extends: base.yaml\nnetwork: {stem: [{conv: {kernel: 3, channels: 4}}]}\n",
        deep="extends: base.yaml\nnetwork: {params: {depth: 14}}\n",
    )
    digests = set()
    for order in permutations(["wide", "deep"]):
        listed = ", ".join(f"{name}.yaml" for name in order)
        (tmp_path / "top.yaml").write_text(f"extends: [{listed}]\n")
        (graph,) = Compiler().graphs(tmp_path / "top.yaml")
        network = resolved(tmp_path / "top.yaml")["network"]
        assert network["params"]["depth"] == 14
        assert len(network["stem"]) == 1
        digests.add(digest(graph))
    assert len(digests) == 1


TWICE = "extends: [{0}, ./{0}]\ntitle: x\n"


def test_a_chain_of_files_that_each_extend_the_next_twice() -> None:
    chain = [f"{n}.yaml" for n in range(SPEC_EXTENDS)]
    files = {
        a: TWICE.format(b) for a, b in zip(["top.yaml", *chain], chain, strict=False)
    }
    stack, sources = stack_of(files | {chain[-1]: TINY})
    assert not stack.findings
    assert len(sources.read_of) == len(chain) + 1


def test_a_list_longer_than_any_is_cut_short() -> None:
    listed = ", ".join(f"{n}.yaml" for n in range(10_000))
    files = {f"{n}.yaml": "title: x" for n in range(10_000)}
    stack, sources = stack_of(files | {"top.yaml": f"extends: [{listed}]"})
    assert told(stack.findings) == [("too-large", "top.yaml:1:75")]
    assert f"more than the {SPEC_EXTENDS} specs" in stack.findings[0].message
    assert len(sources.read_of) == SPEC_EXTENDS + 1


@pytest.mark.parametrize("count", [SPEC_EXTENDS, SPEC_EXTENDS + 1])
def test_the_limit_counts_files(count: int) -> None:
    """In a list, in a chain, and in chains that a list begins."""
    all_names = [f"{n}.yaml" for n in range(count)]
    shapes: list[dict[str, list[str]]] = [
        {"top.yaml": all_names},
        dict(zip(["top.yaml", *all_names], ([n] for n in all_names), strict=False)),
        {
            "top.yaml": all_names[:2],
            all_names[0]: all_names[2:5],
            "4.yaml": all_names[5:],
        },
    ]
    for shape in shapes:
        files = {n: file_of(n, shape.get(n, [])) for n in ["top.yaml", *all_names]}
        stack, _ = stack_of(files)
        many = ["too-large"] if count > SPEC_EXTENDS else []
        assert [found.code.name for found in stack.findings] == many
        assert stack.whole is not bool(many)


# --- what cannot be read ----------------------------------------------------------------


def test_a_circle_is_told_of_the_file_that_closes_it() -> None:
    stack, _ = stack_of(
        {
            "top.yaml": "extends: [good.yaml, a.yaml]",
            "good.yaml": "title: good",
            "a.yaml": "title: a\nextends: [good.yaml, b.yaml]",
            "b.yaml": "extends: [a.yaml, b.yaml, top.yaml, good.yaml]",
        }
    )
    assert told(stack.findings) == [
        ("circular-extends", f"b.yaml:1:{column}") for column in (11, 19, 27)
    ]
    assert names(stack) == ["good.yaml", "b.yaml", "a.yaml", "top.yaml"]
    assert not stack.whole


def test_all_that_cannot_be_read_is_told_at_once(tmp_path: Path) -> None:
    top = written(
        tmp_path,
        top="extends: [nowhere.yaml, 3, base.yaml, broken.yaml, b.yaml, gone.yaml]\n",
        base=TINY.replace("- relu", "- rellu"),
        broken="resgraph: [\n",
        b="title: b\nextends: nowhere.yaml\n",
    )
    assert [(f.code.name, f.span and f.span.line, f.span and Path(f.span.file).stem)
            for f in findings(top)] == [
        ("unreadable-extends", 2, "b"),
        ("unknown-op", 13, "base"),
        ("invalid-yaml", 2, "broken"),
        ("unreadable-extends", 1, "top"),
        ("wrong-type", 1, "top"),
        ("unreadable-extends", 1, "top"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "form", ["3", "[]", "{a: b.yaml}", "[[a.yaml]]", "[~]", "true"]
)
def test_what_is_no_name_of_a_file(form: str, tmp_path: Path) -> None:
    (found,) = findings(written(tmp_path, top=f"extends: {form}\ntitle: x\n"))
    assert found.code.name in ("wrong-type", "wrong-length")
    assert found.span is not None
    assert (found.span.line, found.span.col >= 10) == (1, True)


def test_extends_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, top=f"{TINY}extends: ~\n")
    assert Compiler().graphs(path)
    assert "extends" not in resolved(path)


# --- removal ----------------------------------------------------------------------------

OWN = {"title", "resgraph"}


def places(data: Any, place: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The places of all keys, in mappings of mappings."""
    if not isinstance(data, dict):
        return []
    found = [(*place, key) for key in data]
    return [*found, *(p for key in data for p in places(data[key], (*place, key)))]


def at_place(place: tuple[str, ...], value: Any) -> Any:
    for key in reversed(place):
        value = {key: value}
    return value


PLACES = places(TINY_DATA)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.sampled_from(PLACES), min_size=1, max_size=4))
def test_what_is_removed_may_be_added_again(removed: set[tuple[str, ...]]) -> None:
    """Wherever a key is removed, all of it stands again above, in the old order."""
    less: dict[str, Any] = {}
    for place in sorted(removed, key=len, reverse=True):
        less = over(at_place(place, None), less) if less else at_place(place, None)
    files = {
        "base.yaml": TINY,
        "less.yaml": json.dumps(less),
        "top.yaml": json.dumps(TINY_DATA | {"extends": ["base.yaml", "less.yaml"]}),
    }
    stack, _ = stack_of(files)
    found = merged(stack.layers)
    assert json.dumps(plain(found.tree)) == json.dumps(TINY_DATA)
    assert found.removals
    assert not found.idle
    again, original = (
        Compiler(Texts(files=files)).graphs(Path(name))[0]
        for name in ("top.yaml", "base.yaml")
    )
    assert digest(again) == digest(original)


REWIRED = """
extends: base.yaml
units:
  body:
    title: ~
    paths:
      F: ~
      G: {from: x, ops: [{conv: {kernel: 3, channels: width, stride: stride}}]}
      out: {from: [h, G]}
network:
  params: {n: ~, more: 1}
  stages: [[{body: {width: 8}, repeat: more}]]
"""


def test_a_path_a_parameter_and_a_title_are_removed(tmp_path: Path) -> None:
    titled = TINY.replace("  body:", '  body:\n    title: "h + F"', 1)
    data = resolved(written(tmp_path, base=titled, top=REWIRED))
    body = data["units"]["body"]
    assert [*body["paths"]] == ["h", "G", "out"]
    assert "title" not in body
    assert [*data["network"]["params"]] == ["classes", "more"]


def test_a_parameter_of_a_unit_is_removed_from_a_mapping(tmp_path: Path) -> None:
    base = TINY.replace("[width, {stride: 1}]", "{width: ~, stride: 1, spare: 3}")
    top = "extends: base.yaml\nunits: {body: {params: {spare: ~}}}\n"
    body = resolved(written(tmp_path, base=base, top=top))["units"]["body"]
    assert body["params"] == {"width": None, "stride": 1}


def test_a_list_of_parameters_is_changed_by_name(tmp_path: Path) -> None:
    base = TINY.replace("[width, {stride: 1}]", "[width, {stride: 1}, {spare: 3}]")
    top = "extends: base.yaml\nunits: {body: {params: {spare: ~, stride: 2}}}\n"
    body = resolved(written(tmp_path, base=base, top=top))["units"]["body"]
    assert [*body["params"].items()] == [("width", None), ("stride", 2)]


@pytest.mark.parametrize(
    ("base", "own", "left"),
    [
        ("lr: 0.05, batch: 64", "lr: ~", {"lr": 0.1, "batch": 64}),
        ("iterations: 90", "iterations: ~, epochs: 3", {"epochs": 3}),
        ("epochs: 3", "epochs: ~", {"iterations": 64_000}),
        ("ema: 0.9, ema_start: 5", "ema: ~", {"ema": None, "ema_start": None}),
        ("optimizer: adamw, eps: 1e-6", "optimizer: ~", {"eps": None, "momentum": 0.9}),
        ("optimizer: {adamw: {eps: 1e-6}}", "optimizer: {adamw: {eps: ~}}", {"eps": 1e-8}),
        ("optimizer: {adamw: {eps: 1e-6}}", "optimizer: {adamw: ~}", {"eps": 1e-8}),
        ("milestones: [3], lr: 1", "milestones: ~", {"milestones": (32_000, 48_000)}),
    ],
)  # fmt: skip
def test_words_of_a_recipe_are_removed(
    base: str, own: str, left: dict[str, object], tmp_path: Path
) -> None:
    top = f"extends: base.yaml\ntrain: {{{own}}}\n"
    path = written(tmp_path, base=f"{TINY}train: {{{base}}}\n", top=top)
    recipe = Compiler().graphs(path)[0].recipe
    assert {word: recipe.get(word) for word in left} == left


def test_rivals_of_each_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        base=f"{TINY}networks: {{small: {{}}}}\ntrain: {{iterations: 90, milestones: [3]}}\n",
        a="resgraph: 1\nnetworks: {other: {}}\ntrain: {epochs: 3, optimizer: adamw, eps: 1e-6}\n",
        b="resgraph: 1\nnetworks: {third: {}}\ntrain: {optimizer: sgd, schedule: cosine}\n",
        top="extends: [base.yaml, a.yaml, b.yaml]\n",
    )
    (graph,) = Compiler().graphs(path)
    assert graph.name == "top"
    assert graph.recipe["epochs"] == 3
    wanted = {"schedule": "cosine", "momentum": 0.9}
    assert wanted.items() <= graph.recipe.items()
    assert not {"eps", "milestones", "iterations"} & graph.recipe.keys()


@pytest.mark.parametrize("null", ["!x ~", "*nowhere", "~, F: {from: x}", "1, F: ~"])
def test_nothing_is_removed_by_what_is_in_doubt(null: str, tmp_path: Path) -> None:
    """What the YAML does not say for sure is told, and nothing that follows from it."""
    top = f"extends: base.yaml\nunits: {{body: {{paths: {{F: {null}}}}}}}\n"
    (found,) = findings(written(tmp_path, base=TINY, top=top))
    assert found.code.name in ("unsupported-yaml", "invalid-yaml", "duplicate-key")


# --- the resolved text ------------------------------------------------------------------

CHANGES = {
    "wide": "network: {stem: [{conv: {kernel: 3, channels: 4}}]}\n",
    "no_n": "network: {params: {n: ~}, stages: [[body: {width: 8}]]}\n",
    "gated": "extends: base.yaml\nunits:\n  body:\n    paths:\n      F: ~\n"
    "      G: {from: h, ops: [sigmoid]}\n      out: {from: [h, G], ops: [mul]}\n",
    "trained": "title: trained\ntrain: {optimizer: adamw, lr: 0.3, ema: 0.9}\n",
    "plain": "extends: [trained.yaml]\ntrain: {optimizer: ~, ema: ~}\n",
}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([*CHANGES]), unique=True, max_size=5))
def test_the_resolved_text_stands_alone(chosen: list[str]) -> None:
    files = {f"{name}.yaml": text for name, text in CHANGES.items()}
    listed = ["base.yaml", *(f"{name}.yaml" for name in chosen)]
    top = json.dumps({"extends": listed, "allow": ["unused-unit"]})
    files |= {"base.yaml": TINY, "top.yaml": top}
    text = Compiler(Texts(files=files)).resolved(Path("top.yaml"))
    alone = {"top.yaml": text}
    before, after = (
        Compiler(Texts(files=given)).graphs(Path("top.yaml"))[0]
        for given in (files, alone)
    )
    assert digest(after) == digest(before)
    assert after.recipe == before.recipe
    assert Compiler(Texts(files=alone)).resolved(Path("top.yaml")).splitlines()
    assert "extends" not in text
    assert "null" not in text
    _holds_origins(text, files)


def _holds_origins(text: str, files: Mapping[str, str]) -> None:
    """Each line names a file and a line on which its key or its first word stands."""
    for line in text.splitlines():
        shown, _, origin = line.rpartition("  # ")
        file, _, number = origin.rpartition(":")
        source = files[file].splitlines()[int(number) - 1]
        for word in (
            "".join(c if c.isalnum() or c in "_." else " " for c in shown)
        ).split():
            assert word in source, line


def test_two_files_in_one_mapping_have_a_line_each(tmp_path: Path) -> None:
    """Short as the mapping is: a line names one file."""
    top = "extends: base.yaml\nnetwork: {params: {depth: ~, n: 2}}\n"
    path = written(tmp_path, base=TINY, top=top)
    lines = Compiler().resolved(path).splitlines()
    origins = {
        line.split(":")[0].strip(): Path(line.rpartition("# ")[2]).name
        for line in lines
    }
    assert origins["classes"] == "base.yaml:18"
    assert origins["n"] == "top.yaml:2"


def test_a_name_that_no_file_can_have_is_one_finding(tmp_path: Path) -> None:
    path = written(tmp_path, base=TINY, top='extends: [base.yaml, "\\0", "\\0a"]\n')
    assert [f.code.name for f in findings(path)] == ["unreadable-extends"] * 2


def test_the_spec_itself_must_be_readable(tmp_path: Path) -> None:
    with pytest.raises(ResgraphError, match="no such file"):
        Compiler().graphs(tmp_path / "nowhere.yaml")
