"""The tables of what was found on a GPU, for benchmarks/README.md; reads the steps' JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.measure import table
from resgraph.plan import words


def training(data: dict[str, Any]) -> Iterator[str]:
    """The step `bench`."""
    yield f"### Training on {data['device']}"
    yield ""
    floors = data["parts"].get("floors", {}).get("result")
    yield f"torch {data['torch']}, CUDA {data['cuda']}{_measured(floors)}."
    yield ""
    found = {k: p for k, p in data["parts"].items() if "network" in p.get("of", {})}
    memory = {k: p for k, p in found.items() if k.endswith(": memory")}
    head = ["", "images/s", "step", "host", "to the floor", "to the first step"]
    rows = [_row(k, p, floors) for k, p in found.items() if k not in memory]
    if rows:
        yield from table([*head, "peak memory"], rows)
    for name, part in memory.items():
        yield ""
        yield f"{name} of training in float32, batch {part['of']['batch']}:"
        yield ""
        yield from _memory(part)


def _measured(floors: dict[str, Any] | None) -> str:
    if floors is None:
        return ""
    found = floors["hardware"]
    return (
        f"; measured in the same run: a copy moves {found['bytes_per_s'] / 1e9:,.0f} GB/s, a "
        f"product of matrices does {found['operations_per_s'] / 1e12:,.1f} TFLOP/s"
    )


def _row(name: str, part: dict[str, Any], floors: dict[str, Any] | None) -> list[str]:
    found, of = part.get("result"), part["of"]
    if found is None:
        return [name, *_failure(part), "", "", "", "", ""]
    step, peak = found["step_seconds"], found["peak_bytes"]
    least = floors and floors["floors"][of["network"]]["seconds"]
    return [
        name,
        f"{found['images_per_s']:,.0f}",
        f"{1000 * step:.2f} ms",
        f"{1000 * found['host_seconds']:.2f} ms",
        f"{step / least[of['choices']['precision']]:.1f}x" if least else "",
        f"{found['first_step_seconds']:.1f} s",
        "" if peak is None else words(peak),
    ]


def _failure(part: dict[str, Any]) -> list[str]:
    error = part.get("error", part["state"])
    return [error.removeprefix("RuntimeError: ").partition("\n")[0][:120]]


def _memory(part: dict[str, Any]) -> Iterator[str]:
    if "result" not in part:
        yield from _failure(part)
        return
    ways = part["result"]["ways"]
    rows = [
        [
            way["name"],
            "" if way["predicted"] is None else words(way["predicted"]),
            words(way["counted"]),
            "" if way["peak_bytes"] is None else words(way["peak_bytes"]),
            f"{100 * way['anew']:.0f} %",
            f"{1000 * way['seconds']:.1f} ms",
            f"{way['seconds'] / ways[0]['seconds']:.2f}x",
        ]
        for way in ways
    ]
    head = ["done anew", "predicted", "counted", "allocated", "of the forward", "step"]
    yield from table([*head, "to plain"], rows)


def inference(data: dict[str, Any]) -> Iterator[str]:
    """The step `infer`."""
    yield f"### Inference of {data['network']} on {data['device']}"
    yield ""
    yield (
        f"torch {data['torch']}, onnxruntime {data['onnxruntime']}; from the host's memory and "
        "back to it, medians; logits beside those in float64."
    )
    yield ""
    rows = [_answer(name, part) for name, part in data["parts"].items()]
    head = ["", "a batch", "on the device", "logits apart", "allowed", "start"]
    yield from table(head, rows)


def _answer(name: str, part: dict[str, Any]) -> list[str]:
    found = part.get("result")
    if found is None:
        return [name, *_failure(part), "", "", "", ""]
    start = found.get("start seconds")
    return [
        name,
        f"{found['ms']:.2f} ms",
        f"{found['device only ms']:.2f} ms",
        f"{found['apart']:.0e}",
        f"{found['at most']:.0e}",
        "" if start is None else f"{start:.2f} s",
    ]


def steps(data: dict[str, Any]) -> Iterator[str]:
    """A step of training by some ways, one after the other in one process."""
    yield f"### A step of {data['network']} on {data['device']}"
    yield ""
    about = f"{data['precision']}, batch {data['batch']}, torch {data['torch']}"
    yield f"{about}: {data['how']}."
    yield ""
    rows = [
        [
            name,
            f"{way['step_ms']:.2f} ms",
            f"{way['kernel_ms']:.2f} ms",
            f"{way['kernels']:,.0f}",
            f"{way['first_step_s']:.1f} s",
        ]
        for name, way in data["ways"].items()
    ]
    yield from table(["", "step", "in kernels", "kernels", "first step"], rows)


def profiles(data: dict[str, Any]) -> Iterator[str]:
    """The step `profile`."""
    yield f"### Where a training step's time goes on {data['device']}"
    for name, part in data["parts"].items():
        if "result" in part:
            yield ""
            yield from _profile(name, part["result"])


def _profile(name: str, found: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{name}: {found['step ms']:.2f} ms a step, the host free after "
        f"{found['host ms']:.2f} ms; watched, {found['busy ms']:.2f} ms busy and "
        f"{found['gaps ms']:.2f} ms waiting."
    )
    yield ""
    rows = [
        [kind, f"{k['ms']:.2f} ms", f"{k['launches']:,.0f}", f"{k['us each']:.1f} µs"]
        for kind, k in found["kinds"].items()
    ]
    yield from table(["kernels", "time", "launches", "each"], rows)
