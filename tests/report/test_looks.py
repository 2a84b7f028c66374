"""How the page looks and to whom it is open: themes, phones, assistive tools, attacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgraph.report import Report, of_spec
from tests.conftest import ROOT
from tests.report.conftest import Open, details, row, serious_faults

HOSTILE = "<img src=x onerror=document.title='broken'></script><script>document.title='broken'</script>"


def test_light_and_dark(opened: Open, deep: Report) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = opened(deep, color_scheme="light").evaluate(colour)
    page = opened(deep, color_scheme="dark")
    row(page, "body").first.click()
    box = "getComputedStyle(document.querySelector('.drawing rect')).fill"
    dark, dark_box = page.evaluate(colour), page.evaluate(box)
    assert dark != light
    page.click("#theme")
    assert page.evaluate(colour) == light
    assert page.evaluate(box) != dark_box
    page.reload()
    assert page.evaluate(colour) == light  # it was chosen


def test_one_column_on_a_phone(opened: Open, deep: Report) -> None:
    page = opened(deep, viewport={"width": 390, "height": 844}, has_touch=True)
    row(page, "body").first.tap()
    page.locator("#graph button.op", has_text="conv2").tap()
    assert "stage1.1.conv2" in details(page)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    boxes = [page.locator(f"#{name}").bounding_box() for name in ("graph", "spec")]
    assert all(box["width"] <= 390 for box in boxes)
    assert boxes[0]["y"] < boxes[1]["y"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible(opened: Open, deep: Report, scheme: str) -> None:
    page = opened(deep, color_scheme=scheme)
    row(page, "body").first.click()
    page.locator("#graph button.op", has_text="conv2").click()
    for flag in page.locator(".flag").all():
        flag.click()
    page.fill("#search", "conv")
    # What is there is the same in the dark; its colours are not.
    rules = None if scheme == "light" else ["color-contrast"]
    assert serious_faults(page, rules) == []
    if rules is None:
        page.keyboard.press("Escape")
        page.click("#help")
        assert serious_faults(page, ["color-contrast", "aria-dialog-name"]) == []


def test_names_and_titles_are_text(opened: Open, tmp_path: Path) -> None:
    text = (ROOT / "tests" / "specs" / "tiny.yaml").read_text(encoding="utf-8")
    lines = [
        f'title: "{HOSTILE}"' if line.startswith("title:") else line
        for line in text.splitlines()
    ]
    unit = next(i for i, line in enumerate(lines) if line.endswith("body:"))
    lines.insert(unit + 1, f'    title: "{HOSTILE}"')
    lines.append(f"# {HOSTILE}")
    spec = tmp_path / "<b onclick=x>.yaml"
    spec.write_text(
        "\n".join(["# tiny", *lines, "networks: {tiny: {}}"]), encoding="utf-8"
    )
    report = of_spec(spec)
    page = opened(report)
    assert HOSTILE in page.locator("#subtitle").inner_text()
    assert HOSTILE in page.title()
    for button in page.locator("#graph button.site, #graph button.end").all():
        button.click()
    page.fill("#search", "onerror")
    assert page.locator("#results button").count() >= 2
    assert page.locator("img, b[onclick]").count() == 0
    assert "broken" in page.title()
    assert page.title() != "broken"


def test_a_broken_spec_with_markup_is_text(opened: Open, tmp_path: Path) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text(f'resgraph: 1\ntitle: x\n"{HOSTILE}": 1\n', encoding="utf-8")
    page = opened(of_spec(spec))
    assert page.locator("img").count() == 0
    assert HOSTILE in page.locator("#spec").inner_text()
    assert page.locator(".finding.error").count() >= 1
