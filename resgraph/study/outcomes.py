"""How runs ended, those of equal conditions together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from resgraph.diagnostics import ResgraphError, UsageError
from resgraph.recipe import Recipe
from resgraph.train.about import DIVERGED, FINISHED
from resgraph.train.folder import RunFolder, open_run


@dataclass(frozen=True)
class Condition:
    """All that runs must have in common, beside the seed, to be counted together."""

    network: str
    digest: str
    """Of the network's graph."""
    data: str
    data_digest: str
    recipe: Recipe
    precision: str

    @classmethod
    def of(cls, run: RunFolder) -> Condition:
        about = run.about
        return cls(
            run.network,
            about["digest"],
            about["data"],
            about["data_digest"],
            run.recipe,
            about["execution"]["precision"],
        )


@dataclass
class Group:
    """The runs of one condition that came to an end."""

    condition: Condition
    errors: dict[int, float] = field(default_factory=dict)
    """By seed, the last test's error in percent; infinite where training diverged."""

    @property
    def median(self) -> float:
        return statistics.median(self.errors.values())

    @property
    def lowest(self) -> float:
        return min(self.errors.values())

    @property
    def highest(self) -> float:
        return max(self.errors.values())


@dataclass(frozen=True)
class Outcomes:
    """What was found in run folders."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]
    """On every run that is not counted: a sentence each."""

    def of(self, network: str) -> list[Group]:
        """A network's groups, the longest schedule first."""
        found = [g for g in self.groups if g.condition.network == network]
        return sorted(found, key=_longest_first)


def _longest_first(group: Group) -> tuple[object, ...]:
    condition = group.condition
    recipe = condition.recipe
    return (-recipe.iterations, recipe.batch, condition.data, str(condition))


def run_folders(paths: Iterable[Path]) -> list[Path]:
    """The run folders that are named, or that lie in folders that are named.

    Raises `UsageError` for a path that is no folder or has no run in it.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            raise UsageError(
                f"{path}: no such folder", "name run folders, or one of them"
            )
        inside = sorted(file.parent for file in path.rglob("run.json"))
        if not inside:
            raise UsageError(
                f"{path}: there is no run in it", "resgraph train makes runs"
            )
        found |= dict.fromkeys(inside)
    return [*found]


def outcomes(folders: Iterable[Path]) -> Outcomes:
    """How the runs in these folders ended.

    Counted are finished runs, by the error of their last weights (not of the best, which
    flatters), and those that diverged; each seed once. Anything else is noted.
    """
    groups: dict[Condition, Group] = {}
    notes: list[str] = []
    for folder in folders:
        try:
            run = open_run(folder)
            condition = Condition.of(run)
            error = _error(run)
        except ResgraphError as problem:
            notes.append(f"{problem.message}: not counted")
            continue
        if error is None:
            notes.append(f"{folder}: {run.unfinished}: not counted")
            continue
        errors = groups.setdefault(condition, Group(condition)).errors
        seed = run.about["seed"]
        if seed in errors:
            notes.append(f"{folder}: a second run of seed {seed}: not counted")
        errors.setdefault(seed, error)
    return Outcomes(tuple(groups.values()), tuple(notes))


def _error(run: RunFolder) -> float | None:
    """The last test's error; infinite for a run that diverged, None for an unfinished one."""
    if run.status == DIVERGED:
        return math.inf
    error: float | None = run.about["results"]["test_error"]
    return error if run.status == FINISHED else None


def ambiguous(groups: Iterable[Group]) -> Iterator[str]:
    """The digests, of graphs and of data, that one name stands for beside others."""
    graphs: dict[str, set[str]] = {}
    data: dict[str, set[str]] = {}
    for group in groups:
        condition = group.condition
        graphs.setdefault(condition.network, set()).add(condition.digest)
        data.setdefault(condition.data, set()).add(condition.data_digest)
    for digests in (*graphs.values(), *data.values()):
        if len(digests) > 1:
            yield from digests
