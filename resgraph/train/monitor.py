"""What goes on in each unit while a network trains: `units.jsonl` in the run folder.

He et al. (ECCV 2016, Sec. 4.2) look at how often f = ReLU truncates the signal after the
addition, over training and depth. The file's first line says what is measured:
`{"units": [names], "cuts": [whether f cuts at zero], "images": most of a probe}`. Each
further line has an `iteration` and, unit by unit in that order, the fields of `UnitRecord`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from resgraph.diagnostics import ResgraphError
from resgraph.files import finite, parse_json, read_bytes, write_text
from resgraph.limits import RECORDS_BYTES
from resgraph.train import task
from resgraph.train.batches import forked
from resgraph.train.execution import uncompiled
from resgraph.train.folder import UNITS, writing
from resgraph.train.module import parted, units_of

PROBE = 32
"""Images of a probe at most."""

_DIGITS = 5  # significant ones, enough for a figure; 333 units make long lines


@dataclass(frozen=True)
class UnitRecord:
    """The units after `iteration` steps, each field a number per unit, in float32.

    A number that was infinite or none is NaN.
    """

    iteration: int
    truncated: tuple[float, ...]
    """The share of the elements of y, after the addition, that f sets to zero (Sec. 4.2):
    where f ends in a cut at zero, the share of the unit's output that is exactly zero. That
    is the same, since such an f gives zero for what is not above zero and nothing else.
    Behind a BN, as in Fig. 4b, it is the share that its ReLU cuts. For other units it is 0,
    whatever zeros their output has."""
    negative: tuple[float, ...]
    """The share of the elements of the unit's output that are below zero."""
    response: tuple[float, ...]
    """The standard deviation of all elements of the unit's output; He et al. (CVPR 2016,
    Fig. 7) study that of layer responses."""
    gradient: tuple[float, ...]
    """The L2 norm of dL/d(output of the unit), L being the mean cross-entropy of the probe."""


@dataclass(frozen=True)
class UnitRecords:
    """What a run folder's `units.jsonl` holds."""

    units: tuple[str, ...]
    cuts: tuple[bool, ...]
    """By unit: whether its f ends in a cut at zero."""
    records: tuple[UnitRecord, ...]
    torn: bool = False
    """Whether a line was cut short, which ends the records."""

    @classmethod
    def read(cls, folder: Path) -> UnitRecords | None:
        """The records of a run; None where there are none."""
        try:
            contents = read_bytes(folder / UNITS, RECORDS_BYTES)
            first, *others = contents.rstrip(b"\n").split(b"\n")
            head = _Head.model_validate(parse_json(first))
        except (OSError, ValueError):
            return None
        units, cuts = tuple(head.units), tuple(head.cuts)
        if len(units) != len(cuts):
            return None
        records: list[UnitRecord] = []
        for line in others:
            record = _parsed(line, len(units))
            if record is None:
                return cls(units, cuts, tuple(records), torn=True)
            records.append(record)
        return cls(units, cuts, tuple(records))


class Monitor:
    """Looks into a network's units from time to time, without a trace in its training.

    A probe is a forward and a backward pass of its own, in float32 and training mode, with
    a few images of a batch. Parameters, their gradients, BN's running statistics, random
    generators and modes are afterwards as they were, so that training with a monitor is
    bitwise the same as without one. Compiled units run eagerly in it; those that compute
    themselves anew are seen at their first call.
    """

    def __init__(
        self, network: nn.Module, cuts: Mapping[str, bool], folder: Path | None
    ) -> None:
        """`cuts` names the units in the network's stages, `stage1.0`, in order, and says of
        each whether its f ends in a cut at zero.

        Without a folder nothing is written, as on ranks that only take part in the passes.
        Raises `ResgraphError` if there are no units, or the stages have others.
        """
        self.network = network
        if not cuts:
            raise ResgraphError(
                "there is nothing to monitor: the network has no stages of units"
            )
        stages = {_stage(name) for name in cuts}
        found = units_of(network)
        self.units = {n: unit for n, unit in found.items() if _stage(n) in stages}
        if set(self.units) != set(cuts):
            raise ResgraphError(
                "cannot monitor the network: its units are not those of its spec",
                "compile the spec again",
            )
        self.cuts = tuple(cuts[name] for name in self.units)
        self.path = None if folder is None else folder / UNITS

    def record(self, iteration: int, images: Tensor, labels: Tensor) -> None:
        """Probe with the first images [N, C, H, W] and labels [N]; add a line to the file.

        Raises `ResgraphError` if that cannot be written.
        """
        record = self._probe(iteration, images[:PROBE], labels[:PROBE])
        if self.path is None:
            return
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            if file.tell() == 0:
                file.write(self._head())
            file.write(_line(record))
            file.flush()
            os.fsync(file.fileno())

    def forget_after(self, iteration: int) -> None:
        """Drop the records of later iterations, before they come again.

        Raises `ResgraphError` if the file cannot be written.
        """
        if self.path is None:
            return
        found = UnitRecords.read(self.path.parent)
        kept = [r for r in found.records if r.iteration <= iteration] if found else []
        text = self._head() + "".join(map(_line, kept))
        with writing(self.path):
            write_text(self.path, text)

    def _head(self) -> str:
        head = {"units": [*self.units], "cuts": self.cuts, "images": PROBE}
        return json.dumps(head) + "\n"

    def _probe(self, iteration: int, images: Tensor, labels: Tensor) -> UnitRecord:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_untouched(self.network, images.device))
            seen = [stack.enter_context(_Seen(unit)) for unit in self.units.values()]
            self.network.train()
            with torch.enable_grad():
                loss = task.loss(task.logits(self.network(images)), labels)
            torch.autograd.backward(loss)
            # The one place where the host waits for the device.
            table = torch.stack([unit.numbers() for unit in seen]).tolist()
        zero, negative, response, gradient = (
            tuple(c) for c in zip(*table, strict=True)
        )
        truncated = tuple(z if c else 0.0 for z, c in zip(zero, self.cuts, strict=True))
        return UnitRecord(iteration, truncated, negative, response, gradient)


def _stage(unit: str) -> str:
    return unit.rpartition(".")[0]


class _Seen:
    """What one probe sees of one unit, of its first output; a unit's later calls, done anew, are not looked at."""

    def __init__(self, unit: nn.Module) -> None:
        self._unit = unit
        self._output: Tensor | None = None  # [3]: shares of zero and below, deviation
        self._gradient: Tensor | None = None
        self._watched = False

    def __enter__(self) -> _Seen:
        self._hook = self._unit.register_forward_hook(self._called)
        return self

    def __exit__(self, *error: object) -> None:
        self._hook.remove()

    def numbers(self) -> Tensor:
        """[4]: the share of zeros, of negative elements, deviation, gradient's norm."""
        assert self._output is not None
        gradient = self._gradient
        if gradient is None:
            gradient = torch.full_like(self._output[0], math.nan)
        return torch.cat([self._output, gradient.view(1)])

    def _called(self, unit: nn.Module, inputs: Any, outputs: Any) -> None:
        output = parted(outputs)[0][0]
        if self._output is None:
            with torch.no_grad():
                zeros, below = (output == 0), (output < 0)
                deviation = output.float().std(correction=0)
                shares = (zeros.float().mean(), below.float().mean())
                self._output = torch.stack([*shares, deviation])
        # A first call whose result is to be computed anew keeps no graph: it has no
        # gradient of its own, and the next call has it.
        if output.requires_grad and not self._watched:
            self._watched = True
            tensor: Any = output  # torch's annotations lack this method's
            tensor.register_hook(self._reached)

    def _reached(self, gradient: Tensor) -> None:
        self._gradient = torch.linalg.vector_norm(gradient.detach().float())


@contextlib.contextmanager
def _untouched(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Leave everything about a network as it was, in the same memory; run it eagerly."""
    modes = [(module, module.training) for module in network.modules()]
    gradients = [(p, p.grad) for p in network.parameters()]
    buffers = [(b, b.clone()) for b in network.buffers()]
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        # What was compiled was compiled without our hooks.
        with forked(device), uncompiled():
            yield
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for buffer, value in buffers:
            buffer.copy_(value)
        for module, mode in modes:
            module.training = mode


def _line(record: UnitRecord) -> str:
    rounded = {
        name: [float(f"{v:.{_DIGITS}g}") for v in value]
        if isinstance(value, tuple)
        else value
        for name, value in asdict(record).items()
    }
    return json.dumps(finite(rounded), allow_nan=False) + "\n"


class _Head(BaseModel):
    model_config = ConfigDict(strict=True)

    units: list[str]
    cuts: list[bool]


class _Line(BaseModel):
    model_config = ConfigDict(strict=True)

    iteration: Annotated[int, Field(ge=0, le=2**53)]
    truncated: list[float | None]
    negative: list[float | None]
    response: list[float | None]
    gradient: list[float | None]


def _parsed(line: bytes, units: int) -> UnitRecord | None:
    """A line's record; None if the line is not whole."""
    try:
        read = _Line.model_validate(parse_json(line))
    except ValueError:
        return None
    columns = read.truncated, read.negative, read.response, read.gradient
    if any(len(column) != units for column in columns):
        return None
    values = (tuple(math.nan if v is None else v for v in c) for c in columns)
    return UnitRecord(read.iteration, *values)
