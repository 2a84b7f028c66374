"""A server in a process of its own, as users run it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.load_serve import Server, as_png, served
from resgraph.infer import Classifier
from tests.infer.common import model, noise


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def classifier(path: Path) -> Classifier:
    return Classifier(path, "cpu", threads=1)


@pytest.fixture(scope="session")
def server(path: Path) -> Iterator[Server]:
    """With small limits: 100 kB, a million pixels."""
    limits = ("--max-bytes", "100000", "--max-pixels", "1000000")
    with served(path, "--device", "cpu", "--threads", "1", *limits) as running:
        yield running


@pytest.fixture(scope="session")
def pictures() -> list[bytes]:
    """PNGs of the model's own size, so that nothing is resized."""
    return [as_png(image) for image in noise(40)]


def encoded(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    stream = io.BytesIO()
    Image.effect_mandelbrot(size, (-2, -1, 1, 1), 50).convert("RGB").save(stream, kind)
    return stream.getvalue()


PNG = {"Content-Type": "image/png"}


def classify(
    server: Server, body: bytes, headers: dict[str, str] | None = None, query: str = ""
) -> tuple[int, dict[str, object]]:
    wanted = PNG if headers is None else headers
    status, content, _ = server.request("POST", f"/classify{query}", body, wanted)
    return status, json.loads(content)


def metric(server: Server, name: str) -> float:
    text = server.request("GET", "/metrics")[1].decode()
    found = re.search(rf"^{re.escape(name)} (.*)$", text, re.M)
    return float(found[1]) if found else 0.0
