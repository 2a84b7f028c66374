"""The benchmark of inference: where it runs, and what its answers are held to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.gpu import forms
from benchmarks.gpu.infer import FLOAT32, OPTIONS, PRECISIONS, parts
from benchmarks.inference import (
    MODELS,
    Provider,
    images,
    loaded,
    session,
    where,
    written,
)
from resgraph.diagnostics import ResgraphError
from resgraph.infer.providers import CPU, CUDA


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph, _ = loaded("resnet20")
    folder = tmp_path_factory.mktemp("model")
    return written(graph, folder, {"portable": MODELS["portable"]})["portable"]


def test_a_session_is_where_it_was_asked_for(model: Path) -> None:
    assert session(model).get_providers() == [CPU]
    batch = images(loaded("resnet20")[0], 2)
    assert where(model, batch, 1, Provider(CPU))["Conv"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_no_session_falls_back(model: Path) -> None:
    """onnxruntime itself would go on with the CPU, and the figures would be the CPU's."""
    with pytest.raises(ResgraphError, match="CUDA"):
        session(model, Provider(CUDA, FLOAT32))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("title", OPTIONS)
def test_options_of_cuda(model: Path, title: str) -> None:
    opened = session(model, Provider(CUDA, OPTIONS[title]))
    assert opened.get_provider_options()[CUDA].items() >= OPTIONS[title].items()


def test_rows_for_cuda() -> None:
    """Each form with each option once; float32 is float32 unless TF32 is in the name."""
    names = [part.name for part in parts("resnet20", [128, 1], "cuda", False)]
    assert len({*names}) == len(names)
    for word in ("NHWC", "heuristic search", "CUDA graph", "TF32"):
        assert any(f"; {word}" in name for name in names)
    for title, options in OPTIONS.items():
        assert (options["use_tf32"] == "1") == ("TF32" in title)


def test_wrong_logits_are_found() -> None:
    """By less than a per cent in float32, and by more than its rounding in half precision."""
    right = forms.exact("resnet20", 4)
    for precision, factor in {"fp32": 1.001, "fp16": 1.05}.items():
        assert forms.held({}, right, "resnet20", precision).right
        off = np.array(right)
        off[0] *= factor
        assert not forms.held({}, off, "resnet20", precision).right
    assert set(PRECISIONS.values()) == {"fp16", "bf16"}
