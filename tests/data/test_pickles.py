"""Pickles: nothing of a hostile one is run, and a wrong one is refused."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resgraph.data import pickles
from resgraph.data.pickles import bytes_array
from tests.data import official
from tests.data.conftest import refused
from tests.data.official import SHAPE, archive, images, labels, python2, unpacked

NAME = "cifar-10-python.tar.gz"


class Call:
    """Pickled, a call of anything."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def hostile(target: Path) -> list[bytes]:
    """Pickles that would make a file, in several ways."""
    command = f"touch {target}"
    writing = f"open({str(target)!r}, 'w')"
    values = [
        Call(os.system, command),
        {b"data": images(0), b"labels": [Call(eval, writing)]},
        Call(getattr, Call(__import__, "os"), "system"),
        Call(np.save, str(target), 1),
        Call(np.load, str(target)),
    ]
    made = [pickle.dumps(value, protocol=p) for value in values for p in (2, 4)]
    return [*made, b"cos\nsystem\n(S'" + command.encode() + b"'\ntR."]


def test_a_hostile_pickle_is_not_run(tmp_path: Path) -> None:
    target = tmp_path / "made"
    for number, data in enumerate(hostile(target)):
        with pytest.raises(ValueError, match="no CIFAR file has a use for"):
            pickles.load(data)
        place = tmp_path / str(number)
        told = refused(unpacked(place, NAME, data_batch_3=data), SHAPE)
        assert "data_batch_3: it asks for" in told
        assert "nothing of it was run" in told
    assert not target.exists()
    pickle.loads(hostile(target)[0])  # and so it would be run
    assert target.exists()


def test_a_hostile_list_of_names(tmp_path: Path) -> None:
    target = tmp_path / "made"
    path = archive(tmp_path, NAME, **{"batches.meta": hostile(target)[0]})
    assert "batches.meta: it asks for" in refused(path, SHAPE)
    assert not target.exists()


def test_what_the_files_need_is_read() -> None:
    value = {b"data": images(3), b"labels": [1, 2], b"batch_label": b"\xff text"}
    for data in (python2(value), *(pickle.dumps(value, p) for p in (2, 3, 4))):
        read = pickles.load(data)
        assert np.array_equal(bytes_array(read[b"data"]), images(3))
        assert read[b"labels"] == [1, 2]
        assert read[b"batch_label"] == b"\xff text"
    by_columns = pickles.load(pickle.dumps(np.asfortranarray(images(3)), 2))
    assert np.array_equal(bytes_array(by_columns), images(3))


@pytest.mark.parametrize(
    "value",
    [
        images(0).astype(np.int64),
        images(0).astype(np.int8),
        np.array([b"a"], object),
        np.array([None, [1]], object),
        [1, 2],
        None,
    ],
)
def test_other_arrays_are_none(value: Any) -> None:
    with pytest.raises(ValueError, match="no array of uint8"):
        bytes_array(pickles.load(pickle.dumps(value, 2)))


def test_an_array_that_claims_more_than_it_holds() -> None:
    data = pickle.dumps(images(0), 2)
    claim = data.replace(b"M\x00\x0c", b"M\xff\xff")  # 65,535 columns in place of 3,072
    assert claim != data
    with pytest.raises(ValueError, match="no array of uint8"):
        bytes_array(pickles.load(claim))


def batch(**changes: Any) -> bytes:
    value = {b"data": images(1), b"labels": labels(1, 10)}
    value |= {key.encode(): new for key, new in changes.items()}
    return python2(value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (batch()[:200], "it is damaged"),
        (b"", "it is damaged"),
        (python2(images(0)), "it is no dict"),  # type: ignore[arg-type]
        (batch(data=images(1).astype(np.int32)), "it is no array of uint8"),
        (batch(data=images(1).reshape(4, 3, 1024)), "its images are (4, 3, 1024)"),
        (batch(data=images(1)[:, :3071].copy()), "its images are (4, 3071)"),
        (batch(data=images(1)[:0]), "its images are (0, 3072)"),
        (batch(labels=[0, 1, 2]), "it has 4 images and 3 labels"),
        (batch(labels=[0, 1, 2, 10]), "its image 3 has the label 10"),
        (batch(labels=[0, -1, 2, 3]), "its image 1 has the label -1"),
        (batch(labels=[0, 1, 2, 10**30]), "its image 3 has the label"),
        (batch(labels=[0, 1, 2, 0.5]), "not a list of whole numbers"),
        (batch(labels=None), "not a list of whole numbers"),
        (batch(data=images(1, 3), labels=[0] * 3), "3 images, and those before it 4"),
    ],
)
def test_a_wrong_batch_is_told_by_name(tmp_path: Path, data: bytes, told: str) -> None:
    found = refused(unpacked(tmp_path, NAME, data_batch_5=data), SHAPE)
    assert found.startswith("cifar10, data_batch_5: ")
    assert told in found


def test_the_small_archives_are_as_python_2_wrote_them() -> None:
    data = official.cifar10_python()["data_batch_1"]
    assert b"numpy.core.multiarray\n_reconstruct" in data
    assert data[:2] == b"\x80\x02"
