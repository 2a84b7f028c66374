"""The files that specs are read from: regular ones, opened once, where a spec may look.

Whoever names a file on the command line may read it. What a spec names in it, and a
generated file in its first line, lies below the project's root, or `--allow-outside` is given.
"""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from resgraph.diagnostics import ResgraphError, UsageError, did_you_mean, plain
from resgraph.files import irregular, open_at_once
from resgraph.limits import SPEC_BYTES

OUTSIDE: ContextVar[bool] = ContextVar("allow_outside", default=False)
"""Whether specs may name files outside of their project: `--allow-outside`."""
MARKERS = (".git", "pyproject.toml", "resgraph.toml")
"""What a project's root has."""

_SPEC = re.compile(
    r"""^\s*\{?\s*["']?(resgraph|extends|units|network)["']?\s*:""", re.M
)
_ENDINGS = (".yaml", ".yml")


def root_of(folder: Path, otherwise: Path | None = None) -> Path:
    """The nearest parent with one of `MARKERS`, links resolved; else the folder itself, or
    the one given."""
    real = Path(os.path.realpath(folder))
    for parent in (real, *real.parents):
        if any((parent / marker).exists() for marker in MARKERS):
            return parent
    return real if otherwise is None else Path(os.path.realpath(otherwise))


def refuse_outside(path: Path, root: Path, what: str) -> None:
    """Raise `ResgraphError` unless the path, its links resolved, is below the root."""
    try:
        inside = Path(os.path.realpath(path)).is_relative_to(root)
    except (OSError, ValueError):  # no path at all: opening it tells
        return
    if not inside and not OUTSIDE.get():
        raise ResgraphError(
            f"{what} is outside of the project, {plain(root)}",
            "--allow-outside reads it nevertheless; a project begins where "
            f"{MARKERS[0]}, {MARKERS[1]} or {MARKERS[2]} is",
        )


@dataclass
class Sources:
    """The text of every file read, by the name it is cited by; for rendering excerpts."""

    texts: dict[str, str] = field(default_factory=dict)

    def read(self, path: Path, name: str, root: Path | None = None) -> str:
        """The file's text. Raises `ResgraphError` for what is not a readable spec.

        With a `root` it is another spec that names the file. What is no spec is not kept,
        so that nothing of it is ever shown.
        """
        shown = plain(name)
        if root is not None:
            refuse_outside(path, root, shown)
        data = _content(path, shown, named_by_user=root is None)
        if len(data) > SPEC_BYTES:
            raise ResgraphError(
                f"{shown}: larger than {SPEC_BYTES // 1024} KiB, no spec"
            )
        text = _decoded(data, shown)
        trusted = root is None and path.suffix in _ENDINGS
        if text.strip() and not trusted and not _SPEC.search(text):
            raise ResgraphError(
                f"{shown}: not a spec: it has none of its keys",
                "a spec starts with 'resgraph: 1' and has units and a network",
            )
        self.texts[name] = text
        return text


def _content(path: Path, name: str, named_by_user: bool) -> bytes:
    """At most a byte more than a spec may have."""
    try:
        with open_at_once(path) as stream:
            if kind := irregular(stream):
                # `resgraph check <(command)` and /dev/stdin are pipes that a user names.
                piped = named_by_user and path.is_relative_to("/dev")
                if (
                    path.is_block_device()
                    or not piped
                    or kind not in ("a pipe", "a device")
                ):
                    raise UsageError(f"{name} is {kind}, not a file")
                os.set_blocking(stream.fileno(), True)
            return stream.read(SPEC_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{name}: no such file", _siblings(path)) from None
    except IsADirectoryError:
        raise UsageError(f"{name} is a folder, not a file") from None
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror or error}") from None
    except ValueError:  # a null character, half a surrogate pair
        raise UsageError(f"{name}: no file can have this name") from None


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ResgraphError(f"{name}:{line}: not UTF-8 text") from None


def _siblings(path: Path) -> str | None:
    """A hint at the specs that are there."""
    folder = path.parent
    names = [plain(p.name) for p in folder.glob("*.yaml")] if folder.is_dir() else []
    return did_you_mean(path.name, names)
