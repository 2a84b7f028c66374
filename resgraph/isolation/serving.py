"""The child's side: it answers questions until the parent has no more."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from resgraph.diagnostics import ResgraphError, raised
from resgraph.isolation.deeds import Watch
from resgraph.isolation.messages import READY, Message, read_message, write_message

At = Callable[[str], None]
"""Tells the parent what is being done, for the case that it never ends."""
Handler = Callable[[Message, At], Message]


def serve(handlers: Mapping[str, Handler]) -> None:
    """Answer the parent's questions with the handler that each of them names.

    To be called by a program that `Child` has started, after all that it imports. Whatever
    a handler raises is the answer then; nothing ends this process but the file itself.
    """
    fd, folder, file = sys.argv[1:]
    die_with_parent(signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable(os.fdopen(os.dup(2), "w"))
    line, here, end = socket.socket(fileno=int(fd)), os.getpid(), os._exit
    watch = Watch(file)
    line.sendall(f"{READY}\n".encode())
    for number, _ in enumerate(line.makefile("r")):
        question = read_message(Path(folder) / f"question-{number}")
        answer = _answered(
            handlers, question, lambda what: line.sendall(f"@{what}\n".encode()), file
        )
        deeds = watch.deeds()
        if os.getpid() == here:  # and not a copy that was forked
            values = {**answer.values, "deeds": deeds}
            answer = Message(values, answer.arrays)
            write_message(Path(folder) / f"answer-{number}", answer)
            line.sendall(f"{number}\n".encode())
    end(0)


def _answered(
    handlers: Mapping[str, Handler], question: Message, at: At, file: str
) -> Message:
    """The handler's answer, or the error that it raised, with its hint."""
    try:
        answer = handlers[question.values["question"]](question, at)
        return Message({"answer": dict(answer.values)}, answer.arrays)
    except ResgraphError as error:
        return Message({"error": error.message, "hint": error.hint})
    except (
        BaseException
    ) as error:  # also SystemExit, and a KeyboardInterrupt of the file's
        return Message({"raised": raised(error, file)})


def die_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent is no more; Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, number)  # PR_SET_PDEATHSIG
