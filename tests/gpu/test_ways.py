"""Every switch of `Execution` has its ways, without a line about it here."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.gpu import bench, ways
from benchmarks.gpu.ways import NEEDS, default, eager_twin, switches, with_needs
from benchmarks.training import PLAIN, SWITCHES
from resgraph.train.execution import Execution

DEVICES = ("cpu", "cuda")


def test_every_switch_is_known() -> None:
    kept = Execution(torch.device("cpu")).as_dict()
    assert {name for name, value in kept.items() if type(value) is bool} == {*SWITCHES}
    assert set(NEEDS) <= {*SWITCHES, "combo_kernels", "grouped_casts"}


@pytest.mark.parametrize("device", DEVICES)
def test_every_switch_is_turned_alone_and_off(device: str) -> None:
    found = ways.ways(device)
    usual = found["all"]
    assert usual == default(device)
    for name in switches(device):
        (other,) = (
            c for n, c in found.items() if n in (f"all but {name}", f"all with {name}")
        )
        assert other[name] is not usual[name]
        changed = {n for n in PLAIN if other[n] != usual[n]}
        assert all(n == name or n in NEEDS or n in NEEDS.get(name, ()) for n in changed)
        on = with_needs(name)
        assert on in found.values()
        turned = {n for n in SWITCHES if on[n] != PLAIN[n]}
        assert turned == {name, *(n for n in NEEDS.get(name, ()) if n in SWITCHES)}


@pytest.mark.parametrize("device", DEVICES)
def test_every_way_is_allowed_and_named_once(device: str) -> None:
    found = ways.ways(device)
    for choices in found.values():
        Execution(torch.device(device), **choices)
        twin = eager_twin(choices)
        assert (twin is None) == (not choices["cuda_graph"])
    distinct: list[Any] = []
    distinct += [c for c in found.values() if c not in distinct]
    assert len(distinct) == len(found)


def test_a_graph_is_for_cuda() -> None:
    assert "cuda_graph" in switches("cuda")
    assert "cuda_graph" not in switches("cpu")


def test_a_dry_run_compiles_nothing() -> None:
    small = ways.ways("cpu", small=True)
    assert len(small) > 3
    assert not any(choices["compile"] for choices in small.values())
    assert not [p for p in bench.parts("cpu", True) if "compiled" in p.name]


@pytest.mark.parametrize("small", [False, True])
def test_rows_are_named_once_and_slow_ones_are_last(small: bool) -> None:
    parts = [*bench.parts("cuda", small, 400)]
    names = [part.name for part in parts]
    assert len({*names}) == len(names)
    whole = [p for p in parts if "compiled whole" in p.name]
    assert parts[-len(whole) :] == whole
    assert {p.limit for p in whole} == {400}
    assert all(p.limit < 400 for p in parts[: -len(whole)])
    first = next(p for p in parts if p.timed)
    assert small or first.of["choices"] == default("cuda")
