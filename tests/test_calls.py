"""A forward whose calls are made again gives what all stages give."""

import threading

import numpy as np
import pytest

from minicnn import Sequential, layers
from minicnn.engine.calls import MOST_NUMBERS, Calls, RepeatedForward, _expect
from minicnn.engine.lanes import Lane
from minicnn.layers import Conv2D, Dense, Flatten, Input

rng = np.random.default_rng(17)

NETWORKS = {
    "tutorial": ((28, 28, 1), [Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(), "dense"]),
    "winograd": ((12, 12, 24), [Conv2D(48, 3, padding="same", activation="relu"), "dense"]),
    "any window": (
        (14, 14, 3),
        [Conv2D(20, 5, strides=2, activation="tanh"), layers.AveragePooling2D(), "dense"],
    ),
    "few filters": ((12, 12, 2), [Conv2D(6, 5, activation="relu"), Conv2D(5, 1), "dense"]),
    "groups": ((9, 9, 8), [Conv2D(32, 3, groups=2, activation="gelu"), "dense"]),
    "normalized": (
        (10, 10, 3),
        [
            *(Conv2D(24, 3), layers.BatchNormalization(), layers.ReLU()),
            *(Conv2D(24, 1, activation="relu"), layers.BatchNormalization()),
            *(layers.DepthwiseConv2D(3), layers.BatchNormalization(), layers.ReLU()),
            *(layers.BatchNormalization(), layers.LayerNormalization()),
            *(layers.GroupNormalization(4), layers.GlobalAveragePooling2D(), "dense"),
        ],
    ),
    "few channels": (
        (8, 8, 3),
        [layers.DepthwiseConv2D(3, depth_multiplier=2), layers.SeparableConv2D(7, 3), "dense"],
    ),
    "decoder": (
        (4, 4, 16),
        [
            layers.Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu"),
            layers.UpSampling2D(),
            layers.Conv2DTranspose(1, 3, padding="same", activation="sigmoid"),
        ],
    ),
    "dense": ((40,), [layers.Rescaling(0.5), Dense(33, "selu"), Dense(2100), "dense"]),
}


def model_of(name):
    shape, given = NETWORKS[name]
    body = []
    for one in given:
        if one == "dense":
            body += [Flatten(), Dense(32, "relu"), layers.Dropout(0.2), Dense(10, "softmax")]
        else:
            body.append(type(one).from_config({**one.get_config(), "name": None}))
    return Sequential([Input(shape), *body]), shape


def repeated_of(model):
    """The forward that the model's lane repeats."""
    (lane,) = model.network()[0]._lanes
    return lane._repeated


@pytest.mark.parametrize("name", NETWORKS)
def test_repeated_calls_give_what_the_stages_give(name):
    model, shape = model_of(name)
    images = rng.standard_normal((5, 1, *shape)).astype("f")
    model.predict(images[0], verbose=0)
    repeated = repeated_of(model)
    whole, through = [], repeated._forward
    repeated._forward = lambda x: whole.append(x) or through(x)
    again = [model.predict(x, verbose=0) for x in images]
    assert not whole
    for layer in model.layers:  # in place: the same arrays with other numbers
        for table in (layer.params, layer.state):
            for array in table.values():
                array *= 1.25
    changed = [model.predict(x, verbose=0) for x in images]
    assert len(whole) <= (name == "decoder")  # whose weights are packed once
    for got, x in zip(changed, images):
        model._kept = {}
        np.testing.assert_array_equal(got, model.predict(x, verbose=0))
    assert not any(np.array_equal(a, b) for a, b in zip(again, changed))


@pytest.mark.parametrize("name", ["few filters", "decoder"])
def test_prepared_weights_are_looked_at_in_every_repetition(name):
    """Sixteen samples go by kernels that take packed weights."""
    model, shape = model_of(name)
    lane = Lane(model.network()[0].plan, None)
    x = rng.standard_normal((16, *shape)).astype("f")
    before = lane.forward(x).copy()
    assert any(function is _expect for function, _ in lane._repeated._made)
    for layer in model.layers:
        for array in layer.params.values():
            array *= -1
    after = lane.forward(x)
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, Lane(model.network()[0].plan, None).forward(x))


def test_arrays_and_settings_that_are_replaced_count():
    model, shape = model_of("tutorial")
    x = rng.standard_normal((1, *shape)).astype("f")
    model.predict(x, verbose=0)
    conv = model.layers[0]
    for change in (
        lambda: conv.params.update(W=conv.params["W"] * 2),
        lambda: conv.params.update(b=np.ones(8, "f")),
        lambda: setattr(conv, "activation", layers.Tanh()),
        lambda: model.set_weights([w / 2 for w in model.get_weights()]),
    ):
        change()
        got = model.predict(x, verbose=0)
        model._kept = {}
        np.testing.assert_array_equal(got, model.predict(x, verbose=0))


def test_shapes_in_turn_and_a_batch_too_large_to_be_copied():
    model, shape = model_of("any window")
    many = MOST_NUMBERS // int(np.prod(shape)) + 1
    images = rng.standard_normal((many, *shape)).astype("f")
    want = {n: model.predict(images[:n], verbose=0) for n in (1, 2, many)}
    model._kept = {}
    for n in (1, 2, 1, many, 1, 2, many, 2):
        np.testing.assert_array_equal(model.predict(images[:n], verbose=0), want[n])


def test_a_layer_without_a_stage_is_not_repeated():
    class Twice(layers.Layer):
        def forward(self, x, training=False):
            return x * self.factor

        def backward(self, dy):
            return dy * self.factor

    twice = Twice()
    twice.factor = 2
    model = Sequential([Input((4,)), twice, Dense(3)])
    x = np.ones((1, 4), "f")
    before = model.predict(x, verbose=0)
    assert repeated_of(model) is None
    twice.factor = 6
    np.testing.assert_allclose(model.predict(x, verbose=0), 3 * before, rtol=1e-6)


def test_threads_predict_at_the_same_time():
    model, shape = model_of("normalized")
    images = rng.standard_normal((4, 1, *shape)).astype("f")
    want = [model.predict(x, verbose=0) for x in images]
    wrong = []

    def ask(k):
        got = [model.predict(images[k], verbose=0) for _ in range(30)]
        wrong.extend(y for y in got if not np.array_equal(y, want[k]))

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_forward_that_failed_is_not_repeated():
    calls, y = Calls(), np.zeros(2, "f")
    fails = [True]

    def forward(x):
        calls(np.multiply, x, np.float32(2), y)
        if fails[0]:
            raise KeyboardInterrupt
        calls(np.add, y, np.float32(1), y)
        return y

    repeated = RepeatedForward(forward, calls, [])
    with pytest.raises(KeyboardInterrupt):
        repeated(np.ones(2, "f"))
    fails[0] = False
    for k in range(3):
        np.testing.assert_array_equal(repeated(np.full(2, k, "f")), 2 * k + 1)


def test_what_a_call_expected_and_did_not_get():
    calls, y, made = Calls(), np.zeros(1, "f"), [object()]

    def forward(x):
        calls.expect(made[0], lambda: made[0])
        factor = np.float32(2 if made[0] is None else 1)
        calls(np.multiply, x, factor, y)
        return y

    repeated = RepeatedForward(forward, calls, [])
    assert repeated(np.ones(1, "f")) == 1
    assert repeated(np.ones(1, "f")) == 1
    made[0] = None
    assert repeated(np.ones(1, "f")) == 2


def test_arrays_that_stages_would_copy_are_not_repeated():
    """A kernel that lies transposed is made contiguous in each forward."""
    calls, y, table = Calls(), np.zeros(4, "f"), {"W": np.ones((2, 2), "f").T[:, :1]}

    def forward(x):
        W = np.ascontiguousarray(table["W"])
        calls(np.copyto, y[:2], W.reshape(-1))
        return y

    repeated = RepeatedForward(forward, calls, [table])
    repeated(np.ones(4, "f"))
    table["W"][...] = 3
    assert repeated(np.ones(4, "f"))[0] == 3
