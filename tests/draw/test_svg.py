"""Drawings as files: text that stays text, themes, PNG, and the same bytes every time."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from xml.etree import ElementTree

import pytest
from PIL import Image

from resgraph.draw import Mark, draw_network, draw_unit
from resgraph.draw.text import width, wrap
from resgraph.draw.theme import COLOURS
from resgraph.graph import Instance
from tests.conftest import ROOT
from tests.draw.common import NS, groups, parsed
from tests.helpers import graph_of, printed

ATTACKS = (
    "<script>alert(1)</script>",
    "]]><![CDATA[<b>",
    "a & b &amp; &lt;",
    "\"><image href='x' onerror='alert(1)'/>",
    "</title></svg><script>",
    "-->{{x}}",
)
FORBIDDEN = "\x00\x08\x0b\x1b\ufffe\ud800\u202e"


def body(spec: str) -> Instance:
    graph = graph_of(ROOT / f"specs/{spec}.yaml")
    runs = [run for _, stage in graph.stages for run in stage]
    return next(run.instances[0] for run in runs if run.call.block == "body")


def texts(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{NS}text")]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("theme", ["light", "dark", "css"])
def test_markup_stays_text(attack: str, theme: str) -> None:
    marks = {"conv1": Mark("changed", attack)}
    figure = draw_unit(
        body("original_basic"),
        title=attack,
        subtitle=attack,
        marks=marks,
        prefix=attack,
    )
    root = parsed(figure, theme)
    known = {"svg", "g", "rect", "circle", "path", "text", "title"}
    assert {element.tag.removeprefix(NS) for element in root.iter()} <= known
    # Line breaks fall where they may, and blanks with them.
    assert "".join("".join(texts(root)).split()).count("".join(attack.split())) == 2
    assert root.attrib["aria-label"] == f"{attack}: {attack}"
    assert {g.attrib["data-node"] for g in groups(root, "op")} >= {f"{attack}conv1"}
    (note,) = [
        t.text or "" for t in root.iter(f"{NS}title") if attack in (t.text or "")
    ]
    assert note.endswith(attack)


def test_what_xml_forbids_is_replaced() -> None:
    root = parsed(draw_unit(body("preact_basic"), title=f"a{FORBIDDEN}b"))
    assert "a\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffdb" in texts(root)


def test_long_titles_are_cut() -> None:
    for title in ("x" * 5000, "word " * 1000, "\N{HIRAGANA LETTER A}" * 300):
        figure = draw_unit(body("preact_basic"), title=title)
        lines = [box for box in figure.boxes if box.kind == "title"]
        assert len(lines) == 3
        assert lines[-1].text.endswith("...")
        assert all(
            line.x >= 0 and line.x + line.width <= figure.width for line in lines
        )


def test_wrapping() -> None:
    text = "Full pre-activation basic unit"
    assert wrap(text, 12, 1000, 3) == [text]
    lines = wrap(text, 12, 150, 3)
    assert " ".join(lines) == text
    assert max(width(line, 12) for line in lines) <= 150
    assert wrap("", 12, 100, 3) == []


def test_themes() -> None:
    figure = draw_unit(body("original_basic"))
    light, dark, css = (figure.svg(theme) for theme in ("light", "dark", "css"))
    assert "var(" not in light + dark
    assert COLOURS["page"][0] in light
    assert COLOURS["page"][1] in dark
    assert set(re.findall(r"var\(--rg-([\w-]+), #\w{6}\)", css)) <= {*COLOURS}
    bare = re.compile(r"var\([^)]*\)|#[0-9a-f]{6}")
    inside = css.split("\n", 1)[1]
    assert bare.sub("", inside) == bare.sub("", light.split("\n", 2)[2])
    for text in (light, dark, css):
        assert " id=" not in text
        assert "<style" not in text
        assert "href" not in text


@pytest.mark.parametrize("index", [0, 1], ids=["light", "dark"])
def test_contrast(index: int) -> None:
    """WCAG AA: 4.5 for letters, 3 for the lines that tell boxes apart."""
    colour = {name: pair[index] for name, pair in COLOURS.items()}
    for fill in [name for name in colour if name.endswith("-fill")]:
        assert contrast(colour["text"], colour[fill]) >= 4.5
    for name in ("text", "muted"):
        assert contrast(colour[name], colour["page"]) >= 4.5
        assert contrast(colour[name], colour["frame-fill"]) >= 4.5
    for name in ("line", "broken", "weight", "norm", "act", "other", "merge", "run"):
        assert contrast(colour[name], colour["page"]) >= 3
    for name in ("added", "removed", "moved", "changed", "finding"):
        assert contrast(colour["badge-text"], colour[name]) >= 4.5


def contrast(a: str, b: str) -> float:
    lights = sorted(_light(colour) for colour in (a, b))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _light(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_forms_differ_without_colour() -> None:
    """Weight layers, BN and ReLU are told apart in grey by their corners and labels."""
    root = parsed(draw_unit(body("original_basic")))
    corners = {}
    for kind in ("weight", "norm", "act"):
        rect = groups(root, kind)[0].find(f"{NS}rect")
        assert rect is not None
        corners[kind] = float(rect.attrib["rx"])
    assert corners["weight"] == 0 < corners["norm"] < corners["act"]
    assert [len(groups(root, k)) for k in ("weight", "norm", "act", "merge")] == [
        2,
        2,
        2,
        1,
    ]
    (merge,) = groups(root, "merge")
    assert merge.find(f"{NS}circle") is not None


def test_shapes_stand_where_they_change() -> None:
    graph = graph_of(ROOT / "specs/preact_bottleneck.yaml")
    entry = graph.stages[1][1][0].instances[0]
    told = {box.name: box.text for box in draw_unit(entry).boxes if box.kind == "shape"}
    assert told == {
        "x": "[64, 32, 32]",
        "h_conv": "[128, 16, 16]",
        "conv1": "[32, 16, 16]",
        "conv3": "[128, 16, 16]",
        "out_add": "[128, 16, 16]",
    }


@pytest.mark.parametrize("kind", ["added", "removed", "moved", "changed", "finding"])
def test_marks(kind: str) -> None:
    figure = draw_unit(body("preact_basic"), marks={"bn1": Mark(kind, "why")})
    for theme in ("light", "dark", "css"):
        (group,) = groups(parsed(figure, theme), f"mark-{kind}")
        assert group.attrib["data-node"] == "bn1"
        assert len(group.findall(f"{NS}text")) == 2


def test_network() -> None:
    graph = graph_of(ROOT / "specs/preact_bottleneck.yaml", network="resnet1001")
    figure = draw_network(graph, prefix="n-", marks={"head": Mark("finding", "why")})
    root = parsed(figure)
    names = [g.attrib["data-node"] for g in groups(root, "part")]
    stages = [f"n-stage{s}.{i}" for s in (1, 2, 3) for i in (0, 1)]
    assert names == ["n-stem", *stages, "n-head"]
    assert texts(root).count("body \N{MULTIPLICATION SIGN} 110") == 3
    assert "[256, 8, 8]" in texts(root)
    assert {"stage 1", "stage 2", "stage 3"} <= {*texts(root)}
    (marked,) = groups(root, "mark-finding")
    assert marked.attrib["data-node"] == "n-head"
    assert "n-stage3.1>head" in {g.attrib["data-edge"] for g in groups(root, "edge")}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_png(theme: str) -> None:
    figure = draw_unit(body("original_basic"), title="Fig. 4a")
    image = Image.open(BytesIO(figure.png(3, theme)))
    assert image.format == "PNG"
    assert abs(image.width - 3 * figure.width) <= 2
    assert abs(image.height - 3 * figure.height) <= 2
    page = tuple(
        int(COLOURS["page"][theme == "dark"][i : i + 2], 16) for i in (1, 3, 5)
    )
    # The letters are there: without a font the caption's place would be bare.
    (title,) = [box for box in figure.boxes if box.kind == "title"]
    left, top = 3 * title.x, 3 * title.y
    around = (left, top, left + 3 * title.width, top + 3 * title.height)
    cut = image.convert("RGB").crop(tuple(round(v) for v in around))
    colours = cut.getcolors(1 << 16) or []
    assert page in {colour for _, colour in colours}
    assert len(colours) > 5


def test_same_bytes_whatever_the_hash_seed() -> None:
    code = """
import hashlib
from resgraph.draw import *
from tests.draw.test_svg import body, graph_of, ROOT
figures = [draw_unit(body("exclusive_gating")), draw_network(graph_of(ROOT / "specs/preact_basic.yaml"))]
print(hashlib.sha256(beside(figures).svg().encode() + figures[0].png()).hexdigest())
"""
    import os

    told = {
        printed(code, env=os.environ | {"PYTHONHASHSEED": s}) for s in ("0", "1", "7")
    }
    assert len(told) == 1


def test_a_notebook_shows_it() -> None:
    figure = draw_unit(body("preact_basic"))
    assert figure._repr_svg_() == figure.svg()


@pytest.mark.parametrize("name", ["original_basic", "exclusive_gating"])
def test_golden_units(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"draw/{name}.svg", draw_unit(body(name)).svg())


def test_golden_network(golden: Callable[[str, str], None]) -> None:
    graph = graph_of(ROOT / "specs/preact_basic.yaml")
    golden("draw/preact_basic_network.svg", draw_network(graph).svg("css"))
