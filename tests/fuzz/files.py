"""Every kind of file that a command reads, damaged or hostile, given to the command itself.

Whole files are made once (`materials`), then come to harm (`damage`) or are made absurd
(`hostile`); `command` runs the command line in this process and judges what a user sees.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.fuzz import hostile
from tests.fuzz.command import check_nothing_left, ended
from tests.fuzz.damage import damaged
from tests.fuzz.materials import Materials
from tests.fuzz.target import Fault, Outcome, Target

Command = list[str]
Kind = Callable[[Random, Path, Materials], Command]
"""Makes a file of the kind in the folder; the command that reads it."""


class Files(Target):
    """The target: one file of one kind for one command."""

    def __enter__(self) -> Files:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self._folder = Path(tempfile.mkdtemp(prefix="fuzz-materials-"))
        before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = str(self._folder / "cache")
        self.materials = Materials(self._folder)
        if before is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = before
        _import_what_is_heavy()
        return self

    def __exit__(self, *raised: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def attack(self, random: Random, folder: Path) -> Outcome:
        name = random.choices([*KINDS], [weight for weight, _ in KINDS.values()])[0]
        command = KINDS[name][1](random, folder, self.materials)
        found = ended(command, folder)
        check_nothing_left(folder)
        out = folder / "out"
        if found.code not in (0, 3) and out.exists() and any(out.iterdir()):
            raise Fault(f"exit code {found.code}, and written: {[*out.iterdir()]}")
        return Outcome(name, "accepted" if found.code == 0 else "refused")


def target() -> Files:
    """What `python -m tests.fuzz files` attacks."""
    return Files()


def _import_what_is_heavy() -> None:
    """Once, before processes are forked: no attack should be charged with it."""
    import datasets  # noqa: F401
    import onnxruntime  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import rich.progress  # noqa: F401
    import torch

    import resgraph.cli
    import resgraph.report
    import resgraph.verify.apart  # noqa: F401

    torch.set_num_threads(1)


def _written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def _either(
    random: Random, whole: bytes, absurd: Callable[[], bytes], harm: float = 0.4
) -> bytes:
    """The whole file, damaged; or an absurd one, sometimes damaged as well."""
    if random.random() < harm:
        return damaged(random, whole)
    made = absurd()
    return damaged(random, made) if random.random() < 0.15 else made


# --- weights and models -------------------------------------------------------------------


def _weights(random: Random, folder: Path, m: Materials) -> Command:
    whole = m.safetensors.read_bytes()
    data = _either(random, whole, lambda: hostile.safetensors(random, m))
    path = _written(folder / "w.safetensors", data)
    return random.choice(
        (
            ["compile", str(m.spec), "--weights", path, "--out", "out"],
            _imported(m, path),
        )
    )


def _imported(m: Materials, path: str) -> Command:
    return [
        "import-weights",
        str(m.source),
        "--from",
        path,
        "--out",
        "out/w.safetensors",
    ]


def _checkpoint(random: Random, folder: Path, m: Materials) -> Command:
    whole = random.choice((m.checkpoint, m.older)).read_bytes()
    data = _either(random, whole, lambda: hostile.checkpoint(random, m))
    name = f"w{random.choice(('.pth', '.pt', '.ckpt', '.bin', '.tar'))}"
    return _imported(m, _written(folder / name, data))


def _model(random: Random, folder: Path, m: Materials) -> Command:
    data = _either(
        random, m.model.read_bytes(), lambda: hostile.model(random, m), harm=0.3
    )
    hostile.places(folder)
    path = _written(folder / "model.onnx", data)
    picture = _written(folder / "a.png", m.pictures["png"])
    return random.choices(
        (
            ["infer", path, picture, "--device", "cpu", *_json(random)],
            ["verify", path, "--spec", str(m.spec), "--structure", *_json(random)],
        ),
        (4, 1),
    )[0]


def _json(random: Random) -> Command:
    return ["--json"] if random.random() < 0.3 else []


# --- pictures and data --------------------------------------------------------------------


def _picture(random: Random, folder: Path, m: Materials) -> Command:
    whole = random.choice([*m.pictures.values()])
    data = _either(random, whole, lambda: hostile.picture(random, m), harm=0.7)
    names = [*hostile.ODD_NAMES, "a", "a.png", "a.eps"]
    path = _written(folder / random.choice(names), data)
    return ["infer", str(m.model), path, "--device", "cpu", *_json(random)]


def _infer_data(model: Path, data: Path, random: Random) -> Command:
    return ["infer", str(model), "--data", str(data), "--device", "cpu", *_json(random)]


def _archive(random: Random, folder: Path, m: Materials) -> Command:
    name, whole = random.choice([*m.packed.items()])
    data = _either(random, whole, lambda: hostile.archive(random, m), harm=0.5)
    _written(folder / name, data)
    return _infer_data(m.cifar_model, folder / name, random)


def _pickle(random: Random, folder: Path, m: Materials) -> Command:
    made = folder / m.unpacked.name
    shutil.copytree(m.unpacked, made)
    victim = random.choice(sorted(made.glob("*batch*")))
    whole = victim.read_bytes()
    data = _either(random, whole, lambda: hostile.hostile_pickle(random), harm=0.5)
    victim.write_bytes(data)
    return _infer_data(m.cifar_model, made, random)


def _parquet(random: Random, folder: Path, m: Materials) -> Command:
    made = folder / "set"
    shutil.copytree(m.folder / "parquet", made)
    victim = made / random.choice(("train.parquet", "test.parquet"))
    whole = victim.read_bytes()
    victim.write_bytes(_either(random, whole, lambda: hostile.parquet(random, m)))
    return _infer_data(m.model, made, random)


def _folders(random: Random, folder: Path, m: Materials) -> Command:
    """Class folders with hostile names, links in circles, pipes for pictures."""
    made = folder / "set"
    shutil.copytree(m.folder / "folders", made)
    odd = random.choice(hostile.ODD_NAMES)
    odd = odd.encode("utf-8", "replace").decode() if "\ud800" in odd else odd
    for part in ("train", "test"):
        (made / part / "class3").rename(made / part / odd)
    place = made / "train" / random.choice((odd, "class0"))
    picture = place / f"{odd}.png"
    random.choice(
        (
            lambda: picture.write_bytes(damaged(random, m.pictures["png"])),
            lambda: picture.write_bytes(hostile.picture(random, m)),
            lambda: picture.symlink_to(picture),
            lambda: (place / "again").symlink_to(made),
            lambda: os.mkfifo(picture),
            lambda: picture.mkdir(),
            lambda: (made / "test" / "class9").rename(made / "test" / "class\x1b[2J9"),
            lambda: None,
        )
    )()
    return _infer_data(m.model, made, random)


_THERE = ("pipe", "sparse", "/dev/zero", "/dev/null", ".", "/proc/self/mem")
"""What is there, and no file to be read."""


def _absent(random: Random, folder: Path, m: Materials) -> Command:
    """A name instead of a file: of nothing, of a pipe, of a device."""
    from tests.fuzz.damage import NAMES

    hostile.places(folder)
    names = [*(n for n in NAMES if "\0" not in n and "\ud800" not in n)]
    given = random.choice([*names, *_THERE])
    suffix = random.choice(("", "", ".onnx", ".py", ".pth", ".safetensors"))
    path = given if given in _THERE else f"{given}{suffix}"
    model = str(m.model)
    return random.choice(
        (
            ["infer", model, f"./{path}" if path.startswith("-") else path],
            ["infer", model, "--data", path],
            ["infer", path, "--data", str(m.folder / "parquet")],
            ["import-weights", str(m.source), "--from", path, "--out", "out/x"],
            ["compile", str(m.spec), "--weights", path, "--out", "out"],
            ["verify", path, "--structure"],
            ["diff", path, str(m.spec)],
            ["report", path, "--out", "r.html"],
            ["export", path],
        )
    )


# --- generated files and runs -------------------------------------------------------------


def _source(random: Random, folder: Path, m: Materials) -> Command:
    """A generated file, whose code runs elsewhere or not at all."""
    shutil.copytree(m.folder / "specs", folder / "specs")
    (folder / "pyproject.toml").touch()
    (folder / "generated").mkdir()
    text = m.source.read_bytes()
    lines = text.split(b"\n")
    data = random.choice(
        (
            lambda: damaged(random, text),
            lambda: b"\n".join([_header(random, lines[0]), *lines[1:]]),
            lambda: text.replace(b"return self.", b"return None # self."),
            lambda: lines[0] + b"\n" + b"(" * 100_000,
            lambda: lines[0] + b"\n\0",
        )
    )()
    path = _written(folder / "generated/tiny.py", data)
    return random.choices(
        (["diff", path, str(m.spec)], ["verify", path, "--structure"]), (3, 1)
    )[0]


def _header(random: Random, line: bytes) -> bytes:
    from tests.fuzz.damage import name

    odd = name(random).encode("utf-8", "surrogatepass")
    return random.choice(
        (damaged(random, line), line.replace(b"specs/tiny.yaml", odd), line + odd)
    )


def _run(random: Random, folder: Path, m: Materials) -> Command:
    """A run folder in which one file has come to harm."""
    made = m.run_copy(folder)
    victims = [
        p for p in sorted(made.rglob("*")) if p.is_file() and p.suffix != ".lock"
    ]
    victim = random.choice(victims)
    whole = victim.read_bytes()

    def absurd() -> bytes:
        if victim.suffix == ".json" and random.random() < 0.7:
            about = json.loads(whole)
            about[random.choice(sorted(about))] = hostile.value(random)
            return json.dumps(about).encode("utf-8", "surrogatepass")
        return hostile.json_text(random).encode("utf-8", "surrogatepass")

    victim.write_bytes(_either(random, whole, absurd))
    run = str(made)
    return random.choice(
        (
            ["report", run, "--out", "r.html"],
            ["export", run],
            ["plot", run, "--out", "p.svg"],
            ["table", run],
        )
    )


KINDS: dict[str, tuple[int, Kind]] = {
    "safetensors": (4, _weights),
    "checkpoint": (4, _checkpoint),
    "onnx": (6, _model),
    "picture": (4, _picture),
    "archive": (2, _archive),
    "pickle": (3, _pickle),
    "parquet": (4, _parquet),
    "class folders": (3, _folders),
    "no such file": (3, _absent),
    "generated": (1, _source),
    "run": (3, _run),
}
"""By what the tally calls it: how often, and what makes it."""
