"""What foreign code does besides defining classes and computing.

A network's file has no reason to start a process or to replace a function of torch. Where
Python tells of it beforehand, by its audit events, the deed is refused; everything that is
noted goes to the parent, for which one deed is enough.
"""

from __future__ import annotations

import _thread
import atexit
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, ModuleType
from typing import Any

_EVENTS = {
    "ctypes.dlopen": "loads a library",
    "ctypes.dlsym": "loads a library",
    "os.chmod": "changes files",
    "os.chown": "changes files",
    "os.exec": "starts a process",
    "os.fork": "starts a process",
    "os.forkpty": "starts a process",
    "os.kill": "sends a signal",
    "os.killpg": "sends a signal",
    "os.link": "changes files",
    "os.mkdir": "changes files",
    "os.posix_spawn": "starts a process",
    "os.remove": "removes files",
    "os.rename": "changes files",
    "os.rmdir": "removes files",
    "os.spawn": "starts a process",
    "os.symlink": "changes files",
    "os.system": "starts a process",
    "os.truncate": "changes files",
    "shutil.rmtree": "removes files",
    "signal.pthread_kill": "sends a signal",
    "socket.bind": "opens a connection",
    "socket.connect": "opens a connection",
    "subprocess.Popen": "starts a process",
    "sys.addaudithook": "watches the interpreter",
    "sys.setprofile": "watches the interpreter",
    "sys.settrace": "watches the interpreter",
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_WATCHED = (
    *("builtins", "io", "json", "math", "os", "resgraph", "sys", "threading", "time"),
    *("torch", "torch._tensor", "torch.autograd", "torch.func", "torch.nn"),
    *("torch.optim", "torch.overrides", "torch.random", "torch.serialization"),
)
"""Modules whose functions and classes stay as they are; of some, all modules below too."""
_BELOW = ("json.", "resgraph.", "torch.autograd.", "torch.nn.", "torch.optim.")
_OF_CLASSES = ("__doc__", "__module__", "__annotations__", "__slotnames__")


class Watch:
    """Notes what the code of one file does in this process."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.noted: list[str] = []
        self.streams = (sys.stdout, sys.stderr)
        self.modules = {name: sys.modules[name] for name in _names()}
        self.before = _attributes(self.modules.values())
        self.threads = _thread._count()
        self.register = atexit.register
        atexit.register = self._register  # type: ignore[assignment]
        sys.addaudithook(self._heard)

    def deeds(self) -> list[str]:
        """All that was noted so far, and what is another now than before the file ran."""
        for stream in self.streams:  # what was printed counts from here on
            stream.flush()
        more = _thread._count() > self.threads  # no event tells of their start
        threads = ["leaves a thread running"] if more else []
        return list(dict.fromkeys([*self.noted, *threads, *self._replaced()]))

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        """Refuse what a network's file has no reason for."""
        deed = _EVENTS.get(event)
        if event == "open" and isinstance(args[2], int) and args[2] & _WRITING:
            deed = "writes files"
        if deed is not None and (line := self._line()) is not None:
            self.noted.append(f"{deed} (line {line})")
            raise PermissionError(f"a network's file that {deed} is not run")

    def _register(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In the place of `atexit.register`, which raises no audit event."""
        if (line := self._line()) is not None:
            self.noted.append(f"leaves something to be run at exit (line {line})")
            return call
        return self.register(call, *args, **kwargs)

    def _line(self) -> int | None:
        """The line of the file that is being executed, or that called what is."""
        calls: FrameType | None = sys._getframe(1)
        while calls is not None and calls.f_code.co_filename != self.file:
            calls = calls.f_back
        return None if calls is None else calls.f_lineno

    def _replaced(self) -> Iterator[str]:
        """Functions, classes, methods and modules that are others now, or gone, or new."""
        for name, module in self.modules.items():
            if sys.modules.get(name) is not module:
                yield f"replaces the module {name}"
        now = _attributes(self.modules.values())
        for home, attributes in self.before.items():
            after = now.get(home, {})
            for key in attributes.keys() | after.keys():
                if not _same(attributes.get(key), after.get(key)):
                    yield f"replaces {home}.{key}"


Facts = dict[str, tuple[Any, ...]]
"""By name, what must stay the same object: of a function, its code too."""


def _same(before: tuple[Any, ...] | None, after: tuple[Any, ...] | None) -> bool:
    """Whether nothing was replaced; modules may be imported at any time."""
    if before is None or after is None:
        return after is not None and isinstance(after[0], ModuleType)
    return all(a is b for a, b in zip(before, after, strict=True))


def _names() -> list[str]:
    """The watched modules that are loaded."""
    return [name for name in sys.modules if name in _WATCHED or name.startswith(_BELOW)]


def _attributes(modules: Iterable[ModuleType]) -> dict[str, Facts]:
    """What the modules have in them, and what the classes have that are found there."""
    found: dict[str, Facts] = {}
    for module in modules:
        found[module.__name__] = _facts(module)
        for value in [*vars(module).values()]:
            if isinstance(value, type):
                home = f"{value.__module__}.{value.__qualname__}"
                found.setdefault(home, _facts(value))
    return found


def _facts(home: ModuleType | type) -> Facts:
    """Functions, classes, methods, properties and modules; how many global hooks there are."""
    facts: Facts = {}
    for key, value in [*vars(home).items()]:
        if key.startswith("_global_") and isinstance(value, dict):
            facts[key] = (len(value),)
        elif key not in _OF_CLASSES and (callable(value) or _is_fixed(value)):
            facts[key] = (value, getattr(value, "__code__", None))
    return facts


def _is_fixed(value: Any) -> bool:
    return isinstance(value, ModuleType | property | classmethod | staticmethod)
