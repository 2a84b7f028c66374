"""The batcher by itself: nothing lost, nothing mixed up, and an orderly end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from resgraph.serve.batching import Batcher, QueueFullError, StoppedError


def doubled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1)[:, :2].astype(np.float32) * 2


def image(number: int) -> NDArray[np.uint8]:
    return np.full((1, 1, 2), number, np.uint8)


class Gate:
    """Computes as `doubled` does, once it is let through."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Semaphore(0), threading.Event()

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.entered.release()
        assert self.open.wait(20)
        return doubled(images)


def batcher(predict: object = doubled, **options: object) -> tuple[Batcher, list[int]]:
    sizes: list[int] = []
    wanted = {"max_batch": 4, "max_wait": 0.0, "max_queue": 1000} | options
    return Batcher(predict, observe=sizes.append, **wanted), sizes


def test_many_threads_each_get_their_own() -> None:
    made, sizes = batcher(max_wait=0.001)

    def ask(number: int) -> bool:
        futures = made.submit([image(number % 100), image(number % 50)])
        first, second = (future.result(20)[0] for future in futures)
        return first == 2 * (number % 100) and second == 2 * (number % 50)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(500)))
    made.close()
    assert sum(sizes) == 1000
    assert max(sizes) <= 4


def test_what_waits_is_computed_together() -> None:
    gate = Gate()
    made, sizes = batcher(gate)
    first = made.submit([image(1)])
    gate.entered.acquire()
    rest = made.submit([image(n) for n in range(2, 8)])
    assert made.waiting == 6
    gate.open.set()
    results = [f.result(20)[0] for f in [*first, *rest]]
    assert results == [2 * n for n in range(1, 8)]
    assert sizes == [1, 4, 2]
    made.close()


def test_the_first_waits_for_others() -> None:
    made, sizes = batcher(max_wait=20.0, max_batch=3)
    futures = made.submit([image(1)]) + made.submit([image(2), image(3)])
    assert [f.result(20)[0] for f in futures] == [2, 4, 6]
    assert sizes == [3]
    made.close()


def test_a_full_queue_takes_all_of_a_request_or_none() -> None:
    gate = Gate()
    made, _ = batcher(gate, max_queue=3)
    computing = made.submit([image(1)])
    gate.entered.acquire()
    waiting = made.submit([image(2), image(3)])
    with pytest.raises(QueueFullError):
        made.submit([image(4), image(5)])
    assert made.waiting == 2
    waiting += made.submit([image(6)])
    gate.open.set()
    assert [f.result(20)[0] for f in computing + waiting] == [2, 4, 6, 12]
    made.close()


def test_close_finishes_what_waits() -> None:
    gate = Gate()
    made, _ = batcher(gate)
    futures = made.submit([image(n) for n in range(9)])
    gate.entered.acquire()
    closing = threading.Thread(target=made.close)
    closing.start()
    gate.open.set()
    closing.join(20)
    assert [f.result(0)[0] for f in futures] == [2 * n for n in range(9)]
    assert not made.alive
    with pytest.raises(StoppedError):
        made.submit([image(1)])


def test_an_error_is_told_and_the_thread_goes_on() -> None:
    def fails_on_nine(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if (images == 9).any():
            raise ValueError("nine")
        return doubled(images)

    made, _ = batcher(fails_on_nine, max_batch=1)
    bad, good = made.submit([image(9), image(8)])
    with pytest.raises(ValueError, match="nine"):
        bad.result(20)
    assert good.result(20)[0] == 16
    made.close()


def test_what_was_given_up_is_left_out() -> None:
    gate = Gate()
    made, sizes = batcher(gate)
    first = made.submit([image(1)])
    gate.entered.acquire()
    gone, kept = made.submit([image(2), image(3)])
    assert gone.cancel()
    gate.open.set()
    assert [f.result(20)[0] for f in [*first, kept]] == [2, 6]
    assert sizes == [1, 1]
    made.close()
