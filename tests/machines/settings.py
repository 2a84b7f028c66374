"""What differs between machines, as far as one machine can be told to: one thing at a time."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resgraph.verify import runtime
from resgraph.verify.numbers import threads
from resgraph.verify.rounding import SINGLE
from resgraph.verify.tolerance import FACTOR, Deviation
from tests.machines.kernels import Formulas
from tests.machines.networks import (
    FIELD_NETWORKS,
    Compared,
    Named,
    committed,
    compared,
    computed_under,
    deviations,
    is_deep,
)


@dataclass(frozen=True)
class Setting:
    """An environment that torch is started in, threads, and settings of onnxruntime."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    """Flags of the processor: ATen takes an instruction set without asking for it."""
    threads: int = 1
    sessions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of onnxruntime, beside its default one."""
    doubles: bool = True
    """Whether it changes anything in float64: oneDNN has no kernels of float64."""


_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")
_ONEDNN = {
    "SSE41": ("sse4_1",),
    "AVX": ("avx",),
    "AVX2": ("avx2",),
    "AVX2_VNNI": ("avx_vnni",),
    "AVX2_VNNI_2": ("avx_vnni_int8",),
    "AVX512_CORE": _AVX512,
    "AVX512_CORE_VNNI": (*_AVX512, "avx512_vnni"),
    "AVX512_CORE_BF16": (*_AVX512, "avx512_bf16"),
    "AVX512_CORE_FP16": (*_AVX512, "avx512_fp16"),
    "AVX512_CORE_AMX": (*_AVX512, "amx_tile", "amx_int8", "amx_bf16"),
}
_LEVELS = {"disabled": 0, "basic": 1, "extended": 2, "all": 99}


def _settings() -> Iterator[Setting]:
    levels = {
        f"onnxruntime {name}": {"graph_optimization_level": value}
        for name, value in _LEVELS.items()
    }
    two = {"onnxruntime 2 threads": {"intra_op_num_threads": 2}}
    yield Setting("as it is", sessions=levels)
    yield Setting("2 threads", threads=2, sessions=two)
    for name, needs in {
        "default": (),
        "avx2": ("avx2", "fma"),
        "avx512": (*_AVX512, "fma"),
    }.items():
        yield Setting(f"ATen {name}", {"ATEN_CPU_CAPABILITY": name}, needs)
    yield Setting("MKL COMPATIBLE", {"MKL_CBWR": "COMPATIBLE"})
    for name, needs in _ONEDNN.items():
        yield Setting(
            f"oneDNN {name}", {"ONEDNN_MAX_CPU_ISA": name}, needs, doubles=False
        )


SETTINGS = {setting.name: setting for setting in _settings()}


@cache
def flags() -> frozenset[str]:
    """What the processor says that it has; nothing where it is none of x86."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    told = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(told.partition(":")[2].split())


def lacking(setting: Setting) -> list[str]:
    """The flags that the setting needs and the processor does not have."""
    return [flag for flag in setting.needs if flag not in flags()]


def is_usual(setting: Setting) -> bool:
    """Whether it is what ATen does on this machine anyway."""
    chosen = setting.environment.get("ATEN_CPU_CAPABILITY", "")
    return chosen.upper() == capability()


def environment(setting: Setting) -> dict[str, str]:
    """Of the process that runs in the setting."""
    count = str(setting.threads)
    return {**os.environ, "OMP_NUM_THREADS": count, **setting.environment}


def processor() -> str:
    """Its name, as lscpu says it, and what torch uses of it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    told = next((line for line in lines if line.startswith("model name")), "")
    name = told.partition(":")[2].strip() or platform.processor()
    return f"{name}, {capability()}"


def capability() -> str:
    """The instruction set that ATen takes."""
    return str(torch.backends.cpu.get_cpu_capability())


# --- in the setting's own process -------------------------------------------------------

TABLE = ("resnet20", "resnet110", "resnet164", "resnet1001")
"""Networks whose float32 error is shown beside the allowance, of 16 images."""
_SPELLED = (
    "resnet20",
    "resnet20_original",
    "resnet110",
    "resnet164",
    "resnet110_original",
)
_SPELLED += ("resnet110_exclusive_gating_b6", "resnet110_dropout_shortcut")

Row = dict[str, Any]


def everything() -> list[Named]:
    """All networks, the deepest last."""
    return [*FIELD_NETWORKS, *committed()]


def rows(
    setting: Setting, networks: list[Named], kept: Path | None = None
) -> Iterator[Row]:
    """What each check says of each network in this setting.

    Weights and noise of float32 are the first process's that put them into `kept`: all
    settings compute the same networks.
    """
    with threads(setting.threads):
        for network in networks:
            size = 16 if network.label in TABLE else 2
            with compared(network, batch=2, steps=1, sizes=(size,)) as one:
                taken = kept is not None and one.take(kept)
                for check, deviation in _checks(setting, one):
                    row = as_row(network.label, check, deviation)
                    yield {"setting": setting.name, "capability": capability(), **row}
                if kept is not None and not taken:
                    one.keep(kept)


def as_row(network: str, check: str, deviation: Deviation) -> Row:
    """A deviation as it is counted and shown."""
    norm = deviation.norm or 1.0
    return {
        "network": network,
        "check": check,
        "tensor": deviation.name,
        "ok": deviation.within,
        "ratio": deviation.excess,
        "error": deviation.error / norm,
        "expected": deviation.expected / norm,
        "allowed": FACTOR * deviation.expected / norm,
    }


def _checks(setting: Setting, one: Compared) -> Iterator[tuple[str, Deviation]]:
    if setting.doubles:
        yield from _doubles(one)
    yield from _singles(setting, one)


def _doubles(one: Compared) -> Iterator[tuple[str, Deviation]]:
    """The generated module, and the same network by other formulas, beside the graph."""
    comparison = one.comparison()
    reference = comparison.reference
    for quantity, found in deviations(reference, list(comparison.computed)):
        yield quantity, found
    if one.named in FIELD_NETWORKS or one.named.label in _SPELLED:
        module = one.module().double()
        for taps in (False, True):
            way = partial(Formulas, taps)
            for quantity, found in deviations(
                reference, computed_under(way, module, reference)
            ):
                yield f"{quantity}, other formulas", found


def _singles(setting: Setting, one: Compared) -> Iterator[tuple[str, Deviation]]:
    verification = one.verification
    (images,) = verification.batches
    for name, found in _outputs(setting, one, images):
        yield name, verification.inference.deviation(found, images, SINGLE)


def _outputs(
    setting: Setting, one: Compared, images: Tensor
) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    module, (output,) = one.module().eval(), one.verification.inference.names
    with torch.no_grad():
        yield "torch", {output: module(images)}
        if not is_deep(one.named):
            for taps in (False, True):
                with Formulas(taps):
                    yield "torch, other formulas", {output: module(images)}
    path = str(one.verification.model.path)
    for name, options in {"onnxruntime": {}, **setting.sessions}.items():
        chosen = {"intra_op_num_threads": 1} | _levels(options)
        session = runtime.session(path, "cpu", **chosen)
        yield name, runtime.outputs(session, [output], images)


def _levels(options: Mapping[str, Any]) -> dict[str, Any]:
    import onnxruntime

    level = options.get("graph_optimization_level")
    if level is None:
        return dict(options)
    return {"graph_optimization_level": onnxruntime.GraphOptimizationLevel(level)}
