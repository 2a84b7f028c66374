"""The tables of benchmarks/README.md, from benchmarks/results/*.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.gpu import report as gpu
from benchmarks.measure import RESULTS, ROOT, table
from benchmarks.report_inference import inference, server
from resgraph.plan import words

README = ROOT / "benchmarks" / "README.md"
VERIFY = {
    "resnet164": "`resgraph verify generated/resnet164.py`",
    "resnet1001": "`resgraph verify generated/resnet1001.py`",
    "resnet1001 --structure": "`resgraph verify generated/resnet1001.py --structure`",
}
MARK = "<!-- below this line: written by `make bench` -->"

NAMES = {
    "command": "`resgraph compile`, the command",
    "resgraph": "resgraph, from Python",
    "floor": "bare loop over the same nodes",
    "torchscript": "hand-written net, `torch.onnx.export(dynamo=False)`",
    "dynamo": "hand-written net, `torch.onnx.export(dynamo=True)`",
}


def write_tables() -> None:
    """Replace what stands below the mark in the README."""
    above = README.read_text().split(MARK)[0]
    lines = [f"{above}{MARK}"]
    for name, section in SECTIONS.items():
        for path in sorted(RESULTS.glob(f"{name}.json")):
            lines += ["", *section(json.loads(path.read_text()))]
    README.write_text("\n".join(lines) + "\n")


def _verify(data: dict[str, Any]) -> Iterator[str]:
    yield f"### Verification (medians of {data['rounds']} rounds)"
    rows = [
        [
            label,
            f"{data['runs'][key]['process_seconds']:.1f} s",
            f"{data['runs'][key]['structure_seconds']:.1f} s",
            f"{data['runs'][key]['peak_mib']:.0f} MiB",
        ]
        for key, label in VERIFY.items()
    ]
    yield from table(["", "process", "structure alone", "peak memory"], rows)


def _lines(data: dict[str, Any]) -> Iterator[str]:
    machine = data["machine"]
    yield (
        f"{machine['cpu']}, {machine['cores']} cores; Python {machine['python']}, torch "
        f"{machine['torch']}, onnx {machine['onnx']}; medians of {data['rounds']} rounds "
        f"({data['dynamo_rounds']} of dynamo=True)."
    )
    yield ""
    yield "### ResNet-1001 to ONNX"
    yield from _exporters(data["exporters"])
    yield ""
    yield "### Cost by depth: source and ONNX"
    yield from _depths(data["depth"])
    yield ""
    yield "### Whole processes that never walk the depth"
    columns = list(next(iter(data["light"].values())))
    rows = [
        [f"`resgraph {verb}`", *(f"{seconds:.2f} s" for seconds in by_depth.values())]
        for verb, by_depth in data["light"].items()
    ]
    yield from table(["", *(f"{int(depth):,} layers" for depth in columns)], rows)


def _exporters(results: dict[str, Any]) -> Iterator[str]:
    whole = results["command"]["process_seconds"]
    work = results["resgraph"]["work_seconds"]
    rows = []
    for key, label in NAMES.items():
        if key in results:
            r = results[key]
            inside = r.get("work_seconds")
            rows.append(
                [
                    label,
                    f"{r['process_seconds']:.2f} s",
                    f"{r['process_seconds'] / whole:.1f}x",
                    "" if inside is None else f"{inside:.2f} s",
                    "" if inside is None else f"{inside / work:.1f}x",
                    f"{r['peak_mib']:.0f} MiB",
                ]
            )
    head = [
        "",
        "process",
        "to the command",
        "without imports",
        "to resgraph",
        "peak memory",
    ]
    yield from table(head, rows)


def _depths(results: dict[str, Any]) -> Iterator[str]:
    base = results["1001"]
    rows = [
        [
            f"{int(depth):,}",
            f"{r['work_seconds']:.2f} s",
            f"{r['work_seconds'] / base['work_seconds']:.1f}x",
            f"{r['peak_mib']:.0f} MiB",
            f"{r['peak_mib'] / base['peak_mib']:.1f}x",
            f"{r['source_seconds']:.3f} s",
            f"{r['source_lines']}",
        ]
        for depth, r in results.items()
    ]
    head = ["layers", "without imports", "to 1,001", "peak memory", "to 1,001"]
    yield from table([*head, "source alone", "lines of source"], rows)


def _memory(data: dict[str, Any]) -> Iterator[str]:
    yield (
        f"### Memory of training: {data['network']}, float32, batch {data['batch']} "
        f"(medians of {data['rounds']} rounds)"
    )
    plain = data["ways"][0]
    rows = [
        [
            way["name"],
            "" if way["predicted"] is None else words(way["predicted"]),
            words(way["counted"]),
            f"{plain['counted'] / way['counted']:.1f}x",
            f"{100 * way['anew']:.0f} %",
            f"{way['seconds']:.2f} s",
            f"{way['seconds'] / plain['seconds']:.2f}x",
            words(data["at_128"][way["name"]]) if way["name"] in data["at_128"] else "",
        ]
        for way in data["ways"]
    ]
    head = ["done anew", "predicted", "counted", "less", "of the forward", "step"]
    yield from table([*head, "to plain", "predicted at batch 128"], rows)


def _train(data: dict[str, Any]) -> Iterator[str]:
    yield (
        f"### Training: {data['network']}, float32, batch {data['batch']} "
        f"(medians of {data['rounds']} rounds)"
    )
    by_hand = next(iter(data["steps"].values()))
    rows = [
        [
            name,
            f"{seconds:.3f} s",
            f"{data['batch'] / seconds:.1f}",
            f"{by_hand / seconds:.2f}x",
            _first(data["starts"].get(name)),
        ]
        for name, seconds in data["steps"].items()
    ]
    rows += [
        [name, "", "", "", _first(start)]
        for name, start in data["starts"].items()
        if name not in data["steps"]
    ]
    yield from table(["", "step", "images/s", "to by hand", "to the first step"], rows)


def _first(start: dict[str, Any] | None) -> str:
    """Seconds until the first step was done, where that was measured."""
    if start is None:
        return ""
    return start.get("error") or f"{start['first_step_seconds']:.1f} s"


def _report(data: dict[str, Any]) -> Iterator[str]:
    yield (
        f"### `resgraph report`: the page in headless Chromium {data['chromium']} "
        f"(medians of {data['rounds']} rounds)"
    )
    rows = [
        [
            f"{int(depth):,}",
            f"{run['process_seconds']:.2f} s",
            f"{run['bytes'] / 1000:.0f} kB",
            f"{run['ready_seconds']:.2f} s",
            f"{run['answer_seconds']:.2f} s",
        ]
        for depth, run in data["runs"].items()
    ]
    head = ["layers", "process", "page", "to ready", "to the answer to a click"]
    yield from table(head, rows)


SECTIONS = {
    "compile": _lines,
    "verify": _verify,
    "memory": _memory,
    "train": _train,
    "gpu/bench": gpu.training,
    "gpu/steps": gpu.steps,
    "gpu/profile": gpu.profiles,
    "gpu/infer-*": gpu.inference,
    "infer": inference,
    "serve": server,
    "report": _report,
}
"""What stands below the mark, by file of results, in this order."""


if __name__ == "__main__":
    write_tables()
