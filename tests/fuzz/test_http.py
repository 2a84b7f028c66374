"""The short form of `python -m tests.fuzz http`: some requests of every kind."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import run
from tests.fuzz.http import judged
from tests.fuzz.target import Fault
from tests.fuzz.wire import KINDS


def test_requests() -> None:
    tally = run("http", iter(range(200)), seed=0)
    assert tally.faults == []
    assert {*tally.kinds} == {kind.__name__ for kind in KINDS}
    assert {*tally.verdicts} == {"accepted", "refused"}


GOOD = b'HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s'  # fmt: skip
TOLD = b'{"error": "a", "code": "b", "hint": "c"}'


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        b"Traceback",
        GOOD % (9, TOLD[:5]),
        GOOD % (2, b"{}"),
        GOOD % (len(TOLD) + 3, TOLD.replace(b"a", "\u202ea".encode())),
        (GOOD % (len(TOLD), TOLD)).replace(b"json", b"json\x1b[31m"),
    ],
)
def test_the_judge_sees(answer: bytes) -> None:
    assert judged(GOOD % (len(TOLD), TOLD), cut=False, heads=False) == [400]
    with pytest.raises(Fault):
        judged(answer, cut=False, heads=False)
