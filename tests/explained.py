"""What stands in a page of `minicnn.explain`, read as a browser reads it."""

import base64
import copy
import json
import re

import numpy as np
from cases import VALUES, rng_of
from cases.layers import LAYERS

from minicnn import Sequential
from minicnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    LayerNormalization,
    MaxPooling2D,
    Rescaling,
)
from minicnn.utils import set_random_seed


def in_networks(cls):
    """A small classifier around each example of a layer, and a batch for it."""
    for name, example in LAYERS[cls].examples.items():
        set_random_seed(6)
        layers = [Input(example.shape[1:]), cls(**example.kwargs), Flatten()]
        model = Sequential([*layers, Dense(2, activation="softmax")])
        x = VALUES[example.values](rng_of(f"{cls.__name__} {name}"), example.shape)
        yield model, x.astype(np.float32)


class Page:
    """The content of a page; `stage(k, "dy")` is an array of its step k."""

    def __init__(self, path):
        self.html = path.read_text(encoding="utf-8")
        (text,) = re.findall(r'id="content">(.*?)</script>', self.html, re.DOTALL)
        self.content = json.loads(text)
        self.model, self.stages = self.content["model"], self.content["stages"]

    def array(self, entry):
        raw = base64.b64decode(self.content["arrays"][entry["data"]])
        shape = list(entry["shape"])
        if "keep" in entry:
            shape[-1] = len(entry["keep"])
        if "keep_in" in entry:
            shape[-2] = len(entry["keep_in"])
        return np.frombuffer(raw, "<f4").reshape(shape)

    def stage(self, k, name):
        stage = self.stages[k]
        entry = stage[name] if name in stage else stage["others"].get(name)
        return None if entry is None else self.array(entry)

    def find(self, view):
        return next(k for k, stage in enumerate(self.stages) if stage["view"] == view)


def every_view():
    """A model with each view of the page, uneven windows and a model inside."""
    set_random_seed(11)
    base = Sequential(
        [
            Rescaling(2.0, -1.0, input_shape=(13, 11, 3)),
            Conv2D(8, (3, 2), (2, 1), padding="same", activation="relu", name="conv"),
            BatchNormalization(),
            MaxPooling2D((3, 2), strides=2, padding="same"),
        ],
        name="base",
    )
    return Sequential(
        [
            base,
            Conv2D(6, 2, groups=2, activation="tanh"),
            AveragePooling2D(2, strides=1, padding="same"),
            Conv2D(4, 2, dilation_rate=(2, 3), padding="same"),
            Activation("sigmoid"),
            LayerNormalization(),
            Dropout(0.3),
            Flatten(),
            Dense(7, activation="relu"),
            Dense(5, activation="softmax"),
        ]
    )


def by_global_average():
    set_random_seed(12)
    return Sequential(
        [
            Conv2D(5, 3, input_shape=(9, 8, 2)),
            GlobalAveragePooling2D(),
            Dense(3, activation="softmax"),
        ]
    )


def samples(model, n=4, seed=5):
    rng = np.random.default_rng(seed)
    x = rng.random((n, *model.input_shape[1:]), np.float32)
    return x, rng.integers(0, model.output_shape[-1], n)


def walked(model, x, y, training):
    """x, y, dy and dx of each leaf, for all images: each layer's forward, then its backward.

    The loss is the sum of the images' cross-entropies of a model that ends in Dense with softmax.
    """
    twin = copy.deepcopy(model)
    passed = []
    for leaf in twin.leaves:
        leaf.seek(model.steps_taken, 0)
        out = leaf.forward(x, training)
        passed.append({"layer": leaf, "x": x, "y": out})
        x = out
    last = twin.leaves[-1]
    dz = x - np.eye(x.shape[-1], dtype=x.dtype)[y]
    passed[-1]["dz"] = dz
    last.activation.backward = lambda dy: dz  # the gradient at the logits, which the loss gives
    dy = np.zeros_like(x)
    for one in reversed(passed):
        one["dy"], one["dx"] = dy, one["layer"].backward(dy)
        one["grads"] = {key: grad.copy() for key, grad in one["layer"].grads.items()}
        dy = one["dx"]
    return passed
