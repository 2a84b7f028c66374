"""Writing files so that a reader, or a crash, never meets half of one."""

from __future__ import annotations

import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from resgraph.diagnostics import ResgraphError, plain
from resgraph.limits import JSON_BYTES


@contextmanager
def writing(path: Path, hint: str | None = None) -> Iterator[None]:
    """Explain, as a `ResgraphError`, that a file could not be written."""
    try:
        yield
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}"
        raise ResgraphError(message, hint) from None


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder beside the outputs whose files move into `out` when the block succeeds.

    If it fails, whatever was in `out` stays as it was. Raises `ResgraphError` where the
    folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".resgraph-", dir=out))
    except OSError as error:
        raise ResgraphError(
            f"cannot write to {out}: {error.strerror or error}",
            "choose another folder with --out",
        ) from None
    try:
        yield stage
        _move(stage, out)
    except OSError as error:
        raise ResgraphError(
            f"cannot write to {out}: {error.strerror or error}"
        ) from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _move(stage: Path, out: Path) -> None:
    """Rename into place, the data before the model that refers to it.

    An earlier model goes first, with what it refers to: it must never be met with the data
    of another.
    """
    files = sorted(stage.iterdir(), key=lambda p: (p.suffix != ".data", p.name))
    for path in files:
        if path.suffix == ".data":
            (out / path.stem).unlink(missing_ok=True)
    for path in files:
        path.chmod(0o666 & ~_umask())
        path.replace(out / path.name)
        if path.suffix == ".onnx" and stage / f"{path.name}.data" not in files:
            (out / f"{path.name}.data").unlink(missing_ok=True)


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in `path`'s place.

    If `write` fails, an earlier file at `path` is as it was.
    """
    handle, name = tempfile.mkstemp(prefix=_unfinished(path), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        _flush_to_disk(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_unfinished(path: Path) -> None:
    """Remove what a killed process left of `atomic_write`s to `path`."""
    for file in path.parent.glob(f"{_unfinished(path)}*"):
        file.unlink(missing_ok=True)


def _unfinished(path: Path) -> str:
    """How the temporary files for `path` begin."""
    return f".{path.name}."


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8 atomically; half a surrogate pair, which it lacks, as an escape."""
    atomic_write(
        path, lambda p: p.write_bytes(text.encode("utf-8", "backslashreplace"))
    )


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` atomically, indented; numbers that JSON lacks become null."""
    text = json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_AT_ONCE = ("O_NONBLOCK", "O_NOCTTY")


def is_there(path: str | Path) -> bool:
    """Whether there is such a file or folder; none is of a name that no path can have."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long, or with a byte that is none of a name's
        return False


def open_at_once(path: Path) -> BufferedReader:
    """The file, open for reading; the other end of a pipe is not waited for.

    Raises `OSError`, and `ValueError` for what can be no path.
    """
    more = sum(getattr(os, name, 0) for name in _AT_ONCE)
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | more))


def irregular(file: BufferedReader) -> str | None:
    """What an open file is, such as `a pipe`; None if it is a regular one."""
    mode = os.fstat(file.fileno()).st_mode
    known = _KINDS.get(stat.S_IFMT(mode), "something else")
    return None if stat.S_ISREG(mode) else known


def read_bytes(path: Path, limit: int) -> bytes:
    """The contents of a regular file of at most so many bytes; a pipe is never waited for.

    Raises `OSError`, and `ValueError` for what is no such file.
    """
    with open_at_once(path) as file:
        if irregular(file):
            raise ValueError("it is no regular file")
        contents = file.read(limit + 1)
    if len(contents) > limit:
        raise ValueError(f"it has more than {limit:,} bytes")
    return contents


def parse_json(contents: bytes) -> Any:
    """A JSON value in UTF-8. Raises `ValueError`, also for a key that is there twice, for
    numbers and characters that there are not, and for what is nested too deeply."""
    text = contents.decode("utf-8")
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_lacking)
        if "\\u" in text:  # half a surrogate pair could not be written again
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair is no character") from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _lacking(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; anything else is a `ResgraphError`."""
    try:
        value = parse_json(read_bytes(path, JSON_BYTES))
    except (OSError, ValueError) as error:
        raise ResgraphError(f"cannot read {path}: {plain(error)}") from None
    if not isinstance(value, dict):
        raise ResgraphError(f"cannot read {path}: it is no JSON object")
    return value


def finite(value: Any) -> Any:
    """`value` with None for every number that is infinite or not a number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _flush_to_disk(path: Path) -> None:
    """A rename may reach the disk before the data does, so the data goes first."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
