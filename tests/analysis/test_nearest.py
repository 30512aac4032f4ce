"""The nearest training picture."""

import numpy as np
import pytest

from showtell.analysis import nearest as module
from showtell.analysis.nearest import nearest, pooled


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEYS", 7)
    monkeypatch.setattr(module, "QUERIES", 5)


def test_is_the_one_of_the_largest_cosine_whatever_the_blocks() -> None:
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(size=(23, 4, 6)), rng.normal(size=(40, 4, 6)).astype(np.float16)
    usable = rng.random(40) < 0.8
    means = queries.mean(1), keys.astype(np.float64).mean(1)
    a, b = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in means)
    cosines = a @ b.T
    cosines[:, ~usable] = -2
    own = np.where(np.arange(23) % 2, cosines.argmax(1), -1)  # every second one would find itself
    cosines[np.flatnonzero(own >= 0), own[own >= 0]] = -2
    rows, similarity = nearest(pooled(queries), keys, usable, own)
    assert rows.tolist() == cosines.argmax(1).tolist()
    assert similarity == pytest.approx(cosines.max(1), abs=1e-3)


def test_a_picture_that_is_nothing_but_zeros_is_no_error() -> None:
    rows, similarity = nearest(pooled(np.zeros((1, 3))), np.ones((2, 3)))
    assert rows.tolist() == [0] and similarity.tolist() == [0]
