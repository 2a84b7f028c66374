"""The parent's side: a child that is asked, and the errors where it does not answer."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from resgraph.diagnostics import ResgraphError, visible
from resgraph.isolation.messages import READY, Message, read_message, write_message

if TYPE_CHECKING:
    from resgraph.isolation.messages import Arrays

LIMIT = 600.0
"""Seconds for one answer. The slowest, a training step of a thousand layers in float64 on one
core, takes less than a minute; what takes ten times as long does not end."""
_TICK = 0.2
_BOOT = (
    "import os, sys, importlib; sys.path[:] = sys.argv.pop(1).split(os.pathsep); "
    "importlib.import_module(sys.argv.pop(1)).main()"
)


def command(module: str, *arguments: str) -> list[str]:
    """What runs `main()` of a module in another process, with this one's import paths."""
    flags = ("-P", "-B", "-W", "ignore")  # nothing of the working folder, no byte code
    paths = os.pathsep.join(sys.path)
    return [sys.executable, *flags, "-c", _BOOT, paths, module, *arguments]


def ended_with(code: int) -> str:
    """A process's exit code in words: `with exit code 3`, `by SIGKILL`."""
    if code >= 0:
        return f"with exit code {code}"
    names = {int(number): number.name for number in signal.Signals}
    return f"by {names.get(-code, f'signal {-code}')}"


class Child:
    """A process with the code of one file, which answers questions about it.

    `verdict` is what the errors say of the file, such as `is not verified`; `name` what they
    call it, if not by its path. The child has no terminal and no input. If it is `strict`, that
    it prints anything is an error, as is whatever else a network's file has no reason to do
    (`resgraph.isolation.deeds`).
    """

    def __init__(
        self,
        module: str,
        file: Path,
        verdict: str,
        name: str | None = None,
        strict: bool = True,
    ) -> None:
        self.file = str(file)
        self.name = name or self.file
        self.verdict = verdict
        self.strict = strict
        self.doing = "resgraph is imported"
        self.count = 0
        self._folder = tempfile.TemporaryDirectory(prefix="resgraph-")
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._line, theirs = socket.socketpair()
        self._lines = b""
        self._closed = False
        with theirs:
            fd = theirs.fileno()
            self._process = subprocess.Popen(
                command(
                    module, str(fd), self._folder.name, self.file, str(int(strict))
                ),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=(fd,),
                start_new_session=True,
                env=os.environ | {"TORCH_CPP_LOG_LEVEL": "ERROR"},
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child, and whatever it has started."""
        self._kill()
        self._line.close()
        self._output.close()
        self._folder.cleanup()

    def ask(
        self, question: str, doing: str, arrays: Arrays | None = None, **values: Any
    ) -> Message:
        """The child's answer. `doing` says what the child does then: `it is imported`.

        Raises `ResgraphError` for an error in the child, for one that has ended or takes
        longer than `LIMIT`, for an answer that is not whole, and for deeds.
        """
        if self.count == 0:
            self._await(READY, 600.0)
        number, self.count, self.doing = self.count, self.count + 1, doing
        folder = Path(self._folder.name)
        asked = Message({"question": question, **values}, arrays or {})
        write_message(folder / f"question-{number}", asked)
        with contextlib.suppress(OSError):  # it has ended: `_await` says how
            self._line.sendall(b"\n")
        self._await(str(number), LIMIT)
        try:
            answer = read_message(folder / f"answer-{number}")
        except (OSError, ValueError) as error:
            raise self.error(f"its answer is not whole: {error}") from None
        return self._checked(answer.values, answer.arrays)

    def _checked(self, values: Mapping[str, Any], arrays: Arrays) -> Message:
        """The answer, if it is one and nothing else was done."""
        deeds = values.get("deeds")
        if not isinstance(deeds, list):
            raise self.error("its answer is not whole")
        if deeds:
            more = f"; and {len(deeds) - 3} more" if len(deeds) > 3 else ""
            what = "; ".join(visible(str(deed))[:200] for deed in deeds[:3])
            raise self.error(f"it does more than compute: it {what}{more}")
        if self.strict and (printed := self._printed()):
            raise self.error(f"it prints {printed!r}")
        if "error" in values:
            raise self._refused(str(values["error"]), values.get("hint"))
        if "raised" in values:
            what = visible(str(values["raised"]))
            raise self.error(f"{what} while {self.doing}")
        if not isinstance(values.get("answer"), dict):
            raise self.error("its answer is not whole")
        return Message(values["answer"], arrays)

    # --- waiting --------------------------------------------------------------------------

    def _await(self, wanted: str, limit: float) -> None:
        """Return when the child says this: that it is ready, or has answered."""
        deadline = time.monotonic() + limit
        while (said := self._said()) is None or said.startswith("@"):
            if said is not None:
                self.doing = visible(said[1:])
            elif self._over():
                raise self.error(self._how_it_ended())
            elif time.monotonic() > deadline:
                where = self._stopped_at()
                raise self.error(
                    f"it gives no answer within {limit:g} s while {self.doing}{where}"
                )
        if said != wanted:
            raise self.error("it answers what was not asked")

    def _said(self) -> str | None:
        """The next line, if there is one soon."""
        if b"\n" not in self._lines and self._readable(_TICK):
            with contextlib.suppress(ConnectionError):
                received = self._line.recv(4096)
                self._closed = not received
                self._lines += received
        if b"\n" not in self._lines:
            return None
        said, _, self._lines = self._lines.partition(b"\n")
        return said.decode(errors="replace")

    def _over(self) -> bool:
        """Whether nothing more can come: a process that it forked may keep the line open."""
        ended = self._process.poll() is not None
        return self._closed or (ended and not self._readable(0))

    def _readable(self, seconds: float) -> bool:
        return bool(select.select([self._line], [], [], seconds)[0])

    # --- the end --------------------------------------------------------------------------

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(_TICK)
        except subprocess.TimeoutExpired:
            return f"it closes its line to resgraph while {self.doing}"
        what = ended_with(code)
        return f"its process ended {what} while {self.doing}{self._place()}"

    def _stopped_at(self) -> str:
        """Where it hangs, as Python's fault handler tells on SIGABRT."""
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            self._process.send_signal(signal.SIGABRT)
            self._process.wait(2)
        self._kill()
        return self._place()

    def _place(self) -> str:
        """The innermost line of the file on the stack that the fault handler wrote."""
        pattern = rf'File "{re.escape(self.file)}", line (\d+)'
        found = re.search(pattern, self._printed(limit=100_000))
        return f" (line {found[1]})" if found else ""

    def _printed(self, limit: int = 200) -> str:
        """The beginning of what it has printed, on stdout or stderr."""
        return (
            os.pread(self._output.fileno(), limit, 0).decode(errors="replace").strip()
        )

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _refused(self, what: str, hint: Any) -> ResgraphError:
        """The error that the child raised, which names the file in any case."""
        if self.name not in what:
            what = f"{self.name} {self.verdict}: {what}"
        return ResgraphError(what, None if hint is None else str(hint))

    def error(self, what: str) -> ResgraphError:
        """What is wrong with the file, to be raised."""
        return ResgraphError(
            f"{self.name} {self.verdict}: {what}",
            "a network's file defines classes and computes, and does nothing else"
            if self.strict
            else None,
        )
