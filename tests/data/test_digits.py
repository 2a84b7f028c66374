"""Scikit-learn's digits, and what a data set knows of itself."""

from __future__ import annotations

import numpy as np
import pytest

from resgraph.data import load_data
from resgraph.data.moments import Counts, mean_and_std


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    data = load_data("digits", (1, 8, 8))
    assert data.train_images.shape == (1437, 1, 8, 8)
    assert data.test_images.shape == (360, 1, 8, 8)
    assert data.train_images.dtype == np.uint8
    assert data.classes == tuple("0123456789")
    assert data.flip_ok is False
    ours = np.concatenate([data.train_images, data.test_images]).reshape(-1, 64)
    theirs = np.round(load_digits().data * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, ours)) == sorted(map(bytes, theirs))


def test_digits_are_split_alike_for_each_class_and_each_time() -> None:
    one, two = load_data("digits", (1, 8, 8)), load_data("digits", (3, 16, 12))
    assert np.array_equal(one.test_labels, two.test_labels)
    counts = np.bincount(one.test_labels)
    assert int(counts.min()) >= 34
    assert int(counts.max()) <= 38
    assert two.train_images.shape == (1437, 3, 16, 12)
    assert np.array_equal(two.train_images[:, 0], two.train_images[:, 2])
    assert one.fingerprint == two.fingerprint


def test_a_constant_channel_has_deviation_one() -> None:
    mean, std = mean_and_std(np.full((2, 1, 3, 3), 51, np.uint8))
    assert mean == (pytest.approx(0.2),)
    assert std == (1.0,)


def test_moments_do_not_depend_on_how_images_come() -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 3, 5, 4), np.uint8)
    counts = Counts()
    for start in range(0, 9, 2):
        counts.add(images[start : start + 2])
    assert counts.moments() == mean_and_std(images)
    mean, std = mean_and_std(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std((0, 2, 3)), rtol=1e-12)
