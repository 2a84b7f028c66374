"""Small files that declare, or unpack to, more than memory: refused, and before it is taken."""

from __future__ import annotations

import io
import os
import pickle
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from resgraph.data import load_data
from resgraph.data.pictures import read_picture
from resgraph.diagnostics import ResgraphError
from resgraph.emit.onnx_file import OnnxFile
from resgraph.infer import Classifier
from resgraph.limits import READ_VARIABLE
from resgraph.seal import unsealed
from resgraph.verify.foreign import read_weights
from tests.data import official
from tests.data.conftest import pixels, png, write
from tests.fuzz.target import Fault, Outcome, contained
from tests.infer.common import model

ALLOWANCE = 160 * 2**20
"""Bytes that refusing may take beside the file: Python's own, and one piece of it."""
SHAPE = (3, 32, 32)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def refusal(read: Callable[[], object], allowance: int = ALLOWANCE) -> str:
    """What is told of it; it must be, with little more memory than before."""

    def attack() -> Outcome:
        try:
            read()
        except ResgraphError as error:
            return Outcome("bomb", f"{error.message} | {error.hint}")
        raise Fault("it was read")

    before = contained(lambda: Outcome("nothing", "done")).peak
    found = contained(attack)
    assert not found.fault, found.fault
    assert found.peak - before < allowance, f"{(found.peak - before) >> 20} MiB"
    return found.verdict


# --- pickles ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # nine bytes that want 16 GiB of places
        b"\x80\x02N" + b"p2147483647\n" + b".",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x04\x96" + struct.pack("<Q", 2**36) + b"x.",
        b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b"x.",
        b"\x80\x02" + b"]" * (2**20 + 10) + b".",
        b"\x80\x04(" + b"K\x01" * 2**20 + b"l.",
    ],
)
def test_pickles(tmp_path: Path, data: bytes) -> None:
    folder = official.unpacked(tmp_path, "cifar-10-python.tar.gz", data_batch_2=data)
    told = refusal(lambda: load_data(folder, SHAPE))
    assert told.startswith("cifar10, data_batch_2: it")


def test_a_text_that_is_encoded_again_and_again(tmp_path: Path) -> None:
    text = "x" * 2**20
    encode = b"c_codecs\nencode\nq\x00"
    data = b"\x80\x02" + encode + b"X" + struct.pack("<I", len(text)) + text.encode()
    data += b"q\x01X\x06\x00\x00\x00latin1q\x02" + b"]"
    data += b"(" + b"h\x00h\x01h\x02\x86R" * 5000 + b"e."
    folder = official.unpacked(tmp_path, "cifar-10-python.tar.gz", data_batch_2=data)
    assert "more bytes than it has" in refusal(lambda: load_data(folder, SHAPE))


# --- archives -----------------------------------------------------------------------------


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member, contents in members:
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    return path


def test_a_name_of_many_megabytes(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.type = tarfile.XHDTYPE
    path = tar(tmp_path / "cifar-10-binary.tar.gz", (member, bytes(300 * 2**20)))
    assert path.stat().st_size < 2**20
    assert "64.0 KiB are allowed" in refusal(lambda: load_data(path, SHAPE))


def test_a_gzip_of_zeros(tmp_path: Path) -> None:
    members = [(tarfile.TarInfo(f"{n}"), bytes(2**27)) for n in range(5)]
    path = tar(tmp_path / "cifar-10-binary.tar.gz", *members)
    assert "512.0 MiB are allowed" in refusal(lambda: load_data(path, SHAPE))


# --- parquet ------------------------------------------------------------------------------


def parquet(folder: Path, table: pa.Table, **options: object) -> Path:
    write(folder, "test", [png(pixels(0))], [0])
    pq.write_table(table, folder / "train.parquet", **options)
    assert (folder / "train.parquet").stat().st_size < 2**20
    return folder


def test_labels_that_are_a_hundred_million_zeros(tmp_path: Path) -> None:
    zeros = pa.array(np.zeros(2**25, np.int64))
    table = pa.table({"img": pa.nulls(2**25, pa.binary()), "label": zeros})
    folder = parquet(tmp_path / "set", table)
    told = refusal(lambda: load_data(folder, (3, 8, 8)))
    assert "declares 33,554,432 rows" in told


@pytest.mark.parametrize("dictionary", [True, False])
def test_pictures_of_zeros(tmp_path: Path, dictionary: bool) -> None:
    image = pa.array([bytes(2**20)] * 600)
    table = pa.table({"img": image, "label": pa.array([0] * 600)})
    folder = parquet(
        tmp_path / "set",
        table,
        use_dictionary=dictionary,
        compression="zstd",
        data_page_size=2**30,
    )
    told = refusal(lambda: load_data(folder, (3, 8, 8)), ALLOWANCE)
    assert (
        "row 0: it is no picture" in told
        or "1 page of 'img'" in told
        or ("a page of 'img': 600.0 MiB declared, and 512.0 MiB are allowed" in told)
    )


def test_pictures_that_share_their_beginnings(tmp_path: Path) -> None:
    table = pa.table({"img": pa.array([bytes(2**20)] * 99), "label": [0] * 99})
    encodings = {"img": "DELTA_BYTE_ARRAY"}
    options = {"use_dictionary": False, "column_encoding": encodings}
    folder = parquet(tmp_path / "set", table, compression="zstd", **options)
    assert "DELTA_BYTE_ARRAY" in refusal(lambda: load_data(folder, (3, 8, 8)))


def test_a_label_that_wants_a_billion_classes(tmp_path: Path) -> None:
    image = png(pixels(0))
    write(tmp_path / "set", "train", [image] * 2, [0, 2**31 - 1])
    write(tmp_path / "set", "test", [image], [0])
    told = refusal(lambda: load_data(tmp_path / "set", (3, 8, 8)))
    assert "whole number" in told


# --- checkpoints --------------------------------------------------------------------------


def saved(folder: Path) -> Path:
    torch.save({"a": torch.ones(3)}, folder / "a.pth")
    return folder / "a.pth"


def repacked(path: Path, kind: int, **changed: bytes) -> Path:
    out = path.with_name("changed.pth")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", kind) as new:
        for name in old.namelist():
            end = name.partition("/")[2].replace("/", "_").replace(".", "_")
            new.writestr(name, changed.get(end, old.read(name)))
    return out


def test_a_compressed_checkpoint(tmp_path: Path) -> None:
    path = repacked(saved(tmp_path), zipfile.ZIP_DEFLATED, data_0=bytes(2**29))
    told = refusal(lambda: read_weights(path))
    assert (
        "is compressed, and unpacks to 536,870,912 bytes" in told or "data.pkl" in told
    )


def test_a_checkpoint_that_declares_more_than_it_has(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02")
    data[place + 20 : place + 28] = struct.pack("<LL", 2**31, 2**31)
    path.write_bytes(data)
    assert "declare" in refusal(lambda: read_weights(path))


@pytest.mark.parametrize("older", [True, False])
def test_a_checkpoint_that_asks_for_a_bytearray(tmp_path: Path, older: bool) -> None:
    data = b"\x80\x02cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x04\x85R."
    path = tmp_path / "a.pth"
    if older:
        path.write_bytes(data)
    else:
        path = repacked(saved(tmp_path), zipfile.ZIP_STORED, data_pkl=data)
    assert "asks for bytearray" in refusal(lambda: read_weights(path))


# --- safetensors, ONNX, pictures ----------------------------------------------------------


def test_a_header_of_many_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    header = b"{" + b" " * (60 * 2**20) + b"}"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    for read in (unsealed, read_weights):
        told = refusal(lambda read=read: read(path))
        assert "its header: 60.0 MiB declared, and 32.0 MiB are allowed" in told
        assert f"{READ_VARIABLE}=4G" in told


def test_a_model_of_empty_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESGRAPH_READ_BYTES", "128M")
    path = tmp_path / "a.onnx"
    nodes = b"\x0a\x00" * (5 * 2**18)
    path.write_bytes(b"\x3a" + varint(len(nodes)) + nodes)
    for read in (OnnxFile, Classifier):
        told = refusal(lambda read=read: read(path), 2 * ALLOWANCE)
        assert "2.0 MiB are allowed" in told


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def external(folder: Path, **entries: str) -> Path:
    path = model(folder)
    made = onnx.load(path)
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(made.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"location": "../secret"}, "not in its own folder"),
        ({"location": "/etc/passwd"}, "not in its own folder"),
        ({"location": "link"}, "not in its own folder"),
        ({"location": "pipe"}, "no regular file"),
        ({"location": "gone"}, "no such file"),
        ({"location": "data", "length": str(2**40)}, "which has 100"),
        ({"location": "data", "offset": "-5"}, "which has 100"),
        ({"location": "data", "offset": "x"}, "no number"),
        ({"location": "sparse"}, "TiB declared"),
        ({"location": "n\0l"}, "not in its own folder"),
        ({"location": "x" * 5000}, "name too long"),
    ],
)
def test_tensors_in_other_files(
    tmp_path: Path, entries: dict[str, str], told: str
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(10_000))
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "data").write_bytes(bytes(100))
    os.mkfifo(folder / "pipe")
    sparse(folder / "sparse")
    path = external(folder, **entries)
    for read in (OnnxFile, Classifier):
        assert told in refusal(lambda read=read: read(path))


def sparse(path: Path) -> Path:
    """A file of a TiB that takes no room."""
    with path.open("wb") as file:
        file.truncate(2**40)
    return path


def test_an_input_and_an_output_beyond_all_bounds(tmp_path: Path) -> None:
    for shape in ((2**20, 2**20, 2), (2**40, 2**40, 2**40), (3, 2**14, 2**14)):
        path = pooled(tmp_path, [1, *shape], [1, shape[0]])
        assert "an image of" in refusal(lambda path=path: Classifier(path))
    path = pooled(tmp_path, ["N", 3, 8, 8], ["N", 0])
    assert "logits [N, classes], not" in refusal(lambda: Classifier(path))


def pooled(folder: Path, given: list[str | int], found: list[str | int]) -> Path:
    """A model without weights: logits are the input's channels, summed."""
    value = helper.make_tensor_value_info
    node = helper.make_node("GlobalAveragePool", ["input"], ["p"])
    flat = helper.make_node("Flatten", ["p"], ["logits"])
    graph = helper.make_graph(
        [node, flat],
        "pooled",
        [value("input", TensorProto.FLOAT, given)],
        [value("logits", TensorProto.FLOAT, found)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    made.ir_version = 10
    onnx.save(made, folder / "pooled.onnx")
    return folder / "pooled.onnx"


def test_pictures(tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "large.png")
    told = refusal(lambda: read_picture(tmp_path / "large.png", 3))
    assert "more than 89,478,485 pixels" in told


# --- any file -----------------------------------------------------------------------------


READERS: list[tuple[str, Callable[[Path], object]]] = [
    ("a.onnx", OnnxFile),
    ("a.onnx", Classifier),
    ("a.safetensors", unsealed),
    ("a.safetensors", read_weights),
    ("a.pth", read_weights),
    ("a.png", lambda path: read_picture(path, 3)),
    ("cifar-10-python.tar.gz", lambda path: load_data(path, SHAPE)),
]


@pytest.mark.parametrize(("name", "read"), READERS)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "sparse", "loop"])
def test_what_is_no_regular_file(
    tmp_path: Path, name: str, read: Callable[[Path], object], kind: str
) -> None:
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "sparse":
        sparse(path)
    else:
        path.symlink_to(path)
    told = refusal(lambda: read(path))
    if kind == "sparse":
        assert re.search("declared|larger than any|takes 1,099.5 GB", told)


def test_the_budget_may_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path)
    for small in ("1K", "1 KiB", "1024"):
        monkeypatch.setenv(READ_VARIABLE, small)
        with pytest.raises(ResgraphError, match=r"1.0 KiB are allowed"):
            read_weights(path)
    monkeypatch.setenv(READ_VARIABLE, "much")
    with pytest.raises(ResgraphError, match="is 'much', which is no size"):
        read_weights(path)
    monkeypatch.setenv(READ_VARIABLE, "1GiB")
    assert read_weights(path)["a"].tolist() == [1, 1, 1]


def test_a_pickle_of_today_is_read(tmp_path: Path) -> None:
    """The scan takes what Python writes."""
    value = {b"data": official.images(0), b"labels": [1, 2, 3, 4]}
    for protocol in (2, 3, 4):
        batches = dict.fromkeys(official.BATCHES, pickle.dumps(value, protocol))
        folder = official.unpacked(
            tmp_path / str(protocol), "cifar-10-python.tar.gz", **batches
        )
        assert len(load_data(folder, SHAPE).test_labels) == 4
