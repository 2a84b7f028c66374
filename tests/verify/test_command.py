"""`verify` and `import-weights` as users type them, rightly and wrongly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from resgraph.cli import app
from resgraph.diagnostics import ResgraphError
from tests.conftest import ROOT
from tests.helpers import SPECS
from tests.verify import foreign_nets

FOREIGN = "tests.verify.foreign_nets"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one's own: a spec, what is compiled from it, the foreign nets."""
    (tmp_path / "specs").mkdir()
    shutil.copy(ROOT / "specs/preact_basic.yaml", tmp_path / "specs")
    shutil.copy(ROOT / "specs/preact_bottleneck.yaml", tmp_path / "specs")
    monkeypatch.chdir(tmp_path)
    run("compile", "specs/preact_basic.yaml", "--network", "resnet20")
    return tmp_path


def run(*args: str, code: int = 0) -> str:
    """Run a command; its output, and on failure its error as text."""
    result = CliRunner().invoke(app, [*args], terminal_width=200)
    if isinstance(result.exception, ResgraphError):
        assert code == result.exception.exit_code
        return f"{result.exception.message} | {result.exception.hint}"
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output


def checks(*args: str, code: int = 0) -> dict[str, dict[str, Any]]:
    (outcome,) = json.loads(run("verify", *args, "--json", code=code))
    assert outcome["verified"] == (code == 0)
    return {check["check"]: check for check in outcome["checks"]}


def test_a_spec_a_source_and_a_model(folder: Path) -> None:
    names = [
        set(checks(*target))
        for target in (
            ("specs/preact_basic.yaml", "--network", "resnet20"),
            ("generated/resnet20.py",),
            ("generated/resnet20.onnx",),
        )
    ]
    assert len(names[0]) == 23
    assert names[0] == names[1] == names[2] - {"parameters: ONNX"}


def test_a_depth_of_ones_own_has_its_reference(folder: Path) -> None:
    found = checks(
        "specs/preact_basic.yaml", "--set", "depth=14", "--network", "resnet20"
    )
    assert "structure: by hand" in found


def test_a_spec_of_ones_own_is_compared_with_itself(root: Path) -> None:
    found = checks("tests/specs/tiny.yaml")
    assert "gradients: spec" in found
    assert "structure: by hand" not in found


def test_text_output(folder: Path) -> None:
    text = run("verify", "generated/resnet20.py", "--structure")
    assert "isomorphic, 71 ops" in text
    assert "resnet20: verified in" in text


def test_a_model_alone_finds_its_spec(folder: Path) -> None:
    (folder / "generated/resnet20.py").unlink()
    assert "parameters: ONNX" in checks("generated/resnet20.onnx")
    (folder / "elsewhere").mkdir()
    shutil.move(folder / "generated/resnet20.onnx", folder / "elsewhere/x.onnx")
    shutil.move(folder / "specs", folder / "there")
    told = run("verify", "elsewhere/x.onnx", code=1)
    assert "no spec builds the graph" in told
    assert "--spec SPEC" in told
    checks("elsewhere/x.onnx", "--spec", "there/preact_basic.yaml")


# --- damaged models ----------------------------------------------------------------------


def damaged(path: Path, damage: Any) -> None:
    model = onnx.load(str(path))
    damage(model.graph)
    onnx.save(model, str(path))


def node(graph: onnx.GraphProto, name: str) -> onnx.NodeProto:
    return next(n for n in graph.node if n.name == name)


def more_eps(graph: onnx.GraphProto) -> None:
    attribute = next(
        a for a in node(graph, "stage2.1.bn2").attribute if a.name == "epsilon"
    )
    attribute.f = 1e-2


def no_relu(graph: onnx.GraphProto) -> None:
    node(graph, "stage1.1.relu2").op_type = "Identity"


@pytest.mark.parametrize(
    ("damage", "first", "line"),
    [(more_eps, "stage2.1.bn2", "- bn"), (no_relu, "stage1.1.relu2", "- relu")],
)
def test_the_first_node_of_a_model_that_diverges(
    damage: Any, first: str, line: str, folder: Path
) -> None:
    damaged(folder / "generated/resnet20.onnx", damage)
    found = checks("generated/resnet20.onnx", code=1)
    check = found["ONNX on cpu, batch 1"]
    assert check["verdict"] == "failed"
    assert f"first at {first} (" in check["detail"]
    assert "before it" in check["detail"]
    place = check["place"]
    text = Path(place["file"]).read_text().splitlines()[place["line"] - 1]
    assert text.strip() == line


def test_a_model_with_another_weight_is_compared_on_that_weight(folder: Path) -> None:
    """Weights are the user's; what is verified is that model and module agree on them."""

    def other(graph: onnx.GraphProto) -> None:
        tensor = next(t for t in graph.initializer if t.name == "head_linear.bias")
        tensor.CopyFrom(
            numpy_helper.from_array(np.arange(10, dtype=np.float32), tensor.name)
        )

    damaged(folder / "generated/resnet20.onnx", other)
    checks("generated/resnet20.onnx")


def with_number(op: str, value: float) -> Any:
    """A damage that makes every ReLU another op, of x and a number in the file."""

    def change(graph: onnx.GraphProto) -> None:
        graph.initializer.append(numpy_helper.from_array(np.float32(value), "number"))
        for node in graph.node:
            if node.op_type == "Relu":
                node.op_type = op
                node.input.append("number")

    return change


def shifted(graph: onnx.GraphProto) -> None:
    """Another number is added to each channel of the input."""
    shift = np.array([0, 0, 0.1], np.float32).reshape(1, 3, 1, 1)
    graph.initializer.append(numpy_helper.from_array(shift, "shift"))
    first = next(node for node in graph.node if node.op_type == "Conv")
    graph.node.insert(0, onnx.helper.make_node("Add", ["input", "shift"], ["moved"]))
    first.input[0] = "moved"


def renamed(graph: onnx.GraphProto) -> None:
    """A weight that goes through an Identity, and nodes without names."""
    first = next(node for node in graph.node if node.op_type == "Conv")
    graph.node.insert(0, onnx.helper.make_node("Identity", [first.input[1]], ["same"]))
    first.input[1] = "same"
    for node in graph.node:
        node.name = ""


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (with_number("Clip", 0.0), 0),
        (with_number("Max", 0.0), 0),
        (with_number("Max", 0.001), 1),
        (renamed, 0),
        (shifted, 1),
    ],
)
def test_a_model_that_another_tool_has_changed(
    change: Any, code: int, folder: Path
) -> None:
    """Numbers in the file are no parameters; what they do counts."""
    damaged(folder / "generated/resnet20.onnx", change)
    found = checks("generated/resnet20.onnx", code=code)
    assert found["structure: ONNX"]["verdict"] == ("failed" if code else "passed")


def test_a_model_with_another_output(folder: Path) -> None:
    def softmax(graph: onnx.GraphProto) -> None:
        graph.node.append(onnx.helper.make_node("Softmax", ["logits"], ["shares"]))
        graph.output[0].name = "shares"

    damaged(folder / "generated/resnet20.onnx", softmax)
    told = run("verify", "generated/resnet20.onnx", code=1)
    assert "has no output 'logits', as resnet20 has: shares" in told


def test_a_model_whose_weights_are_nan(folder: Path) -> None:
    def poison(graph: onnx.GraphProto) -> None:
        tensor = next(t for t in graph.initializer if t.name == "head_linear.bias")
        nan = np.full(10, np.nan, np.float32)
        tensor.CopyFrom(numpy_helper.from_array(nan, tensor.name))

    damaged(folder / "generated/resnet20.onnx", poison)
    told = run("verify", "generated/resnet20.onnx", code=1)
    assert "NaN or infinite: head_linear.bias" in told


def test_a_truncated_model(folder: Path) -> None:
    path = folder / "generated/resnet20.onnx"
    data = path.read_bytes()
    for size in (0, 100, len(data) // 2, len(data) - 7):
        path.write_bytes(data[:size])
        told = run("verify", "generated/resnet20.onnx", code=1)
        assert "ONNX" in told


def test_a_foreign_model(folder: Path) -> None:
    value = onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1])
    relu = onnx.helper.make_node("Relu", ["input"], ["logits"])
    graph = onnx.helper.make_graph([relu], "g", [value], [out])
    onnx.save(onnx.helper.make_model(graph), "foreign.onnx")
    assert "not one of resgraph's" in run("verify", "foreign.onnx", code=1)


def test_a_model_and_a_source_from_different_graphs(folder: Path) -> None:
    source = folder / "generated/resnet20.py"
    spec = folder / "specs/preact_basic.yaml"
    spec.write_text(spec.read_text().replace("channels: 16}}]", "channels: 8}}]"))
    run("compile", "specs/preact_basic.yaml", "--network", "resnet20", "--source-only")
    assert source.is_file()
    told = run("verify", "generated/resnet20.onnx", code=1)
    assert "are from different graphs" in told
    assert "compile both anew" in told


def test_a_spec_that_has_changed_since(folder: Path) -> None:
    spec = folder / "specs/preact_basic.yaml"
    spec.write_text(spec.read_text().replace("channels: 16}}]", "channels: 8}}]"))
    told = run("verify", "generated/resnet20.py", code=1)
    assert "it has changed since" in told
    spec.unlink()
    told = run("verify", "generated/resnet20.py", code=1)
    assert "its spec specs/preact_basic.yaml is not there" in told


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["nothing.py"], 2, "no such file"),
        (["specs"], 2, "is no spec"),
        (["generated/resnet20.py", "--network", "resnet20"], 2, "are for specs"),
        (["generated/resnet20.py", "--device", "tpu"], 2, "unknown device 'tpu'"),
        pytest.param(
            ["generated/resnet20.py", "--device", "cuda"], 1, "no CUDA here",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here"),
        ),
        (["generated/resnet20.py", "--against", "resnet20"], 1, "is not PYTHON.PATH:CALLABLE"),
        (["generated/resnet20.py", "--against", "no.such:net"], 1, "cannot import no.such"),
        (["generated/resnet20.py", "--against", "no.py:net"], 1, "no.py: no such file"),
        (["generated/resnet20.py", "--against", f"{FOREIGN}:resnet21"], 1, "did you mean 'resnet20'?"),
        (["generated/resnet20.py", "--against", f"{FOREIGN}:number"], 1, "not a torch.nn.Module"),
        (["generated/resnet20.py", "--against", f"{FOREIGN}:broken"], 1, "no weights today"),
        (["generated/resnet20.py", "--against", f"{FOREIGN}:Wavering"], 1, "cannot be traced"),
    ],
)  # fmt: skip
def test_bad_input(args: list[str], code: int, message: str, folder: Path) -> None:
    assert message in run("verify", *args, code=code)


# --- code that nobody here wrote ----------------------------------------------------------


def test_against_a_foreign_network(folder: Path) -> None:
    found = checks("generated/resnet20.py", "--against", f"{FOREIGN}:resnet20")
    structure = found[f"structure: {FOREIGN}:resnet20"]
    assert structure["detail"] == "isomorphic, 71 ops: the same up to order"
    assert found[f"gradients: {FOREIGN}:resnet20"]["verdict"] == "passed"


def test_against_a_foreign_network_without_its_tail(folder: Path) -> None:
    found = checks(
        "generated/resnet20.py", "--against", f"{FOREIGN}:without_tail", code=1
    )
    structure = found[f"structure: {FOREIGN}:without_tail"]
    assert structure["verdict"] == "failed"
    assert (
        f"resnet20 has batch_norm(64, eps=1e-05, momentum=0.1) (head_bn), and "
        f"{FOREIGN}:without_tail has global_avg_pool()" in structure["detail"]
    )
    assert found["structure: spec"]["verdict"] == "passed"


def test_weights_of_a_foreign_network(folder: Path) -> None:
    """Carried, compiled into ONNX, run: the logits are the foreign network's own."""
    run(
        "import-weights",
        "generated/resnet20.py",
        "--from",
        f"{FOREIGN}:resnet20",
        "--out",
        "w.safetensors",
    )
    run(
        "compile",
        "specs/preact_basic.yaml",
        "--network",
        "resnet20",
        "--weights",
        "w.safetensors",
        "--out",
        "carried",
    )
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        theirs = foreign_nets.resnet20().eval()(images)
    session = onnxruntime.InferenceSession(
        "carried/resnet20.onnx", providers=["CPUExecutionProvider"]
    )
    (ours,) = session.run(["logits"], {"input": images.numpy()})
    assert np.abs(ours - theirs.numpy()).max() < 1e-4 * float(theirs.abs().max())


@pytest.mark.parametrize("kind", ["plain", "module.", "state_dict", "safetensors"])
def test_weights_of_a_foreign_file(kind: str, folder: Path) -> None:
    state = foreign_nets.resnet20().state_dict()
    path = "theirs.safetensors" if kind == "safetensors" else "theirs.pth"
    if kind == "module.":
        torch.save({f"module.{k}": v for k, v in state.items()}, path)
    elif kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(
            {"state_dict": state, "epoch": 3} if kind == "state_dict" else state, path
        )
    told = run("import-weights", "generated/resnet20.py", "--from", path, code=1)
    assert "has the names of none of" in told
    assert "--against" in told
    text = run(
        "import-weights",
        "generated/resnet20.py",
        "--from",
        path,
        "--against",
        f"{FOREIGN}:resnet20",
    )
    assert "97 tensors, along 71 matching ops" in text
    carried = load_file("generated/resnet20.safetensors")
    assert torch.equal(carried["head_bn.weight"], state["last_norm.weight"])
    assert torch.equal(
        carried["stage2.0.conv1.weight"], state["blocks.3.weight_a.weight"]
    )


def test_weights_by_ones_own_names_and_by_the_references(folder: Path) -> None:
    run(
        "import-weights",
        "generated/resnet20.py",
        "--from",
        f"{FOREIGN}:resnet20",
        "--out",
        "w.safetensors",
    )
    text = run(
        "import-weights",
        "generated/resnet20.py",
        "--from",
        "w.safetensors",
        "--out",
        "again.safetensors",
    )
    assert "by name" in text
    first, second = load_file("w.safetensors"), load_file("again.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[k], second[k]) for k in first)
    from resgraph.reference import REFERENCES

    save_file(REFERENCES["resnet20"]().state_dict(), "hand.safetensors")
    text = run(
        "import-weights",
        "generated/resnet20.py",
        "--from",
        "hand.safetensors",
        "--json",
    )
    assert "the reference by hand" in json.loads(text)["how"]


class Payload:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: torch.save({"a": Payload()}, p), "loading it would run code"),
        (lambda p: Path(p).write_bytes(b"nothing"), "is not a readable checkpoint"),
        (lambda p: torch.save({"epoch": 1}, p), "holds no state_dict"),
    ],
)
def test_checkpoints_that_are_refused(write: Any, message: str, folder: Path) -> None:
    write("theirs.pth")
    told = run(
        "import-weights", "generated/resnet20.py", "--from", "theirs.pth", code=1
    )
    assert message in told
    assert not Path("ran").exists()
    assert not Path("generated/resnet20.safetensors").exists()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("theirs.h5", "weights come from .safetensors"),
        ("none.pth", "no such file"),
        (f"{FOREIGN}:poisoned", "NaN or infinite: head_linear.bias"),
        (f"{FOREIGN}:without_tail", "is another network than resnet20"),
    ],
)
def test_sources_that_are_refused(source: str, message: str, folder: Path) -> None:
    Path("theirs.h5").touch()
    told = run("import-weights", "generated/resnet20.py", "--from", source, code=1)
    assert message in told


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_bn_behind_relu_is_as_near_as_float32_lets_it_be(
    folder: Path, seed: str
) -> None:
    """The mean is large beside the deviation, so runtimes that fold BN lose digits."""
    shutil.copy(SPECS / "bn_behind_relu.yaml", folder)
    found = checks("bn_behind_relu.yaml", "--seed", seed)
    assert found["ONNX on cpu, batch 1"]["verdict"] == "passed"


LEAVES = """
import os, signal, sys
from torch import nn
from resgraph.reference import REFERENCES

{at_import}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = REFERENCES["resnet20"]()
        {at_construction}
    def forward(self, x):
        if x.device.type == "meta":
            {at_tracing}
        else:
            {at_numbers}
        return self.net(x)
"""


def leaves(where: str, way: str) -> None:
    """A module that does not stay for what it is asked."""
    places = ("import", "construction", "tracing", "numbers")
    done = {f"at_{p}": WAYS[way] if p == where else "pass" for p in places}
    Path("leaves.py").write_text(LEAVES.format(**done), encoding="utf-8")


WAYS = {
    "exit": "sys.exit(0)",
    "os._exit": "os._exit(0)",
    "signal": "os.kill(os.getpid(), signal.SIGKILL)",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "exception": "raise ValueError('no\\nnumbers')",
    "None": "return None",
}


@pytest.mark.parametrize(
    ("where", "way"),
    [
        ("import", "exit"),
        ("import", "os._exit"),
        ("construction", "signal"),
        ("construction", "KeyboardInterrupt"),
        ("tracing", "exit"),
        ("tracing", "None"),
        ("numbers", "os._exit"),
        ("numbers", "exception"),
        ("numbers", "None"),
    ],
)
def test_code_that_leaves_is_never_verified(where: str, way: str, folder: Path) -> None:
    """The module of --against lives in another process, whose end is told."""
    leaves(where, way)
    told = run("verify", "generated/resnet20.py", "--against", "leaves.py:Net", code=1)
    assert "leaves.py:Net" in told or "Net returns NoneType" in told


@pytest.mark.parametrize("way", ["exit", "os._exit", "exception"])
def test_code_that_leaves_gives_no_weights(way: str, folder: Path) -> None:
    leaves("construction", way)
    args = ["import-weights", "generated/resnet20.py", "--from", "leaves.py:Net"]
    assert "leaves.py:Net" in run(*args, code=1)
    assert not Path("generated/resnet20.safetensors").exists()
