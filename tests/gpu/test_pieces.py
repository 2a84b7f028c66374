"""Files in pieces, and what is made of them on a machine without a network."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gpu import kit, pieces
from benchmarks.gpu.pieces import PiecesError, size_of


@given(contents=st.binary(max_size=200), size=st.integers(1, 250))
def test_pieces_make_the_file(
    tmp_path_factory: pytest.TempPathFactory, contents: bytes, size: int
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    (folder / "file").write_bytes(contents)
    made = pieces.split(folder / "file", folder / "carried", size)
    assert [p.stat().st_size for p in made[:-1]] == [size] * (len(made) - 1)
    assert all(p.stat().st_size <= size for p in made)
    assert pieces.names(folder / "carried") == ["file"]
    pieces.join(folder / "carried", "file", folder / "joined")
    assert (folder / "joined").read_bytes() == contents


@pytest.fixture
def carried(tmp_path: Path) -> Path:
    """`file` in three pieces."""
    (tmp_path / "file").write_bytes(bytes(range(250)))
    pieces.split(tmp_path / "file", tmp_path / "carried", 100)
    return tmp_path / "carried"


@pytest.mark.parametrize("number", range(3))
def test_a_piece_that_is_missing_is_named(carried: Path, number: int) -> None:
    (carried / f"file.00{number}").unlink()
    with pytest.raises(PiecesError, match=rf"not here yet: file\.00{number}$"):
        pieces.join(carried, "file", carried / "whole")
    assert not [*carried.glob("*whole*")]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("change", [b"", b"x", b"\0" * 100, b"\0" * 200])
def test_pieces_that_are_damaged_make_no_file(
    carried: Path, number: int, change: bytes
) -> None:
    (carried / f"file.00{number}").write_bytes(change)
    with pytest.raises(PiecesError, match="damaged"):
        pieces.join(carried, "file", carried / "whole")
    assert not [*carried.glob("*whole*")]


def test_fewer_pieces_leave_none_of_before(carried: Path) -> None:
    (carried.parent / "file").write_bytes(b"short")
    pieces.split(carried.parent / "file", carried, 100)
    assert sorted(p.name for p in carried.iterdir()) == ["file.000", "file.json"]


@pytest.mark.parametrize(
    ("text", "size"), [("7", 7), ("2K", 2048), ("55M", 55 << 20), ("1g", 1 << 30)]
)
def test_sizes(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "M", "0", "0M", "-1", "1.5M", "1T", "50 M"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="no size"):
        size_of(text)


# --- the kit --------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project's folder."""
    monkeypatch.chdir(tmp_path)
    kit.HOME.mkdir()
    return tmp_path


def test_a_run_is_packed_and_taken_in(machine: Path) -> None:
    """What resuming needs goes; what is of no use to it stays."""
    run = Path("elsewhere/resnet20")
    run.mkdir(parents=True)
    for name in ("run.json", "state.pt", "state.previous.pt", "best.safetensors"):
        (run / name).write_text(name)
    kit.packed(run, kit.PIECES, 3000)
    assert len([*kit.PIECES.glob("*.[0-9]*")]) > 1
    kit.take_in("run-resnet20.tar")
    taken = kit.RUNS / "resnet20"
    assert {f.name for f in taken.iterdir()} == {"run.json", "state.pt"}
    assert not [*kit.PIECES.iterdir()]


def test_a_run_that_is_here_stays(machine: Path) -> None:
    """It may be further than what was carried."""
    run = kit.RUNS / "resnet20"
    run.mkdir(parents=True)
    (run / "run.json").write_text("old")
    kit.packed(run, kit.PIECES, 10**6)
    (run / "run.json").write_text("new")
    with pytest.raises(PiecesError, match="remove it"):
        kit.take_in("run-resnet20.tar")
    assert (run / "run.json").read_text() == "new"


def test_a_wheel_is_installed_once(machine: Path) -> None:
    """For this project alone; a large one has come in pieces."""
    name = "tiny-1.0-py3-none-any.whl"
    about = "tiny-1.0.dist-info"
    with zipfile.ZipFile(name, "w") as wheel:
        wheel.writestr("tiny.py", "answer = 42\n")
        wheel.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{about}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{about}/RECORD", "")
    pieces.split(Path(name), kit.PIECES, 100)
    kit.take_in(name)
    whole = kit.WHEELS / name
    assert not kit.installed(whole)
    kit.unpack([whole])
    assert kit.installed(whole)
    assert (kit.SITE / "tiny.py").read_text() == "answer = 42\n"


def test_packages_have_the_versions_that_are_tested(root: Path) -> None:
    """By their names in any spelling; every package that the kit brings has one."""
    for package in (*kit.LACKING, *kit.TOO_OLD):
        assert "==" in kit.pinned(package)
    assert kit.pinned("Ruamel_yaml").lower().startswith("ruamel.yaml==")
    assert kit.pinned("unknown") == "unknown"
