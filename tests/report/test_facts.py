"""The page's facts against the compiler's own outputs: source, ONNX model, plan, sums."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from resgraph.compiler import Compiler
from resgraph.diagnostics import ResgraphError, SpecError, visible
from resgraph.emit.onnx_model import write_onnx
from resgraph.emit.weights import drawn
from resgraph.graph import Graph, Instance
from resgraph.names import class_name
from resgraph.plan.memory import kept
from resgraph.report import Report, of_spec
from resgraph.report.units import ELEMENT, keeps
from tests.conftest import ROOT
from tests.helpers import SPECS, graph_of, printed, refused

ALL = [*sorted((ROOT / "specs").glob("*.yaml")), *sorted(SPECS.rglob("*.yaml"))]
spec_files = pytest.mark.parametrize("spec", ALL, ids=[p.stem for p in ALL])
BAD = sorted((ROOT / "tests" / "bad").glob("*.yaml"))
DEEP = ROOT / "specs" / "preact_bottleneck.yaml"


def sites_of(
    shown: dict[str, Any], report: Report
) -> Iterator[tuple[Any, str, Any, int]]:
    """(site, prefix of what it is in, unit, how often the network has it), in the network's
    order, the sites within others among them."""
    left = [(site, "", 1) for part in shown["parts"] for site in part["sites"]][::-1]
    while left:
        site, inside, times = left.pop()
        unit = report.facts["units"][site["unit"]]
        count = times * site["count"]
        yield site, inside, unit, count
        inner = [s for row in unit["rows"] for s in row["sites"]][::-1]
        left += [(each, inside + site["prefix"], count) for each in inner]


def lines_of(shown: dict[str, Any], site: dict[str, Any], unit: dict[str, Any]) -> Any:
    """The lines of the site's ops."""
    lines = shown["lines"]
    return (
        lines["units"][unit["name"]] if site["prefix"] else lines["ends"][site["row"]]
    )


@spec_files
def test_every_statement_of_the_source_is_some_ops(spec: Path) -> None:
    report = of_spec(spec)
    for shown in report.facts["networks"]:
        lines = shown["lines"]
        told = {
            line
            for found in (*lines["units"].values(), *lines["ends"].values())
            for spans in found.values()
            for first, last in spans
            for line in range(first, last + 1)
        }
        text = "\n".join(shown["source"])
        own_classes = tuple(map(class_name, [*lines["units"], shown["name"]]))
        for made in ast.parse(text).body:
            if not getattr(made, "name", "").startswith(own_classes):
                continue  # a module that an op needs
            for forward in ast.walk(made):
                if isinstance(forward, ast.FunctionDef) and forward.name == "forward":
                    own = [s for s in forward.body if _computes(s)]
                    assert {s.lineno for s in own} <= told


def _computes(statement: ast.stmt) -> bool:
    """Whether it computes anything, and does not only put values into a dataclass."""
    found = [n for n in ast.walk(statement) if isinstance(n, ast.Call | ast.BinOp)]
    plain = [
        n for n in found if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    ]
    return len(found) > len(plain)


@spec_files
def test_a_layer_stands_on_its_lines(spec: Path) -> None:
    report = of_spec(spec)
    for shown in report.facts["networks"]:
        for site, _, unit, _ in sites_of(shown, report):
            found = lines_of(shown, site, unit)
            for op in unit["ops"]:
                texts = [
                    "".join(shown["source"][a - 1 : b]) for a, b in found[op["name"]]
                ]
                # of an op that may not be there, the line of its flag as well
                texts = [t for t in texts if not t.lstrip().startswith("if self.")]
                if op["weights"]:
                    assert f"self.{op['name']} = " in texts[0]
                    assert f"self.{op['name']}(" in texts[-1]
            for row in unit["rows"]:
                assert f"self.{row['name']}" in "".join(
                    shown["source"][a - 1] for a, _ in found[row["name"]]
                )


@pytest.mark.parametrize("name", ["tiny", "zoo", "nested/se_resnet20"])
def test_onnx_nodes_are_the_models(name: str, tmp_path: Path) -> None:
    graph = graph_of(SPECS / f"{name}.yaml")
    write_onnx(graph, tmp_path / "model.onnx", drawn(0))
    model = onnx.load(tmp_path / "model.onnx")
    written = {node.name: node.op_type for node in model.graph.node}
    report = of_spec(SPECS / f"{name}.yaml")
    shown = report.facts["networks"][0]
    told = {
        f"{prefix}{onnx_name}": kind
        for prefix, unit in places_of(shown, report)
        for op in unit["ops"]
        for kind, onnx_name in op["onnx"]
    }
    assert told == written


def places_of(
    shown: dict[str, Any], report: Report
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every unit of the network with its prefix, each as often as it is there."""
    left = [("", part["sites"]) for part in shown["parts"]]
    while left:
        inside, sites = left.pop()
        for site in sites:
            unit = report.facts["units"][site["unit"]]
            for index in range(site["index"], site["index"] + site["count"]):
                number = f"{index}." if site["numbered"] else ""
                own = f"{site['row']}.{number}" if site["prefix"] else ""
                yield inside + own, unit
                left += [(inside + own, row["sites"]) for row in unit["rows"]]


@pytest.mark.parametrize("spec", BAD, ids=[p.stem for p in BAD])
def test_a_spec_with_findings_shows_them_all(spec: Path, root: Path) -> None:
    path = spec.relative_to(root)
    try:
        Compiler().graphs(path)
    except SpecError as error:
        told = [(d.message, d.span.line if d.span else None) for d in error.diagnostics]
    except ResgraphError as error:
        assert refused(lambda: of_spec(path)).startswith(error.message)
        return
    report = of_spec(path)
    shown = report.facts["findings"]
    lines = [(f["message"], f["place"] and f["place"][1]) for f in shown]
    assert lines == [(visible(message), line) for message, line in told]
    named = {
        name
        for network in report.facts["networks"]
        for site, inside, unit, _ in sites_of(network, report)
        for name in [
            inside + site["name"],
            *(f"{inside}{site['prefix']}{op['name']}" for op in unit["ops"]),
        ]
    }
    assert {name for finding in shown for name in finding["where"]} <= named
    assert report.html()


def instances(graph: Graph) -> list[Instance]:
    return [instance for _, instance in graph.parts()]


@spec_files
def test_what_ops_keep_is_what_the_plan_counts(spec: Path) -> None:
    for graph in Compiler().graphs(spec):
        for given in {id(i): i for i in instances(graph)}.values():
            instance = given.flat
            held = [entry for found in keeps(instance).values() for entry in found]
            values = {value: size for kind, value, size in held if kind == "value"}
            others = sum(size for kind, _, size in held if kind != "value")
            cost = kept(given, bn_relu=False)
            shared = sum(cost.shared[value] for value in cost.held)
            whole = cost.inside(1, ELEMENT) + shared * ELEMENT
            assert sum(values.values()) + others == whole


@spec_files
def test_sums_and_places(spec: Path) -> None:
    report = of_spec(spec)
    for graph, shown in zip(
        Compiler().graphs(spec), report.facts["networks"], strict=True
    ):
        sites = [*sites_of(shown, report)]
        for quantity in ("parameters", "multiply_adds"):
            assert sum(p[quantity] for p in shown["parts"]) == graph.total(quantity)
            own = [(sum(op[quantity] for op in u["ops"]), n) for _, _, u, n in sites]
            assert sum(each * count for each, count in own) == graph.total(quantity)
            for unit in report.facts["units"]:
                inner = sum(
                    report.facts["units"][s["unit"]][quantity] * s["count"]
                    for row in unit["rows"]
                    for s in row["sites"]
                )
                ops = sum(op[quantity] for op in unit["ops"])
                assert ops + inner == unit[quantity]
        assert shown["ops"] == sum(len(u["ops"]) * count for _, _, u, count in sites)
    for unit in report.facts["units"]:
        for op in unit["ops"]:
            file, line, col, *_ = op["place"]
            text = report.facts["files"][file]["lines"][line - 1]
            written = text[col - 1 :].lstrip("{")
            word = re.split(r"\W", written)[0]  # a parameter may be an op
            assert written.startswith(op["kind"]) or f"{word}=" in unit["args"]


def test_the_page_grows_with_distinct_units_not_with_depth() -> None:
    sizes = {}
    for name in ("resnet164", "resnet1001"):
        report = of_spec(DEEP, name)
        sizes[name] = len(report.html().encode())
        assert len(report.facts["units"]) == 8  # stem, 3 entries, 3 bodies, head
    assert sizes["resnet1001"] < 1_000_000
    assert sizes["resnet1001"] - sizes["resnet164"] < 1_000
    both = len(of_spec(DEEP).html().encode())
    assert both - sizes["resnet1001"] < 40_000  # its source and its drawing


def test_equal_input_gives_equal_text() -> None:
    code = (
        "from pathlib import Path; import hashlib; from resgraph.report import of_spec;"
        "page = of_spec(Path('tests/specs/zoo.yaml')).html();"
        "print(hashlib.sha256(page.encode()).hexdigest())"
    )
    first, second = (
        printed(code, env=os.environ | {"PYTHONHASHSEED": str(seed)}) for seed in (1, 2)
    )
    assert first == second


def test_a_specs_page_needs_no_torch() -> None:
    code = (
        "from pathlib import Path; import sys; from resgraph.report import of_spec;"
        "of_spec(Path('tests/specs/zoo.yaml')).html();"
        "print([m for m in ('torch', 'matplotlib', 'onnxruntime') if m in sys.modules])"
    )
    assert printed(code) == "[]"


def test_facts_are_json_that_ends_nothing() -> None:
    hostile = "</script><!--<script>alert(1)</script>"
    page = Report("x", {"files": [{"name": hostile, "lines": []}]}).html()
    start = page.index('id="facts">') + len('id="facts">')
    text = page[start : page.index("</script>", start)]
    assert json.loads(text)["files"][0]["name"] == hostile
    assert "<!--" not in text
