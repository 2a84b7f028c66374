"""Where onnxruntime can run a model: the CPU, or CUDA if all of it is there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from resgraph.diagnostics import ResgraphError, did_you_mean, plural
from resgraph.infer import cuda
from resgraph.infer.cuda import preload

__all__ = [
    "CPU",
    "CUDA",
    "DEVICES",
    "Placement",
    "choose",
    "placement",
    "preload",
    "provider_for",
    "require",
]

CPU = "CPUExecutionProvider"
CUDA = cuda.PROVIDER
DEVICES = ("auto", "cpu", "cuda")
RECORD = "session.record_ep_graph_assignment_info"
"""The session's setting without which `placement` cannot tell; onnxruntime 1.24 has it."""


@dataclass(frozen=True)
class Placement:
    """Which provider runs a model's nodes, as onnxruntime assigned them.

    It assigns after its basic optimisations: nodes that it fuses later stay where they are.
    """

    provider: str
    nodes: int | None
    """How many it runs; None: all, whatever their number, since there is no other."""
    elsewhere: tuple[tuple[str, int], ...] = ()
    """The other providers, with the nodes that they run."""

    def __str__(self) -> str:
        if not self.elsewhere:
            return f"{self.provider}, all nodes"
        others = ", ".join(f"{count} on {name}" for name, count in self.elsewhere)
        nodes = plural(self.nodes or 0, "node")
        return f"{self.provider}, {self.nodes} {nodes} on it and {others}"


def choose(device: str) -> tuple[str, str | None]:
    """The execution provider for a device, and what the user should know about it.

    `auto` is CUDA where all of it is there; a device that lies idle since something else is
    missing is worth a note. Raises `ResgraphError` for an unknown device, and for `cuda`
    where something is missing, which it names.
    """
    if device not in DEVICES:
        raise ResgraphError(f"unknown device '{device}'", did_you_mean(device, DEVICES))
    if device == "cpu":
        return CPU, None
    lack = cuda.missing()
    if lack is None:
        return CUDA, None
    if device == "cuda":
        raise ResgraphError(
            f"no CUDA here: {lack.what}", f"{lack.hint}; or take --device cpu"
        )
    idle = f"the GPU is not used: {lack.what}" if lack.device else None
    return CPU, idle


def provider_for(device: str) -> str:
    """The execution provider for a device. Raises as `choose` does."""
    return choose(device)[0]


def require(device: str, wanted: str, providers: list[str]) -> str:
    """The provider that a session really has; onnxruntime falls back without an error.

    Raises `ResgraphError` if `cuda` was asked for and is not what it has.
    """
    if providers[0] != wanted and device == "cuda":
        raise ResgraphError(
            "onnxruntime finds the device but cannot load its CUDA provider, which needs "
            "CUDA's and cuDNN's libraries",
            "see onnxruntime's message above for the library, or take --device cpu",
        )
    return providers[0]


def placement(session: Any) -> Placement:
    """Which provider runs the nodes of a session, that recorded it if it has several.

    A session on the CPU alone runs all of them there. Else onnxruntime is asked, at about
    40 microseconds a node.
    """
    names = session.get_providers()
    if names == [CPU]:
        return Placement(CPU, None)
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    elsewhere = tuple((name, n) for name, n in counts.items() if name != names[0])
    return Placement(names[0], counts[names[0]], elsewhere)
