"""Pictures that nobody should send: damaged, and larger than they look."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from random import Random

from PIL import Image

KINDS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
MODES = ("L", "RGB", "RGBA", "P", "1", "I;16", "LA", "CMYK")
_HUGE = (0, 1, 255, 65535, 2**16, 2**24 - 1, 2**31 - 1, 2**32 - 1)


@cache
def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (24, 20)) -> bytes:
    """A valid one; RGB where that kind knows no such mode."""
    stream = io.BytesIO()
    drawn = Image.effect_mandelbrot(size, (-2, -1, 1, 1), 50).convert("RGB")
    try:
        drawn.convert(mode).save(stream, kind)
    except (OSError, ValueError):
        return picture(kind)
    return stream.getvalue()


def any_picture(random: Random) -> bytes:
    """A valid one of any kind."""
    if random.random() < 0.1:
        return compressed(
            random.choice(("tiff_lzw", "tiff_deflate", "jpeg", "packbits"))
        )
    return picture(random.choice(KINDS), random.choice(MODES))


@cache
def compressed(how: str) -> bytes:
    """A TIFF, which libtiff decodes where it is compressed."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(picture("PNG"))).save(stream, "TIFF", compression=how)
    return stream.getvalue()


def damaged(random: Random) -> bytes:
    """One with bytes changed, numbers made huge, parts cut out, doubled or taken away."""
    data = bytearray(any_picture(random))
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(data) + 1)
        match random.randrange(5):
            case 0:
                data[at : at + 1] = random.randbytes(1)
            case 1:
                code = random.choice("<>") + random.choice("HI")
                most = 256 ** struct.calcsize(code) - 1
                number = min(random.choice(_HUGE), most)
                data[at : at + struct.calcsize(code)] = struct.pack(code, number)
            case 2:
                del data[at : at + random.randint(1, 30)]
            case 3:
                data[at:at] = data[at : at + random.randint(1, 60)]
            case 4:
                data = data[:at] if random.random() < 0.3 else data
    return bytes(data)


def bomb(random: Random) -> bytes:
    """A few bytes that would become very many, or be computed for very long."""
    return random.choice(BOMBS)(random)


def _png(random: Random) -> bytes:
    size = (random.choice(_HUGE), random.choice(_HUGE))
    head = struct.pack(
        ">IIBBBBB", *size, random.choice((8, 16)), 2, 0, 0, random.randint(0, 1)
    )
    return _chunks((b"IHDR", head), (b"IDAT", _zeros()))


def _png_text(random: Random) -> bytes:
    kind, start = random.choice(
        [(b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0")]
    )
    head = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    text = (kind, start + _zeros())
    return _chunks((b"IHDR", head), *[text] * random.randint(1, 8), (b"IDAT", _zeros()))


def _chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@cache
def _zeros() -> bytes:
    """20 MB of zeros."""
    return zlib.compress(bytes(20_000_000), 9)


def _gif(random: Random) -> bytes:
    screen = struct.pack("<HH", random.choice((1, 65535)), random.choice((1, 65535)))
    frame = struct.pack(
        "<HHHH", random.choice((0, 60000)), 0, *[random.choice((1, 65535))] * 2
    )
    return (
        b"GIF89a"
        + screen
        + b"\x80\0\0"
        + bytes(6)
        + b","
        + frame
        + b"\0\x02\x02L\x01\0;"
    )


def _bmp(random: Random) -> bytes:
    size = struct.pack("<ii", *random.choices((1, -1, 65535, 2**31 - 1, -(2**31)), k=2))
    rest = struct.pack(
        "<HHIIiiII", 1, random.choice((1, 8, 24)), random.randint(0, 3), *[0] * 5
    )
    return (
        b"BM"
        + struct.pack("<IHHI", 100, 0, 0, 54)
        + struct.pack("<I", 40)
        + size
        + rest
    )


def _ppm(random: Random) -> bytes:
    size = random.choices((b"1", b"99999", b"4294967295", b"9" * 400, b"-1"), k=2)
    return b"P%d\n%s %s\n255\n" % (random.randint(1, 6), *size) + bytes(30)


def _tiff(random: Random) -> bytes:
    """Of huge sizes, strips and counts, one directory, which may be its own next."""
    tags = [
        (256, 4, 1, random.choice(_HUGE)),
        (257, 4, 1, random.choice(_HUGE)),
        (258, 3, 1, random.choice((1, 8, 16, 32))),
        (259, 3, 1, random.choice((1, 5, 7, 8, 32773, 50000))),
        (262, 3, 1, random.choice((0, 1, 2, 6))),
        (273, 4, random.choice((1, *_HUGE)), 8),
        (277, 3, 1, random.choice((1, 3, 4, 65535))),
        (278, 4, 1, random.choice(_HUGE)),
        (279, 4, 1, random.choice(_HUGE)),
    ]
    body = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    after = struct.pack("<I", random.choice((0, 8, 2**32 - 1)))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + body + after + bytes(40)


def _webp(random: Random) -> bytes:
    canvas = struct.pack("<I", random.choice((0, 2**14, 2**24 - 1)))[:3]
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + canvas * 2
    whole = b"WEBP" + chunk + picture("WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


def _scans(random: Random) -> bytes:
    """A JPEG whose last scan comes again and again, 33 bytes for the whole picture."""
    data = _progressive()
    scan = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + scan * random.choice((0, 1, 90, 5000)) + data[-2:]


@cache
def _progressive() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (1000, 999)).save(stream, "JPEG", progressive=True)
    return stream.getvalue()


BOMBS = (_png, _png_text, _gif, _bmp, _ppm, _tiff, _webp, _scans)
