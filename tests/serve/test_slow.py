"""Clients that send little, late or for ever: they go, and cost the others nothing."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.crowd import hostile
from benchmarks.load_serve import Server, load, reply, served
from tests.helpers import printed
from tests.serve.conftest import PNG, classify, metric

HEAD = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
CPU = ("--device", "cpu", "--threads", "1")


@contextmanager
def client(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection((server.host, server.port), timeout=20) as made:
        yield made


def read(made: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts = []
    try:
        while part := made.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def told(answer: bytes) -> tuple[int, str]:
    """The status of an answer, and the code in it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.fixture(scope="module")
def hasty(path: Path) -> Iterator[Server]:
    """Waits a second for anything."""
    times = ("--head-timeout", "1", "--body-timeout", "2", "--min-rate", "100000")
    with served(path, *CPU, *times, "--max-bytes", "1000000") as running:
        yield running


# --- time -----------------------------------------------------------------------------


def test_a_silent_client_is_closed_without_a_word(hasty: Server) -> None:
    with client(hasty) as made:
        assert read(made) == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"GET",
        HEAD,
        HEAD + b"Content-Length: 5000\r\n\r\n",
        HEAD + b"Content-Length: 5000\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"[:-1],
    ],
)
def test_half_a_request_is_told_and_closed(
    hasty: Server, pictures: list[bytes], sent: bytes
) -> None:
    before = metric(hasty, 'resgraph_errors_total{kind="timeout"}')
    with client(hasty) as made:
        made.sendall(sent)
        assert told(read(made)) == (408, "timeout")
    assert metric(hasty, 'resgraph_errors_total{kind="timeout"}') == before + 1
    assert classify(hasty, pictures[0])[0] == 200


def trickled(made: socket.socket, parts: Iterator[bytes]) -> bytes:
    """What comes back while the parts are sent, each a tenth of a second after the last."""
    made.settimeout(0.1)
    for part in parts:
        try:
            made.sendall(part)
            if answer := made.recv(65536):
                return answer
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            break
    return b""


def test_a_trickle_has_an_end(hasty: Server) -> None:
    """A head in a second, a body at the least rate: a byte now and then helps neither."""
    letters = (b"a" for _ in range(100))
    with client(hasty) as made:
        made.sendall(b"GET /")
        assert told(trickled(made, letters)) == (408, "timeout")
    with client(hasty) as made:
        made.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        assert told(trickled(made, (b"1\r\na\r\n" for _ in range(100)))) == (
            408,
            "timeout",
        )


def test_a_body_that_keeps_the_rate_has_an_end_too(hasty: Server) -> None:
    with client(hasty) as made:
        made.sendall(HEAD + b"Content-Length: 900000\r\n\r\n")
        assert told(trickled(made, (b"x" * 20_000 for _ in range(40)))) == (
            408,
            "timeout",
        )


def test_answers_that_are_not_read_are_given_up(hasty: Server) -> None:
    """Pipelined requests whose answers fill every buffer between server and client."""
    with client(hasty) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.settimeout(0.5)
        pushed(made, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        made.settimeout(20)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            pushed(made, b"x" * 100_000)


def pushed(made: socket.socket, data: bytes) -> None:
    """Send it again and again, until nothing more goes in."""
    with suppress(TimeoutError):
        while True:
            made.sendall(data)


# --- sizes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 40_000, 431, "large_head"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 17_000 + b"\r\n\r\n",
            431,
            "large_head",
        ),
        (HEAD + b"A: a\r\n" * 200 + b"\r\n", 431, "large_head"),
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 5000,
            400,
            "small_chunks",
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "bad_request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"),
        (
            HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
            "bad_request",
        ),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "bad_request"),
    ],
)
def test_what_is_no_request(
    server: Server, pictures: list[bytes], sent: bytes, status: int, code: str
) -> None:
    name = f'resgraph_errors_total{{kind="{code}"}}'
    before = metric(server, name)
    with client(server) as made:
        made.sendall(sent)
        assert told(read(made)) == (status, code)
    assert metric(server, name) == before + 1
    assert classify(server, pictures[0])[0] == 200


def test_large_chunks_are_welcome(server: Server, pictures: list[bytes]) -> None:
    with client(server) as made:
        made.sendall(HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        for byte in pictures[0]:
            made.sendall(b"1\r\n%c\r\n" % byte)
        made.sendall(b"0\r\n\r\n")
        assert read(made).startswith(b"HTTP/1.1 200")


# --- crowds ---------------------------------------------------------------------------


@pytest.mark.parametrize("addresses", [1, 250], ids=["one address", "many"])
@pytest.mark.parametrize("room", [1024, 128], ids=["all fit", "crowded"])
def test_slow_clients_beside_good_ones(
    path: Path, pictures: list[bytes], addresses: int, room: int
) -> None:
    """150 that say nothing or send three bytes and 100 that trickle, with a queue of 8."""
    limits = ("--max-queue", "8", "--max-connections", str(room))
    here = ("--max-per-address", str(room))
    with served(path, *CPU, *limits, *here) as server:
        with hostile(server, idle=150, slow=100, addresses=addresses) as crowd:
            replies, _ = load(server, pictures * 5, 4)
            assert crowd.sent > 0
        assert [reply.status for reply in replies] == [200] * 200
        crowded = metric(server, 'resgraph_errors_total{kind="crowded"}')
        assert bool(crowded) == (room < 250)
        assert server.stop() == 0


def test_bodies_have_a_budget(path: Path, pictures: list[bytes]) -> None:
    """Half bodies beyond it go, the longest silent first; a good one comes through."""
    budget = ("--max-bytes", "1000000", "--max-held-bytes", "1500000")
    half = HEAD + b"Content-Length: 900000\r\n\r\n" + b"x" * 400_000
    with served(path, *CPU, *budget) as server, ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(client(server)).sendall(half)
        assert classify(server, pictures[0])[0] == 200
        assert metric(server, 'resgraph_errors_total{kind="crowded"}') == 3


def test_descriptors_that_do_not_suffice_are_told(path: Path) -> None:
    from tests.test_cli import resgraph

    result = resgraph("serve", path, "--port", 0, "--max-connections", 2_000_000_000)
    assert result.returncode == 1
    assert "files open" in result.stderr
    assert "ulimit -n" in result.stderr


@pytest.mark.parametrize(
    ("soft", "hard", "taken"), [(256, 20_000, 64), (896, 896, 64), (256, 895, 0)]
)
def test_descriptors_are_provided_for(soft: int, hard: int, taken: int) -> None:
    """For 512 connections, 256 other files, and twice the 64 that are taken at a time."""
    code = (
        "import resource as r\n"
        f"r.setrlimit(r.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from resgraph.serve.server import make_room\n"
        "try: print(make_room(512), r.getrlimit(r.RLIMIT_NOFILE)[0])\n"
        "except Exception as error: print(0, error)"
    )
    said = printed(code)
    assert said == f"{taken} {max(soft, 896)}" if taken else "need 896" in said


def test_a_stop_loses_nothing_that_has_begun(path: Path, pictures: list[bytes]) -> None:
    """Whole requests that wait, half a head and half a body, in a crowd that is told to go."""
    one = HEAD + b"Content-Length: %d\r\n\r\n" % len(pictures[0]) + pictures[0]
    waits = ("--max-batch", "64", "--max-wait-ms", "3000", "--head-timeout", "3")
    cuts = [len(one)] * 20 + [30] * 10 + [len(one) - 30] * 10
    with served(path, *CPU, *waits) as server, ExitStack() as stack:
        stack.enter_context(hostile(server, idle=50, slow=20))
        silent, *made = [stack.enter_context(client(server)) for _ in [0, *cuts]]
        for each, cut in zip(made, cuts, strict=True):
            each.sendall(one[:cut])
        while metric(server, "resgraph_queue_images") < 20:
            pass
        server.process.terminate()
        assert read(silent) == b"", "it stops by closing whoever has sent nothing"
        for each, cut in zip(made, cuts, strict=True):
            each.sendall(one[cut:])
        assert [read(each)[:12] for each in made] == [b"HTTP/1.1 200"] * len(cuts)
        assert server.process.wait(60) == 0


@pytest.mark.parametrize("kept", [True, False], ids=["kept alive", "anew"])
def test_a_stop_under_load_loses_nothing(
    path: Path, pictures: list[bytes], kept: bool
) -> None:
    """Clients that ask on and on: whoever was connected is answered, and told to go."""
    answers: list[int] = []
    answered = threading.Semaphore(0)

    def asks(_: int) -> None:
        made = http.client.HTTPConnection(server.host, server.port, timeout=60)
        with suppress(ConnectionRefusedError):
            while True:
                if made.sock is None:
                    made.connect()
                answers.append(reply(made, pictures[0]).status)
                answered.release()
                if not kept:
                    made.close()

    with served(path, *CPU) as server, ThreadPoolExecutor(16) as pool:
        asking = [pool.submit(asks, number) for number in range(16)]
        assert all(answered.acquire(timeout=60) for _ in range(400))
        assert server.stop() == 0
    assert [each.result() for each in asking] == [None] * 16
    assert {*answers} == {200}


# --- habits of clients ----------------------------------------------------------------


def test_older_and_rarer_requests(server: Server, pictures: list[bytes]) -> None:
    body = pictures[0]
    length = b"Content-Length: %d\r\n" % len(body)
    with client(server) as made:
        made.sendall(b"POST /classify HTTP/1.0\r\n" + length + b"\r\n" + body)
        assert read(made).startswith(b"HTTP/1.1 200")
    with client(server) as made:
        made.sendall(
            HEAD + length + b"Connection: close\r\nExpect: 100-continue\r\n\r\n"
        )
        assert made.recv(65536).startswith(b"HTTP/1.1 100")
        made.sendall(body)
        assert read(made).startswith(b"HTTP/1.1 200")
    with client(server) as made:  # closes its own side, and waits
        made.sendall(HEAD + length + b"\r\n" + body)
        made.shutdown(socket.SHUT_WR)
        assert read(made).startswith(b"HTTP/1.1 200")
    with client(server) as made:
        head = b"GET /health HTTP/1.1\r\nHost: x\r\n"
        upgrade = b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n"
        made.sendall(head + b"\r\n" + head + upgrade)
        assert made.recv(65536).startswith(b"HTTP/1.1 200")


def test_pipelined_requests_are_answered_in_order(
    server: Server, pictures: list[bytes]
) -> None:
    one = HEAD + b"Content-Length: %d\r\n\r\n" % len(pictures[0]) + pictures[0]
    last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with client(server) as made:
        made.sendall(one * 20 + last)
        answers = read(made)
    assert answers.count(b"HTTP/1.1 200") == 20
    assert answers.count(b"HTTP/1.1 404") == 1
    assert answers.rindex(b"HTTP/1.1 200") < answers.index(b"HTTP/1.1 404")


def test_clients_write_nothing_into_the_log(path: Path, tmp_path: Path) -> None:
    """Nor do Pillow, the form's parser, or libtiff, which prints by itself."""
    stream = io.BytesIO()
    drawn = Image.effect_mandelbrot((24, 20), (-2, -1, 1, 1), 50)
    drawn.convert("RGB").save(stream, "TIFF", compression="tiff_lzw")
    broken = bytearray(stream.getvalue())
    broken[8:208] = b"\xff" * 200
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    place = tmp_path / "log"
    with place.open("wb") as log, served(path, *CPU, log=log) as server:
        assert classify(server, bytes(broken))[1]["code"] == "damaged"
        body = b'--b\r\nContent-Disposition: form-data; "\r\n\r\nx\r\n--b--\r\n'
        assert classify(server, body, form)[1]["code"] == "bad_form"
        with client(server) as made:
            made.sendall(b"GET \x1b[31m HTTP/1.1\r\n\r\n")
            assert told(read(made)) == (400, "bad_request")
        assert server.stop() == 0
    assert place.read_text() == ""
    with pytest.raises(OSError, match="decoder error"):
        Image.open(io.BytesIO(bytes(broken))).load()


def test_names_in_answers_are_plain(server: Server) -> None:
    for name in ("\x1b[31mred", "\u202egnp.exe", "x" * 5000):
        disposition = f'form-data; name="a"; filename="{name}"'
        body = f"--b\r\nContent-Disposition: {disposition}\r\n\r\nno\r\n--b--\r\n"
        kind = {"Content-Type": "multipart/form-data; boundary=b; charset=idna"}
        status, content, _ = server.request("POST", "/classify", body.encode(), kind)
        assert (status, json.loads(content)["code"]) in [
            (415, "not_an_image"),
            (400, "bad_form"),
        ]
        assert json.loads(content)["error"].isprintable()
        assert len(content) < 1000
    status, content, _ = server.request("GET", "/%1b%5b31m%E2%80%AE")
    assert status == 404
    assert json.loads(content)["error"].isprintable()
    assert server.request("POST", "/classify", b"", PNG)[0] == 400
