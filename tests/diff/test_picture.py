"""The drawings: both units side by side, with what changed marked."""

from __future__ import annotations

import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest

from resgraph.diff import compare
from resgraph.diff.picture import picture
from resgraph.draw import Figure
from tests.diff.common import network
from tests.diff.test_command import diff, specs
from tests.helpers import refused


def drawn(a: str, b: str) -> Figure:
    return picture(compare(network(a), network(b)))


def names(figure: Figure) -> set[str]:
    """The nodes that are drawn, with their prefixes."""
    found = ElementTree.fromstring(figure.svg()).iter()
    return {node for e in found if (node := e.get("data-node")) is not None}


def marked(figure: Figure) -> dict[str, str]:
    """By node, the word of its mark."""
    return {
        e.attrib["data-node"]: word.removeprefix("mark-")
        for e in ElementTree.fromstring(figure.svg()).iter()
        for word in e.get("class", "").split()
        if "data-node" in e.attrib and word.startswith("mark-")
    }


def test_what_moved_is_marked_in_both_units() -> None:
    figure = drawn("original_basic", "bn_after_add_basic")
    assert marked(figure) == dict.fromkeys(
        ("a1.bn2", "b1.out_bn", "a2.bn2", "b2.out_bn"), "moved"
    )
    assert {"a1.conv1", "b1.conv1", "a2.h_option_a", "b2.h_option_a"} <= names(figure)


def test_what_is_new_and_what_is_gone_is_marked_where_it_is() -> None:
    there = marked(drawn("original_basic", "dropout_shortcut"))
    back = marked(drawn("dropout_shortcut", "original_basic"))
    assert there == {"b1.h_dropout": "added", "b2.h_dropout": "added"}
    assert back == {"a1.h_dropout": "removed", "a2.h_dropout": "removed"}


def test_networks_are_drawn_where_no_unit_changed() -> None:
    a, b = (network("preact_bottleneck", f"resnet{n}") for n in (164, 1001))
    figure = picture(compare(a, b))
    texts = {box.text for box in figure.boxes}
    assert any("17" in text for text in texts)
    assert any("110" in text for text in texts)
    assert drawn("preact_basic", "preact_basic").boxes


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_files(suffix: str, root: Path, tmp_path: Path) -> None:
    path = tmp_path / f"picture{suffix}"
    code, text = diff(*specs("original_basic", "preact_basic"), "--out", path)
    assert code == 1
    assert "moved" in text
    data = path.read_bytes()
    if suffix == ".svg":
        assert ElementTree.fromstring(data).tag.endswith("svg")
    else:
        assert data.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", data[16:24])
        assert width > height > 500
    assert [*tmp_path.iterdir()] == [path]


def test_a_folder_that_is_not_there_is_said(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "picture.svg"
    told = refused(
        lambda: diff(*specs("original_basic", "preact_basic"), "--out", path)
    )
    assert f"cannot write {path}" in told
