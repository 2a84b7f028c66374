"""The one authority on names: what a spec may call things, and what they become in Python.

The same name serves in the spec, the graph, the state_dict, the source and the ONNX file,
so every name must be safe in all of them.
"""

from __future__ import annotations

import builtins
import keyword
import re
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Strict, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_LENGTH = 48
PATTERN = r"^[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*$"

_WORDS = {"resnet": "ResNet", "preact": "PreAct"}

SOMETHING = "?"
"""What is called so in a draft is not known; no spec can give it this name."""

# Names that generated modules use themselves, and that a spec's names must not shadow.
MODULE_NAMES = frozenset({"torch", "nn", "functional", "Tensor", "math"})

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
    """Why `name` cannot be used, or None if it can."""
    if not re.fullmatch(PATTERN, name, re.ASCII):
        return "a name is ASCII letters and digits, words joined by one '_'"
    if len(name) > MAX_LENGTH:
        return f"a name has at most {MAX_LENGTH} characters"
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        return "it is a keyword of Python"
    if hasattr(builtins, name):
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


def check(name: str, info: ValidationInfo) -> str:
    """`name` if it can be used. Raises `PydanticCustomError`.

    The context of a validation may hold names that are taken nevertheless.
    """
    if (why := refusal(name)) and name not in (info.context or ()):
        shown = name if name.isprintable() and len(name) <= MAX_LENGTH else ascii(name)
        raise PydanticCustomError(
            "invalid-name",
            "'{name}' cannot be a name: {why}",
            {"name": shown[:80], "why": why},
        )
    return name


Name = Annotated[
    str,
    AfterValidator(check),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "maxLength": MAX_LENGTH}),
]


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
