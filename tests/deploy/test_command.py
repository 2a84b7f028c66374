"""`resgraph export`: forms, targets and what it tells of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.cli.exporting import export_command
from resgraph.compiler import Compiler
from resgraph.data import load_data
from resgraph.emit.onnx_file import OnnxFile
from resgraph.graph import digest
from resgraph.infer import Classifier
from tests.deploy.networks import Drawn
from tests.helpers import ABOUT, SPECS, graph_of, refused


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as training leaves it, with weights that are drawn."""
    folder = tmp_path_factory.mktemp("run")
    spec = SPECS / "tiny.yaml"
    graph = graph_of(spec)
    text = Compiler().resolved(spec, alone=True)
    (folder / "spec.yaml").write_text(text, encoding="utf-8")
    about = {**ABOUT, "network": graph.name, "digest": digest(graph)}
    (folder / "run.json").write_text(json.dumps(about))
    draw = Drawn(3)
    tensors = {n: draw(n, w).astype(np.float32) for n, w in graph.tensors().items()}
    save_file(tensors, folder / "last.safetensors")
    return folder


def exported(
    run: Path, capsys: pytest.CaptureFixture[str], **options: Any
) -> dict[str, Any]:
    export_command(run, json=True, **options)
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_every_form_classifies(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forms = ["portable", "functions", "fp16", "bf16", "int8", "optimised"]
    told = exported(run, capsys, form=forms, out=tmp_path)
    assert list(told["forms"]) == forms
    assert {Path(file) for file in told["files"]} == set(tmp_path.iterdir())
    for form in forms:
        model = onnx.load(told["forms"][form][0], load_external_data=False)
        said = {p.key: p.value for p in model.metadata_props}.get("resgraph.form")
        assert said == (None if form == "portable" else form)
    assert told["forms"]["optimised"] == [
        (tmp_path / "tiny.optimised.onnx").as_posix(),
        (tmp_path / "tiny.onnx").as_posix(),
    ]
    against = told["against_float32"]
    assert against["images"] == "the first 360 test images of digits"
    assert 0 < against["fp16"]["mean"] < against["bf16"]["mean"] < 0.1
    assert against["fp16"]["changed"] <= 2
    assert 0 < against["int8"]["mean"] < 0.1 * against["int8"]["scale"]
    plain = (tmp_path / "tiny.onnx").read_bytes()
    for form in ("int8", "optimised"):  # what is made of it leaves it as it is
        exported(run, capsys, form=[form], out=tmp_path)
        assert (tmp_path / "tiny.onnx").read_bytes() == plain
    images = load_data("digits", (3, 16, 16)).test_images[:50]
    expected = Classifier(tmp_path / "tiny.onnx", "cpu").logits(images)
    for form in ("functions", "optimised"):
        classifier = Classifier(tmp_path / f"tiny.{form}.onnx", "cpu")
        found = classifier.logits(images)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        assert classifier.assumptions == ()


def test_targets_are_in_names_and_metadata(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = exported(run, capsys, target="cuda", out=tmp_path, report=True)
    (path,) = said["files"]
    assert path.endswith("tiny.cuda.onnx")
    model = onnx.load(path)
    metadata = {p.key: p.value for p in model.metadata_props}
    assert metadata["resgraph.target"] == "cuda"
    layers = [entry["layer"] for entry in json.loads(metadata["resgraph.folded"])]
    assert "conv1_bn1" in layers
    assert not [n for n in model.graph.node if n.op_type == "BatchNormalization"]
    assert (
        said["report"]["cuda"][0] == "stem_bn: folded into stem_conv before it (1 BN)"
    )
    told = refused(lambda: OnnxFile(Path(path)))
    assert "a network's cuda form" in told
    plain = exported(run, capsys, out=tmp_path)
    (path,) = plain["files"]
    keys = {p.key for p in onnx.load(path).metadata_props}
    assert not keys & {"resgraph.target", "resgraph.folded", "resgraph.form"}
    assert "report" not in plain


def test_the_command_tells_what_was_rounded_and_folded(
    run: Path, tmp_path: Path
) -> None:
    arguments = [
        "--form",
        "fp16",
        "--form",
        "int8",
        "--target",
        "cpu",
        "--report",
        "--out",
    ]
    result = CliRunner().invoke(app, ["export", str(run), *arguments, str(tmp_path)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].endswith("tiny.cpu.fp16.onnx")
    assert lines[1].startswith("fp16 against float32 on the first 360 test images")
    assert lines[2].endswith("tiny.int8.onnx")
    assert lines[3].startswith("int8 against float32 on the first 360 test images")
    assert lines.count("stage1.0.bn1: folded into conv1 before it (1 BN)") == 2
    assert lines.index("BNs, for cpu:") < lines.index("BNs, for integers:")
    assert lines[-1].startswith("next: resgraph infer ")


def test_without_the_data_noise_compares(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = str(tmp_path / "gone")
    told = exported(run, capsys, form=["fp16"], data=gone, out=tmp_path)
    assert told["against_float32"]["images"] == "256 images of noise"
    assert "gone" in refused(lambda: export_command(run, form=["int8"], data=gone))


def test_mistakes_come_before_any_work(run: Path) -> None:
    before = set(run.iterdir())
    told = refused(lambda: export_command(run, form=["portable", "fp61"]))
    assert "unknown form 'fp61' | did you mean" in told
    told = refused(lambda: export_command(run, target="gpu"))
    assert "unknown target 'gpu'" in told
    assert set(run.iterdir()) == before
