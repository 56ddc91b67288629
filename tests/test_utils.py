import random

import numpy as np

from minicnn.seeds import new_generator
from minicnn.utils import set_random_seed, to_categorical


def test_to_categorical():
    np.testing.assert_array_equal(to_categorical([1, 0]), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(to_categorical(np.array([[1.0], [2.0]]), 4).argmax(1), [1, 2])
    assert to_categorical([[0, 1], [2, 0]]).shape == (2, 2, 3)
    assert to_categorical([0]).dtype == np.float32


def test_one_seed_for_everything():
    draws = []
    for _ in range(2):
        set_random_seed(11)
        draws.append((random.random(), np.random.rand(), *new_generator().random(2)))
    assert draws[0] == draws[1]
    assert not np.array_equal(new_generator().random(3), new_generator().random(3))
