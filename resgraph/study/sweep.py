"""A grid of networks and seeds, trained one after another, each into a folder of its own.

`sweep.json` in the sweep's folder holds what all its runs share. A sweep that is started
again goes on: finished runs are left alone, unfinished ones are resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from resgraph.diagnostics import ResgraphError
from resgraph.files import read_json, write_json, writing
from resgraph.train import Generated, Result, TrainOptions, open_run
from resgraph.train.about import DIVERGED, FAILED, FINISHED, INTERRUPTED

SWEEP = "sweep.json"
_OF_ONE_RUN = ("seed", "out", "resume", "overwrite", "stop_at")

TrainOne = Callable[[Generated, TrainOptions], Result]


@dataclass(frozen=True)
class Job:
    """A run of the grid."""

    generated: Generated
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name


@dataclass(frozen=True)
class Ended:
    """How a run of the grid ended, or stands."""

    job: Job
    status: str
    """As in run.json; `failed` also for a run that could not begin; `not begun`."""
    test_error: float | None = None
    iteration: int = 0
    seconds: float = 0.0
    failure: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "network": self.job.generated.name,
            "seed": self.job.seed,
            "folder": self.job.folder.as_posix(),
            "status": self.status,
            "test_error": self.test_error,
            "iteration": self.iteration,
            "seconds": self.seconds,
            "failure": self.failure,
        }


class Sweep:
    """The runs of some networks with the seeds 0, 1, ... in one folder."""

    def __init__(
        self,
        folder: Path,
        networks: Sequence[Generated],
        seeds: int,
        options: TrainOptions,
    ) -> None:
        """Begin a sweep, or take up the one in the folder. More networks and more seeds
        than before are welcome.

        Raises `ResgraphError` if two networks have one name, if the folder holds a sweep
        with other options or with another network of that name, or cannot be written.
        """
        names = [generated.name for generated in networks]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ResgraphError(f"two of the networks are called {min(twice)}")
        self.folder = folder
        self.options = options
        # Seed by seed, so that all networks can be compared early.
        self.jobs = tuple(
            Job(generated, seed, folder / f"{generated.name}-s{seed}")
            for seed in range(seeds)
            for generated in networks
        )
        self._agree({g.name: g.digest for g in networks})

    def run(self, train_one: TrainOne, tell: Callable[[str], None]) -> list[Ended]:
        """Train what is not trained yet; how all runs ended, in the order of the grid.

        A run that diverges or fails is noted, and the next one begins. One that is
        interrupted ends the sweep: it and those after it are done by the next call.
        """
        ended: list[Ended] = []
        for number, job in enumerate(self.jobs, 1):
            stands = standing(job)
            if stands.status not in (FINISHED, DIVERGED):
                tell(f"{job.name} ({number} of {len(self.jobs)})")
                stands = self._train(job, train_one)
                if stands.failure:
                    tell(f"{job.name}: {stands.status}: {stands.failure}")
            ended.append(stands)
            if stands.status == INTERRUPTED:
                return [*ended, *map(standing, self.jobs[number:])]
        return ended

    def _train(self, job: Job, train_one: TrainOne) -> Ended:
        there = (job.folder / "run.json").exists()
        options = replace(self.options, seed=job.seed, out=job.folder)
        try:
            # A run that was killed before its first checkpoint has nothing to go on from.
            resumes = there and any(_checkpoints(job.folder))
            options = replace(options, resume=resumes, overwrite=there and not resumes)
            train_one(job.generated, options)
        except ResgraphError as error:
            after = standing(job)
            if after.status == DIVERGED:
                return replace(after, failure=error.message)
            return replace(after, status=FAILED, failure=error.message)
        return standing(job)

    def _agree(self, digests: Mapping[str, str]) -> None:
        """Hold the folder's sweep.json against this sweep, and bring it up to date."""
        options = shared(self.options)
        path = self.folder / SWEEP
        if path.exists():
            before = read_json(path)
            self._refuse_changes(before, digests, options)
            digests = {**before.get("networks", {}), **digests}
        with writing(path, "choose another folder with --out"):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(path, {"options": options, "networks": digests})

    def _refuse_changes(
        self,
        before: Mapping[str, Any],
        digests: Mapping[str, str],
        options: Mapping[str, Any],
    ) -> None:
        earlier = before.get("options")
        networks = before.get("networks")
        if not isinstance(earlier, dict) or not isinstance(networks, dict):
            raise ResgraphError(f"{self.folder / SWEEP} is not of a sweep")
        # An option that is new since then was at its default.
        defaults = shared(TrainOptions())
        changed = [
            f"{name} {earlier.get(name, defaults.get(name))}, now {options.get(name)}"
            for name in {**options, **earlier}
            if earlier.get(name, defaults.get(name)) != options.get(name)
        ]
        if changed:
            raise ResgraphError(
                f"{self.folder} holds a sweep with other options: {'; '.join(changed)}",
                "give the same as then, or another folder with --out",
            )
        for name, digest in digests.items():
            if networks.get(name, digest) != digest:
                raise ResgraphError(
                    f"{self.folder} holds runs of another {name}: its spec has changed",
                    "give another folder with --out",
                )


def shared(options: TrainOptions) -> dict[str, Any]:
    """The options that all runs of a sweep have in common, as JSON has them."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return {
        name: value
        if isinstance(value, (bool, int, float, str, type(None)))
        else str(value)
        for name, value in values.items()
        if name not in _OF_ONE_RUN
    }


def standing(job: Job) -> Ended:
    """What the run's folder says about it."""
    if not (job.folder / "run.json").exists():
        return Ended(job, "not begun")
    try:
        run = open_run(job.folder)
    except ResgraphError as error:
        return Ended(job, FAILED, failure=error.message)
    results = run.about["results"]
    return Ended(
        job,
        run.status,
        results["test_error"] if run.status == FINISHED else None,
        results["iteration"],
        results["seconds"],
        run.about["failure"],
    )


def _checkpoints(folder: Path) -> Iterator[bool]:
    run = open_run(folder)
    yield run.state.exists()
    yield run.previous_state.exists()
