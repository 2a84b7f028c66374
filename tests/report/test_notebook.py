"""`resgraph.Network` in a notebook's hands: IPython's own formatters and error display."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest

import resgraph
from tests.conftest import ROOT
from tests.helpers import SPECS, printed, refused
from tests.report.conftest import Open

BASIC = ROOT / "specs" / "preact_basic.yaml"


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    testing = pytest.importorskip(
        "IPython.core.interactiveshell", reason="needs IPython"
    )
    made = testing.InteractiveShell.instance(colors="nocolor")
    yield made
    testing.InteractiveShell.clear_instance()


@pytest.fixture
def network() -> resgraph.Network:
    return resgraph.Network(BASIC, network="resnet20")


def test_a_network_shows_its_main_unit(shell: Any, network: resgraph.Network) -> None:
    formats, _ = shell.display_formatter.format(network)
    assert formats["image/svg+xml"].startswith("<svg")
    assert "3x3 conv" in formats["image/svg+xml"]
    assert formats["text/plain"].startswith("resnet20: 269,722 parameters")
    assert network.main == "body"


def test_figures_show_themselves(shell: Any, network: resgraph.Network) -> None:
    whole, _ = shell.display_formatter.format(network.draw())
    unit, _ = shell.display_formatter.format(network.draw("entry"))
    assert "stage 3" in whole["image/svg+xml"]
    assert "option A" in unit["image/svg+xml"]


def test_what_the_command_draws_is_drawn_and_refused_alike() -> None:
    network = resgraph.Network(SPECS / "nested" / "se_resnet20.yaml")
    assert "conv" in network.draw("stem").svg()
    assert "linear" in network.draw("head", unfold=("none",)).svg()
    assert "sigmoid" not in network.draw("body", unfold=("none",)).svg()
    told = refused(lambda: network.draw("body", unfold=["s"]))
    assert "'body' uses no unit 's' | " in told
    assert "nothing to unfold" in refused(lambda: network.draw(unfold=["se"]))
    assert "has no unit 'heads' | did you mean 'head'" in refused(
        lambda: network.draw("heads")
    )


def test_a_report_shows_itself_in_a_frame(
    shell: Any, network: resgraph.Network, opened: Open
) -> None:
    report = network.report()
    formats, _ = shell.display_formatter.format(report)
    frame = formats["text/html"]
    match = re.fullmatch(
        r'<iframe title="[^"]*" sandbox="allow-scripts" srcdoc="([^"]*)".*', frame
    )
    assert match
    assert html.unescape(match[1]) == report.html()
    page = opened(report)
    page.evaluate("frame => { document.body.innerHTML = frame; }", frame)
    inside = page.frame_locator("iframe")
    inside.locator("html[data-ready]").wait_for(state="attached")
    inside.locator("button.site").first.click()
    assert inside.locator("button.op").count() > 0


def test_settings(network: resgraph.Network) -> None:
    assert resgraph.Network(BASIC, depth=26).graph.name == "preact_basic_depth26"
    assert network.graph.total("parameters") == 269_722
    told = refused(lambda: resgraph.Network(BASIC, dept=26))
    assert "did you mean 'depth'?" in told


def test_errors_are_text_without_a_traceback(
    shell: Any, network: resgraph.Network, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.push({"network": network, "resgraph": resgraph})
    for code, told in (
        ("network.draw('bdoy')", "hint: did you mean 'body'?"),
        ("resgraph.Network('nowhere.yaml')", "error: nowhere.yaml: no such file"),
        (
            f"resgraph.Network({str(ROOT / 'tests/bad/add_map_size.yaml')!r})",
            "error[shape-mismatch]: add needs equal shapes",
        ),
    ):
        shell.run_cell(code)
        out = capsys.readouterr()
        assert told in out.out + out.err
        assert "Traceback" not in out.out + out.err


def test_a_network_without_units(tmp_path: Any) -> None:
    network = resgraph.Network(SPECS / "tiny.yaml")
    assert network.draw("body").width > 0
    assert "no unit 'nope'" in refused(lambda: network.draw("nope"))


def test_importing_resgraph_stays_light() -> None:
    heavy = "('torch', 'onnx', 'numpy', 'pydantic', 'networkx')"
    code = f"import sys, resgraph; print([m for m in {heavy} if m in sys.modules])"
    assert printed(code) == "[]"
