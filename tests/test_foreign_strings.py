"""Names that would steer a terminal, planted wherever a file has names; commands are run."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from resgraph.cli.terminal import Guarded, console, guarded, harmless
from tests.fuzz.command import Ended, ended
from tests.fuzz.hostile import ODD_NAMES
from tests.fuzz.materials import Materials
from tests.fuzz.target import Outcome, contained

Plant = Callable[[Materials, Path, str], list[str]]
"""Writes files in which something is called so; the command that reads them."""


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Materials]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield Materials(tmp_path_factory.mktemp("materials"))


def class_folder(m: Materials, folder: Path, odd: str) -> list[str]:
    for part in ("train", "test"):
        for number in range(10):
            place = folder / f"set/{part}/{odd}{number}"
            place.mkdir(parents=True)
            (place / f"{odd}.png").write_bytes(m.pictures["png"])
    return ["infer", str(m.model), "--data", "set"]


def picture(m: Materials, folder: Path, odd: str) -> list[str]:
    (folder / f"{odd}.png").write_bytes(m.pictures["png"])
    (folder / f"{odd}.bad.png").write_bytes(b"none")
    return ["infer", str(m.model), "."]


def data_folder(m: Materials, folder: Path, odd: str) -> list[str]:
    (folder / odd).symlink_to(m.folder / "parquet")
    return ["infer", str(m.model), "--data", odd, "--json"]


def columns(m: Materials, folder: Path, odd: str) -> list[str]:
    table = pa.table({text(odd): ["x"], "label": [0]})
    (folder / "set").mkdir()
    for part in ("train", "test"):
        pq.write_table(table, folder / f"set/{part}.parquet")
    return ["infer", str(m.model), "--data", "set"]


def classes_of_parquet(m: Materials, folder: Path, odd: str) -> list[str]:
    (folder / "set").mkdir()
    names = [f"{odd}{number}" for number in range(10)]
    about = json.dumps({"info": {"features": {"label": {"names": names}}}})
    for part in ("train", "test"):
        table = pq.read_table(m.folder / f"parquet/{part}.parquet")
        table = table.replace_schema_metadata({"huggingface": about})
        pq.write_table(table, folder / f"set/{part}.parquet")
    return ["infer", str(m.model), "--data", "set"]


def tensors(m: Materials, folder: Path, odd: str) -> list[str]:
    torch.save({f"{odd}.weight": torch.ones(2)}, folder / "w.pth")
    return ["import-weights", str(m.source), "--from", "w.pth", "--out", "out/w"]


def weights(m: Materials, folder: Path, odd: str) -> list[str]:
    from safetensors.torch import save_file

    save_file({text(odd): torch.ones(2)}, folder / f"{text(odd)}.safetensors")
    path = f"{text(odd)}.safetensors"
    return ["compile", str(m.spec), "--weights", path, "--out", "out"]


def classes_of_model(m: Materials, folder: Path, odd: str) -> list[str]:
    made = onnx.load(m.model)
    names = json.dumps([f"{odd}{number}" for number in range(10)])
    made.metadata_props.add(key="resgraph.classes", value=names)
    onnx.save(made, folder / "m.onnx")
    (folder / "a.png").write_bytes(m.pictures["png"])
    return ["infer", "m.onnx", "a.png"]


def input_of_model(m: Materials, folder: Path, odd: str) -> list[str]:
    made = onnx.load(m.model)
    made.graph.input[0].name = text(odd)
    onnx.save(made, folder / "m.onnx")
    (folder / "a.png").write_bytes(m.pictures["png"])
    return ["infer", "m.onnx", "a.png"]


def network_of_model(m: Materials, folder: Path, odd: str) -> list[str]:
    made = onnx.load(m.model)
    for pair in made.metadata_props:
        pair.value = text(odd) if pair.key == "resgraph.network" else pair.value
    onnx.save(made, folder / "m.onnx")
    return ["verify", "m.onnx", "--spec", str(m.spec)]


def no_such_command(m: Materials, folder: Path, odd: str) -> list[str]:
    return [f"x{odd}"]


def text(odd: str) -> str:
    """As UTF-8 can have it."""
    return odd.encode("utf-8", "replace").decode()


PLANTS: tuple[Plant, ...] = (
    *(class_folder, picture, data_folder, columns, classes_of_parquet, tensors),
    *(weights, classes_of_model, input_of_model, network_of_model, no_such_command),
)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_no_name_steers_a_terminal(
    materials: Materials, tmp_path: Path, plant: Plant
) -> None:
    for number, odd in enumerate(ODD_NAMES):
        folder = tmp_path / str(number)
        folder.mkdir()
        command = plant(materials, folder, odd)

        def attack(command: list[str] = command, folder: Path = folder) -> Outcome:
            found: Ended = ended(command, folder)  # which raises Fault
            return Outcome(plant.__name__, f"{found.code} {found.text}")

        outcome = contained(attack)
        assert not outcome.fault, outcome.fault
        assert outcome.verdict.strip("0 ")


# --- the border itself ----------------------------------------------------------------


@pytest.mark.parametrize("odd", ODD_NAMES)
def test_what_is_forgotten_elsewhere_stops_here(
    odd: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with guarded():
        print(f"a {odd} b")
        sys.stderr.write(f"{odd}\n")
        console().print(f"{odd}", markup=False)
        console(stderr=True).print([odd], markup=False)
    for shown in capfd.readouterr():
        assert all(c.isprintable() or c in "\n\t" for c in shown)


def test_colours_are_ours_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """On a terminal the words error and hint are coloured, and nothing else is."""
    from resgraph.cli.common import tell
    from resgraph.diagnostics import ResgraphError

    class Terminal(Guarded):
        def isatty(self) -> bool:
            return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", Terminal(sys.stderr))
        tell(ResgraphError("\x1b[2Jgone", "\x1b]0;x\x07"))
    shown = capfd.readouterr().err
    assert re.findall(r"\x1b\[[0-9;]*m", shown) == [
        "\x1b[1;31m",
        "\x1b[0m",
        "\x1b[32m",
        "\x1b[0m",
    ]
    assert "\x1b[2J" not in shown
    assert "\x07" not in shown


def test_harmless_text_is_as_it_was() -> None:
    whole = "a line\n\ttab, é, 漢字, ─┐\n"
    assert harmless(whole) == whole


def test_a_guard_that_is_let_go_closes_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for _ in range(3):
        with guarded():
            print("x")
    print("y")
    assert capfd.readouterr().out == "x\nx\nx\ny\n"
