"""The tables of what was found, whole or not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.gpu import surroundings

ABOUT = {"device": "a card", "torch": "2.11", "cuda": "13.0"}
OF = {"network": "resnet20", "batch": 8, "choices": {"precision": "bf16"}}
FIGURES = {
    "step_seconds": 0.002,
    "host_seconds": 0.001,
    "images_per_s": 4000.0,
    "first_step_seconds": 12.3,
    "peak_bytes": 2**30,
}
FLOORS = {
    "hardware": {"bytes_per_s": 3e12, "operations_per_s": 8e14},
    "floors": {"resnet20": {"seconds": {"bf16": 0.0005, "fp32": 0.001}}},
}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of results, and a README to write tables into."""
    (tmp_path / "README.md").write_text(f"words\n\n{report.MARK}\nold\n")
    monkeypatch.setattr(report, "README", tmp_path / "README.md")
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    (tmp_path / "gpu").mkdir()
    return tmp_path


def written(results: Path, name: str, parts: dict[str, object], **more: str) -> str:
    data = {**ABOUT, **more, "parts": parts}
    (results / "gpu" / f"{name}.json").write_text(json.dumps(data))
    report.write_tables()
    text = (results / "README.md").read_text()
    assert text.startswith(f"words\n\n{report.MARK}\n\n###")
    return text


def test_rows_of_training(results: Path) -> None:
    """To the floor of their precision; what failed says why, what is missing that it is."""
    parts = {
        "floors": {"state": "shown", "result": FLOORS},
        "resnet20: all": {"state": "shown", "of": OF, "result": FIGURES},
        "resnet20: none": {
            "state": "failed",
            "of": OF,
            "error": "RuntimeError: too slow",
        },
        "resnet20: alone": {"state": "unfinished", "of": OF},
        "resnet20: memory": {"state": "failed", "of": OF, "error": "no memory"},
    }
    text = written(results, "bench", parts)
    row = "| resnet20: all | 4,000 | 2.00 ms | 1.00 ms | 4.0x | 12.3 s | 1,024 MiB |"
    assert row in text
    assert "3,000 GB/s" in text
    assert "| resnet20: none | too slow |" in text
    assert "| resnet20: alone | unfinished |" in text
    assert "\nno memory\n" in text


def test_rows_without_a_floor(results: Path) -> None:
    parts = {"resnet20: all": {"state": "shown", "of": OF, "result": FIGURES}}
    assert "| 1.00 ms |  | 12.3 s |" in written(results, "bench", parts)


def test_each_network_has_its_table_of_inference(results: Path) -> None:
    found = {"ms": 1.5, "device only ms": 1.25, "apart": 1e-6, "at most": 1e-5}
    parts = {
        "batch 1: eager": {"state": "right", "result": found},
        "batch 1: graph": {"state": "failed", "error": "it ended its process"},
    }
    for name in ("resnet20", "resnet164"):
        more = {"network": name, "onnxruntime": "1.31.1"}
        text = written(results, f"infer-{name}", parts, **more)
    assert text.count("### Inference of ") == 2
    assert "| batch 1: eager | 1.50 ms | 1.25 ms | 1e-06 | 1e-05 |  |" in text
    assert "| batch 1: graph | it ended its process |" in text


def test_libraries_beside_torch_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages called nvidia in any place that Python looks in, each once."""
    for package in ("cu13", "cudnn"):
        (tmp_path / "nvidia" / package / "lib").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    found = [Path(p).relative_to(tmp_path) for p in surroundings.libraries()]
    assert [str(p) for p in found] == ["nvidia/cu13/lib", "nvidia/cudnn/lib"]
    monkeypatch.setenv("LD_LIBRARY_PATH", "/mine")
    for _ in range(2):
        surroundings._prepend("LD_LIBRARY_PATH", ["/theirs"])
    assert os.environ["LD_LIBRARY_PATH"] == "/theirs:/mine"
