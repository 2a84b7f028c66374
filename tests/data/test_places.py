"""Where data sets that are known by name are found."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path

import pytest

from resgraph.data import load_data
from resgraph.data.checksums import cache_folder
from resgraph.data.names import CLASSES
from tests.conftest import ROOT
from tests.data.conftest import SHAPE, refused
from tests.helpers import printed


def test_unknown_name() -> None:
    assert "digits, cifar10, cifar100" in refused("cifar1000")


def test_known_names() -> None:
    assert {name: len(set(c)) for name, c in CLASSES.items()} == {
        "cifar10": 10,
        "cifar100": 100,
    }
    assert all(list(names) == sorted(names) for names in CLASSES.values())


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    told = refused(tmp_path / "empty")
    assert "no data of a known form in" in told
    assert "train*.parquet" in told
    assert "train/CLASS/" in told
    assert "cifar-10-python.tar.gz" in told


def test_absent_data_name_the_way_out(tmp_path: Path) -> None:
    """In a process of its own, with a hub that cannot be reached."""
    code = (
        "from resgraph.data import load_data\n"
        "from resgraph.diagnostics import ResgraphError\n"
        "try: load_data('cifar10', (3, 32, 32))\n"
        "except ResgraphError as error: print(error.message, error.hint)\n"
    )
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    env |= {"PYTHONPATH": str(ROOT), "HF_ENDPOINT": "https://hub.invalid"}
    told = printed(code, cwd=tmp_path, env=env)
    assert "cifar10 is not here and cannot be downloaded: no connection" in told
    assert "--data digits" in told
    assert "../shared/data/cifar10" in told
    assert "cifar-10-binary.tar.gz" in told


@pytest.mark.skipif(
    bool(urllib.request.getproxies()), reason="behind a proxy the hub is asked itself"
)
def test_an_earlier_download_is_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = cache_folder() / "downloads" / "cifar100"
    place.parent.mkdir(parents=True)
    folder.rename(place)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(load_data("cifar100", SHAPE).train_images) == 12
