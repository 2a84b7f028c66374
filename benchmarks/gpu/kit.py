"""Bring what a machine without a network lacks: `python -m benchmarks.gpu.kit`.

`collect`, where there is a network, puts packages, CIFAR-10 and runs into .gpu/, in files
that are no larger than a given size. `install`, on the machine, makes them usable there; it
may be called again when more has come. Both need Python and pip alone.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.gpu import pieces, surroundings
from benchmarks.gpu.pieces import PiecesError, size_of
from benchmarks.gpu.surroundings import HOME, SITE

WHEELS, SPARE, PIECES = HOME / "wheels", HOME / "spare", HOME / "pieces"
RUNS, DATA = HOME / "runs", HOME / "data"
LACKING = [
    *("annotated-types", "datasets", "dill", "hypothesis", "iniconfig", "multiprocess"),
    *(
        "onnxruntime-gpu",
        "pluggy",
        "pydantic",
        "pydantic_core",
        "pytest",
        "ruamel.yaml",
    ),
    *("sortedcontainers", "tensorboardX"),
]
"""What a machine lacks that has torch, onnx, and the usual packages of science."""
TOO_OLD = ("typing_extensions", "typing-inspection")
"""What pydantic needs, and is there, but perhaps too old: used where importing it fails."""
PLATFORMS = (
    *(f"manylinux_2_{n}_x86_64" for n in (28, 27, 24, 17)),
    *("manylinux2014_x86_64", "manylinux1_x86_64"),
)
PICTURES = ("train.parquet", "test.parquet")


# --- collecting -----------------------------------------------------------------------


def collect(
    packages: Sequence[str], runs: Sequence[Path], size: int, python: str
) -> None:
    """Fill .gpu/."""
    for folder in (WHEELS, SPARE):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    download(WHEELS, packages, python)
    download(SPARE, TOO_OLD, python)
    for wheel in WHEELS.glob("*.whl"):
        if wheel.stat().st_size > size:
            pieces.split(wheel, PIECES, size)
            wheel.unlink()
    pack_data(size)
    for run in runs:
        packed(run, PIECES, size)
    for file in sorted(f for f in HOME.rglob("*") if _travels(f)):
        print(f"{file.stat().st_size / 2**20:8.2f} MiB  {file}")


def _travels(file: Path) -> bool:
    folders = (WHEELS, SPARE, PIECES)
    return file.is_file() and any(file.is_relative_to(f) for f in folders)


def download(folder: Path, packages: Sequence[str], python: str) -> None:
    """Wheels of the project's versions, for that Python on Linux, whatever runs here."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp"]
    command += ["--disable-pip-version-check", "--python-version", python]
    for platform in PLATFORMS:
        command += ["--platform", platform]
    command += ["--dest", str(folder), *map(pinned, packages)]
    subprocess.run(command, check=True, env={**os.environ, "PIP_CONSTRAINT": ""})


def pinned(package: str) -> str:
    """With the version that the project is tested with."""
    wanted = re.sub(r"[-_.]+", "-", package).lower()
    for line in Path("constraints.txt").read_text().splitlines():
        name = re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
        if name == wanted and "==" in line:
            return line.partition(";")[0].strip()
    return package


def pack_data(size: int) -> None:
    """CIFAR-10, from the first place that has it."""
    given = os.environ.get("RESGRAPH_DATA")
    places = [Path(given)] if given else []
    for place in (*places, Path("data"), Path("../shared/data")):
        if all((place / "cifar10" / name).is_file() for name in PICTURES):
            with tempfile.TemporaryDirectory() as folder:
                packed_as = Path(folder) / "cifar10.tar"
                with tarfile.open(packed_as, "w") as archive:
                    for name in PICTURES:
                        archive.add(place / "cifar10" / name, f"cifar10/{name}")
                pieces.split(packed_as, PIECES, size)
            return
    print("CIFAR-10 is not here: put it where docs/data.md says", file=sys.stderr)


def packed(run: Path, folder: Path, size: int) -> list[Path]:
    """A run folder in pieces, without what resuming it does not need."""
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / f"run-{run.name}.tar"
        with tarfile.open(archive, "w") as out:
            out.add(run, run.name, filter=_kept)
        return pieces.split(archive, folder, size)


def _kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = Path(member.name).name
    spare = ".previous." in name or name.startswith((".", "best.", "events."))
    return None if spare else member


# --- installing -----------------------------------------------------------------------


def install() -> None:
    """Use all that has come, and say what has not."""
    for name in pieces.names(PIECES):
        try:
            take_in(name)
        except PiecesError as error:
            print(error)
    wheels = [w for w in WHEELS.glob("*.whl") if not installed(w)]
    if wheels:
        unpack(wheels)
    if SITE.is_dir() and not _imports("pydantic"):
        unpack([*SPARE.glob("*.whl")])
    surroundings.prepare()
    for line in found():
        print(line)


def take_in(name: str) -> None:
    """Join a file's pieces, if they are all here, and put it to its use; they are removed.

    A run that is here already may be further than they are, so it stays.
    """
    run = RUNS / name.removeprefix("run-").removesuffix(".tar")
    if name.startswith("run-") and run.exists():
        raise PiecesError(
            f"{name}: {run} is here already: remove it to take the pieces"
        )
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        whole = Path(folder) / name
        pieces.join(PIECES, name, whole)
        if name.endswith(".whl"):
            WHEELS.mkdir(exist_ok=True)
            whole.replace(WHEELS / name)
        else:
            target = RUNS if name.startswith("run-") else DATA
            with tarfile.open(whole) as archive:
                archive.extractall(target, filter="data")
    pieces.remove(PIECES, name)


def installed(wheel: Path) -> bool:
    """Whether it was unpacked before."""
    name, version, *_ = wheel.name.split("-")
    return any(SITE.glob(f"{name}-{version}.dist-info"))


def unpack(wheels: Sequence[Path]) -> None:
    """Install wheels for this project alone; the machine's own packages stay as they are."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index"]
    command += ["--no-deps", "--no-compile", "--no-cache-dir", "--upgrade"]
    command += ["--disable-pip-version-check", "--target", str(SITE)]
    subprocess.run([*command, *map(str, wheels)], check=True)
    importlib.invalidate_caches()


def _imports(name: str) -> bool:
    program = "from benchmarks.gpu import surroundings as s; s.prepare(); import "
    command = [sys.executable, "-c", program + name]
    return (
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
    )


def found() -> Iterator[str]:
    """What a step will find."""
    for name in (
        "torch",
        "onnx",
        "onnxruntime",
        "numpy",
        "pydantic",
        "datasets",
        "pytest",
    ):
        yield f"{name}: {'here' if importlib.util.find_spec(name) else 'NOT here'}"
    yield f"CIFAR-10: {'here' if (DATA / 'cifar10').is_dir() else 'NOT here'}"
    for run in sorted(RUNS.glob("*/run.json")):
        yield f"run {run.parent.name}: here"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.kit", description=__doc__
    )
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("install", help="on the machine")
    add = steps.add_parser("collect", help="where there is a network").add_argument
    add("runs", nargs="*", type=Path, metavar="RUN", help="run folders to go on with")
    add("--packages", nargs="*", default=LACKING, help=f"default: {' '.join(LACKING)}")
    add("--python", default="3.12", help="of the machine (default: 3.12)")
    add("--piece", default="50M", help="the largest file (default: 50M)")
    options = parser.parse_args()
    surroundings.prepare()
    try:
        if options.step == "install":
            install()
        else:
            size = size_of(options.piece)
            collect(options.packages, options.runs, size, options.python)
    except (PiecesError, OSError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
