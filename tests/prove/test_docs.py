"""The outputs that docs/proving.md quotes are the command's."""

from __future__ import annotations

from pathlib import Path

from resgraph.compiler import Compiler
from resgraph.prove import prove
from resgraph.prove.report import judge, report


def test_quoted_outputs(root: Path) -> None:
    text = Path("docs/proving.md").read_text()
    for spec, name, lines in (
        ("preact_bottleneck", "resnet164", None),
        ("original_basic", "resnet110_original", 10),
    ):
        compiler = Compiler()
        (graph,) = compiler.graphs(Path(f"specs/{spec}.yaml"), name)
        told = report(
            judge([(graph, prove(graph))], whole=False), compiler.sources.texts
        )
        assert "\n".join(told.splitlines()[:lines]) in text
