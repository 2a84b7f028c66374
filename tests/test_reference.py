"""Every network of the specs against the one written by hand: both compute the same."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from math import sqrt
from pathlib import Path

import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from resgraph.emit.onnx_model import write_onnx
from resgraph.emit.weights import stored
from resgraph.graph import Graph
from resgraph.reference import REFERENCES
from tests.helpers import graph_of, module_of
from tests.test_specs import SPECS, graphs, graphs_of, parameters

# These add the gradients of x in another order: here the gate and the product read x,
# in the reference the output of an option A that leaves it as it is.
REGROUPED = {name for name in REFERENCES if "gating" in name}


def shallow(name: str) -> Graph:
    """The network at three units in each stage: one that enters it and two alike."""
    return graph_of(Path(graphs()[name].file), f"depth={depth(name)}", network=name)


def depth(name: str) -> int:
    if "1layer" in name:
        return 11
    return 29 if name.startswith(("resnet164", "resnet1001")) else 20


def by_hand(name: str) -> nn.Module:
    """The reference of the same depth."""
    network: Callable[..., nn.Module] = REFERENCES[name]
    return network(depth=depth(name))


def generated(graph: Graph, tmp_path: Path) -> nn.Module:
    module = module_of(graph, tmp_path)
    network: nn.Module = getattr(module, module.__all__[0])()
    return network


def executed(network: nn.Module) -> list[nn.Module]:
    """The modules with parameters of their own, in the order in which they are called."""
    order: list[nn.Module] = []
    owners = [m for m in network.modules() if list(m.parameters(recurse=False))]
    hooks = [m.register_forward_pre_hook(lambda m, _: order.append(m)) for m in owners]
    dtype = next(network.parameters()).dtype
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, 32, 32, dtype=dtype))
    for hook in hooks:
        hook.remove()
    assert len(order) == len(owners)
    return order


def paired(ours: nn.Module, theirs: nn.Module) -> list[tuple[nn.Module, nn.Module]]:
    """The modules of two networks that have the same place in the computation.

    A module's `repr` holds its type and all that torch lets one choose about it: channels,
    kernel, stride, padding, bias, eps, momentum.
    """
    pairs = list(zip(executed(ours), executed(theirs), strict=True))
    assert [repr(a) for a, _ in pairs] == [repr(b) for _, b in pairs]
    return pairs


def stir(network: nn.Module) -> None:
    """Give numbers of their own to the weights that start as all 0 or all 1."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.bias)


def measured(network: nn.Module, batches: list[Tensor]) -> dict[str, Tensor]:
    """What the network computes, in training and after it, by what can be compared.

    Module n is the n-th one with parameters that is executed. The running statistics come
    from all batches, the gradients from the last.
    """
    modules = executed(network)
    torch.manual_seed(2)  # dropout
    network.train()
    for batch in batches:
        logits = network(batch)
    logits.square().sum().backward()
    result = {"logits of training": logits.detach()}
    with torch.no_grad():
        result["logits of inference"] = network.eval()(batches[0])
    for n, module in enumerate(modules):
        for name, parameter in module.named_parameters(recurse=False):
            result[f"module {n}: gradient of {name}"] = parameter.grad
        for name, buffer in module.named_buffers(recurse=False):
            result[f"module {n}: {name}"] = buffer
    return result


def assert_as_near(ours: Tensor, theirs: Tensor, exact: Tensor, what: str) -> None:
    """Our rounding error is at most four times theirs, or a few units in the last place."""
    for values in (ours, theirs, exact):
        assert values.isfinite().all(), what
    floor = 8 * torch.finfo(torch.float32).eps * exact.abs().max()
    error, allowed = (ours - exact).abs().max(), 4 * (theirs - exact).abs().max()
    assert error <= allowed + floor, f"{what}: {error} > {allowed} + {floor}"


@pytest.mark.parametrize("name", REFERENCES)
def test_computes_the_same(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    ours = generated(shallow(name), tmp_path)
    theirs = by_hand(name)
    assert parameters(ours) == parameters(theirs)
    stir(ours)
    for our, their in paired(ours, theirs):
        their.load_state_dict(our.state_dict())
    exact = deepcopy(theirs).double()
    batches = [torch.randn(4, 3, 32, 32) for _ in range(3)]
    a, b = measured(ours, batches), measured(theirs, batches)
    assert a.keys() == b.keys()
    for what in a:
        assert a[what].isfinite().all(), what
        if name not in REGROUPED or "gradient" not in what:
            assert torch.equal(a[what], b[what]), what
    if name in REGROUPED:
        c = measured(exact, [batch.double() for batch in batches])
        for what in c:
            assert_as_near(a[what], b[what], c[what], what)


@pytest.mark.parametrize("name", REFERENCES)
def test_starts_alike(name: str, tmp_path: Path) -> None:
    """Constants are equal, and of random weights the spread, to six standard errors."""
    torch.manual_seed(3)
    ours = generated(shallow(name), tmp_path)
    theirs = by_hand(name)
    for our, their in paired(ours, theirs):
        for (key, a), (_, b) in zip(
            our.state_dict().items(), their.state_dict().items(), strict=True
        ):
            if a.min() == a.max():
                assert torch.equal(a, b), (our, key)
            else:
                spread = 6 / sqrt(a.numel())
                assert abs(a.std() / b.std() - 1) < spread, (our, key)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_onnx_computes_the_same(spec: Path, tmp_path: Path) -> None:
    """The ONNX model of the spec's first network against the module, both on these weights."""
    torch.manual_seed(4)
    graph = shallow(graphs_of(spec)[0].name)
    network = generated(graph, tmp_path)
    stir(network)
    for _ in range(3):  # in training mode: the running statistics become the data's
        network(torch.randn(4, 3, 32, 32))
    save_file(network.eval().state_dict(), tmp_path / "weights.safetensors")
    model = tmp_path / "model.onnx"
    write_onnx(graph, model, stored(tmp_path / "weights.safetensors", graph))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )
    exact = deepcopy(network).double()
    for batch in (1, 3):
        images = torch.randn(batch, 3, 32, 32)
        with torch.no_grad():
            theirs, reference = network(images), exact(images.double())
        (logits,) = session.run(["logits"], {"input": images.numpy()})
        ours = torch.from_numpy(logits)
        assert ours.shape == theirs.shape
        assert_as_near(ours, theirs, reference, f"batch of {batch}")
