"""Layer by layer, loss by loss, step by step: what Keras computed (fixtures/) and what we do."""

import numpy as np
import pytest
from cases.layers import LAYERS
from cases.losses import LOSSES, WEIGHTINGS, inputs_for_keras
from cases.optimizers import OPTIMIZERS, OPTIONS
from fixtures.recipes import (
    DEEPER_SHAPES,
    TUTORIAL_SHAPES,
    blob_images,
    digest,
    initial_weights,
)
from fixtures.stored import FIXTURES, assert_asked, load
from strategies import error, within

from minicnn import Sequential, layers, optimizers
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D
from minicnn.layers.augmentation.geometry import AffineLayer

KERAS_LAYERS, ABOUT_LAYERS = load("layers")
KERAS_LOSSES, ABOUT_LOSSES = load("losses")
KERAS_OPTIMIZERS, ABOUT_OPTIMIZERS = load("optimizers")
STEPS, STEP_CASES = load("tutorial_steps")


def near(ours, keras, tolerance=2e-14, what="layers"):
    np.testing.assert_allclose(ours, keras, rtol=tolerance, atol=tolerance * np.abs(keras).max())
    within(2 * tolerance, f"Keras, {what}", error(ours, keras))


def test_a_change_of_one_family_rewrites_no_large_file():
    sizes = {path.name: path.stat().st_size for path in FIXTURES.rglob("*.npz")}
    assert "conv.npz" in sizes
    assert {name: size for name, size in sizes.items() if size > 300_000} == {}


LAYER_EXAMPLES = [
    pytest.param(kind, example, f"{kind.__name__} {name}", id=f"{kind.__name__} {name}")
    for kind, case in LAYERS.items()
    if not isinstance(case.keras, str)
    for name, example in case.keras.items()
]


@pytest.mark.parametrize(("kind", "example", "name"), LAYER_EXAMPLES)
def test_layer(kind, example, name):
    kwargs = dict(example.kwargs)
    assert_asked(
        ABOUT_LAYERS,
        name,
        layer=kind.__name__,
        kwargs=kwargs,
        shape=example.shape,
        values=example.values,
    )
    keras = {
        key.removeprefix(f"{name}/"): array
        for key, array in KERAS_LAYERS.items()
        if key.startswith(f"{name}/")
    }
    for mode in ("training", "inference"):
        layer = kind(**kwargs, dtype="float64")
        layer.build(example.shape)
        counted = len(layer.params) + len(layer.state)
        layer.set_weights([keras[f"weights/{i}"] for i in range(counted)])
        augments = "training/y" in keras and not layer.state
        if mode == "training" or not augments:  # else y = x: Keras was asked in training alone
            compare(layer, keras, mode, augments)


def compare(layer, keras, mode, augments):
    y = layer.forward(keras["x"], mode == "training")
    dx = layer.backward(keras["dy"])
    if layer.state:
        limits = (1e-13, "normalization")
        np.testing.assert_allclose(dx, keras[f"{mode}/dx"], rtol=1e-11, atol=1e-13)
    elif augments:
        limits = (1e-6, "augmentation, float32")
        if not isinstance(layer, AffineLayer):  # TensorFlow moves dy by the inverse matrix
            near(dx, keras["training/dx"], *limits)
    else:  # the two modes are one
        mode, limits = "inference", (2e-14, "layers")
        near(dx, keras["inference/dx"])
    near(y, keras[f"{mode}/y"], *limits)
    for i, gradient in enumerate(layer.grads.values()):
        near(gradient, keras[f"{mode}/gradients/{i}"], *limits)
    for i, array in enumerate(layer.state.values()):
        near(array, keras[f"{mode}/state/{i}"], *limits)


LOSS_EXAMPLES = [
    (kind, example, dtype)
    for kind, case in LOSSES.items()
    for example in case.examples
    for dtype in ("float64", "float32")
]


@pytest.mark.parametrize(("kind", "example", "dtype"), LOSS_EXAMPLES)
def test_loss(kind, example, dtype):
    kwargs = LOSSES[kind].examples[example]
    inputs = inputs_for_keras(f"{kind.__name__} {example}", kind(**kwargs))
    double = dtype == "float64"
    atol = LOSSES[kind].keras_error if double else 2e-6
    rtol = LOSSES[kind].keras_error if double else 1e-5
    for label, (source, *_) in inputs.items():
        name = f"{kind.__name__} {example}/{dtype}/{label}"
        assert_asked(ABOUT_LOSSES, name, kwargs=kwargs, source=source)
        loss = kind(**kwargs)
        if source in ("softmax", "sigmoid"):  # y_pred are the logits under Keras's activation
            loss = loss.on_logits()
        y, y_pred = KERAS_LOSSES[f"{name}/y_true"], KERAS_LOSSES[f"{name}/y_pred"]
        value = float(KERAS_LOSSES[f"{name}/value"])
        assert loss(y, y_pred) == pytest.approx(value, rel=rtol, abs=atol), name
        within(rtol, f"Keras, losses {dtype}", error(loss(y, y_pred), value, 1.0))
        targets = loss.targets(y, y_pred.shape, "test")
        gradient = gradient_of(loss, targets, y_pred, None)
        assert gradient.dtype == y_pred.dtype
        expected = KERAS_LOSSES[f"{name}/grad"]
        np.testing.assert_allclose(gradient, expected, rtol=rtol, atol=atol, err_msg=name)
        within(rtol, f"Keras, losses {dtype}", error(gradient, expected, 1.0))
        each = KERAS_LOSSES[f"{name}/per_sample"]
        np.testing.assert_allclose(loss.losses(targets, y_pred), each, rtol=rtol, atol=atol)


def gradient_of(loss, y, y_pred, weights):
    """That of the number that the loss of a batch is, as `fit` has it."""
    factors = loss.factors(y, y_pred.shape, weights)
    if factors is None:
        return loss.backward(y, y_pred) / len(y_pred)
    return loss.weighted_backward(y, y_pred, factors) / len(y_pred)


@pytest.mark.parametrize("way", WEIGHTINGS)
@pytest.mark.parametrize("kind", LOSSES)
def test_weights_and_reductions(kind, way):
    """Values and gradients of every loss with every reduction and every kind of weights."""
    reduction, weigh = WEIGHTINGS[way]
    for example, kwargs in LOSSES[kind].examples.items():
        given = kind(**kwargs, reduction=reduction)
        inputs = inputs_for_keras(f"{kind.__name__} {example}", given)
        label, (source, *_) = next(iter(inputs.items()))
        loss = given.on_logits() if source in ("softmax", "sigmoid") else given
        name = f"{kind.__name__} {example}/float64/{label}"
        number = ABOUT_LOSSES[name]["ways"].index(way)
        y, y_pred, each, values, gradients = (
            KERAS_LOSSES[f"{name}/{key}"]
            for key in ("y_true", "y_pred", "per_sample", "values", "grads")
        )
        weights = weigh(each.shape)
        ours = loss(y, y_pred, sample_weight=weights)
        limit = LOSSES[kind].keras_error
        assert ours == pytest.approx(float(values[number]), rel=limit, abs=limit), name
        if weights is not None:
            weights = loss.checked_weights(weights, y_pred.shape, "it")
        found = gradient_of(loss, loss.targets(y, y_pred.shape, "it"), y_pred, weights)
        np.testing.assert_allclose(found, gradients[number], rtol=1e-12, atol=1e-12, err_msg=name)


OPTIMIZER_EXAMPLES = [
    pytest.param(kind, kwargs, f"{kind.__name__} {name}", id=f"{kind.__name__} {name}")
    for kind, case in OPTIMIZERS.items()
    for name, kwargs in case.examples.items()
]


def limit(kind, dtype):
    """How near, and what that is called: TensorFlow rounds Nadam's 0.96 to float32."""
    if kind is optimizers.Nadam:
        return 1e-9 if dtype == "float64" else 2e-5, f"Nadam {dtype}"
    return 1e-13 if dtype == "float64" else 2e-5, f"optimizers {dtype}"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("kind", "kwargs", "name"), OPTIMIZER_EXAMPLES)
def test_optimizer(kind, kwargs, name, dtype):
    assert_asked(ABOUT_OPTIMIZERS, name, optimizer=kind.__name__, example=kwargs)
    optimizer = kind(**ABOUT_OPTIMIZERS[name]["kwargs"][dtype])
    parts, keras = ("kernel", "bias"), KERAS_OPTIMIZERS
    w = np.concatenate([keras[f"start/{k}"].ravel() for k in parts]).astype(dtype)
    for step in range(25):
        g = [keras[f"grads/{k}"][step].ravel() for k in parts]
        optimizer.update(w, np.concatenate(g).astype(dtype))
        theirs = [keras[f"{name}/{dtype}/{k}"][step].ravel() for k in parts]
        near(w, np.concatenate(theirs), *limit(kind, dtype))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.__name__)
def test_options_of_optimizers(kind, option, dtype):
    """Five steps, and what the end of a fit makes of them."""
    name, keras = f"{kind.__name__} with {option}", KERAS_OPTIMIZERS
    assert_asked(ABOUT_OPTIMIZERS, name, optimizer=kind.__name__, example=OPTIONS[option])
    optimizer = kind(**ABOUT_OPTIMIZERS[name]["kwargs"][dtype])
    keys = ("kernel", "bias")
    w = np.concatenate([keras[f"start/{k}"].ravel() for k in keys]).astype(dtype)
    parts = [slice(0, 12), slice(12, 16)]
    for step in range(6):
        if step < 5:
            g = np.concatenate([keras[f"grads/{k}"][step].ravel() for k in keys])
            optimizer.update(w, g.astype(dtype), parts)
        else:
            optimizer.finalize(w, parts)
        theirs = [keras[f"{name}/{dtype}/{k}"][step].ravel() for k in keys]
        near(w, np.concatenate(theirs), *limit(kind, dtype))


NETWORKS = {
    "tutorial": (
        TUTORIAL_SHAPES,
        lambda: [
            Conv2D(32, 3, activation="relu", input_shape=(28, 28, 1)),
            MaxPooling2D(2),
            Flatten(),
            Dense(32, activation="relu"),
            Dense(10, activation="softmax"),
        ],
    ),
    "deeper": (
        DEEPER_SHAPES,
        lambda: [
            Conv2D(8, 3, activation="relu", padding="same", input_shape=(28, 28, 1)),
            Conv2D(8, 3, activation="relu", padding="same"),
            MaxPooling2D(2),
            Conv2D(16, 3, activation="relu", padding="same"),
            Conv2D(16, 3, activation="relu", padding="same"),
            MaxPooling2D(2),
            Flatten(),
            Dense(32, activation="relu"),
            Dense(10, activation="softmax"),
        ],
    ),
}


MARKS = {("tutorial_scaled", "float32"): (), ("deeper_scaled", "float32"): pytest.mark.in_ci}


@pytest.mark.both_ways
@pytest.mark.parametrize(
    ("case", "dtype"),
    [
        pytest.param(case, dtype, marks=MARKS.get((case, dtype), pytest.mark.slow))
        for case in STEP_CASES
        for dtype in STEP_CASES[case]["dtypes"]
    ],
)
def test_steps_of_training(case, dtype):
    """From equal weights, without shuffling and dropout: the losses of 40 steps (10 deeper)."""
    about = STEP_CASES[case]
    shapes, make = NETWORKS[about["network"]]
    weights = initial_weights(shapes, about["weights_seed"])
    steps, size = about["steps"], about["batch_size"]
    x, y = blob_images(steps * size, about["images_seed"])
    assert digest(*weights) == about["recipe_digest"]["weights"]
    assert digest(x, y) == about["recipe_digest"]["images_and_labels"]
    if about["pixels"] == "divided by 255":
        x = x.astype(dtype) / np.asarray(255, dtype)

    model = Sequential(make())
    if dtype == "float64":
        first, *rest = make()
        model = Sequential([layers.Input(first.declared_shape, dtype="float64"), first, *rest])
    model.set_weights(weights)
    adam = optimizers.Adam(**about["kwargs"][dtype])
    model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
    figures = [
        model.train_on_batch(x[k : k + size], y[k : k + size]) for k in range(0, len(x), size)
    ]
    ours, accuracies = np.array(figures).T
    keras = STEPS[f"{case}/{dtype}/losses"]
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(ours, keras, rtol=tolerance)
    within(tolerance, f"Keras, training {dtype}", error(ours, keras))
    np.testing.assert_allclose(accuracies, STEPS[f"{case}/{dtype}/accuracies"], atol=1e-6)
    assert keras[-1] < 0.99 * keras[0]  # it learned: no comparison of standstills
    for i, w in enumerate(model.get_weights()):
        picked = w.ravel()[STEPS[f"{case}/picks/{i}"]]
        tolerance = 1e-11 if dtype == "float64" else 1e-3
        np.testing.assert_allclose(
            picked, STEPS[f"{case}/{dtype}/weights/{i}/picked"], atol=tolerance
        )
