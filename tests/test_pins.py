"""What `make demo` and `make test` install is pinned, and every file of it hashed."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.pins import ALL, CONSTRAINTS, TORCH, TORCH_CPU, Pin, for_torch, pins

FILES = (ALL, TORCH, TORCH_CPU)
PINNED = {pin.name: pin for path in (ALL, TORCH) for pin in pins(path.read_text())}


def test_each_pin_has_its_hashes() -> None:
    assert len(PINNED) > 100
    assert [
        name for name, pin in PINNED.items() if not (pin.version and pin.hashes)
    ] == []


def test_versions_are_those_of_the_constraints() -> None:
    wanted = {canonicalize_name(p.name): p for p in pins(CONSTRAINTS.read_text())}
    both = wanted.keys() & PINNED.keys()
    assert [n for n in both if wanted[n].version != PINNED[n].version] == []
    assert len(both) > 100


def test_all_that_is_asked_for_is_there() -> None:
    """The dependencies of the package, of its extra `dev`, and of its build."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(line for name in ("dev", "docs", "serve") for line in extras[name]),
    ]
    for requirement in map(Requirement, asked):
        if requirement.name != "resgraph":
            pin = PINNED[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(pin.version), requirement


def test_torch_stands_apart_in_two_builds() -> None:
    assert not any(map(for_torch, pins(ALL.read_text())))
    assert all(map(for_torch, pins(TORCH.read_text())))
    (cpu,) = pins(TORCH_CPU.read_text())
    assert (cpu.name, cpu.version) == ("torch", f"{PINNED['torch'].version}+cpu")
    assert cpu.hashes


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_index_is_named(path: object) -> None:
    assert not re.search(r"://|--(extra-)?index|--find", path.read_text())


def test_a_pin_reads_as_it_is_written() -> None:
    pin = Pin("a", "1.0", "sys_platform == 'linux'", frozenset({"0" * 64, "f" * 64}))
    assert [*pins(f"# note\n{pin}\nb==2\n")] == [pin, Pin("b", "2", "", frozenset())]
