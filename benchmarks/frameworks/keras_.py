"""Keras on TensorFlow: fed with arrays or tf.data, with and without XLA."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from benchmarks.frameworks.base import BATCHES, EPSILON, LEARNING_RATE, Framework
from benchmarks.networks import first_shape, layers_of, reconstructs, shapes_of, without_dropout


def build(model, dropout=True, **compile_with) -> keras.Sequential:
    steps = layers_of(model) if dropout else without_dropout(layers_of(model))
    known, plain = keras.layers, ("Flatten", "BatchNormalization", "ReLU", "GlobalAveragePooling2D")
    names = dict(zip(("flatten", "norm", "relu", "global"), plain))
    layers = [keras.Input(first_shape(model))]
    for place, step in enumerate(steps):
        kind, last = step[0], place == len(steps) - 1
        if kind in ("conv", "depthwise"):
            padding, more = step[-2:]
            given = {"padding": padding, "strides": more["strides"]}
            given["activation"] = more["activation"]
            if kind == "conv":
                layers.append(known.Conv2D(step[1], more["kernel"], **given))
            else:
                layers.append(known.DepthwiseConv2D(more["kernel"], **given))
        elif kind == "transposed":
            given = {"padding": step[2], "activation": step[3]["activation"]}
            kernel, strides = step[3]["kernel"], step[3]["strides"]
            layers.append(known.Conv2DTranspose(step[1], kernel, strides, **given))
        elif kind == "pool":
            layers.append(known.MaxPooling2D(2) if step[1] == "max" else known.AveragePooling2D(2))
        elif kind == "dropout":
            layers.append(known.Dropout(step[1]))
        elif kind == "dense":
            layers.append(known.Dense(step[1], activation="softmax" if last else step[2]))
        else:
            layers.append(getattr(known, names[kind])())
    network = keras.Sequential(layers)
    network.compile(
        loss="mse" if reconstructs(model) else "sparse_categorical_crossentropy",
        optimizer=keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON),
        metrics=None if reconstructs(model) else ["accuracy"],
        **compile_with,
    )
    return network


class Keras(Framework):
    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)

    def versions(self):
        return {"keras": keras.__version__, "tensorflow": tf.__version__}

    def load(self, model, weights):
        super().load(model, weights)
        keras.backend.clear_session()
        self._networks = {}

    def axes(self, work):
        if work == "predict":
            return {"batch": BATCHES, "xla": [False, True], "call": ["predict", "tf.function"]}
        # one trip into TensorFlow for several steps is a setting of compile
        return {"feed": ["arrays", "tf.data"], "xla": [False, True], "steps a call": [1, 8]}

    def _network(self, setting, dropout=True):
        """The network compiled as `setting` asks, kept for the next time, with fresh weights."""
        options = {
            "jit_compile": setting.get("xla", False),
            "steps_per_execution": setting.get("steps a call", 1),
        }
        key = (*options.values(), dropout)
        if key not in self._networks:
            self._networks[key] = build(self.model, dropout, **options)
        self._networks[key].set_weights(self.weights)
        return self._networks[key]

    def first_losses(self, x, y, batch, steps, setting):
        network = build(self.model, dropout=False, jit_compile=setting.get("xla", False))
        network.set_weights(self.weights)
        losses = []
        for start in range(0, steps * batch, batch):
            part = slice(start, start + batch)
            network.reset_metrics()  # train_on_batch answers with means since then
            losses.append(float(network.train_on_batch(x[part], y[part], return_dict=True)["loss"]))
        return losses

    def _fed(self, x, y, batch, setting):
        """Arguments of `fit` for the training data."""
        if setting.get("feed") != "tf.data":
            return {"x": x, "y": y, "batch_size": batch}
        images, labels = tf.constant(x), tf.constant(y)
        dataset = (
            tf.data.Dataset.range(len(x))
            .shuffle(len(x))
            .batch(batch)
            .map(
                lambda rows: (tf.gather(images, rows), tf.gather(labels, rows)),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            .prefetch(tf.data.AUTOTUNE)
        )
        return {"x": dataset}

    def training(self, x, y, batch, epochs, setting):
        network, fed = self._network(setting), self._fed(x, y, batch, setting)
        return lambda: network.fit(**fed, epochs=epochs, verbose=0)

    def epoch(self, train, validation, batch, setting):
        network, fed = self._network(setting), self._fed(*train, batch, setting)
        return lambda: network.fit(
            **fed, epochs=1, verbose=0, validation_data=validation, validation_batch_size=batch
        )

    def predicting(self, x, setting):
        network, batch = self._network(setting), setting["batch"]
        if setting["call"] == "predict":
            return lambda: network.predict(x, batch_size=batch, verbose=0)
        forward = tf.function(
            lambda part: network(part, training=False),
            jit_compile=setting.get("xla", False),
            reduce_retracing=False,
        )

        def call():
            outputs = np.empty((len(x), *shapes_of(self.model)[-1]), np.float32)
            for start in range(0, len(x), batch):
                part = tf.constant(x[start : start + batch])
                outputs[start : start + batch] = forward(part).numpy()
            return outputs

        return call
