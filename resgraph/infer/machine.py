"""The CPU that an optimised model was made on, which is the only kind it may run on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resgraph.diagnostics import ResgraphError, plain
from resgraph.reading import opened, parsed_json

PROPERTY = "resgraph.machine"
"""The metadata that an optimised model has, and no other."""
_HINT = "take the portable model, or make this one anew here: --form optimised"
_TAIL = 16_384  # bytes, in which the metadata surely fits
_FLAGS = ("avx", "fma", "f16c", "amx", "sve", "asimd", "bf16", "i8mm")
"""How the names begin of the instructions that onnxruntime's kernels choose by."""


def is_optimised(properties: Mapping[str, str]) -> bool:
    """Whether a model with these properties is already optimised, for one kind of CPU.

    A session need not do it again: `ORT_DISABLE_ALL` starts it in a third of the time.
    """
    return PROPERTY in properties


def properties_of(path: Path) -> dict[str, str]:
    """The metadata `resgraph.machine` of a model file, read before it is run; {} without it.

    It stands at the file's end, where `optimise` adds it: no need to parse the model.
    """
    with opened(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        _, found, after = file.read().rpartition(PROPERTY.encode())
    if not found:
        return {}
    return {PROPERTY: after[after.find(b"{") :].decode("utf-8", errors="replace")}


def machine_properties() -> dict[str, str]:
    """The metadata of a model that is optimised here: CPU, instructions, onnxruntime."""
    import onnxruntime

    here = {
        "cpu": _field("model name") or platform.processor() or platform.machine(),
        "instructions": _instructions(),
        "onnxruntime": onnxruntime.__version__,
    }
    return {PROPERTY: json.dumps(here)}


def check_machine(properties: Mapping[str, str]) -> None:
    """Raise `ResgraphError` if a model was optimised for another CPU or onnxruntime.

    A model without `resgraph.machine` runs anywhere.
    """
    if PROPERTY not in properties:
        return
    made, here = (_parsed(p[PROPERTY]) for p in (properties, machine_properties()))
    if made.onnxruntime != here.onnxruntime:
        what = f"onnxruntime {made.onnxruntime}, and this is {here.onnxruntime}"
    elif made.instructions != here.instructions:
        other = plain(", ".join(sorted(made.instructions ^ here.instructions)))
        what = f"a CPU with other instructions ({made.cpu}; they differ in {other})"
    elif made.cpu != here.cpu:
        what = f"another CPU: {made.cpu}, and this is {here.cpu}"
    else:
        return
    raise ResgraphError(f"the model was optimised for {what}", _HINT)


@dataclass(frozen=True)
class _Machine:
    cpu: str
    instructions: frozenset[str]
    onnxruntime: str


def _parsed(text: str) -> _Machine:
    try:
        about = parsed_json(text)
        instructions = frozenset(plain(name) for name in about["instructions"])
        return _Machine(plain(about["cpu"]), instructions, plain(about["onnxruntime"]))
    except (ValueError, TypeError, KeyError):
        raise ResgraphError(
            f"the model's metadata '{PROPERTY}' cannot be used", _HINT
        ) from None


def _instructions() -> list[str]:
    """What the CPU says it can do, of what matters for speed; empty where it cannot be asked."""
    flags = (_field("flags") or _field("Features")).split()
    return sorted(flag for flag in flags if flag.startswith(_FLAGS))


def _field(name: str) -> str:
    """A field of /proc/cpuinfo, '' where there is none."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return ""
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
