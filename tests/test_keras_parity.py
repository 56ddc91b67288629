"""Layer by layer, loss by loss, step by step: what Keras computed (fixtures/) and what we do."""

import json
from pathlib import Path

import numpy as np
import pytest
from fixtures.recipes import (
    DEEPER_SHAPES,
    TUTORIAL_SHAPES,
    blob_images,
    digest,
    initial_weights,
)
from strategies import error, within

from minicnn import Sequential, layers, losses, optimizers
from minicnn.layers import Conv2D, Dense, Flatten, MaxPooling2D

pytestmark = pytest.mark.both_ways
FIXTURES = Path(__file__).parent / "fixtures"
OUR_NAMES = {"kernel": "W", "bias": "b"}


def load(name):
    with np.load(FIXTURES / f"keras_{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return arrays, json.loads(str(arrays.pop("index")))["cases"]


LAYERS, LAYER_CASES = load("layers")
LOSSES, LOSS_CASES = load("losses")
OPTIMIZERS, OPTIMIZER_CASES = load("optimizers")
STEPS, STEP_CASES = load("tutorial_steps")


def near(ours, keras, tolerance=2e-14, what="layers"):
    np.testing.assert_allclose(ours, keras, rtol=tolerance, atol=tolerance * np.abs(keras).max())
    within(2 * tolerance, f"Keras, {what}", error(ours, keras))


def made(case):
    kwargs = dict(LAYER_CASES[case]["kwargs"], dtype="float64")
    layer = getattr(layers, LAYER_CASES[case]["layer"])(**kwargs)
    layer.build(LAYERS[f"{case}/x"].shape)
    return layer


@pytest.mark.parametrize("case", [c for c in LAYER_CASES if not c.startswith("batchnorm")])
def test_layer(case):
    layer = made(case)
    layer.set_weights([LAYERS[f"{case}/{key}"] for key in LAYER_CASES[case].get("weights", [])])
    near(layer.forward(LAYERS[f"{case}/x"]), LAYERS[f"{case}/y"])
    near(layer.backward(LAYERS[f"{case}/dy"]), LAYERS[f"{case}/dx"])
    for key in LAYER_CASES[case].get("weights", []):
        near(layer.grads[OUR_NAMES[key]], LAYERS[f"{case}/d{key}"])


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("case", [c for c in LAYER_CASES if c.startswith("batchnorm")])
def test_batch_normalization(case, training):
    layer = made(case)
    keys = [*layer.params, *layer.state]
    layer.set_weights([LAYERS[f"{case}/{key}"] for key in keys])
    mode = f"{case}/{'training' if training else 'inference'}"
    near(layer.forward(LAYERS[f"{case}/x"], training), LAYERS[f"{mode}/y"], 1e-13, "normalization")
    dx = LAYERS[f"{mode}/dx"]
    np.testing.assert_allclose(layer.backward(LAYERS[f"{case}/dy"]), dx, rtol=1e-11, atol=1e-13)
    for key in layer.params:
        near(layer.grads[key], LAYERS[f"{mode}/d{key}"], 1e-13, "normalization")
    if training:
        for key in layer.state:
            near(layer.state[key], LAYERS[f"{mode}/{key}_after"], 1e-13, "normalization")


@pytest.mark.parametrize("case", LOSS_CASES)
def test_loss(case):
    about = LOSS_CASES[case]
    loss = getattr(losses, about["loss"])(**about["kwargs"])
    if about["source"] == "softmax":  # y_pred are the logits under Keras's softmax
        loss = loss.on_logits()
    y, y_pred = LOSSES[f"{case}/y_true"], LOSSES[f"{case}/y_pred"]
    double = about["dtype"] == "float64"
    atol = 1e-12 if double else 2e-6
    rtol = 1e-12 if double else 1e-5
    value = float(LOSSES[f"{case}/value"])
    assert loss(y, y_pred) == pytest.approx(value, rel=rtol, abs=atol)
    within(rtol, f"Keras, losses {about['dtype']}", error(loss(y, y_pred), value, 1.0))
    targets = loss.targets(y, y_pred.shape, "test")
    gradient = loss.backward(targets, y_pred) / len(y_pred)
    assert gradient.dtype == y_pred.dtype
    np.testing.assert_allclose(gradient, LOSSES[f"{case}/grad"], rtol=rtol, atol=atol)
    within(rtol, f"Keras, losses {about['dtype']}", error(gradient, LOSSES[f"{case}/grad"], 1.0))


OURS = [
    case
    for case, about in OPTIMIZER_CASES.items()
    if about["optimizer"].lower() in optimizers.KNOWN
    and not {"clipnorm", "clipvalue", "global_clipnorm", "weight_decay", "amsgrad", "centered"}
    & set(about["kwargs"]["float64"])
    and case != "rmsprop_momentum"
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", OURS)
def test_optimizer(case, dtype):
    about = OPTIMIZER_CASES[case]
    optimizer = optimizers.KNOWN[about["optimizer"].lower()](**about["kwargs"][dtype])
    w = np.concatenate([OPTIMIZERS[f"start/{k}"].ravel() for k in ("kernel", "bias")]).astype(dtype)
    for step in range(25):
        g = [OPTIMIZERS[f"grads/{k}"][step].ravel() for k in ("kernel", "bias")]
        optimizer.update(w, np.concatenate(g).astype(dtype))
        keras = [OPTIMIZERS[f"{case}/{dtype}/{k}"][step].ravel() for k in ("kernel", "bias")]
        tolerance = 1e-13 if dtype == "float64" else 2e-5
        near(w, np.concatenate(keras), tolerance, f"optimizers {dtype}")


def test_every_optimizer_is_compared():
    assert set(OURS) == {
        "sgd",
        "sgd_lr",
        "sgd_momentum",
        "sgd_nesterov",
        "adam",
        "adam_other",
        "rmsprop",
        "rmsprop_other",
    }


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


@pytest.mark.parametrize(
    ("case", "dtype"),
    [(case, dtype) for case in STEP_CASES for dtype in STEP_CASES[case]["dtypes"]],
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
