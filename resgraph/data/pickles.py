"""Pickles of dicts, lists, numbers, bytes and arrays of bytes, and of nothing else.

A pickle may call whatever it can name. So it can name nothing here but stand-ins for the
few of numpy's functions that the CIFAR files were written with, which only note what they
are called with; no function of numpy's, or of anyone's, is called by a pickle.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resgraph.diagnostics import plain
from resgraph.reading.pickles import scanned


class _Kind:
    """In the place of numpy.dtype."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        self.code = code

    def __setstate__(self, _: Any) -> None:
        """Byte order and the like, of which bytes have none."""


class _Stored:
    """In the place of numpy.ndarray."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _reconstruct(*_: Any) -> _Stored:
    return _Stored()


_ALLOWED = {
    ("numpy", "dtype"): _Kind,
    ("numpy", "ndarray"): _Stored,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}


class _Unpickler(pickle.Unpickler):
    """Of a pickle that has been scanned."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._left = 2 * len(data)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {plain(f'{module}.{name}')}, which no CIFAR file has a use for; "
                "nothing of it was run"
            ) from None

    def _encode(self, text: Any, encoding: Any) -> bytes:
        """How Python 3 writes bytes by protocol 2; the same text, again and again, is not."""
        if type(text) is not str or encoding != "latin1":
            raise pickle.UnpicklingError("it asks for a text in another encoding")
        self._left -= len(text)
        if self._left < 0:
            raise pickle.UnpicklingError("it makes more bytes than it has")
        return text.encode("latin1")


def load(data: bytes) -> Any:
    """The pickled value; text of Python 2 is bytes, and an array is for `bytes_array`.

    Raises `ValueError`, with the reason, for anything else than such a pickle.
    """
    scanned(data)
    try:
        return _Unpickler(data).load()
    except Exception as error:  # damaged pickles raise all kinds
        raise ValueError(
            str(error) if isinstance(error, pickle.UnpicklingError) else "it is damaged"
        ) from None


def bytes_array(value: Any) -> NDArray[np.uint8]:
    """The array that a pickled value is, if its elements are uint8.

    Raises `ValueError` if it is something else.
    """
    try:
        _, shape, kind, by_columns, data = value.state
        whole = all(type(n) is int and n >= 0 for n in shape)
        good = whole and kind.code in ("u1", b"u1") and len(data) == math.prod(shape)
    except (AttributeError, TypeError, ValueError):
        good = False
    if not good or not isinstance(data, bytes):
        raise ValueError("it is no array of uint8")
    return np.frombuffer(data, np.uint8).reshape(
        shape, order="F" if by_columns else "C"
    )
