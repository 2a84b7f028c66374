"""A file in pieces of a given size, and joined again: `python -m benchmarks.gpu.pieces`.

Beside the pieces NAME.000, NAME.001 and so on lies NAME.json, which says how many there are
and what they come to, so that a piece that is missing or damaged is named.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BUFFER = 2**20


class PiecesError(Exception):
    """Pieces that do not make a file."""


def size_of(text: str) -> int:
    """Bytes in a number that may end in K, M or G, each 1,024 times the one before.

    Raises `ValueError` for what is no such size, or none.
    """
    match = re.fullmatch(r"(\d+)([KMG]?)", text.upper())
    if match is None or not int(match[1]):
        raise ValueError(f"{text!r} is no size, such as 50M")
    return int(match[1]) << 10 * " KMG".index(match[2] or " ")


def split(file: Path, folder: Path, size: int) -> list[Path]:
    """Put the file's pieces into the folder, in place of those of the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    remove(folder, file.name)
    made: list[Path] = []
    whole = hashlib.sha256()
    with file.open("rb") as source:
        while source.peek(1):
            piece = folder / f"{file.name}.{len(made):03d}"
            with piece.open("wb") as target:
                for block in _blocks(source, size):
                    whole.update(block)
                    target.write(block)
            made.append(piece)
    about = {
        "pieces": len(made),
        "bytes": file.stat().st_size,
        "sha256": whole.hexdigest(),
    }
    _about(folder, file.name).write_text(json.dumps(about) + "\n")
    return made


def missing(folder: Path, name: str) -> list[str]:
    """The pieces of a file that are not in the folder."""
    count = _read(folder, name)["pieces"]
    return [p.name for p in _pieces(folder, name, count) if not p.exists()]


def join(folder: Path, name: str, target: Path) -> None:
    """Make the file of its pieces, which stay. It is whole, or not there.

    Raises `PiecesError` for a piece that is missing, or if they are not what was split.
    """
    about = _read(folder, name)
    if absent := missing(folder, name):
        raise PiecesError(f"{name}: not here yet: {', '.join(absent)}")
    whole, begun = hashlib.sha256(), target.with_name(f".{target.name}.joining")
    with begun.open("wb") as out:
        for piece in _pieces(folder, name, about["pieces"]):
            with piece.open("rb") as source:
                for block in _blocks(source, about["bytes"]):
                    whole.update(block)
                    out.write(block)
    if whole.hexdigest() != about["sha256"]:
        begun.unlink()
        raise PiecesError(f"{name}: its pieces are damaged: carry all of them again")
    begun.replace(target)


def names(folder: Path) -> list[str]:
    """The files of which there are pieces."""
    return sorted(p.name.removesuffix(".json") for p in folder.glob("*.json"))


def remove(folder: Path, name: str) -> None:
    """Remove a file's pieces."""
    for piece in folder.glob(f"{name}.[0-9][0-9][0-9]"):
        piece.unlink()
    _about(folder, name).unlink(missing_ok=True)


def _about(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _read(folder: Path, name: str) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads(_about(folder, name).read_text())
    except (OSError, ValueError) as error:
        raise PiecesError(f"cannot read {_about(folder, name)}: {error}") from None
    return about


def _pieces(folder: Path, name: str, count: int) -> Iterator[Path]:
    return (folder / f"{name}.{number:03d}" for number in range(count))


def _blocks(source: Any, size: int) -> Iterator[bytes]:
    """The next so many bytes of a file, or what is left."""
    while size > 0 and (block := source.read(min(size, _BUFFER))):
        size -= len(block)
        yield block


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("split", "join"))
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--folder", type=Path, default=Path(), help="of the pieces")
    parser.add_argument("--size", default="50M", help="of a piece (default: 50M)")
    options = parser.parse_args()
    try:
        for file in options.files:
            if options.what == "split":
                print(*split(file, options.folder, size_of(options.size)), sep="\n")
            else:
                join(options.folder, file.name, file)
                print(file)
    except (PiecesError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
