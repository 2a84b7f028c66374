"""The import arrows of docs/architecture.md, and the habits that keep files readable."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.helpers import printed

PACKAGE = ROOT / "resgraph"
FILES = sorted(PACKAGE.rglob("*.py"))

# What every part may import of resgraph.
EVERYWHERE = {"limits", "syntax"}
# What turns a spec into blocks: units, and their uses.
LOWERING = {"codes", "diagnostics", "expr", "names", "ops", "spec", "values", "graph"}
# What each part may import of it, beside that and itself.
ARROWS = {
    "limits": set(),
    "outputs": set(),
    "syntax": set(),
    "diagnostics": set(),
    "codes": {"diagnostics"},
    "allow": {"codes", "diagnostics"},
    "parser": set(),
    "expr": {"parser"},
    "values": {"diagnostics", "expr"},
    "settings": {"diagnostics", "expr", "names", "ops", "values"},
    "files": {"diagnostics"},
    "names": {"diagnostics"},
    "reading": {"diagnostics", "files"},
    "seal": {"diagnostics", "reading"},
    "ops": {"codes", "diagnostics", "expr", "names", "values"},
    "recipe": {"diagnostics", "expr", "ops"},
    "spec": {
        "allow",
        "codes",
        "diagnostics",
        "expr",
        "files",
        "names",
        "ops",
        "recipe",
    },
    "graph": {"allow", "codes", "diagnostics", "expr", "names", "ops", "values"},
    "graph/params": {
        "codes",
        "diagnostics",
        "expr",
        "ops",
        "spec",
        "values",
        "graph",
    },
    "graph/build": {
        "codes",
        "diagnostics",
        "expr",
        "names",
        "ops",
        "recipe",
        "spec",
        "values",
        "graph",
    },
    "graph/build_unread": {
        "codes",
        "diagnostics",
        "expr",
        "names",
        "ops",
        "spec",
        "graph",
    },
    "graph/build_call": LOWERING,
    "graph/defaults": {
        "codes",
        "diagnostics",
        "expr",
        "spec",
        "values",
        "graph",
    },
    "graph/build_unit": LOWERING,
    "passes": {
        "codes",
        "diagnostics",
        "expr",
        "names",
        "ops",
        "outputs",
        "graph",
        "values",
    },
    "emit": {
        "diagnostics",
        "expr",
        "files",
        "names",
        "ops",
        "graph",
        "parser",
        "provenance",
        "reading",
        "seal",
        "values",
        "__init__",
    },
    "draw": {"diagnostics", "graph", "ops", "prove", "values"},
    "compiler": {
        "settings",
        "values",
        "allow",
        "codes",
        "diagnostics",
        "expr",
        "names",
        "ops",
        "spec",
        "graph",
        "passes",
    },
    "explain": {"codes", "compiler", "diagnostics", "prove", "spec"},
    "origin": {
        "spec",
        "compiler",
        "settings",
        "values",
        "diagnostics",
        "emit",
        "graph",
        "provenance",
        "__init__",
    },
    "provenance": {"diagnostics", "reading", "__init__"},
    "isolation": {"diagnostics"},
    "reference": set(),
    "data": {"diagnostics", "files", "reading"},
    "train": {
        "data",
        "diagnostics",
        "files",
        "isolation",
        "outputs",
        "provenance",
        "reading",
        "recipe",
        "seal",
        "__init__",
    },
    "study": {"diagnostics", "files", "recipe", "train"},
    "infer": {"data", "diagnostics", "outputs", "reading"},
    "fsck": {
        "recipe",
        "compiler",
        "diagnostics",
        "emit",
        "files",
        "graph",
        "names",
        "origin",
        "provenance",
        "seal",
        "train",
    },
    "serve": {"data", "diagnostics", "infer", "__init__"},
    "plan": {"diagnostics", "graph", "ops", "reading"},
    "prove": {"allow", "codes", "diagnostics", "expr", "names", "ops", "graph"},
    "report": {
        "compiler",
        "diagnostics",
        "draw",
        "emit",
        "expr",
        "files",
        "graph",
        "ops",
        "origin",
        "plan",
        "prove",
        "study",
        "values",
        "__init__",
    },
    "notebook": {
        "compiler",
        "settings",
        "values",
        "diagnostics",
        "draw",
        "graph",
        "report",
    },
    "diff": {"diagnostics", "draw", "graph", "ops", "prove", "recipe", "values"},
    "verify": {
        "diagnostics",
        "graph",
        "infer",
        "isolation",
        "names",
        "ops",
        "outputs",
        "prove",
        "reading",
        "recipe",
        "seal",
        "train",
    },
}
# Which parts may import each heavy library.
HOMES = {
    "torch": {"reference", "train", "verify"},
    "onnx": {"emit"},
    "onnxruntime": {"emit", "infer", "verify"},
    "jinja2": {"emit"},
    "ruamel": {"spec"},
    "networkx": {"graph", "passes", "prove"},
    "sklearn": {"data"},
    "datasets": {"data"},
    "tensorboardX": {"train"},
    "fastapi": {"serve"},
    "starlette": {"serve"},
    "uvicorn": {"serve"},
    "prometheus_client": {"serve"},
    "matplotlib": {"study"},
    "pygraphviz": {"draw"},
    "resvg_py": {"draw"},
}


def part(path: Path) -> str:
    relative = path.relative_to(PACKAGE).with_suffix("")
    return relative.as_posix() if relative.as_posix() in ARROWS else relative.parts[0]


def imports(path: Path) -> Iterator[str]:
    """Every module that the file imports, also inside functions; not for types alone."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            if node.module != "resgraph":
                yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_part(name: str) -> bool:
    return (PACKAGE / f"{name}.py").exists() or (PACKAGE / name).is_dir()


@pytest.mark.parametrize(
    "path", FILES, ids=[str(f.relative_to(PACKAGE)) for f in FILES]
)
def test_arrows(path: Path) -> None:
    here = part(path)
    if here in ("cli", "__init__", "__main__"):
        return
    for name in imports(path):
        if not name.startswith("resgraph"):
            continue
        pieces = name.split(".")
        target = pieces[1] if len(pieces) > 1 and is_part(pieces[1]) else "__init__"
        assert target in ARROWS[here] | EVERYWHERE | {here}, f"{path}: {name}"


@pytest.mark.parametrize(
    "path", FILES, ids=[str(f.relative_to(PACKAGE)) for f in FILES]
)
def test_heavy_libraries_stay_at_home(path: Path) -> None:
    for name in imports(path):
        homes = HOMES.get(name.split(".")[0])
        assert homes is None or part(path).split("/")[0] in homes, f"{path}: {name}"


def test_the_command_line_starts_light() -> None:
    heavy = ("torch", "onnx", "onnxruntime", "networkx", "jinja2", "numpy", "datasets")
    code = (
        f"import sys, resgraph.cli; print([m for m in {heavy!r} if m in sys.modules])"
    )
    result = printed(code)
    assert result == "[]"


@pytest.mark.parametrize(
    "path", FILES, ids=[str(f.relative_to(PACKAGE)) for f in FILES]
)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            # A kernel in Triton is one function, with a line for each of its arguments.
            most = 200 if node.decorator_list and path.parent.name == "fused" else 70
            assert node.end_lineno - node.lineno < most, f"{path}: {node.name}"
