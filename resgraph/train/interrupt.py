"""Ctrl-C, a scheduler's SIGTERM and a closed terminal, as a wish to stop after the step in hand."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_HANG_UP = getattr(signal, "SIGHUP", None)  # Windows has none


def signals_to_stop() -> tuple[signal.Signals, ...]:
    """What asks a run to stop; a closed terminal does not where nohup has it ignored."""
    asked = (signal.SIGINT, signal.SIGTERM)
    if _HANG_UP is None or signal.getsignal(_HANG_UP) is signal.SIG_IGN:
        return asked
    return (*asked, _HANG_UP)


class Interrupt:
    """While it is entered, the first signal sets `requested`, and a second one stops hard.

    Not so a hang-up: a terminal that closes sends it from the shell and from the system.
    Nor with `patient`: torchrun passes on to its processes the signals that the terminal
    has sent them already, so there a second one means no more than the first.
    Outside the main thread, where Python takes no signals, it does nothing.
    """

    def __init__(self, patient: bool = False) -> None:
        self.requested = False
        self.patient = patient
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            handled = signals_to_stop()
            self._before = {s: signal.signal(s, self._handle) for s in handled}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if number == _HANG_UP:
            return
        if self._asked and not self.patient:
            raise KeyboardInterrupt
        self._asked = True
