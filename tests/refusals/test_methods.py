"""A method that nothing would call is refused where a user's class is defined; helpers are free."""

import functools

import numpy as np
import pytest

from minicnn import Sequential
from minicnn.callbacks import Callback
from minicnn.initializers import GlorotUniform, Initializer
from minicnn.layers import Dense, Dropout, Layer, MaxPooling2D, ReLU
from minicnn.losses import Loss, MeanSquaredError
from minicnn.metrics import MeanAbsoluteError, Metric
from minicnn.optimizers import SGD, Adam, Optimizer


def nothing(self, *args, **kwargs):
    return None


def define(base, *names, **methods):
    return type("Own", (base,), {**dict.fromkeys(names, nothing), **methods})


FORWARD = r"forward\(self, x, training=False\) and backward\(self, dy\)"
OF_A_LOSS = r"forward\(self, y_true, y_pred\) and backward\(self, y_true, y_pred\)"
VALUES = r"values\(self, y_true, y_pred\)"
STEP = r"step\(self, w, g, \*slots\)"
DRAW = r"draw\(self, shape, rng\)"

IN_VAIN = [
    *[(base, "call", FORWARD) for base in (Layer, Dense, ReLU, Dropout)],
    (Dense, "__call__", FORWARD),
    (Dense, "compute_output_shape", r"output_shape\(self, input_shape\)"),
    (Dense, "foward", r"forward\(self, x, training=False\)"),
    (Layer, "forwrad", r"forward\(self, x, training=False\)"),
    (Dense, "Forward", r"forward\(self, x, training=False\)"),
    (Dense, "backwards", r"backward\(self, dy\)"),
    (MaxPooling2D, "output_shapes", r"output_shape\(self, input_shape\)"),
    (Dense, "bulid", r"build\(self, input_shape\)"),
    *[(base, "call", OF_A_LOSS) for base in (Loss, MeanSquaredError)],
    (MeanSquaredError, "__call__", OF_A_LOSS),
    (MeanSquaredError, "bakward", r"backward\(self, y_true, y_pred\)"),
    (MeanSquaredError, "target", r"targets\(self, y_true, output_shape, who\)"),
    *[
        (base, name, VALUES)
        for base in (Metric, MeanAbsoluteError)
        for name in ("call", "__call__", "value")
    ],
    *[
        (base, name, STEP)
        for base in (Optimizer, Adam)
        for name in ("update_step", "apply", "apply_gradients", "update", "setp")
    ],
    (Initializer, "call", DRAW),
    (GlorotUniform, "darw", DRAW),
    (Callback, "on_epoch_ends", r"on_epoch_end\(self, epoch, logs=None\)"),
    (Callback, "onEpochEnd", r"on_epoch_end\(self, epoch, logs=None\)"),
    (Callback, "epoch_end", r"on_epoch_end\(self, epoch, logs=None\)"),
    (Callback, "on_train_epoch_end", r"on_epoch_end\(self, epoch, logs=None\)"),
    (Callback, "on_epoch_start", r"on_epoch_begin\(self, epoch, logs=None\)"),
    (Callback, "on_train_batch_ended", r"on_train_batch_end\(self, batch, logs=None\)"),
    (Callback, "on_train_batch_start", r"on_train_batch_begin\(self, batch, logs=None\)"),
    (Callback, "on_validation_end", r"on_test_end\(self, logs=None\)"),
    (Callback, "on_fit_begin", r"on_train_begin\(self, logs=None\)"),
]


@pytest.mark.parametrize(
    ("base", "name", "instead"), IN_VAIN, ids=[f"{b.__name__}.{n}" for b, n, _ in IN_VAIN]
)
def test_a_method_that_nothing_would_call_names_what_to_write(base, name, instead):
    if name in ("call", "__call__") and "backward" in instead:
        instead += ", since there is no automatic differentiation"
    with pytest.raises(TypeError, match=f"^Own: expected {instead}, received {name}, which noth"):
        define(base, name)


@pytest.mark.skipif(not hasattr(Callback, "on_batch_end"), reason="Callback has no on_batch_end")
def test_a_misspelt_hook_under_keras_s_short_name():
    with pytest.raises(TypeError, match=r"expected on_batch_end\(self, batch, logs=None\)"):
        define(Callback, "on_batch_ended")


@pytest.mark.parametrize(
    "method",
    [nothing, staticmethod(nothing), classmethod(nothing), functools.partial(nothing, 1), np.exp],
    ids=["function", "static", "class", "partial", "ufunc"],
)
def test_whatever_kind_of_method_it_is(method):
    with pytest.raises(TypeError, match="received call"):
        define(Dense, call=method)


def test_a_class_that_is_mixed_in_is_looked_at_too():
    class Mixed:
        def call(self, x):
            return x

    with pytest.raises(TypeError, match="Own: expected forward.*received call"):

        class Own(Mixed, Dense):
            pass


FREE = [
    # an override of what is called
    *[(Dense, name) for name in ("build", "output_shape", "forward", "backward", "seek", "forget")],
    (MeanSquaredError, "forward"),
    (MeanSquaredError, "targets"),
    (MeanAbsoluteError, "values"),
    (Adam, "step"),
    (Adam, "begin"),
    (GlorotUniform, "draw"),
    (GlorotUniform, "variance"),
    (Initializer, "__call__"),
    *[(Callback, name) for name in vars(Callback) if name.startswith(("on_", "set_"))],
    # helpers
    *[(Dense, name) for name in ("get_config", "rebuild", "forward_a", "get_output_shape", "loss")],
    *[(Dense, name) for name in ("_call", "_forward", "_buld", "add_params", "__len__")],
    (MeanSquaredError, "gradient"),
    (Metric, "get_config"),
    (Adam, "get_config"),
    (Adam, "warm_up"),
    *[(Callback, name) for name in ("on_plateau", "plot_epoch", "on_click", "on_stop", "save")],
    *[(Callback, name) for name in ("get_params", "set_mode", "on_epoch_end_of_fold", "_end")],
]


@pytest.mark.parametrize(("base", "name"), FREE, ids=[f"{b.__name__}.{n}" for b, n in FREE])
def test_overrides_and_helpers_are_free(base, name):
    assert name in vars(define(base, name))


def test_attributes_are_free():
    own = define(Dense, call=None, backwards=3, bulid="text", compute_output_shape=ReLU)
    assert own.backwards == 3
    layer = own(2)
    layer.call = layer.foward = nothing
    assert layer.call is nothing


def test_call_is_a_helper_where_forward_is_the_users():
    class Doubled(Dense):
        def call(self, x):
            return 2 * x

        def forward(self, x, training=False):
            return self.call(super().forward(x, training))

    class Tripled(Doubled):
        def call(self, x):
            return 3 * x

    x = np.ones((2, 3))
    layer = Tripled(4)
    np.testing.assert_array_equal(layer(x), 3 * Dense.forward(layer, x))


def test_a_helper_that_a_method_calls_is_free_whatever_its_name():
    class Watch(Callback):
        def __init__(self):
            self.seen = []

        def epoch_end(self, epoch):
            self.seen.append(epoch)

        def on_validation_end(self):
            return [self.epoch_end(epoch) for epoch in (1, 2)]

        def on_train_end(self, logs=None):
            self.on_validation_end()

    watch = Watch()
    model = Sequential([Dense(1, input_shape=(2,))])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.ones(4), verbose=0, callbacks=[watch])
    assert watch.seen == [1, 2]

    class Own(Metric):
        value = property(lambda self: self.result())

        def result(self):
            return 1

    assert Own().value == 1


def test_what_calls_only_itself_is_called_by_nothing():
    with pytest.raises(TypeError, match="received call"):

        class Own(Dense):
            def call(self, x):
                return super().call(2 * x)


def test_a_class_of_the_package_is_not_looked_at():
    """Its methods have their tests; `Softmax.call`, say, could have a meaning there."""
    assert type("Own", (Dense,), {"call": nothing, "__module__": "minicnn.layers.own"})


def test_an_optimizer_of_a_user_takes_its_steps():
    class Sign(SGD):
        def step(self, w, g, *slots):
            w -= self.learning_rate * np.sign(g)

        def update_step(self):
            """A helper, as step is this class's own."""

    w = np.ones(2)
    Sign(0.5).update(w, np.array([3.0, -4.0]))
    np.testing.assert_array_equal(w, [0.5, 1.5])
