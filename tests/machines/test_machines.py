"""The short form of `make test-machines`: a few settings, a few seeds, a fault of each kind."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from resgraph.verify import Options
from tests.conftest import ROOT
from tests.machines import faults_models, faults_modules, injected, judging, settings
from tests.machines.faults_modules import EDITS, HIDDEN
from tests.machines.networks import FIELD_NETWORKS, Compared, Named
from tests.machines.settings import SETTINGS

FEW = ("zoo", "bn_after_relu", "resnet20")
BEST = next(
    name
    for name in ("ATen avx512", "ATen avx2", "ATen default")
    if not settings.lacking(SETTINGS[name])
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


# --- no false alarm ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ATen default", BEST, "2 threads"])
def test_no_false_alarm_in_another_setting(name: str) -> None:
    command = [sys.executable, "-m", "tests.machines", "--job", "settings", name]
    command += [f"--only={network}" for network in FEW]
    environment = settings.environment(SETTINGS[name])
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["network"] for row in rows} == {*FEW}
    assert [row for row in rows if not row["ok"]] == []
    told = {"ATen default": "DEFAULT"}.get(name, settings.capability())
    assert {row["capability"] for row in rows} == {told}
    formulas = [row for row in rows if "formulas" in row["check"]]
    assert any(row["error"] > 0 for row in formulas)  # other roundings, in truth


NOISY = [
    Named("specs/preact_basic.yaml", "resnet20"),
    Named("specs/original_basic.yaml", "resnet20_original"),
    *(one for one in FIELD_NETWORKS if one.label in ("zoo", "densenet40", "lenet")),
    *(
        one
        for one in FIELD_NETWORKS
        if one.label in ("bn_after_relu", "se_post", "nin")
    ),
]


@pytest.mark.parametrize("network", NOISY, ids=lambda one: one.label)
def test_no_false_alarm_on_worse_kernels(network: Named) -> None:
    rows = list(injected.rows(network, seeds=3))
    assert {row["units"] for row in rows} == {*injected.AMOUNTS}
    assert [row for row in rows if not row["ok"]] == []
    assert all(row["error"] > 0 for row in rows if row["check"] == "float32")


# --- every fault ------------------------------------------------------------------------

PLACES = ("zoo", "resnet110_scale_05_05@20", "resnet20_original", "densenet40")
PLACES += ("vgg16_bn_bias", "resnet110_exclusive_gating_b6@20")
FOLDER = tempfile.TemporaryDirectory()


@cache
def network(label: str) -> Compared:
    (named,) = (one for one in judging.NETWORKS if one.label == label)
    folder = Path(FOLDER.name) / label
    folder.mkdir()
    return Compared(named, folder, Options(batch=2))


@cache
def modules(label: str) -> dict[str, faults_modules.Fault]:
    found = faults_modules.faults(network(label).source, seed=1)
    return {fault.kind: fault for fault in found}


@cache
def models(label: str) -> dict[str, faults_models.Fault]:
    return {fault.kind: fault for fault in judging.model_faults(network(label))}


def somewhere(kind: str, faults: object) -> Iterator[tuple[Compared, object]]:
    """The fault in the networks that have a place for it."""
    for label in PLACES:
        if kind in (found := faults(label)):
            yield network(label), found[kind]


HARMLESS = {
    "the last windows are kept",  # there are no more of them in these networks
    "MaxPool rounds up",
    "AveragePool rounds up",
}


@pytest.mark.parametrize("kind", [kind for kind in EDITS if kind not in HARMLESS])
def test_every_edit_is_caught(kind: str) -> None:
    one, fault = next(somewhere(kind, modules))
    assert judging.first_of(one, fault.source, structure_only=True), fault.where


@pytest.mark.parametrize("kind", HIDDEN)
def test_every_hidden_change_is_caught(kind: str) -> None:
    one, fault = next(somewhere(kind, modules))
    witness = one.subject(fault.source).witness
    try:
        said = judging.numbers(one, witness)
    except RuntimeError:  # what depends on numbers cannot be traced: told before
        said = []
    caught = any(verdict == judging.CAUGHT for _, verdict in said)
    assert caught or judging.first_of(one, fault.source, batch=2, steps=1)


SHORT = [*faults_models.NODES, *faults_models.TENSORS]


@pytest.mark.parametrize("kind", [kind for kind in SHORT if kind not in HARMLESS][::3])
def test_every_change_of_a_model_is_caught(kind: str) -> None:
    one, fault = next(somewhere(kind, models))
    found = judging.of_model(one, fault)
    assert found.first, found
    assert not found.broken
