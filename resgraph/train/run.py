"""The folder of one training run, which says all that was decided and measured.

| file | holds |
|---|---|
| `run.json` | network, digest, data, recipe, versions, status, results |
| `NAME.py` | the generated file as it was |
| `metrics.jsonl` | a `Record` a line |
| `last.safetensors`, `best.safetensors` | the state_dict at the last test, at the best one |
| `state.pt` | what `--resume` needs: weights, momentum, where the run stands |
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resgraph.diagnostics import ResgraphError
from resgraph.files import atomic_write, finite, read_json, write_json
from resgraph.train.recipe import Recipe

FINISHED = "finished"
RUNNING = "running"
STOPPED = "stopped"
INTERRUPTED = "interrupted"
DIVERGED = "diverged"


@dataclass(frozen=True)
class Record:
    """One line of metrics.jsonl: where the run stands after `iteration` steps."""

    iteration: int
    epoch: float
    """Passes over the training set so far."""
    lr: float
    """Of the last step."""
    train_loss: float
    """Mean cross-entropy, in nats, over the steps since the record before."""
    test_error: float | None
    """Percent; None where nothing was tested."""
    seconds: float
    """Wall time of the run so far, tests included."""
    images_per_s: float
    """Training speed since the record before, tests excluded."""


@dataclass(frozen=True)
class Run:
    """A run folder on disk."""

    folder: Path
    about: Mapping[str, Any]
    """The contents of run.json."""

    @property
    def network(self) -> str:
        """The network's name, which its files bear."""
        return str(self.about["network"])

    @property
    def generated(self) -> Path:
        """The run's copy of the generated file."""
        return self.folder / f"{self.network}.py"

    @property
    def status(self) -> str:
        """`running` (or killed), `finished`, `stopped`, `interrupted` or `diverged`."""
        return str(self.about["status"])

    @property
    def recipe(self) -> Recipe:
        """The recipe that the run followed."""
        return Recipe.from_mapping(self.about["recipe"])

    @property
    def last(self) -> Path:
        """Weights at the last test: the network whose error a paper would report."""
        return self.folder / "last.safetensors"

    @property
    def best(self) -> Path:
        """Weights at the lowest test error; being chosen by it, that error flatters."""
        return self.folder / "best.safetensors"

    @property
    def metrics(self) -> Path:
        """The file of records."""
        return self.folder / "metrics.jsonl"

    @property
    def state(self) -> Path:
        """The file that a run is resumed from."""
        return self.folder / "state.pt"

    def records(self) -> Iterator[Record]:
        """The records so far; a line that a crash cut short ends them."""
        if not self.metrics.exists():
            return
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                fields = json.loads(line)
            except ValueError:
                return
            yield Record(**fields)

    def update(self, **fields: Any) -> Run:
        """Write run.json with these fields changed; returns the run as it is then."""
        about = {**self.about, **fields}
        write_json(self.folder / "run.json", about)
        return Run(self.folder, about)

    def keep(self, files: Mapping[str, str]) -> None:
        """Write texts into the folder, by name: what the run was made from."""
        for name, text in files.items():
            atomic_write(self.folder / name, partial(_write_text, text))

    def append(self, record: Record) -> None:
        """Add a line to metrics.jsonl."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite(asdict(record)), allow_nan=False) + "\n")

    def forget_after(self, iteration: int) -> None:
        """Drop records of steps that no saved state covers, before they come again."""
        kept = [r for r in self.records() if r.iteration <= iteration]
        lines = [json.dumps(finite(asdict(r))) + "\n" for r in kept]
        atomic_write(self.metrics, lambda p: p.write_text("".join(lines), "utf-8"))

    def save_weights(self, path: Path, weights: Mapping[str, Tensor]) -> None:
        """Write a state_dict to `last` or `best`, whole or not at all."""
        from safetensors.torch import save_file

        about = {"network": self.network, "digest": str(self.about["digest"])}
        atomic_write(path, lambda p: save_file(dict(weights), str(p), about))

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write the file that a run is resumed from, whole or not at all."""
        atomic_write(self.state, lambda p: torch.save(dict(state), p))

    def load_state(self, device: torch.device) -> dict[str, Any]:
        """Read it; nothing in the file is executed.

        Raises `ResgraphError` if the file is missing or damaged.
        """
        try:
            state = torch.load(self.state, map_location=device, weights_only=True)
        except FileNotFoundError:
            raise ResgraphError(
                f"{self.folder} was stopped before anything was saved",
                "start it anew with --overwrite",
            ) from None
        except Exception as error:  # torch's errors on damaged files are of many kinds
            what = str(error).partition("\n")[0]
            raise ResgraphError(
                f"{self.state} is damaged: {what}", "start anew with --overwrite"
            ) from None
        return dict(state)


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")


def open_run(folder: str | Path) -> Run:
    """The run in a folder.

    Raises `ResgraphError` if the folder is missing or is no run folder.
    """
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        what = "holds no run.json" if folder.is_dir() else "does not exist"
        raise ResgraphError(
            f"{folder} is not a run folder: it {what}",
            "resgraph train makes one, by default in runs/",
        )
    about = read_json(folder / "run.json")
    if missing := [
        k for k in ("network", "digest", "status", "recipe") if k not in about
    ]:
        raise ResgraphError(f"{folder / 'run.json'} has no {', '.join(missing)}")
    run = Run(folder, about)
    if run.generated.parent != folder:  # or --overwrite would reach outside the folder
        raise ResgraphError(
            f"{folder / 'run.json'}: {run.network!r} is no network's name"
        )
    return run


def create_run(folder: Path, about: Mapping[str, Any], overwrite: bool) -> Run:
    """A new run folder with its run.json.

    Raises `ResgraphError` if a run is there already, unless `overwrite`; and if the
    folder has other contents, which are never touched.
    """
    if (folder / "run.json").exists():
        _clear(open_run(folder), overwrite)
    elif folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ResgraphError(
            f"{folder} exists and is not a run folder", "choose another with --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Run(folder, about).update()
    except OSError as error:
        raise ResgraphError(f"cannot write the run folder: {error}") from None


def _clear(run: Run, overwrite: bool) -> None:
    """Remove the files of an earlier run, and only those."""
    if not overwrite:
        going = "" if run.status == FINISHED else "go on with it with --resume, "
        raise ResgraphError(
            f"{run.folder} holds a run already ({run.status})",
            f"{going}replace it with --overwrite, or choose another --out or --seed",
        )
    files = (run.generated, run.metrics, run.last, run.best, run.state)
    for file in (*files, run.folder / "run.json"):
        file.unlink(missing_ok=True)
