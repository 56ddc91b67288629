"""Weights, history and predictions of a few models."""

import os
import sys

if "MINICNN_WITHOUT_MPI4PY" in os.environ:
    sys.modules["mpi4py"] = None

import numpy as np

import minicnn

if "without init" not in sys.argv:
    minicnn.distributed.init()

from common import digest, model, normalized, say, tutorial, x, y

from minicnn.layers import Conv2D, Dense, Flatten
from minicnn.optimizers import SGD, Adam
from minicnn.preprocessing.image import ImageDataGenerator
from minicnn.regularizers import L2
from minicnn.utils import PyDataset, set_random_seed

set_random_seed(7)


class Items(PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        own = slice(60 * index, 60 * index + 60)
        return x[own], y[own], np.linspace(0.5, 1.5, 60)


def mean_of_the_largest(y_true, y_pred):
    return np.max(y_pred) * np.ones(len(y_pred))  # depends on the whole batch


WAYS = {
    "tutorial": (tutorial(), dict(x=x, y=y, batch_size=96)),
    "normalized": (normalized(), dict(x=x, y=y, batch_size=96, validation_split=0.2)),
    "layer by layer": (tutorial(jit_compile=False), dict(x=x, y=y, batch_size=100)),
    "norms": (
        model(
            *(Conv2D(8, 3, activation="relu", kernel_regularizer=L2(0.01)), Flatten()),
            Dense(10, activation="softmax"),
            optimizer=SGD(0.1, global_clipnorm=0.1),
            metrics=["accuracy", mean_of_the_largest],
        ),
        dict(x=x, y=y, batch_size=50, class_weight={3: 2.0}),
    ),
    "accumulated": (
        tutorial(optimizer=Adam(gradient_accumulation_steps=2, use_ema=True, weight_decay=0.01)),
        dict(x=x, y=y, batch_size=50),
    ),
    "in float64": (
        model(Flatten(), Dense(16, "tanh", dtype="float64"), Dense(10, "softmax", dtype="float64")),
        dict(x=x, y=y, batch_size=96),
    ),
    "generator": (
        tutorial(),
        dict(x=ImageDataGenerator(horizontal_flip=True).flow(x, y, batch_size=60)),
    ),
    "data set": (normalized(), dict(x=Items(), validation_data=Items())),
}

found = {}
for name, (network, arguments) in WAYS.items():
    history = network.fit(**arguments, epochs=2, verbose=2)
    predicted = network.predict(x, verbose=0)
    judged = network.evaluate(x, y, verbose=0)
    found[name] = [digest(network.flat_params), history.history, digest(predicted), judged]
say(models=found)
