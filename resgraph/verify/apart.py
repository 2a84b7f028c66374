"""Modules that resgraph did not write: they live in another process.

The child imports the file, or calls the callable, and answers; this process asks, checks that
each answer is whole and has the names, shapes and types that it must have, and compares by
itself.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from resgraph.isolation import At, Child, Message, serve
from resgraph.recipe import Recipe
from resgraph.recipe.parts import OPTIMIZER
from resgraph.train import load_generated
from resgraph.train.optimizer import optimizer_for
from resgraph.verify.flow import Flow, Flows
from resgraph.verify.foreign import build
from resgraph.verify.numbers import (
    GRADIENTS,
    INFERENCE,
    STATISTICS,
    TRAINING,
    UPDATES,
    Batch,
    Numbers,
    Point,
)
from resgraph.verify.rule import Rule
from resgraph.verify.telling import heard, told
from resgraph.verify.witness import Declared, Here, Naming, Present, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from resgraph.isolation.messages import Arrays

_TYPES = (
    *(torch.float16, torch.float32, torch.float64),
    *(torch.bool, torch.uint8, torch.int32, torch.int64),
)


class Called:
    """The module that PYTHON.PATH:CALLABLE returns, to be closed.

    The child may print, start threads and whatever else libraries do when they are imported:
    it is asked for no more than numbers, which are compared here.
    """

    def __init__(self, where: str) -> None:
        """Raises `ResgraphError` if nothing can be called there."""
        path, _, _ = where.rpartition(":")
        file = Path(path).resolve() if path.endswith(".py") else Path(path)
        self._child = Child(__name__, file, "cannot be used", where, strict=False)
        self._begin("call", "it is imported and called", where=where)

    def _begin(self, question: str, doing: str, **values: Any) -> Message:
        """The first question; no child is left where it fails."""
        try:
            return self._child.ask(question, doing, **values)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the other process."""
        self._child.close()

    def initial(self, seed: int) -> Mapping[str, Tensor]:
        doing = "its network is constructed"
        return self._tensors(self._child.ask("initial", doing, seed=seed).arrays)

    def flows(self, shape: Sequence[int]) -> Flows:
        doing = "its forward is traced"
        answer = self._child.ask("flows", doing, shape=[*shape])
        with self._plausible():
            both = (heard(answer.values[mode]) for mode in ("training", "inference"))
            return Flows(*both)

    def computed(self, task: Task) -> Sequence[Numbers]:
        """Asked point by point, so that no answer is large or long in coming."""
        rule, naming = task.rule.as_dict(), _plain(task.naming)
        shapes, found = _shapes(task), []
        for number, point in enumerate(task.points, 1):
            given = _named("tensors", point.tensors)
            for kind, kept in point.state.items():
                given |= _named(f"state/{kind}", kept)
            given |= {"images": task.batch.images, "labels": task.batch.labels}
            doing = f"it is trained by step {number}"
            values = {"steps": point.steps, "smoothing": task.batch.smoothing}
            answer = self._ask(
                "compute", doing, given, rule=rule, naming=naming, **values
            )
            found.append(self._numbers(answer, shapes))
        inference = [{INFERENCE: numbers.pop(INFERENCE)} for numbers in found]
        return [inference[0], *found]

    def recorded(
        self,
        naming: Naming,
        tensors: Mapping[str, Tensor],
        images: Tensor,
        training: bool,
    ) -> Flow:
        given = _named("tensors", tensors) | {"images": images}
        doing = "its forward is recorded"
        answer = self._ask(
            "record", doing, given, training=training, naming=_plain(naming)
        )
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
            if tensor.dtype != dtype or tensor.shape != wanted[name]:
                shape = list(tensor.shape)
                text = f"its answer has {name} as {tensor.dtype} of shape {shape}"
                raise self._child.error(text)
            quantity, _, key = name.partition("/")
            found[quantity][key] = tensor
        return found


class Apart(Called):
    """The witness of a generated file that differs from what resgraph writes, to be closed.

    A network's file defines classes and computes: whatever else it does is an error.
    """

    def __init__(self, path: Path, source: str) -> None:
        """Raises `ResgraphError` if the file cannot be imported."""
        self._child = Child(__name__, path, "is not verified")
        doing = "it is imported"
        answer = self._begin("load", doing, path=str(path), source=source)
        try:
            with self._plausible():
                self._declared = Declared(
                    tuple(map(int, answer.values["input_shape"])),
                    Recipe.from_mapping(answer.values["recipe"]).as_dict(),
                )
        except BaseException:
            self.close()
            raise

    def declared(self) -> Declared:
        return self._declared

    def outputs(
        self,
        shapes: Mapping[str, Sequence[int]],
        tensors: Mapping[str, Tensor],
        images: Tensor,
        device: str,
    ) -> Mapping[str, Tensor]:
        given = _named("tensors", tensors) | {"images": images}
        doing = f"its forward runs on {device}"
        answer = self._ask(
            "outputs", doing, given, device=device, shapes=_lists(shapes)
        )
        wanted = {_OUTPUTS: _batches(shapes, len(images))}
        return self._numbers(answer, wanted, torch.float32)[_OUTPUTS]


_OUTPUTS = "outputs"
Shapes = dict[str, dict[str, tuple[int, ...]]]
"""Quantity -> name -> shape."""


def _shapes(task: Task) -> Shapes:
    """What a step gives."""
    shapes = {n: tuple(t.shape) for n, t in task.points[0].tensors.items()}
    trained = {n: shapes[n] for n in task.trained}
    rest = {n: shape for n, shape in shapes.items() if n not in trained}
    outputs = _batches(task.naming.outputs, len(task.batch.images))
    quantities: Shapes = {INFERENCE: outputs, TRAINING: outputs, GRADIENTS: {**trained}}
    quantities |= {STATISTICS: {**rest}} if rest else {}
    return quantities | {UPDATES: {**trained}}


def _batches(
    shapes: Mapping[str, Sequence[int]], count: int
) -> dict[str, tuple[int, ...]]:
    """The shapes of so many values each."""
    return {name: (count, *shape) for name, shape in shapes.items()}


def _lists(shapes: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """As JSON has them."""
    return {name: [*shape] for name, shape in shapes.items()}


def _named(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{part}/{name}": tensor.detach() for name, tensor in tensors.items()}


def _part(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{part}/"
    return {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}


# --- the other process ------------------------------------------------------------------


def main() -> None:
    """The child's program: the witness in its own process, asked by messages."""
    # What a compiled module computes is what it computes without the compiler.
    os.environ["TORCH_COMPILE_DISABLE"] = "1"
    # The first of its kind makes torch replace functions of its own, which is no deed.
    for part in OPTIMIZER.kinds:
        recipe = Recipe.of({"optimizer": part.kind})
        groups = [{"params": [nn.Parameter(torch.zeros(1))]}]
        optimizer_for(groups, recipe, lr=1.0).step()
    there = _There()
    serve(
        {
            "load": there.load,
            "call": there.call,
            "initial": there.initial,
            "flows": there.flows,
            "compute": there.compute,
            "outputs": there.outputs,
            "record": there.record,
        }
    )


class _There:
    """Answers by the module that it has loaded."""

    module: Here

    def load(self, question: Message, at: At) -> Message:
        values = question.values
        witness = Present(load_generated(values["path"], values["source"]))
        self.module = witness
        return Message(dataclasses.asdict(witness.declared()))

    def call(self, question: Message, at: At) -> Message:
        """Once now, so that what fails is told first."""
        where = question.values["where"]
        first: list[nn.Module] = [build(where)]
        self.module = Here(lambda: first.pop() if first else build(where))
        return Message({})

    def initial(self, question: Message, at: At) -> Message:
        return _message(self.module.initial(question.values["seed"]))

    def flows(self, question: Message, at: At) -> Message:
        found = self.module.flows(question.values["shape"])
        return Message(
            {"training": told(found.training), "inference": told(found.inference)}
        )

    def compute(self, question: Message, at: At) -> Message:
        """Inference, and a step, from one point."""
        given, values = _given(question), question.values
        rule, naming = Rule.from_dict(values["rule"]), _naming(question)
        state = {k: _part(f"state/{k}", given) for k in rule.recipe.optimizer.moments}
        kept = {kind: part for kind, part in state.items() if part}
        point = Point(_part("tensors", given), kept, values["steps"])
        batch = Batch(given["images"], given["labels"], values["smoothing"])
        task = Task([point], batch, rule, (), naming)
        found = {
            k: v for numbers in self.module.computed(task) for k, v in numbers.items()
        }
        named = [_named(quantity, values) for quantity, values in found.items()]
        return _message({name: t for part in named for name, t in part.items()})

    def outputs(self, question: Message, at: At) -> Message:
        given, values = _given(question), question.values
        tensors = _part("tensors", given)
        assert isinstance(self.module, Present)
        found = self.module.outputs(
            values["shapes"], tensors, given["images"], values["device"]
        )
        return _message(_named(_OUTPUTS, found))

    def record(self, question: Message, at: At) -> Message:
        given = _given(question)
        training, naming = question.values["training"], _naming(question)
        flow = self.module.recorded(
            naming, _part("tensors", given), given["images"], training
        )
        values = {str(i): value.double() for i, value in enumerate(flow.values)}
        return _message(values, told(flow))


def _plain(naming: Naming) -> dict[str, Any]:
    """As JSON has it."""
    chances, outputs = [*naming.chances], _lists(naming.outputs)
    return {"names": dict(naming.names), "outputs": outputs, "chances": chances}


def _naming(question: Message) -> Naming:
    return Naming(**question.values["naming"])


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
