"""A generated file that resgraph did not write, tried out in a process of its own.

What ends that process, or never ends in it, would otherwise end training, and perhaps with
the exit code of success.
"""

from __future__ import annotations

from pathlib import Path

import torch

from resgraph.isolation import At, Child, Message, serve
from resgraph.train.module import load_generated
from resgraph.train.task import logits


def tried(path: Path, source: str) -> None:
    """Have a child import the file, construct its network and train it by a step.

    Raises `ResgraphError` for whatever goes wrong there.
    """
    with Child(__name__, path, "is not trained") as child:
        answer = child.ask("try", "it is imported", path=str(path), source=source)
        classes = answer.values.get("classes")
        if type(classes) is not int or classes < 1:
            raise child.error(f"it says that it has {classes!r} classes")


def main() -> None:
    """The child's program."""
    serve({"try": _try})


def _try(question: Message, at: At) -> Message:
    """Each thing that training does with a network, once."""
    generated = load_generated(question.values["path"], question.values["source"])
    at(f"{generated.network.__name__}() is constructed")
    network = generated.build()
    at("its forward runs at inference")
    classes = generated.classes(network)
    images = torch.zeros(2, *generated.input_shape)
    at("its forward runs in training")
    with generated.told("its forward fails in training"):
        loss = logits(network.train()(images)).square().mean()
    at("its backward runs")
    with generated.told("its backward fails"):
        torch.autograd.backward(loss)
    return Message({"classes": classes})
