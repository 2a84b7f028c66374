"""Specs that extend others, as files and as texts, and what is told of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from resgraph.compiler import Compiler
from resgraph.diagnostics import Diagnostic, SpecError, UsageError
from resgraph.spec import Sources
from resgraph.spec.extends import Stack, stacked
from tests.helpers import SPECS

TINY = (SPECS / "tiny.yaml").read_text()
TINY_DATA: dict[str, Any] = YAML(typ="safe", pure=True).load(TINY)


@dataclass
class Texts(Sources):
    """Files that are texts alone; `read_of` has the names that were read."""

    files: Mapping[str, str] = field(default_factory=dict)
    read_of: list[str] = field(default_factory=list)

    def read(self, path: Path, name: str, root: Path | None = None) -> str:
        self.read_of.append(name)
        if name not in self.files:
            raise UsageError(f"{name}: no such file")
        self.texts[name] = self.files[name]
        return self.files[name]


def stack_of(files: Mapping[str, str], top: str = "top.yaml") -> tuple[Stack, Texts]:
    sources = Texts(files=files)
    return stacked(Path(top), sources), sources


def names(stack: Stack) -> list[str]:
    return [layer.tree.span.file for layer in stack.layers]


def told(found: Iterable[Diagnostic]) -> list[tuple[str, str]]:
    """Code and place of each finding."""
    return [(f.code.name, str(f.span)) for f in found]


def written(folder: Path, **texts: str) -> Path:
    """These specs, and the one called `top`."""
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / "top.yaml"


def findings(path: Path) -> list[Diagnostic]:
    with pytest.raises(SpecError) as caught:
        Compiler().graphs(path)
    return caught.value.diagnostics


def resolved(path: Path) -> dict[str, Any]:
    """The spec with all that it extends, as plain data."""
    text = Compiler().resolved(path)
    return dict(YAML(typ="safe", pure=True).load(text))
