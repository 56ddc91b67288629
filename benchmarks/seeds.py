"""How far test accuracy moves with the seed, in minicnn and in Keras.

    python -m benchmarks.seeds minicnn --seeds 100 124                         # 100 to 123
    python -m benchmarks.seeds minicnn keras --network deeper --seeds 1 4      # needs TensorFlow
    python -m benchmarks.seeds minicnn keras --network best --seeds 1 4

The networks are those of the examples: the tutorial's and the deeper one on its split, pixels
divided by 255, batches of 128; and the best recipe of `examples/improve.py`, on all 60,000 training
images. Keras gets the same layers through `to_json`, and the same optimizer and rates. A line a
seed with the seconds that `fit` took, then the mean, its standard error, lowest and highest.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import numpy as np

from minicnn import Input, Sequential
from minicnn.datasets import fashion_mnist
from minicnn.layers import Layer
from minicnn.model_selection import train_test_split
from minicnn.optimizers import schedules

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
import fashion_mnist as tutorial
import improve

BATCH = improve.BATCH_SIZE


class Network(NamedTuple):
    """`model()` is not compiled; the rest of the way is minicnn's optimizer and its targets."""

    model: Callable[[], Sequential]
    way: improve.Way
    epochs: int
    whole: bool  # whether it learns from the validation images, too


def best_model() -> Sequential:
    layers: list[Layer] = improve.BEST.layers()
    return Sequential([Input((28, 28, 1)), *layers])


NETWORKS = {
    "tutorial": Network(tutorial.tutorial_model, improve.WAYS["baseline"], 2, whole=False),
    "deeper": Network(tutorial.deeper_model, improve.WAYS["baseline"], 12, whole=False),
    "best": Network(best_model, improve.BEST, 16, whole=True),
}


class Seed(NamedTuple):
    """What one run reached. `both` sees each test image mirrored as well."""

    test: float
    both: float
    seconds: float


def in_keras(model: Sequential, optimizer: Any, loss: Any) -> tuple[Any, Any, Any, list[Any]]:
    """The same layers, optimizer and loss; a schedule becomes a callback that sets each step's
    rate.
    """
    import keras

    config = optimizer.get_config()
    schedule = None
    if isinstance(config["learning_rate"], dict):
        kind = getattr(schedules, config["learning_rate"]["class_name"])
        schedule = kind.from_config(config["learning_rate"]["config"])
        config["learning_rate"] = float(schedule(0))

    class Rates(keras.callbacks.Callback):
        step = 0

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if schedule is not None:
                self.model.optimizer.learning_rate = float(schedule(self.step))
            self.step += 1

    twin = getattr(keras.optimizers, type(optimizer).__name__).from_config(config)
    if not isinstance(loss, str):
        loss = getattr(keras.losses, type(loss).__name__).from_config(loss.get_config())
    return keras.models.model_from_json(model.to_json()), twin, loss, [Rates()]


def run(package: str, network: Network, epochs: int, seed: int, data: Any) -> Seed:
    X, y, X_test, y_test = data
    importlib.import_module(f"{package}.utils").set_random_seed(seed)
    model: Any = network.model()
    optimizer: Any = network.way.optimizer(epochs * -(-len(X) // BATCH))
    loss: Any = network.way.loss
    callbacks: list[Any] = []
    if package == "keras":
        model, optimizer, loss, callbacks = in_keras(model, optimizer, loss)
    model.compile(optimizer, loss, metrics=["accuracy"])
    targets = network.way.targets(y)
    started = time.perf_counter()
    model.fit(X, targets, batch_size=BATCH, epochs=epochs, callbacks=callbacks, verbose=0)
    seconds = time.perf_counter() - started
    seen = model.predict(X_test, batch_size=500, verbose=0)
    mirrored = model.predict(np.ascontiguousarray(X_test[:, :, ::-1]), batch_size=500, verbose=0)
    test, both = (float(np.mean(p.argmax(axis=1) == y_test)) for p in (seen, seen + mirrored))
    return Seed(test, both, seconds)


def images(whole: bool) -> Any:
    (X, y), (X_test, y_test) = fashion_mnist.load_data()
    X, X_val, y, y_val = train_test_split(X, y, test_size=0.2, random_state=42)
    if whole:
        X, y = np.concatenate([X, X_val]), np.concatenate([y, y_val])
    return X[..., None] / np.float32(255), y, X_test[..., None] / np.float32(255), y_test


def summary(what: str, accuracies: list[float]) -> str:
    error = stdev(accuracies) / len(accuracies) ** 0.5 if len(accuracies) > 1 else float("nan")
    return (
        f"{what}: {len(accuracies)} seeds, mean {mean(accuracies):.4f}, standard error "
        f"{error:.4f}, {min(accuracies):.4f} to {max(accuracies):.4f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("packages", nargs="+", choices=("minicnn", "keras"))
    parser.add_argument("--network", choices=NETWORKS, default="tutorial")
    parser.add_argument("--seeds", nargs=2, type=int, default=(1, 4), metavar=("FIRST", "STOP"))
    parser.add_argument("--epochs", type=int, help="default: what the network is trained for")
    args = parser.parse_args()
    network = NETWORKS[args.network]
    epochs = args.epochs or network.epochs
    data = images(network.whole)
    print(f"Fashion-MNIST, {args.network}, {epochs} epochs, {len(data[0]):,} images", flush=True)
    found: dict[str, list[Seed]] = {package: [] for package in args.packages}
    for seed in range(*args.seeds):
        for package in args.packages:
            one = run(package, network, epochs, seed, data)
            found[package].append(one)
            print(
                f"{package} seed {seed}: {one.test:.4f}, with mirrored images {one.both:.4f}, "
                f"{one.seconds:.0f} s",
                flush=True,
            )
    for package, runs in found.items():
        print(summary(package, [one.test for one in runs]))
        print(summary(f"{package}, with mirrored images", [one.both for one in runs]))


if __name__ == "__main__":
    main()
