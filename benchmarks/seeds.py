"""How far the tutorial's test accuracy moves with the seed, in minicnn and in Keras.

    python -m benchmarks.seeds minicnn 100 124      # seeds 100 to 123
    python -m benchmarks.seeds keras 100 108        # needs TensorFlow

Two epochs, batch 128, pixels divided by 255, the split of the tutorial; a line a seed, then mean,
standard deviation, lowest and highest.
"""

from __future__ import annotations

import importlib
import sys
from statistics import mean, stdev

import numpy as np

from minicnn.datasets import fashion_mnist
from minicnn.model_selection import train_test_split


def accuracy(package: str, seed: int, data: tuple) -> float:
    """Test accuracy of one run; both packages take the same calls."""
    models, layers, optimizers, utils = (
        importlib.import_module(f"{package}.{part}")
        for part in ("models", "layers", "optimizers", "utils")
    )
    X, y, X_test, y_test = data
    utils.set_random_seed(seed)
    model = models.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        loss="sparse_categorical_crossentropy",
        optimizer=optimizers.Adam(learning_rate=0.001),
        metrics=["accuracy"],
    )
    model.fit(X, y, batch_size=128, epochs=2, verbose=0)
    return model.evaluate(X_test, y_test, batch_size=500, verbose=0)[1]


def main(package: str, first: int, stop: int) -> None:
    (X, y), (X_test, y_test) = fashion_mnist.load_data()
    X, _, y, _ = train_test_split(X, y, test_size=0.2, random_state=42)
    data = (X[..., None] / np.float32(255), y, X_test[..., None] / np.float32(255), y_test)
    accuracies = []
    for seed in range(first, stop):
        accuracies.append(accuracy(package, seed, data))
        print(f"{package} seed {seed}: {accuracies[-1]:.4f}", flush=True)
    print(
        f"{len(accuracies)} seeds: mean {mean(accuracies):.4f}, standard deviation "
        f"{stdev(accuracies):.4f}, {min(accuracies):.4f} to {max(accuracies):.4f}"
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
