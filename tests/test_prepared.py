"""What stages make of weights is made once, and anew when the weights are others."""

import threading

import numpy as np
import pytest
from counts import and_slow

from minicnn import Sequential
from minicnn.engine.prepared import Prepared
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Flatten,
    Input,
    ReLU,
    SeparableConv2D,
)

rng = np.random.default_rng(0)
KINDS = {
    "Winograd": lambda: [Conv2D(20, 4, activation="relu"), Conv2D(20, 3, padding="same")],
    "normalized Winograd": lambda: [
        Conv2D(20, 4),
        Conv2D(20, 3, padding="same"),
        BatchNormalization(),
        ReLU(),
    ],
    "any window": lambda: [Conv2D(8, 5, strides=2, activation="tanh"), Conv2D(8, 3, strides=2)],
    "pointwise": lambda: [Conv2D(8, 1, activation="relu"), Conv2D(4, 1)],
    "implicit im2col": lambda: [Conv2D(16, 1, strides=2), Conv2D(16, 1, strides=2)],
    "transposed": lambda: [Conv2DTranspose(8, 3, strides=2), Conv2DTranspose(4, 3)],
    "depthwise": lambda: [Conv2D(16, 3), DepthwiseConv2D(3), Conv2D(4, 3)],
    "groups": lambda: [Conv2D(8, 3, groups=2), Conv2D(8, 5, groups=4)],
    "separable": lambda: [Conv2D(16, 3), SeparableConv2D(16, 3), SeparableConv2D(4, 3)],
}
QUICK = {"Winograd", "pointwise", "implicit im2col"}  # the others' kernels take seconds to compile


def made(kind):
    model = Sequential(
        [Input((11, 11, 2)), *KINDS[kind](), Flatten(), Dense(3, activation="softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert ("Winograd" in kind) == ("WinogradConvolution" in str(model.plan()))
    return model


@pytest.fixture
def x():
    return rng.standard_normal((40, 11, 11, 2)).astype(np.float32)


@pytest.mark.parametrize("kind", and_slow(sorted(QUICK), sorted({*KINDS} - QUICK), "in_ci"))
def test_weights_that_are_written_in_place_count_at_once(kind, x):
    """params["W"][...] leaves no trace but its numbers; so does a single one of them."""
    model, y = made(kind), rng.integers(0, 3, len(x))
    model.predict(x, verbose=0)
    model.train_on_batch(x, y)
    for change in (lambda W: W.__imul__(1.5), lambda W: W.reshape(-1).__setitem__(-1, 4.0)):
        for layer in model.layers:
            for key, array in layer.params.items():
                if array.ndim > 1:  # a kernel of any name
                    change(layer.params[key])
        fresh = made(kind)
        fresh.set_weights(model.get_weights())
        np.testing.assert_array_equal(model.predict(x, verbose=0), fresh.predict(x, verbose=0))
        assert model.train_on_batch(x, y) == fresh.train_on_batch(x, y)
        np.testing.assert_array_equal(model.flat_grads, fresh.flat_grads)


def test_made_once_while_the_weights_stay():
    prepared, calls = Prepared(), []

    def make(W):
        calls.append(W.copy())
        return W.sum()

    W = np.arange(4, dtype=np.float32)
    for _ in range(3):
        prepared.begin()
        assert [prepared.of("sum", W, make) for _ in range(2)] == [6, 6]
    assert len(calls) == 1
    W[0] = 1
    prepared.begin()
    assert prepared.of("sum", W, make) == 7
    W[1] = -0.0
    prepared.begin()
    assert prepared.of("sum", W, make) == 6
    W[1] = 0.0  # other bits
    prepared.begin()
    prepared.of("sum", W, make)
    assert len(calls) == 4


def test_without_calls_every_use_looks():
    prepared = Prepared()
    W = np.zeros(2, np.float32)
    assert prepared.of("sum", W, np.sum) == 0
    W += 1
    assert prepared.of("sum", W, np.sum) == 2


def test_made_once_by_many_threads():
    prepared, calls = Prepared(), []
    W = np.ones(1000, np.float32)
    prepared.begin()

    def work():
        for _ in range(200):
            assert prepared.of("sum", W, lambda W: calls.append(1) or W.sum()) == 1000

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
