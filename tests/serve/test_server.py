"""A real server over a real socket: answers, refusals, load, and its end."""

from __future__ import annotations

import io
import json
import socket
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.load_serve import Server, load, served, summary
from resgraph.infer import Classifier
from resgraph.serve.server import listen
from tests.helpers import python, refused
from tests.infer.common import BIAS, CLASSES, model, noise
from tests.serve.conftest import PNG, classify, encoded, metric
from tests.test_cli import resgraph


def form(*files: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A body of multipart/form-data, and its headers."""
    parts = b"".join(
        b'--xyz\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n%s\r\n" % (name.encode(), data)
        for name, data in files
    )
    return parts + b"--xyz--\r\n", {"Content-Type": "multipart/form-data; boundary=xyz"}


# --- answers --------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "form"])
def test_equals_the_classifier(
    server: Server, classifier: Classifier, pictures: list[bytes], raw: bool
) -> None:
    if raw:
        answers = [classify(server, picture) for picture in pictures[:5]]
        assert [status for status, _ in answers] == [200] * 5
        results = [answer["results"][0] for _, answer in answers]
    else:
        files = [(f"{i}.png", picture) for i, picture in enumerate(pictures[:5])]
        status, answer = classify(server, *form(*files))
        assert status == 200
        results = answer["results"]
        assert [r["name"] for r in results] == [name for name, _ in files]
    for result, row in zip(results, classifier.top_k(noise(5)), strict=True):
        assert [c["label"] for c in result["classes"]] == [p.label for p in row]
        shares = [c["probability"] for c in result["classes"]]
        assert shares == pytest.approx([p.probability for p in row], abs=1e-5)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_other_formats_and_top(server: Server, kind: str) -> None:
    status, answer = classify(server, encoded(kind), {}, "?top=2")
    assert status == 200, answer
    assert len(answer["results"][0]["classes"]) == 2


def test_health_metrics_and_page(server: Server, pictures: list[bytes]) -> None:
    before = metric(server, 'resgraph_requests_total{status="200"}')
    classify(server, *form(("a.png", pictures[0]), ("b.png", pictures[1])))
    assert metric(server, 'resgraph_requests_total{status="200"}') == before + 1
    assert metric(server, "resgraph_batch_images_sum") >= 2
    assert metric(server, "resgraph_queue_images") == 0
    status, content, _ = server.request("GET", "/health")
    health = json.loads(content)
    assert (status, health["status"]) == (200, "ok")
    assert health["classes"] == CLASSES
    status, content, headers = server.request("GET", "/")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert b"http" not in content.split(b"<body>")[1], "nothing comes from elsewhere"
    assert json.loads(server.request("GET", "/nowhere")[1])["hint"]
    assert server.request("GET", "/classify")[0] == 405


# --- refusals -------------------------------------------------------------------------


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data)


def scans(count: int) -> bytes:
    """A JPEG of so many scans, each of the whole picture."""
    stream = io.BytesIO()
    Image.new("L", (64, 64)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    return data[:-2] + data[data.rfind(b"\xff\xda") : -2] * count + data[-2:]


CASES = {
    "text": (b"hello, this is no picture", PNG, 415, "not_an_image"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", PNG, 415, "not_an_image"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n" * 9, PNG, 415, "not_an_image"),
    "cut off": (encoded("PNG")[:-40], PNG, 400, "damaged"),
    "cut off JPEG": (encoded("JPEG")[:-200], PNG, 400, "damaged"),
    "head alone": (encoded("PNG")[:20], PNG, None, None),
    "bomb": (bomb(1001, 1000), PNG, 413, "too_many_pixels"),
    "large bomb": (bomb(60_000, 60_000), PNG, 413, "too_many_pixels"),
    "scans": (scans(200), PNG, 413, "too_many_scans"),
    "too large": (b"x" * 100_001, PNG, 413, "too_large"),
    "far too large": (b"x" * 3_000_000, PNG, 413, "too_large"),
    "JSON": (b"{}", {"Content-Type": "application/json"}, 415, "wrong_type"),
    "empty": (b"", PNG, 400, "empty"),
    "empty form": (*form(), 400, "empty"),
    "no boundary": (b"--", {"Content-Type": "multipart/form-data"}, 400, "bad_form"),
    "rubbish form": (b"rubbish", form()[1], None, None),
    "many files": (*form(*[("a", b"x")] * 65), 400, "bad_form"),
    "one bad": (*form(("a.png", encoded("PNG")), ("b", b"no")), 415, "not_an_image"),
}


@pytest.mark.parametrize("case", CASES)
def test_refusals(server: Server, pictures: list[bytes], case: str) -> None:
    body, headers, wanted, kind = CASES[case]
    name = f'resgraph_errors_total{{kind="{kind}"}}'
    before = metric(server, name)
    try:
        status, answer = classify(server, body, headers)
    except (ConnectionResetError, BrokenPipeError):
        assert case == "far too large"  # the rest is not read, and need not be sent
    else:
        assert status == wanted or (wanted is None and 400 <= status < 500)
        assert set(answer) == {"error", "code", "hint"}
        assert all(answer.values())
    if kind is not None:
        assert metric(server, name) == before + 1
    assert classify(server, pictures[0])[0] == 200


def test_a_bad_query(server: Server, pictures: list[bytes]) -> None:
    for top in ("0", "-1", "x", "1.5", "%C2%B2"):
        status, answer = classify(server, pictures[0], None, f"?top={top}")
        assert (status, answer["hint"]) == (400, "/classify?top=5")
    assert classify(server, pictures[0], None, "?top=99999999999")[0] == 200


def test_mutated_pictures_never_break_it(server: Server) -> None:
    drawn = np.random.default_rng(0)
    originals = [encoded(k, (16, 12)) for k in ("PNG", "JPEG", "GIF", "TIFF", "WEBP")]
    for round_ in range(100):
        data = bytearray(originals[round_ % len(originals)])
        for place in drawn.integers(0, len(data), drawn.integers(1, 12)):
            data[place] = drawn.integers(0, 256)
        status, answer = classify(
            server, bytes(data[: drawn.integers(1, len(data) + 1)])
        )
        assert status in (200, 400, 413, 415), answer
    assert server.request("GET", "/health")[0] == 200


def test_clients_that_go_away(server: Server, pictures: list[bytes]) -> None:
    for sent in (0, 10, 60):
        with socket.create_connection((server.host, server.port)) as client:
            head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n"
            client.sendall((head + pictures[0])[: len(head) + sent])
    assert classify(server, pictures[0])[0] == 200


# --- load, and the end ----------------------------------------------------------------


def test_nothing_is_lost(
    server: Server, classifier: Classifier, pictures: list[bytes]
) -> None:
    sent = pictures * 10
    wanted = np.tile(classifier.predict(noise(40)).argmax(axis=1), 10)
    before = metric(server, "resgraph_images_total")
    replies, seconds = load(server, sent, 8)
    figures = summary(replies, wanted, seconds)
    assert (figures["lost"], figures["other_class"]) == (0, 0)
    assert metric(server, "resgraph_images_total") == before + 400


def test_a_full_queue_and_an_orderly_stop(path: Path, pictures: list[bytes]) -> None:
    options = ("--device", "cpu", "--max-queue", "1", "--max-wait-ms", "3000")
    with served(path, *options) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(classify, server, pictures[0])
        end = time.monotonic() + 20
        while not metric(server, "resgraph_queue_images"):
            assert time.monotonic() < end
        status, content, headers = server.request("POST", "/classify", pictures[1], PNG)
        assert (status, headers["retry-after"]) == (503, "1")
        assert "as much to do as it takes" in json.loads(content)["error"]
        assert server.stop() == 0
        status, answer = first.result(20)
        assert status == 200, answer
        with pytest.raises(ConnectionRefusedError):
            server.request("GET", "/health")


# --- starting -------------------------------------------------------------------------


def test_a_port_in_use(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = resgraph("serve", path, "--port", port)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"port {port} of 127.0.0.1 is in use" in result.stderr


def test_a_model_that_does_not_work(tmp_path: Path) -> None:
    result = resgraph("serve", model(tmp_path, bias=BIAS * np.nan), "--port", 0)
    assert result.returncode == 1
    assert "not finite" in result.stderr
    assert "serving" not in result.stdout


def test_without_the_extra(path: Path) -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from resgraph.cli import main\n"
        f"sys.argv = ['resgraph', 'serve', {str(path)!r}]\n"
        "main()"
    )
    result = python(code)
    assert result.returncode == 1
    assert "needs uvicorn" in result.stderr
    assert "pip install 'resgraph[serve]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_shows_an_example() -> None:
    assert "Example: resgraph serve" in resgraph("serve", "--help").stdout
    assert resgraph("serve", "nowhere.onnx").returncode == 2


def test_small_answers_are_sent_at_once() -> None:
    """asyncio turns Nagle's algorithm off only for sockets that say they are TCP's."""
    with listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP
    assert "cannot listen" in refused(lambda: listen("host.invalid", 0))
