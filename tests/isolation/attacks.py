"""What a file may do to the process that loads it: a table, and how it is planted."""

from __future__ import annotations

ANYWHERE = {
    "sys.exit(0)": "import sys; sys.exit(0)",
    "sys.exit(1)": "import sys; sys.exit(1)",
    "os._exit(0)": "import os; os._exit(0)",
    "os._exit(1)": "import os; os._exit(1)",
    "SIGKILL": "import os, signal; signal.raise_signal(signal.SIGKILL)",
    "SIGKILL by os.kill": "import os; os.kill(os.getpid(), 9)",
    "SIGSEGV": "import signal; signal.raise_signal(signal.SIGSEGV)",
    "SystemExit": "raise SystemExit",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "MemoryError": "raise MemoryError",
    "RecursionError": "(again := lambda: again())()",
    "an exception of its own": "raise type('Odd', (BaseException,), {})('odd')",
    "an exception whose text exits": (
        "raise type('Odd', (BaseException,), {'__str__': lambda self: exit(0)})()"
    ),
    "an endless loop": "while True: pass",
}
"""Ends, which may come at any point of the network's life."""

AT_IMPORT = {
    "prints a verdict": 'print(\'[{"network": "tiny", "verified": true}]\')',
    "prints past Python": "import os; os.write(1, b'verified')",
    "prints an error": "import sys; sys.stderr.write('all is well')",
    "patches torch.relu": "torch.relu = lambda x: x",
    "patches torch.equal": "torch.equal = lambda *a: True",
    "patches torch.allclose": "torch.allclose = lambda *a, **k: True",
    "patches Module.__call__": "nn.Module.__call__ = lambda self, x: x",
    "shadows Module.__call__": "nn.Conv2d.__call__ = nn.Module.__call__",
    "patches Tensor.__eq__": "Tensor.__eq__ = lambda a, b: True",
    "patches a function's code": (
        "nn.functional.relu.__code__ = (lambda input, inplace=False: input).__code__"
    ),
    "hooks all modules": (
        "nn.modules.module.register_module_forward_hook(lambda m, a, o: o)"
    ),
    "patches print": "import builtins; builtins.print = lambda *a, **k: None",
    "patches open": "import builtins; builtins.open = lambda *a, **k: None",
    "patches exit": "import builtins; builtins.exit = lambda *a: None",
    "replaces a module of resgraph": (
        "import sys, types\n"
        "sys.modules['resgraph.train.module'] = types.ModuleType('fake')"
    ),
    "patches a function of resgraph": (
        "import resgraph.train.module as m; m.load_generated = lambda *a: None"
    ),
    "leaves something for the exit": (
        "import atexit, os; atexit.register(lambda: os._exit(0))"
    ),
    "leaves a thread": (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()"
    ),
    "leaves a bare thread": (
        "import _thread, time; _thread.start_new_thread(time.sleep, (1000,))"
    ),
    "forks": "import os; os.fork()",
    "forks and ends": "import os\nif os.fork(): os._exit(0)",
    "forks, and hides that": (
        "import os\ntry:\n    os.fork()\nexcept BaseException:\n    pass"
    ),
    "starts a program": "import subprocess; subprocess.run(['true'])",
    "starts a shell": "import os; os.system('true')",
    "becomes another program": "import os; os.execv('/bin/true', ['true'])",
    "writes a file": "open('left', 'w')",
    "removes the report": (
        "import shutil, sys; shutil.rmtree(sys.argv[2], ignore_errors=True)"
    ),
    "closes what it can": "import os; os.closerange(0, 256)",
}
"""Deeds of a file that is imported to its end."""

PLACES = ("import", "__init__", "forward", "training", "backward")


def planted(source: str, code: str, place: str = "import") -> str:
    """A generated file with code in one of `PLACES`."""
    if place == "import":
        return f"{source}\n{code}\n"
    if place == "__init__":
        head, tail = source.rsplit("        super().__init__()\n", 1)
        return f"{head}        super().__init__()\n{_indented(code, 8)}{tail}"
    start = "    def forward(self, x: Tensor) -> Tensor:\n"
    head, tail = source.rsplit(start, 1)
    if place == "forward":
        return f"{head}{start}{_indented(code, 8)}{tail}"
    if place == "training":
        return f"{head}{start}        if self.training:\n{_indented(code, 12)}{tail}"
    last = "        return self.head_linear(x)"
    assert last in tail
    hooked = tail.replace(
        last,
        f"        def hook(gradient):\n{_indented(code, 12)}            return gradient\n"
        "        x = self.head_linear(x)\n"
        "        if x.requires_grad:\n"
        "            x.register_hook(hook)\n"
        "        return x",
    )
    return f"{head}{start}{hooked}"


def _indented(code: str, columns: int) -> str:
    return "".join(f"{' ' * columns}{line}\n" for line in code.splitlines())


CASES = {
    **{f"{name} at import": (code, "import") for name, code in ANYWHERE.items()},
    **{
        f"{name} in {place}": (ANYWHERE[name], place)
        for place in PLACES[1:]
        for name in ("sys.exit(0)", "os._exit(0)", "KeyboardInterrupt")
    },
    "an endless loop in backward": (ANYWHERE["an endless loop"], "backward"),
    "None is returned": ("return None", "forward"),
    "another shape is returned": ("return x", "forward"),
    **{name: (code, "import") for name, code in AT_IMPORT.items()},
    "patches torch.relu when called": (AT_IMPORT["patches torch.relu"], "forward"),
    "prints when called": (AT_IMPORT["prints a verdict"], "training"),
}
"""Name -> code and its place."""
FEW = {
    name: case
    for name, case in CASES.items()
    if name.startswith(("sys.exit(0)", "os._exit(0)", "KeyboardInterrupt"))
    or name.endswith((" is returned", " in backward", " when called"))
    or name
    in ("SIGSEGV at import", "writes a file", "forks and ends", "leaves a thread")
}
"""Each place, and each way in which a file is found out, for whoever else runs files apart."""
