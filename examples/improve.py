"""Five ways to a better model, each beside the tutorial's: same data, same seed.

    python examples/improve.py                # 5 epochs each; outputs/improve.png shows the curves
    python examples/improve.py --only baseline "batch normalization"
    python examples/improve.py --quick        # a few images and one epoch: does it run?
    python examples/improve.py --best         # the best recipe instead, from scratch

A way is one entry of WAYS: layers and an optimizer. Change one, or add one of your own.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from minicnn import plotting
from minicnn.datasets import fashion_mnist, synthetic_fashion
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    RandomErasing,
    RandomFlip,
    RandomTranslation,
    ReLU,
    Rescaling,
)
from minicnn.losses import CategoricalCrossentropy, Loss
from minicnn.metrics import confusion_matrix
from minicnn.model_selection import train_test_split
from minicnn.models import Sequential
from minicnn.optimizers import SGD, Adam, AdamW, Optimizer
from minicnn.optimizers.schedules import OneCycle
from minicnn.utils import set_random_seed, to_categorical

CLASS_NAMES = fashion_mnist.CLASS_NAMES
BATCH_SIZE = 128
SPARSE = "sparse_categorical_crossentropy"


def conv(filters: int) -> Conv2D:
    return Conv2D(filters, 3, padding="same", activation="relu")


def normalized(filters: int, padding: str = "same") -> list[Layer]:
    """A convolution whose outputs are normalized before ReLU; beta does what a bias would."""
    return [Conv2D(filters, 3, padding=padding, use_bias=False), BatchNormalization(), ReLU()]


def head() -> list[Layer]:
    return [Flatten(), Dense(32, activation="relu"), Dense(10, activation="softmax")]


def tutorial(filters: int = 32) -> list[Layer]:
    return [
        Conv2D(filters, 3, activation="relu"),
        MaxPooling2D(2),
        Dropout(0.2),
        *head(),
    ]


class Way(NamedTuple):
    """What is tried: `layers()` behind the scaling of pixels, `optimizer(steps)`, and why."""

    layers: Callable[[], list[Layer]]
    optimizer: Callable[[int], Optimizer]
    what: str
    loss: str | Loss = SPARSE

    def targets(self, labels: Any) -> Any:
        """The labels, in the form that the loss takes."""
        return labels if self.loss == SPARSE else to_categorical(labels, len(CLASS_NAMES))


def adam(steps: int) -> Optimizer:
    return Adam(0.001)


def one_cycle(steps: int) -> Optimizer:
    """A learning rate that climbs to 0.005 and falls to almost 0 over the whole training."""
    return AdamW(OneCycle(0.005, total_steps=max(2, steps)), weight_decay=0.05)


WAYS = {
    "baseline": Way(tutorial, adam, "the tutorial's model"),
    "more layers": Way(
        lambda: [
            conv(32),
            conv(32),
            MaxPooling2D(2),
            Dropout(0.2),
            conv(64),
            MaxPooling2D(2),
            *head(),
        ],
        adam,
        "three convolutions instead of one",
    ),
    "more filters": Way(lambda: tutorial(64), adam, "64 filters instead of 32"),
    "augmentation": Way(
        lambda: [RandomFlip("horizontal"), RandomTranslation(0.05, 0.05), *tutorial()],
        adam,
        "every image mirrored or not, and moved by up to 1.4 pixels, anew in each epoch",
    ),
    "SGD": Way(tutorial, lambda steps: SGD(0.05, momentum=0.9), "SGD with momentum for Adam"),
    "one cycle": Way(tutorial, one_cycle, "AdamW, whose learning rate rises and falls once"),
    "batch normalization": Way(
        lambda: [*normalized(32), MaxPooling2D(2), Dropout(0.2), *head()],
        adam,
        "the convolution's outputs normalized before ReLU",
    ),
}
BEST = Way(
    lambda: [
        RandomFlip("horizontal"),
        RandomErasing(0.5, scale=(0.02, 0.2), fill_value=0, value_range=(0, 1)),
        *(*normalized(32), MaxPooling2D(2)),
        *(*normalized(64, "valid"), *normalized(64), MaxPooling2D(2)),  # 12 x 12 cells, then 6 x 6
        *(*normalized(128, "valid"), *normalized(128), GlobalAveragePooling2D()),  # 4 x 4
        Dense(10, activation="softmax"),
    ],
    one_cycle,
    "five normalized convolutions, mirrored and partly erased images, smoothed labels, AdamW",
    CategoricalCrossentropy(label_smoothing=0.1),  # so much of each label goes to all classes
)


class Found(NamedTuple):
    """What came of a way."""

    validation: float
    test: float
    parameters: int
    seconds: float
    history: Any
    model: Sequential


def attempt(way: Way, data: Data, epochs: int, seed: int, verbose: int = 0) -> Found:
    """Train it from scratch; the test images are looked at once, at the end."""
    set_random_seed(seed)
    model = Sequential([Rescaling(1 / 255, input_shape=(28, 28, 1)), *way.layers()])
    model.compile(
        loss=way.loss,
        optimizer=way.optimizer(epochs * -(-len(data.x) // BATCH_SIZE)),
        metrics=["accuracy"],
    )
    targets = way.targets(data.y)
    judged = (data.x_val, way.targets(data.y_val)) if len(data.x_val) else ()
    # on a copy, so that compiled kernels are there when the clock starts
    few = slice(BATCH_SIZE + 8)
    copy.deepcopy(model).fit(
        data.x[few],
        targets[few],
        batch_size=BATCH_SIZE,
        verbose=0,
        validation_data=tuple(part[few] for part in judged) or None,
    )
    started = time.perf_counter()
    history = model.fit(
        data.x,
        targets,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        verbose=verbose,
        validation_data=judged or None,
    )
    seconds = time.perf_counter() - started
    _, test = model.evaluate(data.x_test, way.targets(data.y_test), verbose=0)
    validation = history.history.get("val_accuracy", [float("nan")])[-1]
    return Found(validation, test, model.count_params(), seconds, history, model)


class Data(NamedTuple):
    name: str
    x: Any
    y: Any
    x_val: Any
    y_val: Any
    x_test: Any
    y_test: Any


def load(folder: str | None, images: int | None) -> Data:
    """Fashion-MNIST, a fifth of its training images kept back for validation; or drawn images."""
    name = "Fashion-MNIST"
    try:
        if folder == "synthetic":
            raise OSError("asked for")
        (x, y), (x_test, y_test) = fashion_mnist.load_data(folder)
    except OSError as error:
        name = "drawn images"
        print(f"No Fashion-MNIST ({error}): drawing images instead")
        (x, y), (x_test, y_test) = synthetic_fashion.load_data()
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.2, random_state=42)
    keep = slice(images)
    parts = (x, y, x_val, y_val, x_test, y_test)
    return Data(name, *(part[keep] for part in parts))


def curves(found: dict[str, Found], name: str) -> Any:
    """The validation accuracy of all ways, epoch by epoch."""
    figure, axis = plt.subplots(figsize=(8, 5))
    for way, one in found.items():
        values = one.history.history["val_accuracy"]
        style = {"color": "black", "linewidth": 2.5} if way == "baseline" else {}
        axis.plot(range(1, len(values) + 1), values, marker="o", markersize=3, label=way, **style)
    axis.set(title=name, xlabel="Epoch", ylabel="Validation accuracy")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.tight_layout()
    return figure


def compare(data: Data, names: list[str], args: argparse.Namespace) -> None:
    found: dict[str, Found] = {}
    print(f"{data.name}: {len(data.x)} images, epochs: {args.epochs}, seed: {args.seed}\n")
    print(f"{'':<20} {'validation':>10} {'test':>7} {'parameters':>11} {'seconds':>8}")
    for name in names:
        one = found[name] = attempt(WAYS[name], data, args.epochs, args.seed)
        print(
            f"{name:<20} {one.validation:>10.4f} {one.test:>7.4f} {one.parameters:>11,} "
            f"{one.seconds:>8.1f}",
            flush=True,
        )
    print()
    for name in names[1:]:
        gain = 100 * (found[name].validation - found[names[0]].validation)
        better = "better" if gain > 0 else "worse"
        times = found[name].seconds / found[names[0]].seconds
        print(
            f"{name}: {WAYS[name].what}. {abs(gain):.1f} points {better} than {names[0]} on the "
            f"validation images, in {times:.1f} times the time."
        )
    save(curves(found, f"{data.name}: ways to improve the tutorial's model"), args, "improve.png")


def best(data: Data, args: argparse.Namespace) -> None:
    """Chosen on the validation images, the recipe learns from these, too, before the test."""
    print(f"{data.name}: {BEST.what}; epochs: {args.epochs}, seed: {args.seed}\n")
    every = data._replace(
        x=np.concatenate([data.x, data.x_val]),
        y=np.concatenate([data.y, data.y_val]),
        x_val=data.x_val[:0],
    )
    one = attempt(BEST, every, args.epochs, args.seed, verbose=2)
    mirrored = one.model.predict(np.ascontiguousarray(data.x_test[:, :, ::-1]), verbose=0)
    both = one.model.predict(data.x_test, verbose=0) + mirrored
    predicted = np.argmax(both, axis=1)
    accuracy = np.mean(predicted == data.y_test)
    print(f"\nTest accuracy: {accuracy:.4f}, each image seen as it is and mirrored")
    print(f"Test accuracy: {one.test:.4f}, each image seen as it is")
    print(f"{len(every.x):,} images, {one.parameters:,} parameters, {one.seconds:.0f} seconds\n")
    print("Confusion matrix, one row for each true class:")
    width = max(map(len, CLASS_NAMES))
    labels = range(len(CLASS_NAMES))
    for name, row in zip(CLASS_NAMES, confusion_matrix(data.y_test, predicted, labels=labels)):
        print(f"{name:<{width}} " + " ".join(f"{count:>4}" for count in row))
    wrong = np.flatnonzero(predicted != data.y_test)[:25]
    if len(wrong):
        grid = plotting.prediction_grid(
            data.x_test[wrong],
            data.y_test[wrong],
            predicted[wrong],
            CLASS_NAMES,
            suptitle=f"{data.name}: what the best recipe still gets wrong",
        )
        save(grid, args, "wrong.png")
    figure = plotting.confusion_heatmap(data.y_test, predicted, CLASS_NAMES, suptitle=data.name)
    save(figure, args, "confusion.png")
    save(plotting.training_curves(one.history, suptitle=data.name), args, "best_curves.png")


def save(figure: Any, args: argparse.Namespace, name: str) -> None:
    path = Path(args.output) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    print(f"Saved {path}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, help="default: 5; with --best 16")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument(
        "--only", nargs="+", choices=WAYS, help="these ways; the first is compared with"
    )
    parser.add_argument("--best", action="store_true", help="the best recipe instead")
    parser.add_argument("--quick", action="store_true", help="600 images, 1 epoch")
    parser.add_argument("--data", help="a folder with Fashion-MNIST, or 'synthetic'")
    parser.add_argument("--output", default="outputs", help="folder for the pictures")
    args = parser.parse_args()
    args.epochs = args.epochs or (1 if args.quick else 16 if args.best else 5)
    if args.epochs < 1:
        parser.error(f"argument --epochs: expected a whole number from 1, received {args.epochs}")
    data = load(args.data, 600 if args.quick else None)
    if args.best:
        best(data, args)
    else:
        compare(data, args.only or list(WAYS), args)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
