"""The models on a GPU, TF32 off on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from resgraph.verify import Options, verify
from tests.verify.conftest import subject_of


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_model_on_cuda(tmp_path: Path) -> None:
    subject = subject_of("preact_basic:resnet20", tmp_path)
    checks = {check.name: check for check in verify(subject, Options(device="cuda"))}
    assert checks["ONNX on cuda, batch 1"].verdict == "passed"
    assert checks["ONNX on cuda, batch 3"].verdict == "passed"
