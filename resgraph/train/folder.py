"""A run's folder: made, opened, held by one process at a time, and what it ran on."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import resgraph
from resgraph import files
from resgraph.diagnostics import ResgraphError, plural
from resgraph.files import (
    read_bytes,
    read_json,
    remove_unfinished,
    write_json,
    write_text,
)
from resgraph.limits import JSON_BYTES
from resgraph.provenance import SPEC
from resgraph.recipe import Recipe
from resgraph.train.about import (
    DIVERGED,
    FINISHED,
    RUNNING,
    Record,
    Records,
    checked,
    fingerprint,
    read_records,
)
from resgraph.train.options import TrainOptions

UNITS = "units.jsonl"


_STANDS = {RUNNING: "unfinished, or being trained,"}
"""Where the status alone does not say it."""
_EVENTS = "events.out.tfevents."  # by which TensorBoard knows its files
_DIGITS = 6  # of the number that their names end with


@dataclass(frozen=True)
class RunFolder:
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
        """`running` (or killed), `finished`, `stopped`, `interrupted`, `diverged`, `failed`."""
        return str(self.about["status"])

    @property
    def unfinished(self) -> str | None:
        """How and where the run stands that is not at its end, in words; None at its end."""
        if self.status == FINISHED:
            return None
        word = _STANDS.get(self.status, self.status)
        reached = [
            self.about["results"]["iteration"],
            *(r.iteration for r in self.records()),
        ]
        return f"{word} at iteration {max(reached):,} of {self.recipe.iterations:,}"

    @property
    def recipe(self) -> Recipe:
        """The recipe that the run followed."""
        return Recipe.from_mapping(self.about["recipe"])

    @property
    def options(self) -> TrainOptions:
        """What the run is gone on with, as far as it kept that."""
        kept = self.about["options"]
        if kept is None:  # a folder of before
            words, recipe = self.recipe.explicit, self.recipe.as_dict()
            words |= {word: recipe.get(word) for word in ("iterations", "batch", "lr")}
            kept = {"data": self.about["data"], "seed": self.about["seed"]}
            kept |= {"recipe": words, "monitor": (self.folder / UNITS).exists()}
        return replace(TrainOptions.from_mapping(kept), out=self.folder)

    @property
    def last(self) -> Path:
        """Weights at the last test: the network whose error a paper would report."""
        return self.folder / "last.safetensors"

    @property
    def best(self) -> Path:
        """Weights at the lowest test error; being chosen by it, that error flatters."""
        return self.folder / "best.safetensors"

    @property
    def last_average(self) -> Path:
        """The average of the weights at the last test, where the recipe has one."""
        return self.folder / "last.ema.safetensors"

    @property
    def metrics(self) -> Path:
        """The file of records."""
        return self.folder / "metrics.jsonl"

    @property
    def event_files(self) -> list[Path]:
        """Those for TensorBoard, oldest first; one, unless a session was cut short."""
        return sorted(self.folder.glob(_EVENTS + "[0-9]" * _DIGITS))

    def event_file(self, number: int) -> Path:
        """The one that bears a number."""
        return self.folder / f"{_EVENTS}{number:0{_DIGITS}}"

    @property
    def state(self) -> Path:
        """The checkpoint that a run is resumed from."""
        return self.folder / "state.pt"

    @property
    def previous_state(self) -> Path:
        """The checkpoint before it."""
        return self.folder / "state.previous.pt"

    @property
    def next_state(self) -> Path:
        """A checkpoint that was written and has not taken its place yet."""
        return self.folder / "state.next.pt"

    @property
    def damaged_state(self) -> Path:
        """A checkpoint that was found damaged and put aside."""
        return self.folder / "state.damaged.pt"

    @property
    def files(self) -> tuple[Path, ...]:
        """All that training writes, whether it is there or not; run.json comes last."""
        return (
            self.generated,
            self.folder / SPEC,
            self.metrics,
            self.folder / UNITS,
            *self.event_files,
            self.last,
            self.best,
            self.last_average,
            self.state,
            self.previous_state,
            self.next_state,
            self.damaged_state,
            self.folder / "run.json",
        )

    def read_records(self) -> Records:
        """The records so far, and whether a line is none."""
        return read_records(self.metrics)

    def records(self) -> Iterator[Record]:
        """The records so far, up to a line that is none."""
        yield from self.read_records().records

    def seconds_at(self, iteration: int) -> float:
        """What the run had taken by then, as far as it has been written down."""
        results = self.about["results"]
        if results["iteration"] == iteration:
            return float(results["seconds"])
        records = [r for r in self.records() if r.iteration <= iteration]
        return records[-1].seconds if records else 0.0

    def update(self, **fields: Any) -> RunFolder:
        """Write run.json with these fields changed; returns the run as it is then."""
        about = {**self.about, **fields}
        write_json(self.folder / "run.json", about)
        return RunFolder(self.folder, about)

    def tidy(self) -> None:
        """Remove what a killed process left half done."""
        for file in self.files:
            remove_unfinished(file)
        self.next_state.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the files of the run, and only those; what was exported stays."""
        self.tidy()
        for file in self.files:
            file.unlink(missing_ok=True)

    def complete(self, files: Mapping[str, str]) -> RunFolder:
        """Write those of the files, names and texts, that are not there, or no longer as
        they were put there; the run with them."""
        sums: dict[str, str] = dict(self.about["files"])
        for name, text in files.items():
            path, wanted = self.folder / name, fingerprint(text)
            if not path.exists() or wanted == sums.get(name) != _sum_of(path):
                write_text(path, text)
                sums[name] = wanted
        return RunFolder(self.folder, {**self.about, "files": sums})

    def append(self, record: Record) -> None:
        """Add a line to metrics.jsonl; it is on disk when this returns."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(record.line())
            file.flush()
            os.fsync(file.fileno())

    def forget_after(self, iteration: int) -> None:
        """Drop records that no checkpoint covers, before they come again.

        Raises `ResgraphError` if a line before them is damaged, and not only cut short.
        """
        found = self.read_records()
        if found.wrong and not found.torn:
            raise ResgraphError(
                found.wrong, "take the line out, or start anew with --overwrite"
            )
        kept = [r for r in found.records if r.iteration <= iteration]
        write_text(self.metrics, "".join(record.line() for record in kept))


def _sum_of(path: Path) -> str | None:
    """The fingerprint of a text file; None for what is none."""
    try:
        return fingerprint(read_bytes(path, JSON_BYTES).decode("utf-8"))
    except (OSError, ValueError):
        return None


def open_run(folder: str | Path) -> RunFolder:
    """The run in a folder.

    Raises `ResgraphError` if the folder is missing or is no run folder, or if its run.json
    is not as training writes it.
    """
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        what = "holds no run.json" if folder.is_dir() else "does not exist"
        raise ResgraphError(
            f"{folder} is not a run folder: it {what}",
            "resgraph train makes one, by default in runs/",
        )
    path = folder / "run.json"
    return RunFolder(folder, checked(path, read_json(path)))


def create_run(
    folder: Path, about: Mapping[str, Any], files: Mapping[str, str], overwrite: bool
) -> RunFolder:
    """A new run folder with its run.json and `files`, names and texts.

    Raises `ResgraphError` if a run is there already, unless `overwrite`; and if the
    folder has other contents, which are never touched; or if it cannot be written.
    """
    try:
        remove_unfinished(folder / "run.json")  # of a run that was killed at once
        if (folder / "run.json").exists():
            _clear(open_run(folder), overwrite)
        elif folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise ResgraphError(
                f"{folder} exists and is not a run folder", "choose another with --out"
            )
        folder.mkdir(parents=True, exist_ok=True)
        return _begun(RunFolder(folder, about), files)
    except OSError as error:
        raise ResgraphError(
            f"cannot write the run folder: {error}",
            "mend that, and give the same command again",
        ) from None


def _begun(run: RunFolder, files: Mapping[str, str]) -> RunFolder:
    """Write run.json, and then the rest: what is killed in between can be resumed."""
    try:
        begun = run.update()
        for name, text in files.items():
            write_text(run.folder / name, text)
        return begun
    except OSError:
        with contextlib.suppress(OSError):
            run.remove()
        raise


def _clear(run: RunFolder, overwrite: bool) -> None:
    """Remove the files of an earlier run, and only those."""
    if not overwrite:
        ended = (FINISHED, DIVERGED)
        going = "" if run.status in ended else "go on with it with --resume, "
        raise ResgraphError(
            f"{run.folder} holds a run already ({run.status})",
            f"{going}replace it with --overwrite, or choose another --out",
        )
    run.remove()


# --- one process at a time ------------------------------------------------------------


try:
    import fcntl
except ImportError:  # Windows has no such locks; there the user has to take care
    fcntl = None  # type: ignore[assignment]


def is_held(folder: Path) -> bool:
    """Whether a process is training in the folder."""
    try:
        with locked(folder):
            return False
    except ResgraphError:
        return True


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process from training in the folder, as long as this one lives.

    The lock is the system's, on the folder itself: it leaves nothing behind, however the
    process ends. A folder that is not there, or is on a disk without locks, is not locked.
    Raises `ResgraphError` if another process holds it.
    """
    if fcntl is None or not (folder.is_dir() and os.access(folder, os.R_OK)):
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResgraphError(
                f"another process is training in {folder}",
                "wait for it or stop it, or choose another folder with --out",
            ) from None
        except OSError:
            pass  # no locks here
        yield
    finally:
        os.close(handle)


# --- what a run ran on, and nothing that tells who ran it where -----------------------


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, operating system and processors, for run.json."""
    cuda = device.type == "cuda"
    return {
        "resgraph": resgraph.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "numpy": metadata.version("numpy"),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": _cudnn() if cuda else None,
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(device) if cuda else None,
    }


def device_name(device: torch.device) -> str:
    """The device in words: the GPU's name, or how many threads the CPU gives."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU, {threads} {plural(threads, 'thread')}"


def _cudnn() -> int | None:
    version: int | None = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return version


def cpu_name() -> str:
    """The processor's name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit that resgraph runs from, `-dirty` if edited; None where it is installed."""
    root = Path(resgraph.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    command = [
        "git",
        "--no-optional-locks",
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty",
        "--exclude=*",
    ]
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()


# --- a file that cannot be written ----------------------------------------------------


def writing(path: Path) -> AbstractContextManager[None]:
    """Explain, as a `ResgraphError`, that a file could not be written."""
    hint = "mend that, then go on with --resume: what was saved before is whole"
    return files.writing(path, hint)
