"""Layers, losses and other classes of a user that break what their base class promises."""

import numpy as np
import pytest

from minicnn import Sequential, losses
from minicnn.gradcheck import check_layer
from minicnn.layers import Dense, Layer
from minicnn.optimizers import SGD
from refusals.helpers import LABELS, ROWS, SPARSE, Own, life_after, refused, trained


def with_weight(*args, **kwargs):
    class Weighted(Layer):
        def build(self, input_shape):
            self.add_weight(*args, **kwargs)

    return Weighted(name="mine")


@pytest.mark.parametrize(
    ("layer", "call"),
    [
        (with_weight((3, 2), "zeros", name="w"), "add_param('w', (3, 2), 'zeros')"),
        (with_weight(shape=(3, 2), initializer="ones"), "add_param('w', (3, 2), 'ones')"),
        (with_weight("kernel", (3, 2)), "add_param('kernel', (3, 2), 'glorot_uniform')"),
        (
            with_weight(name="mean", shape=(2,), initializer="zeros", trainable=False),
            "add_state('mean', (2,), 'zeros')",
        ),
    ],
)
def test_add_weight_is_translated(layer, call):
    words = f"Weighted 'mine': expected {call[:9]}, received add_weight", f"Write self.{call}"
    with refused(TypeError, *words):
        layer.build((None, 3))
    assert not layer.params
    eval(f"layer.{call}")  # what is offered works
    (array,) = (*layer.params.values(), *layer.state.values())
    assert array.shape in ((3, 2), (2,))


def test_an_optimizer_that_forgets_super_init():
    class Own(SGD):
        def __init__(self):
            self.slots = ()

    model = trained()
    with refused(
        TypeError, "compile: expected the __init__ of Own to call Optimizer's", model=model
    ):
        model.compile(Own(), SPARSE)


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("last", [True, False], ids=["last", "inside"])
@pytest.mark.parametrize("call", ["fit", "train_on_batch", "evaluate", "predict", "__call__"])
@pytest.mark.parametrize(
    ("own", "error", "words"),
    [
        (
            lambda: Own(units=7, name="own"),
            ValueError,
            "y of shape (8, 7), as output_shape says, but forward returns shape (8, 4)",
        ),
        (
            lambda: Own(lambda y: y.mean(axis=1, keepdims=True), name="own"),
            ValueError,
            "y of shape (8, 4), as output_shape says, but forward returns shape (8, 1)",
        ),
        (
            lambda: Own(lambda y: None, name="own"),
            TypeError,
            "forward to return an array, received NoneType. End it with: return y",
        ),
    ],
    ids=["other size", "would be broadcast", "nothing"],
)
def test_a_forward_that_does_not_do_what_the_layer_says(own, error, words, call, last):
    """The layer at fault is named, not the one that stumbles over it, and nothing is broadcast."""
    layers = [Dense(4, input_shape=(4,)), own(), *([] if last else [Dense(3)])]
    model = Sequential(layers)
    model.compile("adam", "mse")
    y = np.zeros((8, *model.output_shape[1:]))
    before = life_after(model)
    with pytest.raises(error) as caught:
        getattr(model, call)(*((ROWS[:8],) if call in ("predict", "__call__") else (ROWS[:8], y)))
    assert f"Own 'own': expected {words}" in str(caught.value)
    assert life_after(model) == before


def test_a_backward_that_returns_nothing():
    """To the engine None means that no gradient is needed: the layers below would not learn."""
    model = Sequential([Dense(4, input_shape=(4,)), Own(dx=lambda dx: None, name="own"), Dense(3)])
    model.compile("adam", "mse")
    before = life_after(model)
    with pytest.raises(TypeError, match="Own 'own': expected backward to return dx.*NoneType"):
        model.fit(ROWS, np.eye(3)[LABELS], verbose=0)
    assert life_after(model) == before


class Halves(Own):
    """Calls the forward that it derives from, and returns another shape: which is its right."""

    def output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 2)

    def forward(self, x, training=False):
        return super().forward(x, training)[..., ::2]


def test_a_subclass_of_a_users_layer_is_judged_by_its_own_shape():
    assert Sequential([Halves(input_shape=(4,))]).predict(ROWS, verbose=0).shape == (64, 2)


class Forgetful(Layer):
    """Leaves out super().__init__()."""

    def __init__(self, factor=2):
        self.factor = factor

    def forward(self, x, training=False):
        return self.factor * x


@pytest.mark.parametrize(
    "call",
    [
        lambda layer: layer(ROWS),
        lambda layer: layer.forward(ROWS),
        lambda layer: Sequential([Dense(3, input_shape=(4,)), layer]),
        lambda layer: Sequential([layer]),
        lambda layer: check_layer(layer, (2, 3)),
    ],
    ids=["alone", "forward", "in a model", "first", "check_layer"],
)
def test_a_layer_that_forgets_super_init(call):
    with refused(TypeError, "Forgetful: expected its __init__ to call Layer's", "super().__init__"):
        call(Forgetful())


class OwnLoss(losses.Loss):
    """The squared error, unless told to do one thing wrong."""

    def __init__(self, loss=lambda loss: loss, gradient=lambda gradient: gradient):
        self.loss, self.gradient = loss, gradient

    def forward(self, y_true, y_pred):
        return self.loss(np.square(y_pred - y_true).sum(axis=1))

    def backward(self, y_true, y_pred):
        return self.gradient(2 * (y_pred - y_true))


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (
            OwnLoss(np.sum),
            "forward to return the loss of each sample, shape (8,), received shape ()",
        ),
        (OwnLoss(lambda loss: loss[:, None]), "shape (8,), received shape (8, 1)"),
        (OwnLoss(lambda loss: None), "shape (8,), received None"),
        (OwnLoss(gradient=lambda g: None), "of y_pred's shape (8, 3), received None"),
        (OwnLoss(gradient=lambda g: g[:, :1]), "of y_pred's shape (8, 3), received shape (8, 1)"),
        (OwnLoss(gradient=np.mean), "backward to return the gradient, of y_pred's shape (8, 3)"),
    ],
)
def test_a_users_loss_that_returns_another_shape(loss, words):
    """One number for the whole batch would pass for that of each sample."""
    model = Sequential([Dense(3, input_shape=(4,))])
    model.compile("adam", loss)
    before = life_after(model)
    with pytest.raises(ValueError, match="OwnLoss: expected") as caught:
        model.fit(ROWS[:8], np.eye(3)[LABELS[:8]], verbose=0)
    assert words in str(caught.value)
    assert life_after(model) == before


def test_a_users_loss_that_returns_what_it_has_to():
    model = Sequential([Dense(3, input_shape=(4,))])
    model.compile("sgd", OwnLoss())
    history = model.fit(ROWS, np.eye(3)[LABELS], epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]


@pytest.mark.parametrize("name", ["call", "forward", "train_step", "test_step", "compute_loss"])
def test_a_model_with_a_method_that_fit_would_not_call_is_refused(name):
    with pytest.raises(TypeError, match=f"Mine: expected no method {name}, since fit"):
        type("Mine", (Sequential,), {name: lambda self, *args: None})
    type("Mine", (Sequential,), {"plot": lambda self: None, "encode": lambda self, x: x})


def test_a_layer_that_keeps_values_of_an_input_it_did_not_announce_is_named():
    class Own(Layer):
        def forward(self, x, training=False):
            self._cache = (x,)  # without self._input(x)
            return x

        def backward(self, dy):
            return self._recall(dy)[0]

    layer = Own(name="own")
    layer.forward(np.ones((2, 3)))
    with pytest.raises(ValueError, match="Own 'own': expected dy of shape"):
        layer.backward(np.ones((2, 3)))


class Silent(Layer):
    """Whose backward returns nothing."""

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = ()
        return 2 * x

    def backward(self, dy):
        self._recall(dy)


def test_a_users_backward_that_returns_nothing_is_refused_and_judged_by_the_checker():
    layer = Silent()
    layer.forward(np.ones((2, 3)))
    with pytest.raises(TypeError, match="End it with: return dx"):
        layer.backward(np.ones((2, 3)))
    assert "there is no gradient: backward has to return dx" in str(check_layer(Silent(), (2, 3)))
