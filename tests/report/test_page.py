"""The page of a spec in a real browser, by pointer and by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resgraph.report import Report, of_spec
from tests.conftest import ROOT
from tests.report.conftest import DEEP, Open, details, row


def line_of(text: str) -> int:
    """The first line of the spec that has the text."""
    lines = DEEP.read_text(encoding="utf-8").splitlines()
    return next(i for i, line in enumerate(lines, 1) if text in line)


def here(page: Any) -> list[str]:
    numbers = page.locator("#spec .line.here .at").all_inner_texts()
    return [str(number) for number in numbers]


def test_unfolds_to_an_op(opened: Open, deep: Report) -> None:
    page = opened(deep)
    assert page.locator("#graph .row.site").count() == 6
    assert page.locator("#graph button.op").count() == 0
    body = row(page, "body").first
    assert "×110" in body.inner_text()
    body.click()
    assert body.get_attribute("aria-expanded") == "true"
    assert page.locator("#graph .unit:visible button.op").count() == 10
    page.locator("#graph button.op", has_text="conv2").click()
    told = details(page)
    for fact in (
        "stage1.1.conv2",
        "stage1.110.conv2",
        "16 × 32 × 32",
        "2,304",
        "2.36M",
    ):
        assert fact in told
    assert "self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)" in told
    assert "f = self.conv2(torch.relu(self.bn2(f)))" in told
    assert "Conv" in told.split("ONNX")[1]
    assert "64 KiB per image" in told  # its input, 16 x 32 x 32 floats
    assert here(page) == [str(line_of("kernel: 3, channels: width"))]
    assert (
        page.locator(".drawing .chosen").get_attribute("data-node").endswith("-conv2")
    )
    body.click()
    assert page.locator("#graph button.op:visible").count() == 0


def test_from_a_line_to_its_node_and_back(opened: Open, deep: Report) -> None:
    page = opened(deep)
    line = line_of("kernel: 3, channels: width")
    code = page.locator(f"#line-0-{line} .code")
    code.click()
    chosen = page.locator("#graph [aria-current]")
    assert chosen.inner_text().startswith("conv2")
    assert "stage1.1.conv2" in details(page)
    code.click()  # again: the next unit that is made from the line
    assert "stage2.1.conv2" in details(page)
    row(page, "stage2").click()
    page.locator("#details button.link").click()
    assert (
        page.evaluate("document.activeElement.closest('.line').id") == f"line-0-{line}"
    )
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.hasAttribute('aria-current')")


def test_each_lights_up_the_other(opened: Open, deep: Report) -> None:
    page = opened(deep)
    row(page, "body").first.click()
    page.locator("#graph button.op", has_text="conv1").hover()
    line = line_of("kernel: 1, channels: width")
    assert page.locator("#spec .line.lit .at").all_inner_texts() == [str(line)]
    assert page.locator(".drawing .lit").count() == 1
    page.locator(f"#line-0-{line_of('- relu')} .code").hover()
    lit = page.locator("#graph button.op.lit").all_inner_texts()
    assert [text.split()[0] for text in lit] == ["relu1"]
    page.locator(".drawing [data-node$='-conv3']").hover()
    lit = page.locator("#graph button.op.lit").all_inner_texts()
    assert [text.split()[0] for text in lit] == ["conv3"]
    page.locator(".drawing [data-node$='-conv3']").click()
    assert "stage1.1.conv3" in details(page)


def test_several_ops_on_a_line_are_told_apart(opened: Open, deep: Report) -> None:
    page = opened(deep)
    code = page.locator(f"#line-0-{line_of('a: {from: x, ops: [bn, relu]}')} .code")
    text = code.inner_text()
    wide = code.bounding_box()["width"] / len(text)
    for kind in ("relu", "bn"):
        code.click(position={"x": wide * (text.index(kind) + 0.5), "y": 8})
        assert f"stage1.0.a_{kind}" in details(page)


def test_the_keyboard_is_enough(opened: Open, deep: Report) -> None:
    page = opened(deep)
    row(page, "stem").focus()

    def focused() -> str:
        return str(page.evaluate("document.activeElement.innerText")).split()[0]

    for key, name in (
        ("ArrowDown", "stage1"),
        ("ArrowLeft", "stage1"),
        ("ArrowDown", "stage2"),
        ("ArrowUp", "stage1"),
        ("ArrowRight", "stage1"),
        ("ArrowRight", "entry"),
        ("ArrowDown", "body"),
        ("ArrowRight", "body"),
        ("ArrowRight", "bn1"),
        ("ArrowDown", "relu1"),
        ("Enter", "relu1"),
    ):
        page.keyboard.press(key)
        assert focused() == name, key
    assert "stage1.1.relu1" in details(page)
    page.keyboard.press("l")
    assert page.evaluate("document.activeElement.className") == "code"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert focused() == "conv1"
    page.keyboard.press("ArrowLeft")
    assert focused() == "body"
    page.keyboard.press("Escape")
    assert "resnet1001" in details(page)
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 1
    assert "search" in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


@pytest.mark.parametrize(
    ("query", "first", "expected"),
    [
        ("stage3.1.conv2.weight", "stage3.1.conv2.weight", "stage3.1.conv2"),
        ("stage2.57.conv1", "stage2.57.conv1", "stage2.1.conv1"),
        ("global pool", "head_global_avg_pool", "head_global_avg_pool"),
        ("entry stage3", "entry", "stage3.0"),
    ],
)
def test_search(
    opened: Open, deep: Report, query: str, first: str, expected: str
) -> None:
    page = opened(deep)
    page.keyboard.press("/")
    page.keyboard.type(query.replace("global pool", "global_avg"))
    assert page.locator("#results button span").first.inner_text() == first
    page.keyboard.press("Enter")
    assert expected in details(page)
    assert page.locator("#results").is_hidden()
    assert page.evaluate("document.activeElement.hasAttribute('aria-current')")


def test_search_finds_lines_and_says_when_nothing_is_found(
    opened: Open, deep: Report
) -> None:
    page = opened(deep)
    page.fill("#search", "recipe: he2016")
    page.locator("#results button", has_text="line").click()
    assert here(page) == [str(line_of("recipe: he2016"))]
    page.fill("#search", "no such thing")
    assert page.locator("#results").inner_text() == "Nothing found."
    page.focus("#search")
    page.keyboard.press("Escape")
    assert page.input_value("#search") == ""


def test_networks_of_a_spec_and_the_address(opened: Open) -> None:
    report = of_spec(DEEP)
    page = opened(report)
    assert page.locator("h1").inner_text() == "resnet164"
    assert "×17" in row(page, "body").first.inner_text()
    page.select_option("#network", label="resnet1001")
    assert page.locator("h1").inner_text() == "resnet1001"
    assert "×110" in row(page, "body").first.inner_text()
    assert "10,327,706" in details(page)
    row(page, "body").last.click()
    page.locator("#graph button.op", has_text="conv3").click()
    address = page.evaluate("location.hash")
    again = opened(report, fragment=address)
    assert "stage3.1.conv3" in details(again)
    assert again.locator("h1").inner_text() == "resnet1001"


def test_findings_stand_on_their_lines(opened: Open, root: Path) -> None:
    page = opened(of_spec(Path("tests/bad/add_map_size.yaml")))
    shown = page.locator("#line-0-16 + .below").inner_text()
    assert "add needs equal shapes, and gets [16, 16, 16] and [16, 8, 8]" in shown
    assert "hint: give both sides the same stride" in shown
    page.locator("#line-0-16 + .below button.link", has_text=":7").click()
    assert here(page) == ["7"]
    marked = page.locator("#graph button.site[data-level=error]")
    assert "width=16, stride=2" in marked.inner_text()  # in stage 1 it fits
    row(page, "body").first.click()
    assert page.locator("#graph button.op[data-level]").count() == 0
    row(page, "body").last.click()
    assert (
        page.locator("#graph button.op[data-level=error]")
        .inner_text()
        .startswith("out_add")
    )
    assert page.locator(".drawing .mark-finding").count() >= 1


def test_proven_facts_unfold_on_their_lines(opened: Open, deep: Report) -> None:
    page = opened(deep)
    number = line_of("out: {from: [x, F], ops: [add]}")
    flag = page.locator(f"#line-0-{number} .flag")
    below = page.locator(f"#line-0-{number} + .below")
    assert below.is_hidden()
    flag.click()
    assert "h and f are identities" in below.inner_text()


def test_lines_of_an_extended_spec(opened: Open) -> None:
    page = opened(of_spec(ROOT / "specs" / "conv_shortcut.yaml"))
    tabs = page.locator("[role=tab]").all_inner_texts()
    assert [Path(tab).name for tab in tabs] == [
        "conv_shortcut.yaml",
        "original_basic.yaml",
    ]
    row(page, "stem").click()
    page.locator("#graph button.op", has_text="stem_conv").click()
    selected = page.locator("[role=tab][aria-selected=true]").inner_text()
    assert selected.endswith("original_basic.yaml")
    assert "stem" in page.locator("#spec .line.here").inner_text()
