import random

import numpy as np
import pytest

from minicnn.seeds import new_generator
from minicnn.utils import set_random_seed, to_categorical


def test_to_categorical():
    np.testing.assert_array_equal(to_categorical([1, 0]), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(to_categorical(np.array([[1.0], [2.0]]), 4).argmax(1), [1, 2])
    assert to_categorical([[0, 1], [2, 0]]).shape == (2, 2, 3)
    assert to_categorical([0]).dtype == np.float32


@pytest.mark.parametrize(
    ("labels", "classes", "error"),
    [
        ([0, 3], 3, ValueError),
        ([-1], None, ValueError),
        ([0.5], None, ValueError),
        ([], None, ValueError),
        (["a"], None, TypeError),
        ([0], 0, ValueError),
        ([0], 1.5, TypeError),
    ],
)
def test_to_categorical_refuses(labels, classes, error):
    with pytest.raises(error, match="to_categorical: expected"):
        to_categorical(labels, classes)


def test_one_seed_for_everything():
    draws = []
    for _ in range(2):
        set_random_seed(11)
        draws.append((random.random(), np.random.rand(), *new_generator().random(2)))
    assert draws[0] == draws[1]
    assert not np.array_equal(new_generator().random(3), new_generator().random(3))


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (2**32, ValueError), (1.5, TypeError)]
)
def test_seeds_have_their_range(seed, error):
    with pytest.raises(error, match="seed"):
        set_random_seed(seed)
