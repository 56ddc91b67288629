"""Messages name the argument and stay short, whatever is given in its place."""

import re

import numpy as np
import pytest

from minicnn import Sequential, config, initializers, losses, metrics, optimizers, plotting
from minicnn.datasets import fashion_mnist
from minicnn.datasets.idx import parse_idx, verify
from minicnn.gradcheck import check_layer, check_loss, check_model
from minicnn.initializers import GlorotUniform
from minicnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
    Rescaling,
    Tanh,
)
from minicnn.model_selection import train_test_split
from minicnn.optimizers import SGD, Adam
from minicnn.reports import accuracy_score, classification_report, confusion_matrix
from minicnn.utils import to_categorical
from refusals.helpers import SPARSE, NoAnswer, X, Y, trained


def test_a_misspelt_argument_is_named():
    with pytest.raises(TypeError, match="'activaton'"):
        Dense(2, activaton="relu")
    with pytest.raises(TypeError, match="'momemtum'"):
        SGD(momemtum=0.1)
    with pytest.raises(TypeError, match="'epoch'"):
        trained().fit(X, Y, epoch=3)


WHATEVER = [
    np.ones(2),
    np.ones((2, 2)),
    np.array([]),
    np.array(["relu"]),
    [np.ones(2)],
    {"a": np.ones(2)},
    10**5000,
    (10**5000,),
    NoAnswer(),
    [NoAnswer()],
    "x" * 10_000,
    object,
    print,
]


TAKES_NONE_OF_THEM = {
    "padding": lambda value: Conv2D(2, 2, padding=value),
    "activation": lambda value: Dense(2, value),
    "use_bias": lambda value: Dense(2, use_bias=value),
    "pool_size": lambda value: MaxPooling2D(value),
    "units": lambda value: Dense(value),
    "rate": lambda value: Dropout(value),
    "seed": lambda value: GlorotUniform(seed=value if type(value) is not int else -value),
    "dtype": lambda value: Dense(2, dtype=value),
    "trainable": lambda value: Dense(2, trainable=value),
    "groups": lambda value: Conv2D(2, 2, groups=value),
    "data_format": lambda value: Conv2D(2, 2, data_format=value),
    "dilation_rate": lambda value: Conv2D(2, 2, dilation_rate=value),
    "kernel_regularizer": lambda value: Dense(2, kernel_regularizer=value),
    "momentum": lambda value: SGD(momentum=value),
    "nesterov": lambda value: SGD(nesterov=value),
    "amsgrad": lambda value: Adam(amsgrad=value),
    "clipnorm": lambda value: Adam(clipnorm=value),
    # a function without arguments is a learning rate
    "learning_rate": lambda value: Adam(abs if callable(value) else value),
    "iterations": lambda value: setattr(Adam(), "iterations", value),
    "parts": lambda value: Adam().update(np.ones(2), np.ones(2), value),
    "optimizer": lambda value: optimizers.get(value),
    "from_logits": lambda value: losses.CategoricalCrossentropy(value),
    "reduction": lambda value: losses.MeanSquaredError(reduction=value),
    "loss": lambda value: losses.get(value),
    "loss of a metric": lambda value: metrics.get("accuracy", value, (None, 2)),
    "output_shape": lambda value: losses.MeanSquaredError().targets(np.ones(2), value, "it"),
    "output_shape of a metric": lambda value: metrics.get("acc", losses.MeanSquaredError(), value),
    "chosen": lambda value: metrics.distinct(value),
    "rng": lambda value: GlorotUniform()((2, 2), rng=value),
    "shape": lambda value: GlorotUniform()(value),
    "key": lambda value: Dense(2).add_param(value if type(value) is not str else "", (2,), "ones"),
    "training": lambda value: Dense(2)(np.ones((2, 2)), value),
    "value": lambda value: config.set_floatx(value),
}


@pytest.mark.parametrize("name", TAKES_NONE_OF_THEM)
def test_a_wrong_argument_is_named_whatever_its_value(name):
    """Arrays have no truth value, long integers no text, and some objects have neither."""
    for value in WHATEVER:
        with pytest.raises((TypeError, ValueError)) as caught:  # noqa: PT012
            TAKES_NONE_OF_THEM[name](value)
            pytest.fail(f"takes an object of {type(value)}")
        assert caught.type in (TypeError, ValueError)
        assert name.split()[0] in str(caught.value)
        assert len(str(caught.value)) < 800


@pytest.mark.parametrize("value", [NoAnswer(), [NoAnswer()], [10**5000], "text", {1: 2}])
def test_a_wrong_array_is_named_whatever_its_value(value):
    built = Dense(2)
    built.build((None, 3))
    for name, call in {
        "x": lambda: Dense(2)(value),
        "dy": lambda: (built.forward(np.ones((2, 3))), built.backward(value)),
        "y_true": lambda: losses.MeanSquaredError()(value, [[1.0]]),
        "y_pred": lambda: losses.MeanSquaredError()([[1.0]], value),
        "sample_weight": lambda: losses.MeanSquaredError()([[1.0]], [[1.0]], value),
        "y_true ": lambda: metrics.MeanSquaredError()(value, [[1.0]]),
        "initializer": lambda: built.add_param("V", (2,), value),
    }.items():
        with pytest.raises((TypeError, ValueError), match=f"expected {name.strip()} "):
            call()


class Unwritten(SGD):
    """An optimizer of the user's, whose text fails."""

    def __repr__(self):
        raise RuntimeError("no")


def shared_optimizer():
    optimizer = Unwritten()
    models = [trained(), trained()]
    for model in models:
        model.compile(optimizer, SPARSE)
        model.train_on_batch(X, Y)


def with_a_param_besides(key):
    model = trained()
    model.layers[0].params[key] = np.ones(2)
    model.predict(X, verbose=0)


LONG = "x" * 10_000
MANY = list(range(900))


# what the message names -> a call whose message quotes a long text, a long list or many digits
QUOTES = {
    "y_true": lambda: confusion_matrix([0, 1], [0, 1], range(100, 5000)),
    "target_names": lambda: classification_report(MANY, MANY, target_names=["a"]),
    "target_names ": lambda: classification_report(
        MANY, MANY, target_names=["a"] * 900, output_dict=True
    ),
    "target_names  ": lambda: classification_report([0, 1], [0, 1], target_names=[10**5000, "a"]),
    "labels": lambda: confusion_matrix([0, 1], [0, 1], [1] * 900),
    "labels ": lambda: confusion_matrix([0, 1], [0, 1], range(10**5000)),
    "stratify": lambda: train_test_split(MANY, stratify=MANY),
    "array": lambda: train_test_split(*[range(n) for n in range(2, 900)]),
    "class_weight": lambda: trained().fit(X, Y, class_weight={10**5000: 1.0}),
    "class_weight ": lambda: trained().fit(X, Y, class_weight={0: 1.0, 10**5000: "a"}),
    "history": lambda: plotting.training_curves({"loss": [1.0], LONG: [[1.0]]}),
    "history ": lambda: plotting.training_curves({"loss": [1.0], LONG: [1.0, 2.0]}),
    "y_true ": lambda: plotting.prediction_grid(np.ones((1, 2, 2)), [LONG], [LONG], ["a"]),
    "titles": lambda: plotting.image_grid(np.ones((1, 2, 2)), [10**5000]),
    "sha256": lambda: verify(b"data", LONG, "file"),
    "keyword argument": lambda: Dense(2, **{LONG: 1}),
    "params": lambda: with_a_param_besides(LONG),
    "params ": lambda: with_a_param_besides(3),
    "axis": lambda: setattr(trained().layers[1], "axis", LONG),
    "Unwritten": shared_optimizer,
    "input_shape": lambda: Sequential([Dense(2)]).build((None, -(10**5000))),
    "input_shape_or_x": lambda: check_layer(Dense(2), (None, None, 10**5000)),
    "row": lambda: check_layer(Dense(2), (4, 3))[[LONG]],
}


@pytest.mark.parametrize("name", QUOTES)
def test_what_a_message_quotes_is_short(name):
    with pytest.raises((TypeError, ValueError)) as caught:
        QUOTES[name]()
    assert name.split()[0] in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_an_object_whose_text_fails_can_be_named():
    def fail(*args):
        raise RuntimeError("no")

    own = type("Own", (), {"__call__": fail, "__repr__": fail})()
    metric = metrics.get(own, losses.MeanSquaredError(), (None, 2))
    assert "metric" in repr(metric)
    model = Sequential([Dense(3, input_shape=(2,)), Dense(1)])
    model.compile(Unwritten(3e38), "mse")
    with pytest.raises(FloatingPointError, match="the step of Unwritten"):
        model.fit(np.ones((8, 2)), np.full((8, 1), 9.0), verbose=0)


NEEDS = {
    metrics.IoU: (2, [1]),
    metrics.MeanIoU: (2,),
    metrics.OneHotIoU: (2, [1]),
    metrics.OneHotMeanIoU: (2,),
}
PUBLIC = [
    (Conv2D, (2, 3)),
    (Dense, (2,)),
    (Dropout, (0.5,)),
    (Activation, ("relu",)),
    (Rescaling, (1.0,)),
    *[(kind, ()) for kind in (MaxPooling2D, AveragePooling2D, BatchNormalization, Flatten, Tanh)],
    *[(kind, ()) for kind in dict.fromkeys([*optimizers.KNOWN.values(), *losses.KNOWN.values()])],
    *[
        (kind, NEEDS.get(kind, (1,) if "At" in kind.__name__ else ()))
        for kind in dict.fromkeys([*metrics.KNOWN.values(), *initializers.KNOWN.values()])
    ],
]


@pytest.mark.parametrize(("kind", "args"), PUBLIC, ids=[kind.__name__ for kind, _ in PUBLIC])
def test_messages_and_reprs_name_public_classes(kind, args):
    private = re.compile(r"(?<![\w'])_[A-Za-z]")
    with pytest.raises(
        TypeError, match=f"{kind.__name__}.*unexpected keyword.*'nonsense'"
    ) as caught:
        kind(*args, nonsense=1)
    assert not private.search(str(caught.value))
    with pytest.raises(TypeError) as caught:
        kind(*args, *range(30))
    assert not private.search(str(caught.value).replace("__init__", ""))
    assert not private.search(repr(kind(*args)))


class Refuses:
    """Fails where NumPy or Python asks it for its numbers, its items or its length."""

    def _refuse(self, *args, **kwargs):
        raise RuntimeError("this object refuses")

    __array__ = __len__ = __iter__ = __getitem__ = __bool__ = __eq__ = __fspath__ = _refuse
    __hash__ = None


# argument -> a call with any value in its place; arguments of layers: TAKES_NONE_OF_THEM
ANYWHERE = {
    "layers": lambda value: Sequential(value),
    "layer": lambda value: trained().add(value),
    "input_shape": lambda value: Sequential([Dense(2)]).build(value),
    "metrics": lambda value: trained().compile(metrics=value),
    "loss": lambda value: trained().compile(loss=value),
    "loss_weights": lambda value: trained().compile(loss="mse", loss_weights=value),
    "jit_compile": lambda value: trained().compile(loss="mse", jit_compile=value),
    "verbose": lambda value: trained().fit(X, Y, verbose=value),
    "x": lambda value: to_categorical(value),
    "print_fn": lambda value: trained().summary(print_fn=value),
    "arrays": lambda value: train_test_split(value, X),
    "test_size": lambda value: train_test_split(X, test_size=value),
    "shuffle": lambda value: train_test_split(X, shuffle=value),
    "stratify": lambda value: train_test_split(X, stratify=value),
    "y_true": lambda value: accuracy_score(value, [0, 1]),
    "y_pred": lambda value: confusion_matrix([0, 1], value),
    "labels": lambda value: confusion_matrix([0, 1], [0, 1], value),
    "target_names": lambda value: classification_report([0, 1], [0, 1], target_names=value),
    "zero_division": lambda value: classification_report([0, 1], [0, 1], zero_division=value),
    "titles": lambda value: plotting.image_grid(np.ones((1, 2, 2)), value),
    "colors": lambda value: plotting.image_grid(np.ones((1, 2, 2)), colors=value),
    "suptitle": lambda value: plotting.image_grid(np.ones((1, 2, 2)), suptitle=value),
    "class_names": lambda value: plotting.confusion_heatmap([0, 1], [0, 1], value),
    "data": lambda value: parse_idx(value, (None,)),
    "shape": lambda value: parse_idx(b"data", value),
    "source": lambda value: parse_idx(b"data", (None,), source=value),
    "sha256": lambda value: verify(b"data", value, "file"),
    "path": lambda value: fashion_mnist.load_data(value),
    "layer ": lambda value: check_layer(value, (4, 3)),
    "linear": lambda value: check_layer(Dense(2), (4, 3), linear=value),
    "wrt": lambda value: check_layer(Dense(2), (4, 3), wrt=value),
    "loss ": lambda value: check_loss(value, [[0.0, 1.0]], [[0.3, 0.4]]),
    "model": lambda value: check_model(value, X, Y),
}


@pytest.mark.parametrize("name", ANYWHERE)
@pytest.mark.parametrize(
    "value", [10**5000, [0.5] * 5000, Refuses()], ids=["an integer", "a list", "an object"]
)
def test_messages_are_short_and_name_the_argument_whatever_it_is(name, value, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "MIRRORS", ())
    with pytest.raises((TypeError, ValueError)) as caught:
        ANYWHERE[name](value)
    assert re.search(rf"\b{name.strip().removesuffix('s')}", str(caught.value))
    assert len(str(caught.value)) < 1000
