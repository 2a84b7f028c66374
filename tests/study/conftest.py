"""RunFolder folders of the form that training makes, with records to order."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from resgraph.recipe import HE2016
from resgraph.train.about import Record
from resgraph.train.folder import UNITS, RunFolder, create_run
from resgraph.train.module import units_of
from resgraph.train.monitor import Monitor, UnitRecord
from tests.helpers import ABOUT, SPECS, graph_of, module_of

DIGEST = "sha256:" + "0" * 64
DATA_DIGEST = "sha256:" + "1" * 64

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Make a run folder: `make_run("a", "resnet110", seed=1, error=6.5, iterations=100)`."""

    def make(
        folder: str,
        network: str,
        seed: int = 0,
        error: float | None = 6.5,
        status: str = "finished",
        iterations: int = HE2016.iterations,
        records: int = 4,
        recipe: dict[str, Any] | None = None,
        **about: Any,
    ) -> RunFolder:
        followed = HE2016.lasting(iterations).changed(**recipe or {})
        facts = {
            **ABOUT,
            "network": network,
            "digest": DIGEST,
            "data": "cifar10",
            "data_digest": DATA_DIGEST,
            "seed": seed,
            "status": status,
            "recipe": followed.as_dict(),
            "results": {"test_error": error, "iteration": iterations},
        }
        run = create_run(tmp_path / folder, facts | about, {}, overwrite=False)
        for number in range(1, records + 1):
            run.append(
                record(number * iterations // records, number, tested=number % 2)
            )
        return run

    return make


def record(iteration: int, number: int, tested: int) -> Record:
    return Record(
        iteration=iteration,
        epoch=iteration / 390,
        lr=0.1,
        train_loss=2.0 / number,
        test_error=None if tested else 40.0 / number,
        seconds=float(iteration),
        images_per_s=100.0,
    )


def monitored(
    run: RunFolder, iterations: Sequence[int], cuts: bool, tmp_path: Path
) -> None:
    """Give a run records of units as a monitor writes them, of a network of four units."""
    graph = graph_of(SPECS / "tiny.yaml", "depth=20")
    module = module_of(graph, tmp_path)
    network = getattr(module, module.__all__[0])()
    names = [*units_of(network)]
    monitor = Monitor(network, dict.fromkeys(names, cuts), run.folder)
    monitor.forget_after(0)
    with (run.folder / UNITS).open("a", encoding="utf-8") as file:
        for iteration in iterations:
            record = unit_record(iteration, len(names), cuts)
            file.write(json.dumps(asdict(record)) + "\n")


def unit_record(iteration: int, units: int, cuts: bool) -> UnitRecord:
    each = range(1, units + 1)
    return UnitRecord(
        iteration,
        truncated=tuple(iteration * n / 1e6 if cuts else 0.0 for n in each),
        negative=tuple(0.2 for _ in each),
        response=tuple(float(n) for n in each),
        gradient=tuple(iteration / n for n in each),
    )
