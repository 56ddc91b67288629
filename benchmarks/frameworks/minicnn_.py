"""minicnn, through its public calls alone."""

from __future__ import annotations

import numpy as np

import minicnn
from benchmarks.frameworks.base import LEARNING_RATE, Framework
from benchmarks.networks import first_shape, layers_of, reconstructs, without_dropout
from minicnn.layers import (
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    ReLU,
)
from minicnn.models import Sequential
from minicnn.optimizers import Adam

PLAIN = {
    "flatten": Flatten,
    "norm": BatchNormalization,
    "relu": ReLU,
    "global": GlobalAveragePooling2D,
}


def build(model, dropout=True, softmax=True) -> Sequential:
    """The `model` described by a dict, built and compiled."""
    steps = layers_of(model) if dropout else without_dropout(layers_of(model))
    layers = [Input(first_shape(model))]
    for place, step in enumerate(steps):
        kind, last = step[0], place == len(steps) - 1
        if kind in ("conv", "depthwise"):
            padding, more = step[-2:]
            given = {"padding": padding, "strides": more["strides"]}
            given["activation"] = more["activation"]
            if kind == "conv":
                layers.append(Conv2D(step[1], more["kernel"], **given))
            else:
                layers.append(DepthwiseConv2D(more["kernel"], **given))
        elif kind == "transposed":
            given = {"padding": step[2], "activation": step[3]["activation"]}
            kernel, strides = step[3]["kernel"], step[3]["strides"]
            layers.append(Conv2DTranspose(step[1], kernel, strides, **given))
        elif kind == "pool":
            layers.append(MaxPooling2D(2) if step[1] == "max" else AveragePooling2D(2))
        elif kind == "dropout":
            layers.append(Dropout(step[1]))
        elif kind == "dense":
            activation = ("softmax" if softmax else None) if last else step[2]
            layers.append(Dense(step[1], activation=activation))
        else:
            layers.append(PLAIN[kind]())
    network = Sequential(layers)
    network.compile(
        loss="mse" if reconstructs(model) else "sparse_categorical_crossentropy",
        optimizer=Adam(learning_rate=LEARNING_RATE),
        metrics=None if reconstructs(model) else ["accuracy"],
    )
    return network


class MiniCNN(Framework):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.set_threads(threads)

    def set_threads(self, threads: int) -> None:
        minicnn.set_num_threads(threads)

    def versions(self):
        import numba

        return {"minicnn": minicnn.__version__, "numpy": np.__version__, "numba": numba.__version__}

    def load(self, model, weights):
        super().load(model, weights)
        minicnn.utils.set_random_seed(0)
        self.network = build(model)
        if weights is None:  # minicnn's are the ones that all others get
            self.weights = self.network.get_weights()
        self._reset()

    def _reset(self):
        self.network.set_weights(self.weights)

    def first_losses(self, x, y, batch, steps, setting):
        network = build(self.model, dropout=False)
        network.set_weights(self.weights)
        parts = [slice(start, start + batch) for start in range(0, steps * batch, batch)]
        return [network.train_on_batch(x[p], y[p], return_dict=True)["loss"] for p in parts]

    def training(self, x, y, batch, epochs, setting):
        self._reset()
        return lambda: self.network.fit(x, y, batch_size=batch, epochs=epochs, verbose=0)

    def epoch(self, train, validation, batch, setting):
        self._reset()
        return lambda: self.network.fit(
            *train, batch_size=batch, epochs=1, verbose=0, validation_data=validation
        )

    def predicting(self, x, setting):
        self._reset()
        return lambda: self.network.predict(x, batch_size=setting["batch"], verbose=0)
