"""From a request to pictures, with a reason for each that is refused."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np
from fastapi import Request
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from resgraph.data.pictures import FORMATS, ScansError, read_picture
from resgraph.diagnostics import ResgraphError, plain

_BOUNDARY = re.compile(
    r"""boundary="?([0-9A-Za-z'()+_,./:=?-]{1,70})"?\s*(?:;|$)""", re.IGNORECASE
)
_PIECE = 2**18  # bytes of a form that are parsed at a time
_DRAINED = 4  # times the limit: so much too much is read, so that the answer arrives
_RAW = ("application/octet-stream", "application/x-www-form-urlencoded", "")
"""Types that a client sends by default, beside image/*: curl's for --data-binary is the
second."""


class RefusedError(ResgraphError):
    """A request that gets a 4xx or 5xx: the status, and its kind for the metrics."""

    def __init__(self, status: int, kind: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.status, self.kind = status, kind


@dataclass(frozen=True)
class Limits:
    """What a request may bring."""

    bytes: int
    """Of its body."""
    pixels: int
    """Of each picture, before it is decoded."""
    images: int


@dataclass(frozen=True)
class Upload:
    """A picture as it came."""

    name: str
    data: bytes


async def received(request: Request, limits: Limits) -> list[Upload]:
    """The pictures of a request: its body, or the files of a form.

    Raises `RefusedError` if there are none or too many, the body is too large, or its type is
    another.
    """
    whole = request.headers.get("content-type", "")
    kind = whole.split(";")[0].strip().lower()
    form = kind == "multipart/form-data"
    if not form and kind not in _RAW and not kind.startswith("image/"):
        raise RefusedError(
            415,
            "wrong_type",
            f"the request's type is {plain(kind)}",
            "send a picture as the body (image/png, ...) or as multipart/form-data",
        )
    body = await _body(request, limits.bytes)
    uploads = await _files(whole, body, limits) if form else [Upload("image", body)]
    if not uploads or not any(upload.data for upload in uploads):
        raise RefusedError(
            400,
            "empty",
            "the request has no picture in it",
            "curl -F image=@picture.png, or --data-binary @picture.png",
        )
    return uploads


def decoded(
    upload: Upload, shape: tuple[int, int, int], limits: Limits
) -> NDArray[np.uint8]:
    """The picture as [C, H, W], of that shape, as training brought pictures to it.

    Raises `RefusedError` if it is no picture, has too many pixels, or is damaged.
    """
    _check_header(upload, limits.pixels)
    try:
        return read_picture(io.BytesIO(upload.data), shape[0], shape[1:])
    except ScansError as error:
        why = f"{upload.name}: {error.message}"
        raise RefusedError(413, "too_many_scans", why, error.hint or "") from None
    except ResgraphError as error:
        raise RefusedError(
            400,
            "damaged",
            f"{upload.name}: {error.message}",
            "it may have been cut off on its way: send it again, or open it and save it",
        ) from None


def _check_header(upload: Upload, most: int) -> None:
    """Look at what the picture says of itself, before any of it is decoded."""
    try:
        with Image.open(io.BytesIO(upload.data), formats=FORMATS) as image:
            size = image.size
    except Image.DecompressionBombError:
        raise _too_many_pixels(upload.name, "", most) from None
    except UnidentifiedImageError:
        raise RefusedError(
            415,
            "not_an_image",
            f"{upload.name} is no picture of a known kind",
            f"known: {', '.join(FORMATS)}",
        ) from None
    except Exception as error:  # Pillow's plugins raise many kinds on damaged files
        raise RefusedError(
            400,
            "damaged",
            f"{upload.name} cannot be read: {error or type(error).__name__}",
            "it may have been cut off on its way: send it again",
        ) from None
    if size[0] * size[1] > most:
        raise _too_many_pixels(upload.name, f", {size[0]:,} x {size[1]:,}", most)


def _too_many_pixels(name: str, size: str, most: int) -> RefusedError:
    return RefusedError(
        413,
        "too_many_pixels",
        f"{name} has more than {most:,} pixels{size}",
        "make it smaller: the network sees it at its own input size anyway; or serve with a "
        "larger --max-pixels",
    )


async def _body(request: Request, most: int) -> bytes:
    """The body, if it has at most so many bytes."""
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= most:
            body += chunk
        elif size > (1 + _DRAINED) * most:
            break
    if size > most:
        raise RefusedError(
            413,
            "too_large",
            f"the request has more than {most:,} bytes",
            "send fewer or smaller pictures, or serve with a larger --max-bytes",
        )
    return bytes(body)


async def _files(kind: str, body: bytes, limits: Limits) -> list[Upload]:
    """The files of a form of that content type, which is held in memory, never on the disk."""
    if (found := _BOUNDARY.search(kind)) is None:
        raise _bad_form("its type has no boundary of at most 70 letters")
    # Nothing else of the type matters: a charset could make names of any bytes.
    headers = Headers({"content-type": f'multipart/form-data; boundary="{found[1]}"'})
    most = limits.images
    parser = MultiPartParser(headers, _pieces(body), max_files=most, max_fields=most)
    parser.spool_max_size = len(body) + 1
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise _bad_form(error.message) from None
    files = [f for _, f in form.multi_items() if isinstance(f, UploadFile)]
    return [Upload(file.filename or "image", await file.read()) for file in files]


async def _pieces(body: bytes) -> AsyncGenerator[bytes, None]:
    """Piece by piece, and between them others have their turn."""
    for start in range(0, len(body), _PIECE):
        yield body[start : start + _PIECE]
        await asyncio.sleep(0)


def _bad_form(why: str) -> RefusedError:
    return RefusedError(
        400,
        "bad_form",
        f"the form cannot be read: {why}",
        "send pictures as multipart/form-data: curl -F image=@picture.png",
    )
