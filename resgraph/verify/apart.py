"""The witness of a file that resgraph did not write: it lives in another process.

The child imports the file and answers; this process asks, checks that each answer is whole
and has the names, shapes and types that it must have, and compares by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from resgraph.isolation import At, Child, Message, serve
from resgraph.train import Recipe, load_generated
from resgraph.verify.flow import Flow
from resgraph.verify.numbers import (
    GRADIENTS,
    INFERENCE,
    STATISTICS,
    TRAINING,
    UPDATES,
    Batch,
    Numbers,
    Point,
    Sgd,
)
from resgraph.verify.structure import Flows
from resgraph.verify.telling import heard, told
from resgraph.verify.witness import Declared, Present, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from resgraph.isolation.messages import Arrays

_TYPES = (torch.float32, torch.float64, torch.int64)


class Apart:
    """A witness in another process, to be closed."""

    def __init__(self, path: Path, source: str) -> None:
        """Raises `ResgraphError` if the file cannot be imported."""
        self._child = Child(__name__, path, "is not verified")
        try:
            answer = self._child.ask(
                "load", "it is imported", path=str(path), source=source
            )
            with self._plausible():
                self._declared = Declared(
                    tuple(map(int, answer.values["input_shape"])),
                    Recipe.from_mapping(answer.values["recipe"]).as_dict(),
                )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the other process."""
        self._child.close()

    def declared(self) -> Declared:
        return self._declared

    def initial(self, seed: int) -> Mapping[str, Tensor]:
        doing = "its network is constructed"
        return self._tensors(self._child.ask("initial", doing, seed=seed).arrays)

    def flows(self) -> Flows:
        answer = self._child.ask("flows", "its forward is traced")
        with self._plausible():
            both = (heard(answer.values[mode]) for mode in ("training", "inference"))
            return Flows(*both)

    def computed(self, task: Task) -> Sequence[Numbers]:
        """Asked point by point, so that no answer is large or long in coming."""
        sgd, shapes, found = dataclasses.asdict(task.sgd), _shapes(task), []
        for number, point in enumerate(task.points, 1):
            given = _named("tensors", point.tensors) | _named(
                "momentum", point.momentum
            )
            given |= {"images": task.batch.images, "labels": task.batch.labels}
            doing = f"it is trained by step {number}"
            answer = self._ask("compute", doing, given, sgd=sgd)
            found.append(self._numbers(answer, shapes))
        inference = [{INFERENCE: numbers.pop(INFERENCE)} for numbers in found]
        return [inference[0], *found]

    def logits(
        self, tensors: Mapping[str, Tensor], images: Tensor, device: str
    ) -> Tensor:
        given = _named("tensors", tensors) | {"images": images}
        doing = f"its forward runs on {device}"
        answer = self._ask("logits", doing, given, device=device)
        shapes: Shapes = {"logits": {"logits": (len(images), None)}}
        return self._numbers(answer, shapes, torch.float32)["logits"]["logits"]

    def recorded(
        self, tensors: Mapping[str, Tensor], images: Tensor, training: bool
    ) -> Flow:
        given = _named("tensors", tensors) | {"images": images}
        doing = "its forward is recorded"
        answer = self._ask("record", doing, given, training=training)
        values = self._tensors(answer.arrays)
        with self._plausible():
            return heard(answer.values, [values[str(i)] for i in range(len(values))])

    def _ask(
        self, question: str, doing: str, tensors: Mapping[str, Tensor], **values: Any
    ) -> Message:
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        values["threads"] = torch.get_num_threads()  # sums depend on it, to the bit
        return self._child.ask(question, doing, arrays, **values)

    # --- answers ------------------------------------------------------------------------

    @contextmanager
    def _plausible(self) -> Iterator[None]:
        """Tell, as a `ResgraphError`, that an answer is not what was asked for."""
        try:
            yield
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            RecursionError,
        ) as error:
            text = f"its answer is not one: {type(error).__name__}: {error}"
            raise self._child.error(text) from None

    def _tensors(self, arrays: Arrays) -> dict[str, Tensor]:
        """Tensors of the types that networks have."""
        with self._plausible():
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        for name, tensor in tensors.items():
            if tensor.dtype not in _TYPES:
                raise self._child.error(f"its answer has {name} in {tensor.dtype}")
        return tensors

    def _numbers(
        self, answer: Message, shapes: Shapes, dtype: torch.dtype = torch.float64
    ) -> Numbers:
        """All that was asked for, of this type, and nothing else."""
        found: Numbers = {quantity: {} for quantity in shapes}
        wanted = {
            f"{q}/{n}": s for q, names in shapes.items() for n, s in names.items()
        }
        tensors = self._tensors(answer.arrays)
        if odd := sorted(wanted.keys() ^ tensors.keys()):
            what = "no" if odd[0] in wanted else "what was not asked for:"
            raise self._child.error(f"its answer has {what} {odd[0]}")
        for name, tensor in tensors.items():
            if tensor.dtype != dtype or not _fits(tensor, wanted[name]):
                shape = list(tensor.shape)
                text = f"its answer has {name} as {tensor.dtype} of shape {shape}"
                raise self._child.error(text)
            quantity, _, key = name.partition("/")
            found[quantity][key] = tensor
        return found


Shape = tuple[int | None, ...]
"""None where any size will do."""
Shapes = dict[str, dict[str, Shape]]
"""Quantity -> name -> shape."""


def _shapes(task: Task) -> Shapes:
    """What a step gives."""
    shapes = {n: tuple(t.shape) for n, t in task.points[0].tensors.items()}
    trained = {n: shapes[n] for n in task.trained}
    rest = {n: shape for n, shape in shapes.items() if n not in trained}
    logits: dict[str, Shape] = {"logits": (len(task.batch.images), None)}
    quantities: Shapes = {INFERENCE: logits, TRAINING: logits, GRADIENTS: {**trained}}
    quantities |= {STATISTICS: {**rest}} if rest else {}
    return quantities | {UPDATES: {**trained}}


def _fits(tensor: Tensor, shape: tuple[int | None, ...]) -> bool:
    sizes = zip(tensor.shape, shape, strict=False)
    same = all(wanted in (None, size) for size, wanted in sizes)
    return tensor.dim() == len(shape) and same


def _named(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{part}/{name}": tensor.detach() for name, tensor in tensors.items()}


def _part(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{part}/"
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


# --- the other process ------------------------------------------------------------------


def main() -> None:
    """The child's program: the witness in its own process, asked by messages."""
    # The first optimiser makes torch replace functions of its own, which is no deed.
    torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0).step()
    there = _There()
    serve(
        {
            "load": there.load,
            "initial": there.initial,
            "flows": there.flows,
            "compute": there.compute,
            "logits": there.logits,
            "record": there.record,
        }
    )


class _There:
    """Answers by the witness of the module that it has loaded."""

    witness: Present

    def load(self, question: Message, at: At) -> Message:
        values = question.values
        self.witness = Present(load_generated(values["path"], values["source"]))
        return Message(dataclasses.asdict(self.witness.declared()))

    def initial(self, question: Message, at: At) -> Message:
        return _message(self.witness.initial(question.values["seed"]))

    def flows(self, question: Message, at: At) -> Message:
        found = self.witness.flows()
        return Message(
            {"training": told(found.training), "inference": told(found.inference)}
        )

    def compute(self, question: Message, at: At) -> Message:
        """Inference, and a step, from one point."""
        given = _given(question)
        point = Point(_part("tensors", given), _part("momentum", given))
        batch = Batch(given["images"], given["labels"])
        task = Task([point], batch, Sgd(**question.values["sgd"]), ())
        found = {
            k: v for numbers in self.witness.computed(task) for k, v in numbers.items()
        }
        named = [_named(quantity, values) for quantity, values in found.items()]
        return _message({name: t for part in named for name, t in part.items()})

    def logits(self, question: Message, at: At) -> Message:
        given = _given(question)
        tensors, device = _part("tensors", given), question.values["device"]
        logits = self.witness.logits(tensors, given["images"], device)
        return _message({"logits/logits": logits})

    def record(self, question: Message, at: At) -> Message:
        given = _given(question)
        flow = self.witness.recorded(
            _part("tensors", given), given["images"], question.values["training"]
        )
        values = {str(i): value.double() for i, value in enumerate(flow.values)}
        return _message(values, told(flow))


def _given(question: Message) -> dict[str, Tensor]:
    """The tensors of a question, which is answered by as many threads as would ask it."""
    torch.set_num_threads(question.values["threads"])
    return {name: torch.from_numpy(array) for name, array in question.arrays.items()}


def _message(
    tensors: Mapping[str, Tensor], values: Mapping[str, Any] | None = None
) -> Message:
    return Message(values or {}, {name: _array(t) for name, t in tensors.items()})


def _array(tensor: Tensor) -> NDArray[Any]:
    """As numpy has it, which lacks bfloat16."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
