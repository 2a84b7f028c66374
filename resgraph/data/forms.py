"""Which form of data a path holds."""

from __future__ import annotations

from pathlib import Path

from resgraph.data.archives import FORMS, Archive, form_of
from resgraph.data.folders import ImageFolder
from resgraph.data.names import CLASSES
from resgraph.data.parquet import Parquet
from resgraph.data.source import Shape, Source, cannot_read
from resgraph.diagnostics import ResgraphError, plain

_HINT = (
    "a data folder holds train*.parquet and test*.parquet, or train/CLASS/ and "
    f"test/CLASS/ with pictures, or an official archive ({FORMS[0].archive} or the like)"
)


def source_at(path: Path, shape: Shape, name: str | None = None) -> Source:
    """The data that a file or folder holds, called `name` if that is given.

    Raises `ResgraphError` if there is nothing of a known form, or if it is not whole.
    """
    channels = shape[0]
    if _is_file(path):
        form = form_of(path)
        known = form.data if form else path.name.split(".")[0]
        return Archive(path, channels, name or plain(known))
    if not path.is_dir():
        raise ResgraphError(
            f"no data set '{plain(path)}', and no file or folder of that name",
            f"known: digits, {', '.join(CLASSES)}; or a path: {_HINT}",
        )
    own = name or plain(path.resolve().name)
    if _has_parquet(path):
        return Parquet(path, channels, own)
    if form := form_of(path):
        return Archive(path, channels, name or form.data)
    if official := official_in(path, name):
        return source_at(official, shape, name)
    if _has_folders(path):
        return ImageFolder(path, shape, own)
    raise ResgraphError(f"no data of a known form in {plain(path)}", _HINT)


def _is_file(path: Path) -> bool:
    """Raises `ResgraphError` for a name that the system cannot even look for."""
    try:
        return path.is_file()
    except OSError as error:
        raise cannot_read(path, error) from None


def holds_data(folder: Path) -> bool:
    """Whether `source_at` finds something there, be it whole or not."""
    return folder.is_dir() and bool(
        _has_parquet(folder)
        or form_of(folder)
        or official_in(folder)
        or _has_folders(folder)
    )


def official_in(folder: Path, data: str | None = None) -> Path | None:
    """The official archive in a folder, unpacked or packed; of `data`, if that is given.

    Raises `ResgraphError` if there are those of several data sets.
    """
    found = {
        form.data: folder / name
        for form in reversed(FORMS)
        for name in (form.archive, form.folder)
        if data in (None, form.data) and (folder / name).exists()
    }
    if len(found) > 1:
        raise ResgraphError(
            f"{folder} holds {' and '.join(sorted(found))}",
            "give the path of one, such as "
            f"{next(path for _, path in sorted(found.items()))}",
        )
    return next(iter(found.values()), None)


def _has_parquet(folder: Path) -> bool:
    return any(any(folder.glob(f"{part}*.parquet")) for part in ("train", "test"))


def _has_folders(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in ("train", "test", "val"))
