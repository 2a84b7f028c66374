"""Statements of SECURITY.md that no other test holds."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

from tests.conftest import ROOT
from tests.infer.common import SHAPE
from tests.test_cli import resgraph

PAGE = ROOT / "SECURITY.md"


def test_what_the_page_names_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)", PAGE.read_text())
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A spec, and a generated file that would leave a mark if it ran."""
    (tmp_path / "pyproject.toml").touch()
    for folder in ("specs", "generated"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "specs" / "preact_basic.yaml", tmp_path / "specs")
    made = tmp_path / "generated" / "resnet20.py"
    text = (ROOT / "generated" / "resnet20.py").read_text()
    made.write_text(f"{text}\nopen({str(tmp_path / 'mark')!r}, 'w')\n")
    return tmp_path


@pytest.mark.parametrize("command", ["plan", "report", "sweep", "import-weights"])
def test_these_run_no_generated_file_of_others(command: str, project: Path) -> None:
    made = project / "generated" / "resnet20.py"
    more: dict[str, tuple[object, ...]] = {
        "report": ("--out", project / "page.html"),
        "sweep": ("--data", "digits", "--out", project / "sweep"),
        "import-weights": ("--from", project / "absent.safetensors"),
    }
    result = resgraph(command, made, *more.get(command, ()), cwd=project)
    assert "Traceback" not in result.stderr
    assert not (project / "mark").exists()


@pytest.mark.parametrize("place", ["../secret", "{}/secret", "link", "/dev/zero"])
def test_external_data_stay_in_the_models_folder(place: str, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    weights = np.zeros((np.prod(SHAPE), 4), np.float32)
    (tmp_path / "secret").write_bytes(weights.tobytes())
    (folder / "link").symlink_to("../secret")
    path = _model(folder, place.format(tmp_path), weights.shape)
    Image.new("RGB", SHAPE[:0:-1]).save(tmp_path / "picture.png")
    result = resgraph("infer", path, tmp_path / "picture.png")
    assert result.returncode == 1
    assert re.search(r"model\.onnx is (no whole|not an) ONNX model", result.stderr)
    (folder / "data").write_bytes(weights.tobytes())
    inside = _model(folder, "data", weights.shape)
    assert resgraph("infer", inside, tmp_path / "picture.png").returncode == 0


def _model(folder: Path, place: str, shape: tuple[int, ...]) -> Path:
    """Logits = flatten(x) W, with W in a file elsewhere."""
    weights = TensorProto(
        name="w",
        data_type=TensorProto.FLOAT,
        dims=shape,
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (("location", place), ("length", str(4 * int(np.prod(shape))))):
        weights.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["input"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        ],
        "elsewhere",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *SHAPE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 4])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path
