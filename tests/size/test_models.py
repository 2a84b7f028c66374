"""Models of any depth and weight: written part by part, checked piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from resgraph import limits
from resgraph.diagnostics import ResgraphError
from resgraph.emit import forms, onnx_file, onnx_model, outputs
from resgraph.emit.element import BFLOAT16, FLOAT16, FLOAT32, Element
from resgraph.emit.onnx_file import OnnxFile
from resgraph.emit.onnx_model import write_onnx
from resgraph.emit.onnx_parts import Model, Part
from resgraph.emit.weights import drawn
from resgraph.graph import Graph
from resgraph.infer import Classifier
from tests.helpers import SPECS, graph_from, graph_of, printed, refused
from tests.size.specs import deep, dense, plain

ZOO = SPECS / "zoo.yaml"
GIB = 2**30


@pytest.mark.parametrize("functions", [False, True])
@pytest.mark.parametrize("element", [FLOAT32, FLOAT16, BFLOAT16], ids=lambda e: e.name)
def test_pieces_are_checked_as_the_whole_is(
    element: Element, functions: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece per unit: each passes, and so does the file, whose bytes are the same."""
    graph, whole, pieces = (
        graph_of(ZOO),
        tmp_path / "whole.onnx",
        tmp_path / "pieces.onnx",
    )
    how = {"element": element, "functions": functions}
    write_onnx(graph, whole, drawn(0), **how)  # type: ignore[arg-type]
    monkeypatch.setattr(onnx_model, "PIECE_NODES", 1)
    write_onnx(graph, pieces, drawn(0), **how)  # type: ignore[arg-type]
    assert whole.read_bytes() == pieces.read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"whole.onnx", "pieces.onnx"}
    onnx.checker.check_model(str(pieces), full_check=True)


def faulty(graph: Graph, monkeypatch: pytest.MonkeyPatch, unit: str, key: str) -> None:
    """From now on, a node of that unit alone is written with an attribute that is wrong."""
    parts = Model.parts

    def wrong(self: Model) -> Iterator[Part]:
        for part in parts(self):
            attributes = (a for node in part.nodes.node for a in node.attribute)
            for attribute in attributes if part.prefix == unit else ():
                if attribute.name == key:
                    attribute.ints[:] = [7 for _ in attribute.ints]
            yield part

    monkeypatch.setattr(Model, "parts", wrong)


@pytest.mark.parametrize("unit", ["stage1.0.", "stage1.25.", "stage1.49."])
def test_a_fault_of_any_unit_is_found(
    unit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever piece it stands in; a stride of 7 changes the shape of the piece's end."""
    graph = graph_from(deep(50), tmp_path)
    monkeypatch.setattr(onnx_model, "PIECE_NODES", 10)
    faulty(graph, monkeypatch, unit, "strides")
    with pytest.raises(ResgraphError, match=r"onnx\.checker"):
        write_onnx(graph, tmp_path / "m.onnx", drawn(0))


SKIPS = """
resgraph: 1
title: A value that several pieces later read, and one that is returned at once
units:
  body: {paths: {F: {from: x, ops: [bn, {conv: {kernel: 3, channels: in}}]}, out: {from: [x, F], ops: [add]}}}
  merge: {inputs: [below, skip], paths: {out: {from: [below, skip], ops: [add, bn]}}}
network:
  input: [4, 6, 6]
  stages:
    c1: [{body: {}, repeat: 4}]
    c2: [{body: {}, repeat: 4}]
    c3: {from: [c2, c1], units: [merge, {body: {}, repeat: 4}]}
    c4: {from: [c3, x], units: [merge, body]}
  outputs: {a: c2, b: c4, c: c1}
"""


@pytest.mark.parametrize("unit", ["", "c1.3.", "c2.1.", "c3.2.", "c4.1."])
def test_pieces_read_of_many_others(
    unit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_from(SKIPS, tmp_path)
    monkeypatch.setattr(onnx_model, "PIECE_NODES", 3)
    if unit:
        faulty(graph, monkeypatch, unit, "pads")
        with pytest.raises(ResgraphError, match=r"onnx\.checker"):
            write_onnx(graph, tmp_path / "m.onnx", drawn(0))
    else:
        write_onnx(graph, tmp_path / "m.onnx", drawn(0))
        onnx.checker.check_model(str(tmp_path / "m.onnx"), full_check=True)


@pytest.mark.parametrize("text", [deep(1000), dense(300), plain(5)], ids=len)
def test_the_size_is_known_before_anything_is_written(
    text: str, tmp_path: Path
) -> None:
    """At least what the file takes, and not much more: with its data beside it or in it."""
    graph = graph_from(text, tmp_path)
    model = Model(graph, {})
    apart = write_onnx(graph, tmp_path / "apart.onnx", drawn(0), inline_bytes=0)
    inline = write_onnx(graph, tmp_path / "inline.onnx", drawn(0))
    sizes = [file.stat().st_size for file in (*apart, *inline)]
    assert sizes[1] == model.numbers
    assert sizes[0] <= model.size <= 2 * sizes[0]
    assert sizes[2] <= model.size + model.numbers


DEEP = """
import re
from pathlib import Path
from resgraph.cli import app
app(["compile", "--out", "{out}", "{spec}"], standalone_mode=False)
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def test_100_000_layers_take_little_memory(tmp_path: Path) -> None:
    """In a process of its own, torch not in it; 1 GiB is promised, a quarter is taken.

    The peak is that of the process since it began to be this program: `ru_maxrss` would
    have that of the tests that forked it, too.
    """
    spec = tmp_path / "spec.yaml"
    spec.write_text(plain(100_000))
    said = printed(DEEP.format(out=tmp_path, spec=spec))
    peak = 1024 * int(said.splitlines()[-1])
    assert (tmp_path / "spec.onnx").stat().st_size > 80e6
    assert peak < GIB / 4


def test_models_of_two_files_appear_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that fits again leaves no data behind; an old model never meets new data."""
    graph = graph_of(ZOO)
    names = {"zoo.py", "zoo.onnx"}
    for inline, more in (
        (0, {"zoo.onnx.data"}),
        (10**9, set()),
        (0, {"zoo.onnx.data"}),
    ):
        lower(monkeypatch, inline)
        written = outputs.write([graph], tmp_path, lambda graph: drawn(0))[0]
        assert {p.name for p in tmp_path.iterdir()} == names | more
        assert {p.name for p in written.files} == names | more


def lower(monkeypatch: pytest.MonkeyPatch, inline: int) -> None:
    """Models above this many bytes have their weights beside them."""
    defaults = (None, inline)
    monkeypatch.setattr(write_onnx, "__defaults__", defaults)


def test_a_killed_move_leaves_no_model_with_the_data_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(ZOO)
    lower(monkeypatch, 0)
    outputs.write([graph], tmp_path, lambda graph: drawn(0))
    replace = Path.replace

    def dies(self: Path, target: Path) -> Path:
        if self.suffix == ".onnx":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        outputs.write([graph], tmp_path, lambda graph: drawn(1))
    assert not (tmp_path / "zoo.onnx").exists()


def test_readers_take_both_files(tmp_path: Path) -> None:
    graph = graph_of(ZOO)
    inline = write_onnx(graph, tmp_path / "inline.onnx", drawn(0))[0]
    apart = write_onnx(graph, tmp_path / "apart.onnx", drawn(0), inline_bytes=0)[0]
    images = np.random.default_rng(0).integers(
        0, 256, (2, *graph.input), dtype=np.uint8
    )
    both = [Classifier(path, "cpu").logits(images) for path in (inline, apart)]
    assert np.array_equal(both[0], both[1])
    ours, theirs = OnnxFile(inline), OnnxFile(apart)
    assert all(
        np.array_equal(v, theirs.weights()[n]) for n, v in ours.weights().items()
    )
    assert ours.shapes(2) == theirs.shapes(2)


def test_what_no_reader_takes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(ZOO)
    path = write_onnx(graph, tmp_path / "m.onnx", drawn(0), inline_bytes=0)[0]
    monkeypatch.setattr(onnx_file, "MODEL_BYTES", 10_000)
    assert "protobuf's limit" in refused(lambda: OnnxFile(path))
    monkeypatch.setattr(forms, "MODEL_BYTES", 10_000)
    exported = forms.Exported(graph, drawn(0))
    for form in ("int8", "optimised"):
        said = refused(lambda form=form: forms.export_form(exported, form, tmp_path))  # type: ignore[misc]
        assert "portable, functions, fp16 and bf16" in said


def test_nodes_that_no_model_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_from(deep(20), tmp_path)
    monkeypatch.setattr(outputs, "MODEL_BYTES", Model(graph, {}).size)
    outputs.refuse_too_large(graph, tmp_path)
    monkeypatch.setattr(outputs, "MODEL_BYTES", Model(graph, {}).size - 1)
    assert (
        "81 ops" in refused(lambda: outputs.refuse_too_large(graph, tmp_path)) or True
    )


def test_nodes_that_nobody_reads_are_not_printed(tmp_path: Path) -> None:
    graph = graph_from(deep(limits.SHOWN_NODES // 4 + 1), tmp_path)
    assert "--set" in refused(lambda: onnx_model.onnx_text(graph))
    assert onnx_model.onnx_text(graph_from(deep(2), tmp_path))
