"""Where the data sets that are known by name are found, or downloaded from."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from resgraph.data.archives import FORMS
from resgraph.data.checksums import cache_folder
from resgraph.data.forms import holds_data, official_in
from resgraph.diagnostics import ResgraphError, first_line

HUB = {"cifar10": "uoft-cs/cifar10", "cifar100": "uoft-cs/cifar100"}
"""Krizhevsky (2009), by name, and where on the hub."""

NAMES = ("digits", *HUB)
"""All that need no path."""


def find(name: str) -> Path:
    """Where the data set is, in any of the forms; downloads it if it is nowhere.

    In each place that is `NAME` or, under its own name, an official archive.
    Raises `ResgraphError` if it is neither here nor to be downloaded.
    """
    roots = places()
    for root in roots:
        if holds_data(root / name):
            return root / name
        if official := official_in(root, name):
            return official
    try:
        return _download(name, roots[-1] / name)
    except Exception as error:  # whatever the network or the hub can come up with
        looked = ", ".join(str(root / name) for root in roots)
        archives = " and ".join(form.archive for form in FORMS if form.data == name)
        raise ResgraphError(
            f"{name} is not here and cannot be downloaded: {first_line(error)}",
            f"looked in {looked}, and beside these for {archives}; put it there, or set "
            "RESGRAPH_DATA, or try resgraph with --data digits, which needs no download",
        ) from None


def places() -> list[Path]:
    """The folders in which data sets may lie, in order; the last is for downloads."""
    given = os.environ.get("RESGRAPH_DATA")
    return [
        *([Path(given)] if given else []),
        Path("data"),
        Path("../shared/data"),
        cache_folder() / "downloads",
    ]


def _download(name: str, folder: Path) -> Path:
    """Put the hub's training and test sets into the folder, whole or not at all."""
    _require_hub()
    import datasets

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        parts = datasets.load_dataset(HUB[name], cache_dir=f"{scratch}/arrow")
        made = Path(scratch) / name
        made.mkdir()
        for part in ("train", "test"):
            parts[part].to_parquet(str(made / f"{part}.parquet"))
        shutil.rmtree(folder, ignore_errors=True)
        made.replace(folder)
    return folder


def _require_hub() -> None:
    """Raise `OSError` at once where the hub's name is unknown.

    The hub's own client asks for half a minute before it gives up. Behind a proxy names
    need not resolve here, so there the client has to find out.
    """
    if urllib.request.getproxies():
        return
    from huggingface_hub.constants import ENDPOINT

    host = urlsplit(ENDPOINT).hostname or ENDPOINT
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        raise OSError(f"no connection to {host}") from None
