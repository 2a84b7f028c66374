"""Whole files of every kind, small, from which hostile ones are made."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

SPEC = """resgraph: 1
title: Two units of four channels
units:
  body:
    params: [width]
    paths:
      F: {from: x, ops: [bn, relu, {conv: {kernel: 3, channels: width}}]}
      out: {from: [x, F], ops: [add]}
network:
  params: {classes: 10}
  input: [SHAPE]
  stem: [{conv: {kernel: 3, channels: 4}}]
  stages: [[{body: {width: 4}, repeat: 2}]]
  head: [bn, relu, global_avg_pool, {linear: {features: classes}}]
networks: {NAME: {}}
train: {recipe: he2016}
"""


class Materials:
    """Specs, generated files, models, weights, a run, pictures and data sets."""

    def __init__(self, folder: Path) -> None:
        from resgraph.compiler import Compiler
        from resgraph.emit import write
        from resgraph.emit.weights import drawn

        self.folder = folder
        (folder / "pyproject.toml").touch()
        (folder / "specs").mkdir()
        for name, shape in (("tiny", "3, 8, 8"), ("cifar", "3, 32, 32")):
            text = SPEC.replace("SHAPE", shape).replace("NAME", name)
            (folder / f"specs/{name}.yaml").write_text(text)
            graphs = Compiler().graphs(folder / f"specs/{name}.yaml")
            write(graphs, folder / "generated", lambda graph: drawn(0))
        self.spec = folder / "specs/tiny.yaml"
        self.source = folder / "generated/tiny.py"
        self.model = folder / "generated/tiny.onnx"
        self.cifar_model = folder / "generated/cifar.onnx"
        self._weights()
        self._pictures()
        self._data()
        self._run()

    def _weights(self) -> None:
        import torch
        from safetensors.torch import save_file

        from resgraph.train import load_generated

        torch.manual_seed(0)
        state = load_generated(self.source).build().state_dict()
        self.state = {name: tensor.clone() for name, tensor in state.items()}
        self.safetensors = self.folder / "tiny.safetensors"
        save_file(self.state, self.safetensors)
        self.checkpoint = self.folder / "tiny.pth"
        self.older = self.folder / "older.pth"
        torch.save(self.state, self.checkpoint)
        torch.save(self.state, self.older, _use_new_zipfile_serialization=False)

    def _pictures(self) -> None:
        self.pictures: dict[str, bytes] = {}
        for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
            file = io.BytesIO()
            Image.fromarray(pixels(1, 12)).save(file, kind)
            self.pictures[kind.lower()] = file.getvalue()

    def _data(self) -> None:
        from tests.data import official
        from tests.data.conftest import png, write

        for part in ("train", "test"):
            images = [png(pixels(i, 8)) for i in range(10)]
            write(self.folder / "parquet", part, images, list(range(10)))
            for label in range(10):
                place = self.folder / f"folders/{part}/class{label}"
                place.mkdir(parents=True)
                (place / "a.png").write_bytes(images[label])
        self.archives = self.folder / "archives"
        self.archives.mkdir()
        self.packed = {
            name: official.archive(self.archives, name).read_bytes()
            for name in official.FILES
            if "cifar-10-" in name
        }
        self.unpacked = official.unpacked(self.folder, "cifar-10-python.tar.gz")

    def _run(self) -> None:
        from resgraph.cli.running import train_here
        from resgraph.cli.tasks import Task
        from resgraph.origin import read_source
        from resgraph.train import TrainOptions

        self.run = self.folder / "run"
        options = TrainOptions(
            data=str(self.folder / "parquet"),
            device="cpu",
            iterations=4,
            batch=4,
            eval_every=2,
            checkpoint_every=2,
            log_every=1,
            out=self.run,
        )
        with contextlib.redirect_stdout(io.StringIO()):
            train_here(Task(read_source(self.source), options), json=True)

    def run_copy(self, folder: Path) -> Path:
        """The run, to be damaged."""
        shutil.copytree(self.run, folder / "run")
        return folder / "run"


def pixels(seed: int, size: int) -> np.ndarray:
    """[size, size, 3] of noise."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (size, size, 3), np.uint8)
