"""The tables of inference and of the server, for benchmarks/README.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.measure import table

INFER = {
    "floor": "multiply-adds alone, at the speed of a product of matrices",
    "eager": "torch, eager",
    "channels_last": "torch, channels-last",
    "compiled": "`torch.compile`, in a process of its own",
    "traced": "`torch.onnx.export`, in onnxruntime",
    "portable": "resgraph, portable",
    "cpu": "resgraph, `--target cpu`",
    "cuda": "resgraph, `--target cuda`, on the CPU",
    "functions": "resgraph, `--form functions`",
    "optimised": "resgraph, `--form optimised`",
    "fp16": "resgraph, `--form fp16`",
    "int8": "resgraph, `--form int8`",
}


_VECTOR = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8")


def inference(data: dict[str, Any]) -> Iterator[str]:
    yield (
        f"### Inference on the CPU ({data['threads']} threads, onnxruntime "
        f"{data['onnxruntime']}, medians of at most {data['rounds']} rounds)"
    )
    vector = [i for i in data["instructions"] if i in _VECTOR]
    yield f"Of the CPU's instructions, those that count: {', '.join(vector)}."
    for name, found in data["networks"].items():
        yield ""
        yield f"{name}; a ratio is time to the portable form's, beside it in every round."
        yield ""
        yield from _ways_of_inference(found)
        yield ""
        largest = list(found["batches"])[-1]
        yield f"Milliseconds at batch {largest} by kind of node, from onnxruntime's profile:"
        yield ""
        for form, spent in found["profiles"].items():
            most = [f"{kind} {ms:.1f}" for kind, ms in spent.items() if ms >= 0.1]
            yield f"- {form}: {', '.join(most)}"


def _ways_of_inference(found: dict[str, Any]) -> Iterator[str]:
    head = [""]
    for batch in found["batches"]:
        head += [f"batch {batch}", "to portable", "logits apart"]
    rows = []
    for key, label in INFER.items():
        row = [label]
        for ways in found["batches"].values():
            way = ways.get(key)
            if way is None:
                row += ["", "", ""]
                continue
            # What has a process of its own is compared through eager, which ran in both.
            other = way["eager"] / ways["eager"]["seconds"] if "eager" in way else 1.0
            ratio = way["seconds"] / other / ways["portable"]["seconds"]
            milliseconds = f"{1000 * way['seconds']:.1f} ms"
            row += [milliseconds, f"{ratio:.2f}x", f"{way['apart']:.0e}"]
        start = found["start"].get(key)
        size = found["mebibytes"].get(key)
        row.append("" if start is None else f"{start:.3f} s")
        row.append("" if size is None else f"{size:.1f} MiB")
        rows.append(row)
    yield from table([*head, "session start", "file"], rows)


def server(data: dict[str, Any]) -> Iterator[str]:
    yield (
        f"### `resgraph serve`: {data['model']} on the CPU, pictures of {data['data']}, "
        "clients on the same machine"
    )
    machine = data["machine"]
    yield (
        f"`{data['command']}`, {machine['cpu']}, {machine['cores']} cores, with other work "
        f"on them (load average {data['load_average']} before)"
    )
    yield ""
    rows = [
        [
            ", beside ".join(filter(None, [f"{run['clients']}", run["crowd"]])),
            f"{run['requests_per_s']:,.0f}",
            f"{run['p50_ms']:.1f} ms",
            f"{run['p99_ms']:.1f} ms",
            f"{run['mean_batch']:.1f}",
            f"{run['lost']} of {run['requests']:,}",
            f"{run['other_class']}",
        ]
        for run in data["runs"]
    ]
    head = ["clients", "requests/s", "p50", "p99", "images a batch", "lost"]
    yield from table([*head, "other class than `Classifier`"], rows)
