"""Error and confusion against scikit-learn, and how they are shown."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix

from resgraph.infer import evaluation

RANDOM = np.random.default_rng(0)


def names(count: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(count))


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_equals_sklearn(classes: int) -> None:
    labels = RANDOM.integers(0, classes, 500)
    predicted = np.where(RANDOM.random(500) < 0.7, labels, 0)
    found = evaluation(names(classes), labels, predicted)
    wanted = confusion_matrix(labels, predicted, labels=range(classes))
    np.testing.assert_array_equal(found.matrix, wanted)
    assert found.error == pytest.approx(100 * (1 - accuracy_score(labels, predicted)))
    told = json.loads(json.dumps(found.as_json()))
    assert told["confusion"] == wanted.tolist()
    assert told["wrong"] == (labels != predicted).sum()


def test_what_is_most_confused() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    predicted = np.array([0, 1, 1, 0, 1, 2, 0, 0, 0])
    found = evaluation(("ant", "bee", "cat", "dog"), labels, predicted)
    assert found.confused(9) == [(2, 0, 3), (0, 1, 2), (1, 0, 1)]
    assert found.confused(1) == [(2, 0, 3)]
    assert found.class_errors() == [pytest.approx(200 / 3), 50.0, 75.0, None]
    assert found.lines() == [
        "true / predicted    0    1    2    3",
        " 0  ant             1    2    .    .",
        " 1  bee             1    1    .    .",
        " 2  cat             3    .    1    .",
        " 3  dog             .    .    .    .",
    ]


def test_many_classes_are_shown_by_pairs() -> None:
    labels = np.arange(100)
    predicted = labels.copy()
    predicted[7] = 8
    lines = evaluation(names(100), labels, predicted).lines()
    assert lines == ["most confused:", "  class 7 taken for class 8: 1 of 1"]


def test_ten_classes_fit_a_terminal() -> None:
    labels = RANDOM.integers(0, 10, 10_000)
    lines = evaluation(names(10), labels, labels).lines()
    assert max(map(len, lines)) <= 80
