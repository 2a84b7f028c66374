"""The one authority on names: what a spec may call things, and what they become in Python.

The same name serves in the spec, the graph, the state_dict, the source and the ONNX file,
so every name must be safe in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Strict, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from resgraph.diagnostics import plain

MAX_LENGTH = 48
PATTERN = r"^[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*$"

_WORDS = {"resnet": "ResNet", "preact": "PreAct"}

SOMETHING = "?"
"""What is called so in a draft is not known; no spec can give it this name."""

INPUT = "x"
"""What a unit, the stem and the head call the value that comes in."""
IN_CHANNELS = "in_channels"
"""What a generated unit's constructor calls the channels of its input."""
IMAGES = "input"
"""What an ONNX model calls its input."""
LOGITS = "logits"
"""What an ONNX model calls its only output, if that is a vector."""
RESULT = "output"
"""What it calls one that is a map, or tokens."""
BATCH_COUNTS = ".num_batches_tracked"
"""How the names of tensors end that torch adds to a state_dict: BN's counts of batches."""
CONSTANTS = ("INPUT_SHAPE", "RECIPE", "DIGEST")
"""What a generated module states about itself."""

# Names that generated modules use themselves, and that a spec's names must not shadow.
MODULE_NAMES = frozenset({"torch", "nn", "functional", "Tensor", "math", *CONSTANTS})

_KEYWORDS = """
False None True and as assert async await break case class continue def del elif else
except finally for from global if import in is lambda match nonlocal not or pass raise
return try type while with yield
"""
_BUILTINS = """
ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup
BlockingIOError BrokenPipeError BufferError BytesWarning ChildProcessError
ConnectionAbortedError ConnectionError ConnectionRefusedError ConnectionResetError
DeprecationWarning EOFError Ellipsis EncodingWarning EnvironmentError Exception
ExceptionGroup False FileExistsError FileNotFoundError FloatingPointError FutureWarning
GeneratorExit IOError ImportError ImportWarning IndentationError IndexError
InterruptedError IsADirectoryError KeyError KeyboardInterrupt LookupError MemoryError
ModuleNotFoundError NameError None NotADirectoryError NotImplemented NotImplementedError
OSError OverflowError PendingDeprecationWarning PermissionError ProcessLookupError
PythonFinalizationError RecursionError ReferenceError ResourceWarning RuntimeError
RuntimeWarning StopAsyncIteration StopIteration SyntaxError SyntaxWarning SystemError
SystemExit TabError TimeoutError True TypeError UnboundLocalError UnicodeDecodeError
UnicodeEncodeError UnicodeError UnicodeTranslateError UnicodeWarning UserWarning
ValueError Warning ZeroDivisionError abs aiter all anext any ascii bin bool breakpoint
bytearray bytes callable chr classmethod compile complex copyright credits delattr dict
dir divmod enumerate eval exec exit filter float format frozenset getattr globals
hasattr hash help hex id input int isinstance issubclass iter len license list locals
map max memoryview min next object oct open ord pow print property quit range repr
reversed round set setattr slice sorted staticmethod str sum super tuple type vars zip
"""
# Python's own names, written down so that a spec is judged alike by every version of Python
# and in notebooks, which add builtins; a test holds the lists against the installed one.
KEYWORDS = frozenset(_KEYWORDS.split())
BUILTINS = frozenset(_BUILTINS.split())

_MODULES = """
abc aifc annotationlib argparse array ast asynchat asyncio asyncore atexit audioop
base64 bdb binascii bisect builtins bz2 cProfile calendar cgi cgitb chunk cmath cmd code
codecs codeop collections colorsys compileall compression concurrent configparser
contextlib contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm
decimal difflib dis distutils doctest email encodings ensurepip enum errno faulthandler
fcntl filecmp fileinput fnmatch fractions ftplib functools gc genericpath getopt getpass
gettext glob graphlib grp gzip hashlib heapq hmac html http imaplib imghdr imp importlib
inspect io ipaddress itertools json keyword linecache locale logging lzma mailbox
mailcap marshal math mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis
nntplib nt ntpath nturl2path numbers opcode operator optparse os ossaudiodev pathlib pdb
pickle pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint profile
pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re
readline reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex
shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3 sre_compile
sre_constants sre_parse ssl stat statistics string stringprep struct subprocess sunau
symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios textwrap
threading time timeit token tokenize tomllib trace traceback tracemalloc tty types
typing unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser winreg
winsound wsgiref xdrlib xml xmlrpc zipapp zipfile zipimport zlib zoneinfo
filelock fsspec functorch jinja2 markupsafe mpmath networkx numpy onnx onnxruntime
safetensors sympy torch torchgen torchvision triton
"""
# Python's modules, torch and what it imports: a generated file that is run from its own
# folder finds its neighbours first.
MODULES = frozenset(_MODULES.split())

# Names that no file can have on Windows, whatever its ending.
DEVICES = frozenset(
    [
        "con",
        "prn",
        "aux",
        "nul",
        *(f"{d}{n}" for d in ("com", "lpt") for n in range(10)),
    ]
)

_ATTRIBUTES = """
T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda
double dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter
get_submodule half ipu load_state_dict modules mtia named_buffers named_children
named_modules named_parameters parameters register_backward_hook register_buffer
register_forward_hook register_forward_pre_hook register_full_backward_hook
register_full_backward_pre_hook register_load_state_dict_post_hook
register_load_state_dict_pre_hook register_module register_parameter
register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ self
set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu
zero_grad
"""
# Attributes of torch.nn.Module, written down so that compiling needs no torch; a test
# holds the list against the installed torch.
MODULE_ATTRIBUTES = frozenset(_ATTRIBUTES.split())


def refusal(name: str) -> str | None:
    """Why nothing in a spec can be called `name`, or None if something can."""
    return _form_refusal(name) or _taken(name)


def _form_refusal(name: str) -> str | None:
    if not re.fullmatch(PATTERN, name, re.ASCII):
        return "a name is ASCII letters and digits, words joined by one '_'"
    if len(name) > MAX_LENGTH:
        return f"a name has at most {MAX_LENGTH} characters"
    return None


def layer_refusal(name: str) -> str | None:
    """Why no op can be called `name`: its value, and its layer in the state_dict."""
    return "x is what comes in" if name == INPUT else refusal(name)


def path_refusal(name: str) -> str | None:
    """Why no path can be called `name`: it is a local variable, in lower case, and what
    layers' names begin with."""
    if why := _form_refusal(name):
        return why
    taken = {variable(name), name} & (KEYWORDS | MODULE_NAMES | {"self"})
    if taken & KEYWORDS:
        return "it is a keyword of Python"
    return "generated code needs it for itself" if taken else None


def result_refusal(name: str) -> str | None:
    """Why no output of a network can be called `name`: it is one of its ONNX model, too."""
    if name == IMAGES:
        return "the ONNX model's input is called so"
    return path_refusal(name)


def unit_refusal(name: str) -> str | None:
    """Why no unit can be called `name`: its class, and what else a network has."""
    if name in ("repeat", "stem", "head"):
        return "it means something else in a network"
    return refusal(name) or _class_refusal(name)


def stage_refusal(name: str) -> str | None:
    """Why no stage can be called `name`: its layers, and what else a network has."""
    if name in (INPUT, "stem", "head"):
        return "it means something else in a network"
    return refusal(name)


def network_refusal(name: str) -> str | None:
    """Why no network can be called `name`: its class, its files."""
    if why := refusal(name) or _class_refusal(name):
        return why
    if name.lower() in DEVICES:
        return "no file can be called so on Windows"
    if name in MODULES:
        return f"beside {name}.py, 'import {name}' would no longer find Python's module"
    return None


def _class_refusal(name: str) -> str | None:
    made = class_name(name)
    why = _taken(made)
    return f"its class would be {made}, and {why}" if why and made != name else why


def _taken(name: str) -> str | None:
    if name in KEYWORDS:
        return "it is a keyword of Python"
    if name in BUILTINS:
        return "it is a builtin of Python"
    if name in MODULE_NAMES or name in MODULE_ATTRIBUTES:
        return "generated code needs it for itself"
    return None


def reference(name: str, info: ValidationInfo) -> str:
    """`name` if something may be called so. Raises `PydanticCustomError`.

    Whether something is called so is another question, and not asked here.
    """
    if name == SOMETHING and name not in (info.context or ()):
        raise PydanticCustomError("invalid-name", f"'{name}' cannot be a name")
    return name


def _checked(refused: Callable[[str], str | None]) -> AfterValidator:
    """Takes a name that can be used. Raises `PydanticCustomError` for another one.

    The context of a validation may hold names that are taken nevertheless.
    """

    def check(name: str, info: ValidationInfo) -> str:
        if (why := refused(name)) and name not in (info.context or ()):
            shown = plain(name, MAX_LENGTH)
            raise PydanticCustomError(
                "invalid-name",
                "'{name}' cannot be a name: {why}",
                {"name": shown, "why": why},
            )
        return name

    return AfterValidator(check)


_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": PATTERN, "maxLength": MAX_LENGTH}
)
Name = Annotated[str, _checked(refusal), _SCHEMA]
PathName = Annotated[str, _checked(path_refusal), _SCHEMA]
ResultName = Annotated[str, _checked(result_refusal), _SCHEMA]
LayerName = Annotated[str, _checked(layer_refusal), _SCHEMA]
UnitName = Annotated[str, _checked(unit_refusal), _SCHEMA]
StageName = Annotated[str, _checked(stage_refusal), _SCHEMA]
NetworkName = Annotated[str, _checked(network_refusal), _SCHEMA]


Reference = Annotated[str, Strict(), AfterValidator(reference)]
"""The name of what is declared elsewhere: a unit, a path."""


def class_name(name: str) -> str:
    """The Python class of a unit or network: `resnet164` -> `ResNet164`, `body` -> `Body`."""
    words = [
        re.sub(r"^[A-Za-z]+", lambda m: _WORDS.get(m[0], m[0][0].upper() + m[0][1:]), w)
        for w in name.split("_")
    ]
    digits_apart = [words[0]] + [
        f"_{b}" if a[-1].isdigit() and b[0].isdigit() else b for a, b in pairwise(words)
    ]
    return "".join(digits_apart)


def variable(path: str) -> str:
    """The local variable that holds a path's value: `F` -> `f`."""
    return path.lower()
