"""What Keras's scripts read from layers, models and optimizers, beside their methods.

The expected shapes, names and orders are those that Keras 3.15 gives.
"""

import copy
import pickle

import numpy as np
import pytest

from minicnn import Sequential, backend, layers, losses, metrics, optimizers
from minicnn.callbacks import LambdaCallback
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    Input,
    InputLayer,
    Layer,
    PReLU,
    SeparableConv2D,
)
from minicnn.models import load_model
from minicnn.outputs import Output
from minicnn.symbolic import KerasTensor
from minicnn.utils import set_random_seed


def network():
    return Sequential(
        [
            Input((6, 6, 1)),
            Conv2D(2, 3, name="c"),
            BatchNormalization(name="bn"),
            Flatten(name="f"),
            Dense(3, activation="softmax", name="d"),
        ],
        name="m",
    )


def images(n=5):
    return np.random.default_rng(0).random((n, 6, 6, 1)).astype("float32")


# -- weights by their names -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (Conv2D(2, 3), (6, 6, 1), {"kernel": (3, 3, 1, 2), "bias": (2,)}),
        (Dense(3), (4,), {"kernel": (4, 3), "bias": (3,)}),
        (Dense(3, use_bias=False), (4,), {"kernel": (4, 3), "bias": None}),
        (DepthwiseConv2D(3), (6, 6, 2), {"kernel": (3, 3, 2, 1), "bias": (2,)}),
        (
            SeparableConv2D(3, 2),
            (6, 6, 2),
            {"depthwise_kernel": (2, 2, 2, 1), "pointwise_kernel": (1, 1, 2, 3), "bias": (3,)},
        ),
        (layers.Conv2DTranspose(3, 2), (6, 6, 2), {"kernel": (2, 2, 3, 2), "bias": (3,)}),
        (
            BatchNormalization(),
            (6, 6, 2),
            dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (2,)),
        ),
        (BatchNormalization(scale=False, center=False), (4,), {"gamma": None, "beta": None}),
        (layers.LayerNormalization(), (6, 6, 2), {"gamma": (2,), "beta": (2,)}),
        (layers.GroupNormalization(2), (6, 6, 2), {"gamma": (2,), "beta": (2,)}),
        (PReLU(), (4,), {"alpha": (4,)}),
    ],
)
def test_a_layer_s_weights_have_keras_s_names(layer, shape, expected):
    for name in expected:
        with pytest.raises(AttributeError, match=f"{name!r}.*when it is built"):
            getattr(layer, name)
    layer.build((None, *shape))
    found = {name: getattr(layer, name) for name in expected}
    assert {k: None if w is None else tuple(w.shape) for k, w in found.items()} == expected
    for name, weight in found.items():
        assert weight is None or weight.name == name


def test_a_weight_is_the_array_that_the_layer_computes_with():
    model = network()
    kernel = model.get_layer("d").kernel
    kernel.assign(np.zeros(kernel.shape))
    model.get_layer("d").bias.assign([1.0, 2.0, 3.0])
    assert model.predict(images(), verbose=0) == pytest.approx(
        np.tile(np.exp([1, 2, 3]) / np.exp([1, 2, 3]).sum(), (5, 1)), rel=1e-6
    )
    with pytest.raises(ValueError, match="d/bias of shape"):
        model.get_layer("d").bias.assign([1.0])


def test_a_weight_is_computed_with_as_an_array():
    layer = Dense(2)
    layer.build((None, 3))
    layer.set_weights([[[1, 2], [3, 4], [5, 6]], [7, 8]])
    W = layer.kernel
    for got, expected in [
        (W + 1, [[2, 3], [4, 5], [6, 7]]),
        (1 - W, [[0, -1], [-2, -3], [-4, -5]]),
        (W > 2, [[False, False], [True, True], [True, True]]),
        (W == 2, [[False, True], [False, False], [False, False]]),
        (W[1], [3, 4]),
        (W @ np.array([1, 1]), [3, 7, 11]),
        (np.sum(W, axis=0), [9, 12]),
        (np.abs(-W), [[1, 2], [3, 4], [5, 6]]),
        (W + layer.bias, [[8, 10], [10, 12], [12, 14]]),
        (np.asarray(layer.bias), [7, 8]),
        (W.numpy(), [[1, 2], [3, 4], [5, 6]]),
    ]:
        assert type(got) is np.ndarray
        assert got.tolist() == expected
    assert (len(W), W.ndim, len({W})) == (3, 2, 1)
    np.testing.assert_array_equal(layer.get_weights()[0], [[1, 2], [3, 4], [5, 6]])


def test_to_put_another_array_in_the_place_of_a_weight_says_assign():
    layer = Dense(2, name="d")
    layer.build((None, 3))
    with pytest.raises(TypeError, match=r"Dense 'd'.*layer\.kernel\.assign\(values\)"):
        layer.kernel = np.zeros((3, 2))
    assert "kernel" not in vars(layer)


def test_a_layer_s_own_attributes_come_first():
    class Own(Layer):
        def build(self, input_shape):
            self.add_param("W", (input_shape[-1],), "ones")
            self.kernel = self.params["W"]
            super().build(input_shape)

        def forward(self, x, training=False):
            self.input = x = self._input(x)
            self._cache = True
            self.output = x * self.kernel
            return self.output

        def backward(self, dy):
            dy, _ = self._recall(dy)
            self.grads["W"][...] = (dy * self.input).sum(0)
            return dy * self.kernel

    layer = Own()
    layer(np.ones((2, 3)))
    assert layer.output.shape == (2, 3)
    assert layer.kernel is layer.params["W"]


def test_names_that_there_are_not():
    layer = Dense(2)
    for name in ("kernle", "gamma", "_anything", "recurrent_kernel"):
        with pytest.raises(AttributeError, match=f"'Dense' object has no attribute {name!r}"):
            getattr(layer, name)
    assert not hasattr(layer, "leaves")


def test_variables_are_weights_by_another_name():
    model = network()
    model.get_layer("c").trainable = False
    for thing in (model, *model.layers):
        for ours, keras in [
            (thing.weights, thing.variables),
            (thing.trainable_weights, thing.trainable_variables),
            (thing.non_trainable_weights, thing.non_trainable_variables),
        ]:
            assert [w.path for w in ours] == [w.path for w in keras]
            assert all(a.value is b.value for a, b in zip(ours, keras))
    assert [w.path for w in model.trainable_variables] == [
        "bn/gamma",
        "bn/beta",
        "d/kernel",
        "d/bias",
    ]


# -- shapes ---------------------------------------------------------------------------------------


def test_input_and_output_tell_shapes():
    model = network()
    assert [(la.input.shape, la.output.shape) for la in model.layers] == [
        ((None, 6, 6, 1), (None, 4, 4, 2)),
        ((None, 4, 4, 2), (None, 4, 4, 2)),
        ((None, 4, 4, 2), (None, 32)),
        ((None, 32), (None, 3)),
    ]
    assert [one.shape for one in (*model.inputs, model.input)] == [(None, 6, 6, 1)] * 2
    assert [one.shape for one in (*model.outputs, model.output)] == [(None, 3)] * 2
    assert (model.output.dtype, model.output.ndim) == ("float32", 2)
    model.add(Dense(7, name="top"))
    assert model.layers[-1].output.shape == model.output.shape == (None, 7)
    again = pickle.loads(pickle.dumps(model))
    assert again.layers[0].output.shape == copy.deepcopy(model).layers[0].output.shape


def test_input_and_output_are_not_known_too_early():
    model = Sequential([Dense(3)])
    for name in ("input", "output"):
        with pytest.raises(AttributeError, match=f"{name} is not known.*compute_output_shape"):
            getattr(model.layers[0], name)
        for of_the_model in (name, f"{name}s", f"{name}_shape"):
            with pytest.raises(AttributeError, match="not known yet"):
                getattr(model, of_the_model)
    model.predict(np.zeros((2, 4)), verbose=0)
    assert model.layers[0].input.shape == model.input_shape == (None, 4)


def test_shapes_for_an_input_of_one_s_choice():
    assert Dense(3).compute_output_shape((5, 7)) == (5, 3)
    assert Dense(3).compute_output_shape([None, 7]) == (None, 3)
    assert layers.Dropout(0.5).compute_output_shape((5, 7)) == (5, 7)
    assert network().compute_output_shape((None, 6, 6, 1)) == (None, 3)
    unbuilt = Sequential([Conv2D(2, 3), Flatten()])
    assert unbuilt.compute_output_shape((9, 5, 5, 1)) == (9, 18)
    assert not unbuilt.built
    with pytest.raises(ValueError, match="Conv2D"):
        unbuilt.compute_output_shape((None, 5))
    with pytest.raises(TypeError, match="input_shape"):
        unbuilt.compute_output_shape(5)


@pytest.mark.parametrize(
    "declared",
    [
        lambda: Input((4,), batch_size=8),
        lambda: Input((4,), 8),
        lambda: Input(batch_shape=(8, 4)),
        lambda: InputLayer(batch_shape=[8, 4]),
        lambda: InputLayer(input_shape=(4,), batch_size=8),
    ],
)
def test_a_declared_batch_size_is_shown_and_does_not_bind(declared, tmp_path):
    assert declared().shape == (8, 4)
    model = Sequential([declared(), Dense(3)])
    assert (model.input_shape, model.output_shape) == ((8, 4), (8, 3))
    assert model.layers[0].output.shape == model.outputs[0].shape == (8, 3)
    text = []
    model.summary(print_fn=text.append)
    assert "(8, 3)" in text[0]
    assert model.predict(np.zeros((5, 4)), verbose=0).shape == (5, 3)
    assert model(np.zeros((17, 4))).shape == (17, 3)
    model.compile("sgd", "mse")
    model.fit(np.zeros((5, 4)), np.zeros((5, 3)), verbose=0)
    model.save(tmp_path / "m.keras")
    for again in (load_model(tmp_path / "m.keras"), Sequential.from_config(model.get_config())):
        assert (again.input_shape, again.output_shape) == ((8, 4), (8, 3))
    again = InputLayer.from_config(declared().get_config())
    assert again.shape == (8, 4)


def test_input_takes_one_shape():
    with pytest.raises(ValueError, match="received shape and batch_shape"):
        Input((4,), batch_shape=(None, 4))
    with pytest.raises(ValueError, match="received batch_shape and batch_size"):
        Input(batch_shape=(8, 4), batch_size=8)
    with pytest.raises(TypeError, match="Input.*received None"):
        Input()
    with pytest.raises(ValueError, match="batch_size"):
        Input((4,), batch_size=0)
    assert Input(batch_shape=(None, 4)).shape == Input((4,)).shape == (None, 4)


def test_input_dim_is_an_input_shape_of_one_size():
    model = Sequential([Dense(3, input_dim=4)])
    assert (model.built, model.input_shape, model.count_params()) == (True, (None, 4), 15)
    with pytest.raises(ValueError, match="Dense 'd'.*both"):
        Dense(3, input_dim=4, input_shape=(4,), name="d")
    with pytest.raises(TypeError, match="input_dim"):
        Dense(3, input_dim="4")


# -- what a call returns --------------------------------------------------------------------------


OPERATIONS = {
    "index": lambda y: y[0],
    "slice": lambda y: y[1:],
    "mask": lambda y: y[y > 0],
    "add": lambda y: y + 1,
    "radd": lambda y: np.ones(3) + y,
    "compare": lambda y: y > 0.5,
    "matmul": lambda y: y @ y.T,
    "ufunc": np.exp,
    "ufunc out": lambda y: np.exp(y, out=y.copy()),
    "reduce": lambda y: np.add.reduce(y),
    "sum": lambda y: y.sum(axis=0),
    "mean": lambda y: np.mean(y, axis=1),
    "argmax": lambda y: np.argmax(y, axis=1),
    "method argmax": lambda y: y.argmax(-1),
    "reshape": lambda y: y.reshape(-1),
    "astype": lambda y: y.astype("float64"),
    "transpose": lambda y: y.T,
    "copy": lambda y: y.copy(),
    "copied": copy.copy,
    "deepcopied": copy.deepcopy,
    "pickled": lambda y: pickle.loads(pickle.dumps(y)),
    "concatenate": lambda y: np.concatenate([y, y]),
    "stack": lambda y: np.stack((y, y)),
    "where": lambda y: np.where(y > 0, y, 0),
    "einsum": lambda y: np.einsum("ij->i", y),
    "norm": lambda y: np.linalg.norm(y, axis=1),
    "asarray": np.asarray,
    "array": np.array,
    "view": lambda y: y.view(),
    "item of iteration": lambda y: next(iter(y)),
    "squeeze": lambda y: np.squeeze(y),
    "zeros like": np.zeros_like,
    "split": lambda y: np.split(y, 1)[0],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_computed_from_an_output_is_a_plain_array_with_the_same_numbers(name):
    plain = np.arange(6.0).reshape(2, 3) / 7
    y = plain.copy().view(Output)
    got, expected = OPERATIONS[name](y), OPERATIONS[name](plain.copy())
    assert type(got) is np.ndarray
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def test_in_place_operations_write_into_an_output():
    y = np.array([1.0, 2.0]).view(Output)
    before = y
    y += 1
    before.fill(4) if before.tolist() != [2, 3] else None
    assert before.tolist() == [2, 3]
    before[0] = 9
    before.sort()
    assert before.numpy().tolist() == [3, 9]
    assert np.shares_memory(before.numpy(), before)


def test_calls_return_outputs_and_predict_plain_arrays():
    model, x = network(), images()
    assert type(model(x)) is type(model.layers[0](x)) is Output
    assert type(model(x).numpy()) is np.ndarray
    np.testing.assert_array_equal(model(x).numpy(), model.forward(x))
    assert float(model(x)[0, 0]) == model(x).numpy()[0, 0]
    for plain in (model.predict(x, verbose=0), model.predict_on_batch(x), model.forward(x)):
        assert type(plain) is np.ndarray
    assert isinstance(model(x), np.ndarray)


def test_losses_and_metrics_have_numpy():
    y, p = np.array([[1.0], [0.0]]), np.array([[0.75], [0.5]])
    loss, each = losses.MeanSquaredError(), losses.MeanSquaredError(reduction="none")
    metric = metrics.BinaryAccuracy()
    metric.update_state(y, p)
    numbers = [(loss(y, p), 0.15625), (metric.result(), 1.0), (metrics.Mean("m").result(), 0.0)]
    numbers.append((loss([1.0, 0.0], [0.75, 0.5], sample_weight=[1, 1]), 0.15625))
    for figure, expected in numbers:
        assert isinstance(figure, float)
        assert isinstance(figure.numpy(), np.float64)
        assert (figure.numpy(), repr(figure)) == (expected, repr(expected))
        assert type(figure + 1) is float
        assert type(copy.deepcopy(figure)) is type(pickle.loads(pickle.dumps(figure)))
    for array in (each(y, p), losses.mean_squared_error(y, p)):
        assert type(array) is Output
        np.testing.assert_array_equal(array.numpy(), [0.0625, 0.25])


def test_steps_per_execution_changes_nothing():
    def trained(steps):
        set_random_seed(1)
        model = Sequential([Input((6, 6, 1)), Flatten(), Dense(3, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", steps_per_execution=steps)
        calls = []
        hook = LambdaCallback(on_train_batch_end=lambda batch, logs: calls.append(batch))
        model.fit(images(), np.arange(5) % 3, batch_size=2, verbose=0, callbacks=[hook])
        return model.get_weights(), calls

    one, eight = trained(1), trained(8)
    assert one[1] == eight[1] == [0, 1, 2]
    for ours, theirs in zip(one[0], eight[0]):
        np.testing.assert_array_equal(ours, theirs)
    for wrong in (0, 1.5, None, "8"):
        with pytest.raises((TypeError, ValueError), match="steps_per_execution"):
            Sequential([Dense(1)]).compile(steps_per_execution=wrong)


def test_an_output_goes_wherever_an_array_goes_and_the_inside_sees_plain_arrays():
    seen = []

    class Looking(Layer):
        def forward(self, x, training=False):
            seen.append(type(x))
            x = self._input(x)
            seen.append(type(x))
            self._cache = True
            return x

        def backward(self, dy):
            seen.append(type(dy))
            return self._recall(dy)[0]

    base = Sequential([Input((6, 6, 1)), Conv2D(2, 3)])
    head = Sequential([Input((4, 4, 2)), Looking(), Flatten(), Dense(3, activation="softmax")])
    features = base(images())
    head.compile("sgd", "sparse_categorical_crossentropy")
    head.fit(features, np.arange(5) % 3, verbose=0)
    assert type(head.layers[0](features)) is Output
    assert set(seen[:-2]) == {np.ndarray}
    assert seen[-1] is np.ndarray
    np.testing.assert_allclose(head.predict(features, verbose=0), head(features), rtol=1e-5)


# -- the learning rate ----------------------------------------------------------------------------


def test_a_learning_rate_is_a_number_that_can_be_assigned():
    adam = optimizers.Adam(0.5)
    rate = adam.learning_rate
    assert isinstance(rate, float)
    assert (float(rate), rate * 2, f"{rate:.3f}", str(rate), repr(rate)) == (
        0.5,
        1.0,
        "0.500",
        "0.5",
        "0.5",
    )
    assert rate.numpy() == np.float32(0.5)
    assert type(rate.numpy()) is np.float32
    rate.assign(0.25)
    assert adam.learning_rate == 0.25
    backend.set_value(adam.learning_rate, 0.125)
    assert backend.get_value(adam.learning_rate) == 0.125
    assert type(backend.get_value(adam.learning_rate)) is float
    with pytest.raises(ValueError, match="Adam: expected learning_rate"):
        adam.learning_rate.assign(-1)
    assert type(copy.deepcopy(adam.learning_rate)) is float
    assert type(pickle.loads(pickle.dumps(adam.learning_rate))) is float
    assert adam.get_config()["learning_rate"] == 0.125
    assert type(adam.get_config()["learning_rate"]) is float


def test_a_scheduled_rate_is_read_and_not_assigned():
    sgd = optimizers.SGD(optimizers.schedules.ExponentialDecay(0.5, 1, 0.5))
    assert sgd.learning_rate.numpy() == 0.5
    sgd.update(np.ones(2), np.ones(2))
    assert sgd.learning_rate == 0.25
    with pytest.raises(TypeError, match="stay with its schedule"):
        sgd.learning_rate.assign(0.1)


def test_a_step_computes_with_a_plain_number():
    seen = []

    class Own(optimizers.Optimizer):
        def step(self, w, g):
            seen.append(type(self.learning_rate))
            w -= self.learning_rate * g

    w = np.ones(2, "float32")
    Own(0.5).update(w, w.copy())
    assert seen == [float]
    assert w.tolist() == [0.5, 0.5]


# -- shapes are no values -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda t: Dense(3)(t),
        lambda t: Sequential([Dense(3)])(t),
        lambda t: t + 1,
        lambda t: 2 * t,
        lambda t: t[0],
        np.asarray,
        np.exp,
        lambda t: t.numpy(),
        float,
        list,
    ],
)
@pytest.mark.parametrize("tensor", [lambda: KerasTensor((None, 4), "float32", "x"), Input((4,))])
def test_to_compute_with_a_shape_says_what_to_do_without_a_graph(tensor, use):
    tensor = tensor if isinstance(tensor, Layer) else tensor()
    with pytest.raises(TypeError, match=r"no functional API.*Sequential\(.*forward and backward"):
        use(tensor)


def test_how_keras_would_run_a_model_does_not_matter():
    losses = []
    for how in ({}, {"run_eagerly": True}, {"run_eagerly": False}, {"auto_scale_loss": False}):
        model = network()
        model.flat_params = np.linspace(-1, 1, model.flat_params.size)
        model.compile("sgd", "sparse_categorical_crossentropy", **how)
        history = model.fit(images(), np.arange(5) % 3, epochs=2, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    assert losses.count(losses[0]) == 4
    with pytest.raises(ValueError, match="run_eagerly can only be False or True"):
        model.compile("sgd", "mse", run_eagerly=1)
