"""`weights`: names and views, of a layer and of a model."""

import numpy as np

from minicnn import Sequential
from minicnn.layers import BatchNormalization, Conv2D, Dense, Flatten


def model():
    return Sequential(
        [
            Conv2D(2, 3, name="conv", input_shape=(5, 5, 1)),
            BatchNormalization(name="norm"),
            Flatten(),
            Dense(3, use_bias=False, name="top"),
        ]
    )


def test_names_and_order_are_those_of_keras():
    net = model()
    assert [(w.name, w.path) for w in net.weights] == [
        ("kernel", "conv/kernel"),
        ("bias", "conv/bias"),
        ("gamma", "norm/gamma"),
        ("beta", "norm/beta"),
        ("moving_mean", "norm/moving_mean"),
        ("moving_variance", "norm/moving_variance"),
        ("kernel", "top/kernel"),
    ]
    for weight, array in zip(net.weights, net.get_weights(), strict=True):
        assert weight.shape == array.shape
        assert weight.dtype == array.dtype
        np.testing.assert_array_equal(weight, array)
    assert repr(net.weights[0]) == "<Weight path=conv/kernel, shape=(3, 3, 1, 2)>"


def test_what_is_trained_and_what_is_not():
    net = model()
    assert [w.name for w in net.non_trainable_weights] == ["moving_mean", "moving_variance"]
    assert len(net.trainable_weights) == 5
    net.layers[0].trainable = False
    assert [w.path for w in net.trainable_weights] == ["norm/gamma", "norm/beta", "top/kernel"]
    assert [w.path for w in net.layers[0].non_trainable_weights] == ["conv/kernel", "conv/bias"]
    assert net.layers[0].trainable_weights == []
    assert Sequential([Dense(3)]).weights == []


def test_a_weight_is_a_view_and_numpy_a_copy():
    net = model()
    top = net.weights[-1]
    assert np.shares_memory(top.value, net.flat_params)
    copy = top.numpy()
    top.assign(np.full(top.shape, 0.5))
    assert (net.get_weights()[-1] == 0.5).all()
    assert (copy != 0.5).any()
    assert np.asarray(top, dtype="float64").dtype == np.float64
    np.asarray(top)[...] = 7  # a copy, as of Keras's
    assert (top.value == 0.5).all()
