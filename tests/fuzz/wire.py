"""Bytes for a server: requests, and what is nearly or not at all one."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

from tests.fuzz import pictures

TOKENS = (
    b"", b"\0", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b";", b",", b"=", b"\xff", b"\x7f",
    b"%", b"%00", b"%1b%5b31m", b"%E2%80%AE", b"%ff", b"%zz", b"..", b"../../etc/passwd", b"//",
    b"\x1b[31m", "\u202e".encode(), b"\xed\xa0\x80", b"A" * 300, b"9" * 400, b"-1", b"0x10",
    b"+5", b"1e9", b"NaN", b"18446744073709551616", b"\"", b"'", b"<script>", b"[::1", b"a@b:c",
)  # fmt: skip
METHODS = (b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI", b"get", b"G\0T")  # fmt: skip
PATHS = (b"/", b"/classify", b"/health", b"/metrics", b"/classify/", b"//classify", b"*", b"/nowhere", b"http://x/health", b"x:80")  # fmt: skip
VERSIONS = (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1 ", b"HTTP/9.9", b"http/1.1", b"", b"ICY")  # fmt: skip
TYPES = (b"image/png", b"application/octet-stream", b"application/json", b"multipart/form-data", b"text/plain; charset=utf-7", b"")  # fmt: skip
CHARSETS = (
    b"utf-8",
    b"utf-16",
    b"idna",
    b"undefined",
    b"unicode_escape",
    b"zlib_codec",
    b"\0",
)
_PLAIN = (b"GET / HTTP/1.1", b"POST /classify HTTP/1.1", b"GET /health HTTP/1.1")


def request(
    random: Random, body: bytes, kind: bytes = b"image/png", *more: bytes
) -> bytes:
    """A POST of the body, as clients send it."""
    lines = [
        b"POST /classify?top=2 HTTP/1.1",
        b"Host: x",
        b"Content-Type: " + kind,
        b"Content-Length: %d" % len(body),
        *more,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def valid(random: Random) -> bytes:
    """One that must be answered."""
    return random.choice(
        [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
            request(random, pictures.any_picture(random)),
            request(
                random,
                pictures.any_picture(random),
                b"image/png",
                b"Expect: 100-continue",
            ),
        ]
    )


def request_line(random: Random) -> bytes:
    """Methods, paths and versions of all kinds, and tokens where none belongs."""
    parts = [random.choice(METHODS), random.choice(PATHS), random.choice(VERSIONS)]
    for _ in range(random.randint(0, 2)):
        at = random.randrange(3)
        parts[at] += random.choice(TOKENS)
    return b" ".join(parts) + b"\r\nHost: x\r\n\r\n"


def queries(random: Random) -> bytes:
    """`?top=` and other parameters with anything for a value."""
    pairs = [
        random.choice((b"top", b"Top", b"top[]", b"", b"x"))
        + b"="
        + random.choice(TOKENS)
        for _ in range(random.choice((1, 1, 2, 500)))
    ]
    head = b"POST /classify?" + b"&".join(pairs) + b" HTTP/1.1\r\nHost: x\r\n"
    body = pictures.any_picture(random)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def headers(random: Random) -> bytes:
    """Header lines of every kind: doubled, folded, huge, very many, at odds with the body."""
    lines = [random.choice(_PLAIN)]
    known = (
        b"Content-Length", b"Transfer-Encoding", b"Host", b"Content-Type", b"Connection",
        b"Expect", b"Upgrade", b"Cookie", b"X", b"", b" X", b"X-Forwarded-For", b"Range",
    )  # fmt: skip
    values = (
        *TOKENS, b"5", b"5, 5", b"chunked", b"chunked, chunked", b"gzip", b"identity", b"close",
        b"keep-alive, upgrade", b"100-continue", b"websocket", b"h2c", b"bytes=0-1",
        b"x" * random.choice((1, 9000, 40_000)), b"multipart/form-data; boundary=",
    )  # fmt: skip
    for _ in range(random.choice((1, 2, 4, 8, 300))):
        separator = random.choice((b": ", b": ", b": ", b":", b" : ", b"", b"\r\n : "))
        lines.append(random.choice(known) + separator + random.choice(values))
    ends = random.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"))
    return ends.join(lines) + ends * 2 + random.randbytes(random.choice((0, 5, 50)))


def chunked(random: Random) -> bytes:
    """A body in chunks whose sizes, extensions and trailers may be anything."""
    body = pictures.any_picture(random)
    step = random.choice((1, 7, 300, 5000))
    parts = []
    for start in range(0, len(body), step):
        piece = body[start : start + step]
        size = b"%x" % len(piece)
        if random.random() < 0.05:
            size = random.choice(
                (*TOKENS, b"ffffffffffffffffff", b"-1", b"0", size + b" ")
            )
        extension = b";" + random.choice(TOKENS) if random.random() < 0.1 else b""
        parts.append(
            size
            + extension
            + b"\r\n"
            + piece
            + random.choice((b"\r\n",) * 30 + (b"\n",))
        )
    trailer = random.choice(
        (b"", b"", b"X: y\r\n", b"X: " + random.choice(TOKENS) + b"\r\n")
    )
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    length = random.choice((b"", b"", b"", b"Content-Length: 5\r\n"))
    return head + length + b"\r\n" + b"".join(parts) + b"0\r\n" + trailer + b"\r\n"


def multipart(random: Random) -> bytes:
    """Forms with hostile names, odd boundaries, and parts that are no parts."""
    boundary = random.choice(
        (b"xyz", b"-", b"a" * 70, b"a" * 71, b'"x y"', random.choice(TOKENS))
    )
    parts = [_part(random, boundary) for _ in range(random.choice((0, 1, 2, 64, 65)))]
    body = bytearray(
        b"".join(parts) + b"--" + boundary + random.choice((b"--\r\n", b"", b"--"))
    )
    if random.random() < 0.4:
        _damage(random, body)
    kind = b"multipart/form-data; boundary=" + boundary
    if random.random() < 0.3:
        kind += b"; charset=" + random.choice(CHARSETS)
    return request(random, bytes(body), kind)


def _part(random: Random, boundary: bytes) -> bytes:
    name = random.choice(
        (*TOKENS, b"cat.png", b"x" * 5000, "ü\u2028".encode(), random.randbytes(9))
    )
    disposition = random.choice((b"form-data", b"attachment", random.choice(TOKENS)))
    more = b'; name="image"' * random.randint(0, 9) + b'; filename="' + name + b'"'
    if random.random() < 0.2:
        more = b"; filename*=utf-8''" + name + more
    extra = b"X: y\r\n" * random.choice((0, 0, 1, 200))
    data = random.choice((b"", b"x", pictures.picture("PNG"), pictures.damaged(random)))
    head = (
        b"--" + boundary + b"\r\nContent-Disposition: " + disposition + more + b"\r\n"
    )
    return head + extra + b"\r\n" + data + b"\r\n"


def other_bodies(random: Random) -> bytes:
    """JSON, whole, damaged or deep, and bodies of types that are none of ours."""
    tree: object = {"image": ["\ud800", -0.0, None, "x" * 50]}
    for _ in range(random.choice((0, 3, 500))):
        tree = [tree]
    body = bytearray(json.dumps(tree).encode())
    if random.random() < 0.6:
        _damage(random, body)
    return request(random, bytes(body), random.choice(TYPES))


def damaged_pictures(random: Random) -> bytes:
    """A picture that is damaged, or a bomb."""
    make = random.choice((pictures.damaged, pictures.damaged, pictures.bomb))
    return request(random, make(random), random.choice(TYPES))


def too_large(random: Random) -> bytes:
    """A body above the limit, or a length that is, whatever comes."""
    body = random.randbytes(1000) * random.choice((299, 300, 301, 1600))
    if random.random() < 0.5:
        return request(random, body)
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: "
    return head + random.choice((b"9" * 12, b"9" * 30, b"1600001")) + b"\r\n\r\n" + body


def pipelined(random: Random) -> bytes:
    """Several requests at once, good and bad ones."""
    kinds = (valid, valid, request_line, headers, chunked, multipart)
    return b"".join(
        random.choice(kinds)(random) for _ in range(random.choice((2, 5, 40)))
    )


def mutated(random: Random) -> bytes:
    """A valid request with a few bytes changed anywhere."""
    data = bytearray(valid(random))
    _damage(random, data)
    return bytes(data)


def noise(random: Random) -> bytes:
    """Bytes of other protocols, and of none."""
    tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    first = random.choice(
        (tls, b"", b"\x05\x01\x00", b"SSH-2.0-x\r\n", b"EHLO x\r\n", b"\r\n" * 99)
    )
    return first + random.randbytes(random.choice((0, 3, 500, 60_000)))


def _damage(random: Random, data: bytearray) -> None:
    for _ in range(random.randint(1, 5)):
        at = random.randrange(len(data) + 1)
        data[at : at + random.choice((0, 1, 1, 20))] = random.choice(
            (*TOKENS, random.randbytes(random.randint(0, 4)))
        )


KINDS: tuple[Callable[[Random], bytes], ...] = (
    valid, request_line, queries, headers, chunked, multipart, other_bodies, damaged_pictures,
    too_large, pipelined, mutated, noise,
)  # fmt: skip
