"""The whole way as a user walks it: spec, source, training, export, prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.conftest import ROOT
from tests.helpers import load
from tests.test_cli import resgraph

TINY = (ROOT / "tests" / "specs" / "tiny.yaml").read_text()
QUICK = ("--data", "digits", "--iterations", "40", "--batch", "64")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with a spec, its generated file and a finished short run."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "specs").mkdir()
    (folder / "specs" / "tiny.yaml").write_text(TINY)
    assert resgraph("compile", "specs/tiny.yaml", cwd=folder).returncode == 0
    result = resgraph(
        "train", "generated/tiny.py", *QUICK, "--out", "runs/tiny", cwd=folder
    )
    assert result.returncode == 0, result.stderr
    assert "run folder: runs/tiny" in result.stdout
    result = resgraph("export", "runs/tiny", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_the_run_folder_compiles_again(project: Path) -> None:
    result = resgraph("compile", "runs/tiny/spec.yaml", "--source-only", cwd=project)
    assert result.returncode == 0, result.stderr
    first = (project / "runs" / "tiny" / "tiny.py").read_text().splitlines()
    again = (project / "generated" / "tiny.py").read_text().splitlines()
    assert first[1:] == again[1:]
    resgraph("compile", "specs/tiny.yaml", "--source-only", cwd=project)


def test_the_model_computes_what_was_trained(project: Path) -> None:
    run = project / "runs" / "tiny"
    network = load(run / "tiny.py").Tiny()
    network.load_state_dict(load_file(run / "last.safetensors"))
    model = onnx.load(run / "tiny.onnx")
    metadata = {p.key: p.value for p in model.metadata_props}
    assert json.loads(metadata["resgraph.classes"]) == [str(d) for d in range(10)]
    mean, std = (
        json.loads(metadata["resgraph.mean"]),
        json.loads(metadata["resgraph.std"]),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    paths = []
    for i, image in enumerate(pixels):
        paths.append(f"picture{i}.png")
        Image.fromarray(image).save(project / paths[-1])
    result = resgraph("infer", "runs/tiny/tiny.onnx", *paths, "--json", cwd=project)
    assert result.returncode == 0, result.stderr
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255).double()
    shape = (1, 3, 1, 1)
    normal = (images - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    expected = network.double().eval()(normal.double()).softmax(1)
    for row, answer in zip(expected, json.loads(result.stdout)["images"], strict=True):
        best = answer["classes"][0]
        assert best["index"] == row.argmax().item()
        assert best["probability"] == pytest.approx(row.max().item(), abs=1e-5)


def test_test_error_agrees_with_training(project: Path) -> None:
    result = resgraph(
        "infer", "runs/tiny/tiny.onnx", "--data", "digits", "--json", cwd=project
    )
    measured = json.loads(result.stdout)
    about = json.loads((project / "runs" / "tiny" / "run.json").read_text())
    assert measured["test_error"] == pytest.approx(about["results"]["test_error"])
    assert measured["images"] == about["test_images"]
    shown = resgraph(
        "infer", "runs/tiny/tiny.onnx", "--data", "digits", "--show", "2", cwd=project
    ).stdout
    assert shown.startswith("test image 0, ")
    assert "CPUExecutionProvider" in shown


def test_unreadable_pictures_do_not_stop_the_rest(project: Path) -> None:
    (project / "broken.png").write_bytes(b"\x89PNG not really")
    Image.new("L", (5, 9)).save(project / "grey.png")
    result = resgraph(
        "infer", "runs/tiny/tiny.onnx", "broken.png", "grey.png", cwd=project
    )
    assert result.returncode == 1
    assert "grey.png: " in result.stdout
    assert "broken.png" in result.stderr


def test_best_weights_can_be_exported(project: Path) -> None:
    result = resgraph(
        "export", "runs/tiny", "--best", "--out", "best", "--json", cwd=project
    )
    assert json.loads(result.stdout)["weights"].endswith("best.safetensors")
    assert (project / "best" / "tiny.onnx").exists()


def test_trained_weights_can_be_compiled_in(project: Path) -> None:
    arguments = ("--weights", "runs/tiny/last.safetensors", "--out", "filled")
    assert (
        resgraph("compile", "specs/tiny.yaml", *arguments, cwd=project).returncode == 0
    )
    filled, exported = (
        {i.name: i.raw_data for i in onnx.load(path).graph.initializer}
        for path in (project / "filled/tiny.onnx", project / "runs/tiny/tiny.onnx")
    )
    assert filled == exported


def test_a_network_of_settings_can_be_trained_and_exported(project: Path) -> None:
    settings = ("--set", "depth=14", "--source-only")
    assert (
        resgraph("compile", "specs/tiny.yaml", *settings, cwd=project).returncode == 0
    )
    name = "tiny_depth14"
    short = ("--data", "digits", "--iterations", "2", "--out", "runs/deep")
    result = resgraph("train", f"generated/{name}.py", *short, cwd=project)
    assert result.returncode == 0, result.stderr
    result = resgraph("export", "runs/deep", cwd=project)
    assert result.returncode == 0, result.stderr
    assert (project / "runs" / "deep" / f"{name}.onnx").exists()


def test_a_stale_file_is_not_trained(project: Path, tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "generated").mkdir()
    changed = TINY.replace("ops: [add, relu]", "ops: [add]")
    (tmp_path / "specs" / "tiny.yaml").write_text(changed)
    text = (project / "generated" / "tiny.py").read_text()
    (tmp_path / "generated" / "tiny.py").write_text(text)
    result = resgraph("train", "generated/tiny.py", *QUICK, cwd=tmp_path)
    assert result.returncode == 1
    assert "changed since" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_training_without_the_spec_needs_it_for_export(
    project: Path, tmp_path: Path
) -> None:
    text = (project / "generated" / "tiny.py").read_text()
    (tmp_path / "alone.py").write_text(text)
    short = ("--data", "digits", "--iterations", "2", "--out", "run")
    result = resgraph("train", "alone.py", *short, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "--spec" in resgraph("export", "run", cwd=tmp_path).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "generated/tiny.py", "--data", "nowhere"], 1, "nowhere"),
        (["train", "generated/tiny.py", *QUICK, "--device", "tpu"], 2, "--device"),
        (
            ["train", "generated/tiny.py", *QUICK, "--out", "runs/tiny"],
            1,
            "--overwrite",
        ),
        (["export", "generated"], 1, "not a run folder"),
        (["infer", "runs/tiny/tiny.onnx"], 2, "name pictures"),
        (["infer", "runs/tiny/tiny.onnx", "absent.png"], 1, "absent.png"),
        (["infer", "specs/tiny.yaml", "absent.png"], 1, "not an ONNX model"),
        (["infer", "runs/tiny", "absent.png"], 2, "folder"),
    ],
)
def test_mistakes(project: Path, arguments: list[str], code: int, message: str) -> None:
    result = resgraph(*arguments, cwd=project)
    assert result.returncode == code, result.stderr
    assert message in result.stderr
