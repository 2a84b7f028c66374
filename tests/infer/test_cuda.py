"""What CUDA lacks, found out with drivers and libraries that are made here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import onnxruntime
import pytest

from resgraph.infer import cuda
from tests.helpers import printed
from tests.infer.common import model

DRIVER = """
int cuInit(unsigned flags) {{ return {init}; }}
int cuDeviceGetCount(int *count) {{ *count = {count}; return 0; }}
int cuDriverGetVersion(int *version) {{ *version = {version}; return 0; }}
"""
BUILT = getattr(onnxruntime, "cuda_version", "") or ""
MAJOR = int(BUILT.split(".")[0]) if BUILT else 0
NAMES = [*cuda._cuda_names(MAJOR), "libcudnn.so.9"]
TOLD = "from resgraph.infer import cuda; print(cuda.missing())"

needs_a_compiler = pytest.mark.skipif(
    not (sys.platform == "linux" and shutil.which("gcc") and MAJOR),
    reason="needs Linux, gcc and an onnxruntime built with CUDA",
)


def build(folder: Path, name: str, text: str = "") -> None:
    source = folder / "source.c"
    source.write_text(text)
    command = ["gcc", "-shared", "-o", folder / name, f"-Wl,-soname,{name}", source]
    subprocess.run(command, check=True)


def told(folder: Path, code: str = TOLD) -> str:
    """What a process says that finds these libraries first."""
    return printed(code, env={**os.environ, "LD_LIBRARY_PATH": str(folder)})


@needs_a_compiler
@pytest.mark.parametrize(
    ("init", "count", "version", "message"),
    [
        (100, 0, 0, "finds no device"),
        (0, 0, 0, "finds no device"),
        (803, 0, 0, "error 803 of cuInit"),
        (0, 1, 11040, "too old: it supports CUDA 11.4, and onnxruntime"),
    ],
)
def test_drivers(
    tmp_path: Path, init: int, count: int, version: int, message: str
) -> None:
    build(
        tmp_path,
        "libcuda.so.1",
        DRIVER.format(init=init, count=count, version=version),
    )
    assert message in told(tmp_path)


@needs_a_compiler
@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ([f"libcublas.so.{MAJOR}"], f"libcublas.so.{MAJOR} cannot be loaded"),
        (["libcudnn.so.9"], "cuDNN 9 is not there"),
        ([], "None"),
    ],
)
def test_libraries(tmp_path: Path, left_out: Sequence[str], message: str) -> None:
    text = DRIVER.format(init=0, count=1, version=99_000)
    build(tmp_path, "libcuda.so.1", text)
    for name in {*NAMES} - {*left_out}:
        build(tmp_path, name)
    said = told(tmp_path)
    if message != "None" and said == "None":
        pytest.skip("this machine has the library itself")
    assert message in said


@needs_a_compiler
def test_a_provider_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    """All is there by name, and nothing works: onnxruntime goes on with the CPU."""
    build(tmp_path, "libcuda.so.1", DRIVER.format(init=0, count=1, version=99_000))
    for name in NAMES:
        build(tmp_path, name)
    code = f"""
from resgraph import Classifier
from resgraph.diagnostics import ResgraphError
path = {str(model(tmp_path))!r}
made = Classifier(path)
print(made.provider, made.notes)
for options in ({{"device": "cuda"}}, {{"tf32": True}}):
    try:
        Classifier(path, **options)
    except ResgraphError as error:
        print(error)
"""
    first, second, third = told(tmp_path, code).splitlines()
    assert first.startswith("CPUExecutionProvider ('the GPU is not used: ")
    assert "cannot load its CUDA provider" in first
    assert "cannot load its CUDA provider" in second
    assert "TF32 needs CUDA" in third


def test_a_package_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPU"])
    lack = cuda.missing()
    assert lack is not None
    assert "is built without it" in lack.what
    assert "pip install onnxruntime-gpu" in lack.hint
