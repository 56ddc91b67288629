"""The tutorial in Keras: what examples/fashion_mnist.py does with minicnn, step by step.

    KERAS_HOME=... python benchmarks/keras_tutorial.py --output FOLDER [--model deeper]

Keras finds the data in KERAS_HOME/datasets/fashion-mnist, where the benchmark puts it.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras.datasets import fashion_mnist
from keras.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D, Rescaling
from keras.models import Sequential
from keras.optimizers import Adam
from sklearn.metrics import classification_report, confusion_matrix
from sklearn.model_selection import train_test_split

CLASS_NAMES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", choices=["tutorial", "deeper"], default="tutorial")
    parser.add_argument("--epochs", type=int, default=2)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    keras.utils.set_random_seed(42)

    (x_full, y_full), (x_test, y_test) = fashion_mnist.load_data()
    print(x_full.shape, y_full.shape, x_test.shape, y_test.shape)
    grid(x_full[:25], [CLASS_NAMES[label] for label in y_full[:25]], args.output / "training.png")

    x_train, x_val, y_train, y_val = train_test_split(
        x_full, y_full, test_size=0.2, random_state=42
    )
    del x_full

    model = tutorial_model() if args.model == "tutorial" else deeper_model()
    model.summary()
    compile_with = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile(optimizer=Adam(learning_rate=0.001), **compile_with)
    history = model.fit(
        x_train,
        y_train,
        batch_size=128,
        epochs=args.epochs,
        verbose=1,
        validation_data=(x_val, y_val),
    )
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"Test accuracy: {accuracy:.4f}, test loss: {loss:.4f}")
    curves(history.history, args.output / "curves.png")

    y_pred = np.argmax(model.predict(x_test), axis=1)
    print(classification_report(y_test, y_pred, target_names=CLASS_NAMES))
    titles = [
        f"A: {CLASS_NAMES[a]} / P: {CLASS_NAMES[p]}" for a, p in zip(y_test[:25], y_pred[:25])
    ]
    colors = ["green" if a == p else "red" for a, p in zip(y_test[:25], y_pred[:25])]
    grid(x_test[:25], titles, args.output / "predictions.png", colors)
    heatmap(confusion_matrix(y_test, y_pred), args.output / "confusion.png")
    if args.model == "tutorial":
        deeper = deeper_model()
        deeper.compile(optimizer=Adam(learning_rate=0.001), **compile_with)
        print(deeper.count_params())
    print(f"The run took {time.perf_counter() - started:.1f} s.")


def tutorial_model() -> Sequential:
    return Sequential(
        [
            Input((28, 28, 1)),
            Rescaling(1 / 255),
            Conv2D(filters=32, kernel_size=3, activation="relu"),
            MaxPooling2D(pool_size=2),
            Dropout(0.2),
            Flatten(),
            Dense(32, activation="relu"),
            Dense(10, activation="softmax"),
        ]
    )


def deeper_model() -> Sequential:
    return Sequential(
        [
            Input((28, 28, 1)),
            Rescaling(1 / 255),
            Conv2D(32, 3, activation="relu", padding="same"),
            Conv2D(32, 3, activation="relu", padding="same"),
            MaxPooling2D(2),
            Dropout(0.25),
            Conv2D(64, 3, activation="relu", padding="same"),
            Conv2D(64, 3, activation="relu", padding="same"),
            MaxPooling2D(2),
            Dropout(0.25),
            Flatten(),
            Dense(128, activation="relu"),
            Dropout(0.5),
            Dense(10, activation="softmax"),
        ]
    )


def grid(images, titles, path, colors=("black",) * 25) -> None:
    figure, axes = plt.subplots(5, 5, figsize=(10, 10))
    for ax, image, title, color in zip(axes.flat, images, titles, colors):
        ax.imshow(image, cmap="gray")
        ax.set_title(title, color=color, fontsize=8)
        ax.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def curves(history, path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for ax, key in zip(axes, ("accuracy", "loss")):
        ax.plot(history[key], label="training")
        ax.plot(history[f"val_{key}"], label="validation")
        ax.set_xlabel("epoch")
        ax.set_ylabel(key)
        ax.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def heatmap(counts, path) -> None:
    figure, ax = plt.subplots(figsize=(8, 7))
    ax.imshow(counts, cmap="Blues")
    ax.set_xticks(range(10), CLASS_NAMES, rotation=45, ha="right")
    ax.set_yticks(range(10), CLASS_NAMES)
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            ax.text(j, i, str(count), ha="center", va="center", fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
