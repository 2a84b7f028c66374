"""What the compile benchmark runs as processes of their own.

`python -m benchmarks.workloads NAME FOLDER DEPTH` prints JSON: seconds of the work without
imports. The networks are full pre-activation bottlenecks (Fig. 4e).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

Work = Callable[[], object]


def resgraph(folder: Path, depth: int) -> Work:
    """Spec to source and checked ONNX, everything imported beforehand."""
    from fractions import Fraction

    import jinja2  # noqa: F401
    import numpy  # noqa: F401

    import resgraph.emit.network_rows
    import resgraph.emit.onnx_model
    import resgraph.emit.unit_rows  # noqa: F401
    from resgraph.compiler import Compiler
    from resgraph.emit import write
    from resgraph.emit.weights import drawn

    def work() -> None:
        spec = Path("specs/preact_bottleneck.yaml")
        graphs = Compiler().graphs(spec, None, {"depth": Fraction(depth)})
        write(graphs, folder, lambda graph: drawn(0))

    return work


def source(folder: Path, depth: int) -> Work:
    """Spec to source alone, everything imported beforehand."""
    from fractions import Fraction

    import jinja2  # noqa: F401

    import resgraph.emit.network_rows
    import resgraph.emit.unit_rows  # noqa: F401
    from resgraph.compiler import Compiler
    from resgraph.emit import write

    def work() -> None:
        spec = Path("specs/preact_bottleneck.yaml")
        graphs = Compiler().graphs(spec, None, {"depth": Fraction(depth)})
        write(graphs, folder, None)

    return work


def exporter(folder: Path, depth: int, dynamo: bool) -> Work:
    """The hand-written network built, and exported by torch."""
    import torch

    from resgraph.reference import full_preact_bottleneck

    if dynamo:
        import onnxscript  # noqa: F401

    def work() -> None:
        network = full_preact_bottleneck(depth=depth).eval()
        example = torch.zeros(2, 3, 32, 32)
        path = folder / "exported.onnx"
        if dynamo:
            shapes = ({0: torch.export.Dim("N")},)
            torch.onnx.export(
                network, (example,), path, dynamo=True, dynamic_shapes=shapes
            )
        else:
            torch.onnx.export(
                network,
                (example,),
                path,
                dynamo=False,
                input_names=["input"],
                dynamic_axes={"input": {0: "N"}},
            )

    return work


def floor(folder: Path, depth: int) -> Work:
    """A bare loop with the same nodes and tensors: built, serialised, written, checked."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(folder.parent / "model.onnx")
    plan = [
        (
            n.op_type,
            [*n.input],
            [*n.output],
            {a.name: helper.get_attribute_value(a) for a in n.attribute},
        )
        for n in model.graph.node
    ]
    tensors = [(i.name, tuple(i.dims)) for i in model.graph.initializer]
    ends = [*model.graph.input], [*model.graph.output]
    del model

    def work() -> None:
        nodes = [helper.make_node(t, i, o, **a) for t, i, o, a in plan]
        random = np.random.default_rng(0)
        weights = [
            numpy_helper.from_array(random.standard_normal(shape, np.float32), name)
            for name, shape in tensors
        ]
        graph = helper.make_graph(nodes, "floor", *ends, weights)
        opset = [helper.make_opsetid("", 20)]
        made = helper.make_model(graph, opset_imports=opset, ir_version=9)
        path = folder / "floor.onnx"
        path.write_bytes(made.SerializeToString())
        onnx.checker.check_model(str(path), full_check=True)

    return work


WORKLOADS: dict[str, Callable[[Path, int], Work]] = {
    "resgraph": resgraph,
    "source": source,
    "dynamo": lambda folder, depth: exporter(folder, depth, dynamo=True),
    "torchscript": lambda folder, depth: exporter(folder, depth, dynamo=False),
    "floor": floor,
}


def main() -> None:
    name, folder, depth = sys.argv[1:]
    work = WORKLOADS[name](Path(folder), int(depth))
    start = time.perf_counter()
    work()
    print(json.dumps(time.perf_counter() - start))


if __name__ == "__main__":
    main()
