"""Files that are whole, and of which something is absurd: structure, sizes, types, names."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from onnx import TensorProto, numpy_helper
from PIL import Image

from tests.data import official
from tests.fuzz.damage import NAMES, damaged, name
from tests.fuzz.materials import Materials

NUMBERS = (
    0,
    -1,
    0.5,
    1e300,
    -1e300,
    float("nan"),
    float("inf"),
    2**63,
    10**400,
    True,
    None,
)
"""As JSON and pickle have them, where another number should be."""


def value(random: Random, depth: int = 3) -> Any:
    """Any value that JSON has."""
    kind = random.randrange(8 if depth else 4)
    if kind < 2:
        return random.choice(NUMBERS)
    if kind < 4:
        return name(random)
    if kind < 6:
        return [value(random, depth - 1) for _ in range(random.choice((0, 1, 3, 40)))]
    return {name(random): value(random, depth - 1) for _ in range(random.randrange(4))}


def json_text(random: Random) -> str:
    """JSON, or nearly: too deep, too long, of other types."""
    return random.choice(
        (
            lambda: "[" * 100_000,
            lambda: "[" * 100_000 + "]" * 100_000,
            lambda: '{"a":' * 50_000 + "1" + "}" * 50_000,
            lambda: "1" * 10_000,
            lambda: "[" + "1" * 400 + ", 0.5, 0.5]",
            lambda: "[0.5, 0.5, 1e999]",
            lambda: "[NaN, Infinity, -Infinity]",
            lambda: json.dumps(value(random)),
            lambda: json.dumps([name(random) for _ in range(10)]),
            lambda: json.dumps([random.choice(NUMBERS) for _ in range(3)]),
            lambda: "",
            lambda: '"\\ud800"',
        )
    )()


# --- weights ------------------------------------------------------------------------------


def tensors(random: Random, state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """A state_dict in which something is not as it should be."""
    changed: dict[str, Any] = dict(state)
    key = random.choice(sorted(changed))
    tensor = changed[key]
    floating = tensor if tensor.is_floating_point() else tensor.float()
    flat = floating.clone().reshape(-1)
    flat[0] = random.choice((float("nan"), float("inf"), -float("inf")))
    changed[key] = random.choice(
        (
            lambda: flat.reshape(tensor.shape),
            lambda: floating.double() * 1e300,
            lambda: floating.to(torch.complex64),
            lambda: floating.half(),
            lambda: floating.bfloat16(),
            lambda: floating.to(torch.int8),
            lambda: floating.bool(),
            lambda: floating.to(torch.float8_e4m3fn),
            lambda: floating.reshape(-1),
            lambda: floating.reshape(-1)[:0],
            lambda: torch.zeros(()),
        )
    )()
    if random.random() < 0.3:
        changed[name(random)] = changed.pop(key)
    return changed


def safetensors(random: Random, materials: Materials) -> bytes:
    from safetensors.torch import save

    if random.random() < 0.5:
        try:
            return save(
                {k: v.contiguous() for k, v in tensors(random, materials.state).items()}
            )
        except Exception:  # names that the format itself refuses
            return b""
    data = materials.safetensors.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    entry = header[random.choice(sorted(header))]
    random.choice(
        (
            lambda: entry.update(dtype=value(random)),
            lambda: entry.update(shape=[2**40, 2**40]),
            lambda: entry.update(shape=value(random)),
            lambda: entry.update(data_offsets=[0, 2**62]),
            lambda: entry.update(data_offsets=value(random)),
            lambda: header.update(__metadata__=value(random)),
            lambda: header.update(__metadata__={"resgraph.sha256": name(random)}),
            lambda: header.update({name(random): entry}),
            lambda: header.clear(),
        )
    )()
    text = random.choice((json.dumps(header), json.dumps(header), json_text(random)))
    raw = text.encode("utf-8", "surrogatepass")
    size = random.choice((len(raw), len(raw), 2**62, 2**24, 0))
    return struct.pack("<Q", size) + raw + data[8 + length :]


class Asking:
    """Pickled, a call."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


def checkpoint(random: Random, materials: Materials) -> bytes:
    state = materials.state
    first = state[sorted(state)[0]]
    made: Any = random.choice(
        (
            lambda: tensors(random, state),
            lambda: {**state, "m": first.to("meta")},
            lambda: {k: v.to("meta") for k, v in state.items()},
            lambda: {**state, sorted(state)[0]: first.to_sparse()},
            lambda: {
                **state,
                sorted(state)[0]: torch.quantize_per_tensor(
                    first.float(), 0.1, 0, torch.qint8
                ),
            },
            lambda: {**state, sorted(state)[0]: torch.zeros(1).expand(2**33)},
            lambda: {"state_dict": value(random)},
            lambda: value(random),
            lambda: {name(random): v for v in state.values()},
            lambda: {"model": {"state_dict": tensors(random, state)}},
            lambda: Asking(bytearray, 2**32),
            lambda: {**state, "x": Asking(print, "ran")},
            lambda: [state] * 3,
        )
    )()
    file = io.BytesIO()
    torch.save(made, file, _use_new_zipfile_serialization=random.random() < 0.7)
    data = file.getvalue()
    return _rezipped(random, data) if random.random() < 0.3 else data


def _rezipped(random: Random, data: bytes) -> bytes:
    """As another zip archive: compressed, with bombs, with other names."""
    out = io.BytesIO()
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return data
    kind = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(out, "w", kind) as new,
    ):
        for entry in old.namelist():
            contents = old.read(entry)
            if random.random() < 0.2:
                contents = random.choice(
                    (
                        bytes(2**27),
                        b"",
                        damaged(random, contents),
                        hostile_pickle(random),
                    )
                )
            new.writestr(entry, contents)
    return out.getvalue()


def hostile_pickle(random: Random) -> bytes:
    """A pickle whose unpickler would want much, or call something."""
    start = b"\x80" + bytes([random.choice((2, 3, 4, 5))])
    return random.choice(
        (
            lambda: start + b"Nr" + struct.pack("<I", random.getrandbits(32)) + b".",
            lambda: start + b"Np%d\n." % random.getrandbits(40),
            lambda: start + b"\x8e" + struct.pack("<Q", random.getrandbits(40)) + b"x.",
            lambda: start + b"\x96" + struct.pack("<Q", random.getrandbits(40)) + b"x.",
            lambda: start + b"\x8b" + struct.pack("<i", 2**28) + b"x.",
            lambda: start + b"(" * 100_000 + b".",
            lambda: start + b"]" * 50_000 + b"a" * 49_999 + b".",
            lambda: start + b"cbuiltins\nbytearray\n\x8a\x05\0\0\0\0\4\x85R.",
            lambda: start + b"cos\nsystem\nX\2\0\0\0:;\x85R.",
            lambda: start + b"c" + name(random).encode("utf-8", "replace") + b"\nx\n.",
            lambda: pickle.dumps(value(random)),
            lambda: b"(" + b"I" + b"9" * 5000 + b"\n.",
            lambda: start + b"]" + b"(h\0h\0h\0e" * 50 + b".",
            lambda: damaged(random, official.cifar10_python()["data_batch_1"]),
        )
    )()


# --- ONNX ---------------------------------------------------------------------------------


def model(random: Random, materials: Materials) -> bytes:
    """resgraph's own model with something absurd in it."""
    made = onnx.load(materials.model)
    random.choice((_metadata, _metadata, _initializer, _external, _interface, _nodes))(
        random, made
    )
    data = made.SerializeToString()
    if random.random() < 0.2:  # a name that is no UTF-8
        data = data.replace(b"conv", b"\xff\xfeon")
    return data


def _metadata(random: Random, made: onnx.ModelProto) -> None:
    keys = ("network", "digest", "classes", "mean", "std", "form", "target", "machine")
    for key in random.sample(keys, random.choice((1, 1, 2))):
        kept = [p for p in made.metadata_props if p.key != f"resgraph.{key}"]
        text = random.choice((json_text, name))(random)
        del made.metadata_props[:]
        made.metadata_props.extend(kept)
        safe = text.encode("utf-8", "replace").decode()
        made.metadata_props.add(key=f"resgraph.{key}", value=safe)


def _initializer(random: Random, made: onnx.ModelProto) -> None:
    tensor = random.choice(made.graph.initializer)
    array = numpy_helper.to_array(tensor)
    kinds = (np.float16, np.float64, np.int64, np.complex64)
    other = numpy_helper.from_array(array.astype(random.choice(kinds)), tensor.name)
    random.choice(
        (
            lambda: tensor.dims.append(2**40),
            lambda: tensor.ClearField("raw_data"),
            lambda: setattr(tensor, "raw_data", tensor.raw_data[:-1]),
            lambda: setattr(tensor, "data_type", random.randrange(30)),
            lambda: tensor.CopyFrom(other),
            lambda: setattr(tensor, "name", _text(random)),
            lambda: made.graph.initializer.append(tensor),
            lambda: made.graph.initializer.remove(tensor),
        )
    )()


def _external(random: Random, made: onnx.ModelProto) -> None:
    tensor = random.choice(made.graph.initializer)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    places = (
        "../tiny.pth",
        "/etc/passwd",
        "data",
        "pipe",
        "sparse",
        ".",
        "x" * 5000,
        "",
    )
    tensor.external_data.add(key="location", value=random.choice(places))
    for key in ("offset", "length"):
        if random.random() < 0.6:
            number = random.choice((0, 8, -1, 2**40, 2**70, "x"))
            tensor.external_data.add(key=key, value=str(number))


def _interface(random: Random, made: onnx.ModelProto) -> None:
    which = random.choice((made.graph.input, made.graph.output))
    whole = which[0].type.tensor_type
    random.choice(
        (
            lambda: setattr(
                whole.shape.dim[1], "dim_value", random.choice((0, -1, 2**40))
            ),
            lambda: setattr(
                whole.shape.dim[-1], "dim_value", random.choice((0, 2**31))
            ),
            lambda: whole.shape.dim.add(dim_value=3),
            lambda: whole.ClearField("shape"),
            lambda: setattr(whole, "elem_type", random.randrange(30)),
            lambda: setattr(which[0], "name", _text(random)),
            lambda: which.remove(which[0]),
            lambda: which.append(which[0]),
        )
    )()


def _nodes(random: Random, made: onnx.ModelProto) -> None:
    nodes = made.graph.node
    node = random.choice(nodes)
    random.choice(
        (
            lambda: setattr(
                node, "op_type", random.choice(("Loop", "If", _text(random)))
            ),
            lambda: setattr(node, "name", _text(random)),
            lambda: setattr(node, "domain", _text(random)),
            lambda: node.input.append(_text(random)),
            lambda: node.input.append(node.output[0]),
            lambda: node.ClearField("input"),
            lambda: node.ClearField("output"),
            lambda: node.ClearField("attribute"),
            lambda: nodes.remove(node),
            lambda: nodes.append(node),
            lambda: node.attribute.add(
                name=_text(random), type=random.randrange(1, 12)
            ),
            lambda: made.graph.ClearField("node"),
            lambda: made.opset_import.add(
                domain="", version=random.choice((0, 99, -1))
            ),
            lambda: setattr(made, "ir_version", random.choice((0, 2, 10**6))),
        )
    )()


def _text(random: Random) -> str:
    return name(random).encode("utf-8", "replace").decode()


# --- pictures and data --------------------------------------------------------------------


def picture(random: Random, materials: Materials) -> bytes:
    """A picture that is far larger than its file, of a rare mode, or with odd remarks."""
    from PIL.PngImagePlugin import PngInfo

    def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    remarks = PngInfo()
    remarks.add_text("Comment", "x" * 1000, zip=True)
    mode = random.choice(("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "CMYK"))
    small = Image.new(mode, random.choice(((1, 1), (1, 400), (30, 20))))
    kinds = {"CMYK": ("TIFF", "JPEG"), "I": ("TIFF",), "I;16": ("PNG", "TIFF")}
    return random.choice(
        (
            lambda: saved(Image.new("1", (9000, 9000)), "PNG"),
            lambda: saved(Image.new("1", (9000, 9000)), "TIFF", compression="group4"),
            lambda: saved(small, random.choice(kinds.get(mode, ("PNG", "TIFF")))),
            lambda: saved(Image.new("RGB", (4, 4)), "PNG", pnginfo=remarks),
            lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
            lambda: b"P6\n99999 99999\n255\n",
            lambda: (
                b"BM"
                + struct.pack("<IHHIIiiHHI", 99, 0, 0, 54, 40, 2**30, 2**30, 1, 24, 0)
            ),
        )
    )()


def parquet(random: Random, materials: Materials) -> bytes:
    """A table of other types, many rows, large rows, hostile names of columns and classes."""
    rows = random.choice((0, 1, 10, 10, 300))
    png = materials.pictures["png"]
    image: Any = random.choice(
        (
            lambda: pa.array([{"bytes": png, "path": None}] * rows),
            lambda: pa.array([png] * rows, pa.binary()),
            lambda: pa.array([bytes(2**20)] * rows, pa.binary()),
            lambda: pa.array([name(random).encode("utf-8", "replace")] * rows),
            lambda: pa.nulls(rows, pa.binary()),
            lambda: pa.array([[png]] * rows),
            lambda: pa.array([1.5] * rows),
            lambda: pa.nulls(rows),
        )
    )()
    label: Any = random.choice(
        (
            lambda: pa.array([random.randrange(10) for _ in range(rows)]),
            lambda: pa.array([0] * rows, pa.int8()),
            lambda: pa.array([-1] * rows),
            lambda: pa.array([2**62] * rows),
            lambda: pa.array(["x" * 10_000] * rows),
            lambda: pa.array([[1]] * rows, pa.list_(pa.int64())),
            lambda: pa.nulls(rows, pa.int64()),
        )
    )()
    columns = {"img": image, "label": label}
    if random.random() < 0.2:
        columns = {_text(random) or "x": image, "label": label}
    table = pa.table(columns)
    features = {"label": {"names": [name(random) for _ in range(10)]}}
    about = random.choice(
        (json.dumps({"info": {"features": features}}), json_text(random))
    )
    table = table.replace_schema_metadata(
        {b"huggingface": about.encode("utf-8", "replace")}
    )
    file = io.BytesIO()
    pq.write_table(
        table,
        file,
        use_dictionary=random.random() < 0.5,
        compression=random.choice(("none", "snappy", "zstd", "gzip")),
        data_page_size=random.choice((2**10, 2**20, 2**30)),
        row_group_size=random.choice((1, 7, 1000)),
    )
    return file.getvalue()


def archive(random: Random, materials: Materials) -> bytes:
    """A tar archive with strange members."""
    file = io.BytesIO()
    kind = random.choice(("w", "w:gz"))
    files = official.cifar10_python()
    with tarfile.open(fileobj=file, mode=kind) as made:  # type: ignore[call-overload]
        for member_name, contents in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{member_name}")
            if random.random() < 0.15:
                member.name = _text(random).replace("\0", "") or "x"
            if random.random() < 0.1:
                member.type = random.choice(
                    (b"1", b"2", b"3", b"5", b"6", b"S", b"x", b"L")
                )
                member.linkname = "/etc/passwd"
            if random.random() < 0.15:
                contents = random.choice(
                    (lambda: hostile_pickle(random), lambda: b"", lambda: bytes(2**24))
                )()
            member.size = len(contents)
            made.addfile(member, io.BytesIO(contents))
    return file.getvalue()


def places(folder: Path) -> None:
    """What lies beside a hostile file, for it to refer to."""
    import os

    (folder / "data").write_bytes(bytes(1000))
    os.mkfifo(folder / "pipe")
    with (folder / "sparse").open("wb") as file:
        file.truncate(2**32)


ODD_NAMES = tuple(
    n for n in NAMES if n and not {"/", "\0", "\ud800"} & {*n} and len(n) < 200
)
"""Those that a file can have."""
