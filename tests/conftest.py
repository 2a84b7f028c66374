"""Fixtures that many tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import register_random, settings

# Such small tensors gain nothing from more threads, and lose much where cores are busy.
# Set before torch is imported; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch

# How long an example takes says nothing where other processes have the cores. In continuous
# integration the same examples are drawn each time: what fails there, the change has broken.
settings.register_profile("untimed", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("untimed")

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"


class TorchRandom:
    """Torch's random numbers, for hypothesis to seed before each example."""

    def seed(self, number: int) -> None:
        torch.manual_seed(number)

    def getstate(self) -> Any:
        return torch.get_rng_state()

    def setstate(self, state: Any) -> None:
        torch.set_rng_state(state)


TORCH_RANDOM = TorchRandom()  # hypothesis keeps no reference of its own
register_random(TORCH_RANDOM)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers whatever tests ran before in this process."""
    torch.manual_seed(0)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="Write the golden files anew."
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare text with `tests/golden/NAME`; `--update-golden` writes it instead."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden file {name}: pytest --update-golden"
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's folder, as the current one."""
    monkeypatch.chdir(ROOT)
    return ROOT


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, Debian's or Playwright's own; `make browser` installs one."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    names = ("chromium", "chromium-browser")
    path = next(filter(None, map(shutil.which, names)), None)
    with sync_api.sync_playwright() as running:
        try:
            found = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no Chromium (make browser): {str(error).splitlines()[0]}")
        yield found
        found.close()
