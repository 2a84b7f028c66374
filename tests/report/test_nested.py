"""The page of a network with units within units, and of one that is no chain."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

import resgraph
from resgraph.compiler import Compiler
from resgraph.report import Report, of_graphs, of_spec
from tests.conftest import ROOT
from tests.helpers import SPECS, graph_from, refused
from tests.plan.nested import SEVERAL
from tests.programs import programs
from tests.report.conftest import Open, details, row, serious_faults
from tests.report.test_facts import sites_of

SE = SPECS / "nested" / "se_resnet20.yaml"
PYRAMID = ROOT / "tests/draw/pyramid.yaml"
GATE = "conv: {kernel: 1, channels: in / ratio, bias: true}"


SMALL_STEM = """\
resgraph: 1
title: Small, with a unit for its stem
units:
  cbr:
    params: [width]
    paths: {out: {from: x, ops: [{conv: {kernel: 3, channels: width}}, bn, relu]}}
  rest:
    paths: {out: {from: x, ops: [relu]}}
network:
  params: {classes: 10}
  input: [1, 8, 8]
  stem: [{cbr: {width: 4}}]
  stages:
    a: [rest]
  head: [global_avg_pool, {linear: {features: classes}}]
"""


def line_of(spec: Path, text: str) -> int:
    lines = spec.read_text(encoding="utf-8").splitlines()
    return next(i for i, line in enumerate(lines, 1) if text in line)


@pytest.fixture(scope="module")
def nested() -> Report:
    return of_spec(SE)


def test_a_unit_in_a_unit_unfolds(opened: Open, nested: Report) -> None:
    page = opened(nested)
    row(page, "body").first.click()
    se = page.locator("#graph .ops button.site", has_text="se")
    assert "ratio=4" in se.inner_text()
    se.click()
    assert "in body, stage1.0" in details(page)
    assert "stage1.0.se to stage1.2.se" in details(page)
    page.locator("#graph .ops .ops button.op", has_text="gate_conv1").click()
    told = details(page)
    for fact in ("stage1.0.se.gate_conv1", "stage1.2.se.gate_conv1", "2 more like it"):
        assert fact in told
    assert "self.gate_conv1 = nn.Conv2d(" in told
    assert "Conv" in told.split("ONNX")[1]
    assert page.locator("#spec .line.here .at").inner_text() == str(line_of(SE, GATE))
    # Its box is lit in the frame of the unit that it is in.
    chosen = page.locator(".drawing .chosen")
    assert chosen.count() == 1
    assert chosen.get_attribute("data-node").endswith("-se.gate_conv1")


def test_links_lead_out_and_in(opened: Open, nested: Report) -> None:
    page = opened(nested, fragment="#stage2.0.se")
    assert page.locator("#details h2").inner_text() == "se"
    page.locator("#details button.link", has_text="body, stage2.0").click()
    assert "Units in it" in details(page)
    page.locator("#details button.link", has_text="se, stage2.0.se").click()
    assert "in body, stage2.0" in details(page)


def test_the_drawing_leads_into_frames(opened: Open, nested: Report) -> None:
    page = opened(nested)
    row(page, "body").first.click()
    page.locator(".drawing [data-node$='-se.gate_relu']").first.click()
    assert "stage1.0.se.gate_relu" in details(page)
    page.locator(".drawing .frame[data-node$='-se'] text").first.click()
    assert "stage1.0.se" in details(page)


def test_lines_of_a_unit_lead_to_each_use_of_it(opened: Open, nested: Report) -> None:
    page = opened(nested)
    code = page.locator(f"#line-0-{line_of(SE, GATE)} .code")
    seen = []
    for _ in range(3):
        code.click()
        seen.append(page.evaluate("location.hash"))
    assert seen == [
        "#stage1.0.se.gate_conv1",
        "#stage2.0.se.gate_conv1",
        "#stage2.1.se.gate_conv1",
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("stage2.2.se.gate_conv2.bias", "stage2.1.se.gate_conv2"),
        ("stage1.2.se", "stage1.0.se"),
        ("stage3.0.se.gate_relu", "stage3.0.se.gate_relu"),
    ],
)
def test_search(opened: Open, nested: Report, query: str, expected: str) -> None:
    page = opened(nested)
    page.fill("#search", query)
    assert page.locator("#results button span").first.inner_text() == query
    page.keyboard.press("Enter")
    assert expected in details(page)


def test_the_address_names_units_in_units(opened: Open, nested: Report) -> None:
    page = opened(nested, fragment="#stage3.2.se.gate_conv1")
    assert "stage3.1.se.gate_conv1" in details(page)  # the first of those equal to it


def test_accessible(opened: Open, nested: Report) -> None:
    page = opened(nested, fragment="#stage1.0.se.gate_conv1")
    assert serious_faults(page) == []


def test_a_network_that_is_no_chain(opened: Open) -> None:
    page = opened(of_spec(PYRAMID))
    assert "from c4, c3" in row(page, "p3").first.inner_text()
    assert "from" not in row(page, "c3").first.inner_text()
    split = row(page, "s").filter(has_text="from c2").first.inner_text()
    assert "a 8 × 32 × 32, b 8 × 32 × 32" in split
    told = details(page)
    assert "output p2" in told
    assert "output m" in told
    page.locator("#details .drawing [data-node$='-p3.0']").click()
    assert "below" in details(page)
    assert "skip" in details(page)


def test_columns_hold_what_stands_in_them(opened: Open, tmp_path: Path) -> None:
    """Several outputs stay in their column, and names of ops break behind a part."""
    page = opened(of_graphs([graph_from(SEVERAL, tmp_path)], Compiler()))
    stages = page.locator("#graph .row.stage, #graph .row.site:visible")
    over = """rows => rows.filter(row => {
        const [, shape, number] = row.children;
        const ends = [...shape.querySelectorAll("span")].map(
            each => each.getBoundingClientRect().right);
        return Math.max(...ends) > number.getBoundingClientRect().left;
    }).map(row => row.innerText)"""
    assert stages.evaluate_all(over) == []
    row(page, "cross").first.click()
    page.locator("#graph .ops button.site", has_text="body").first.click()
    page.locator("#graph .ops .ops button.site", has_text="se").first.click()
    name = page.locator("#graph button.op .name span", has_text="gate_sigmoid")
    assert name.first.inner_html() == "gate_<wbr>sigmoid"


def test_multiply_adds_are_in_one_unit_and_ops_are_all_counted(
    opened: Open, tmp_path: Path
) -> None:
    """Of a small network they are plain; a stem that is a unit has that unit's ops."""
    page = opened(of_graphs([graph_from(SMALL_STEM, tmp_path)], Compiler()))
    numbers = page.locator("#graph .row.stage, #graph .row.end").all_inner_texts()
    assert [number.split()[-1] for number in numbers] == ["2,304", "–", "40"]
    assert "3 ops" in numbers[0]
    assert "2,344 per image" in details(page)


def test_findings_in_a_unit_in_a_unit(opened: Open, root: Path) -> None:
    page = opened(of_spec(root / "tests/bad/nested_number.yaml"))
    row(page, "body").first.click()
    page.locator("#graph .ops button.site", has_text="se").first.click()
    marked = page.locator("#graph .ops .ops button.op[data-level=error]")
    assert marked.inner_text().startswith("gate_conv1")
    assert (
        page.locator(".drawing .mark-finding[data-node$='se.gate_conv1']").count() == 1
    )


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(text=programs())
def test_random_programs(text: str) -> None:
    from resgraph.compiler import Compiler
    from resgraph.explain import FILE, Given

    compiler = Compiler(Given({FILE: text}))
    graphs = compiler.graphs(Path(FILE))
    report = of_graphs(graphs, compiler)
    assert report.html()
    for graph, shown in zip(graphs, report.facts["networks"], strict=True):
        sites = [*sites_of(shown, report)]
        assert sum(len(u["ops"]) * n for _, _, u, n in sites) == graph.total("nodes")
        own = [(sum(op["parameters"] for op in u["ops"]), n) for _, _, u, n in sites]
        assert sum(each * n for each, n in own) == graph.total("parameters")
        layers = {w for w, _ in graph.network.weights}
        told = {
            f"{inside}{site['prefix']}{op['name']}"
            for site, inside, unit, _ in sites
            for op in unit["ops"]
            if op["weights"]
        }
        assert told <= layers


def test_a_notebook_draws_units_in_units() -> None:
    network = resgraph.Network(SE)
    assert network.main == "body"
    assert set(network.units) == {"body", "se"}
    assert "global avg pool" in network.draw("se").svg()
    assert 'class="frame"' in network.draw("body").svg()
    assert 'class="frame"' not in network.draw("body", unfold=()).svg()
    assert "did you mean 'se'?" in refused(lambda: network.draw("ses"))
    pyramid = resgraph.Network(PYRAMID)
    assert {"lateral", "split"} <= {*pyramid.units}
    assert "p3" in pyramid.draw().svg()


@pytest.mark.parametrize("name", ["nested_number", "nested_missing_argument"])
def test_findings_name_what_is_in_units_in_units(root: Path, name: str) -> None:
    report = of_spec(root / f"tests/bad/{name}.yaml")
    (shown, *_) = report.facts["networks"]
    known = {
        f"{inside}{what}"
        for site, inside, unit, _ in sites_of(shown, report)
        for what in [
            site["name"],
            *(f"{site['prefix']}{op['name']}" for op in unit["ops"]),
        ]
    }
    for finding in report.facts["findings"]:
        assert finding["where"]
        assert {*finding["where"]} <= known
