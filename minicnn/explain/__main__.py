"""`python -m minicnn.explain`: the page of a model that knows the clothes of Fashion-MNIST."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from minicnn.console import note, say
from minicnn.datasets import fashion_mnist, synthetic_fashion
from minicnn.explain.api import explain
from minicnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D, Rescaling
from minicnn.models import Sequential, load_model
from minicnn.optimizers import Adam
from minicnn.utils import set_random_seed

Array = NDArray[Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; 1 if that cannot be, with the reason on standard error."""
    options = _parser().parse_args(arguments)
    try:
        (x_train, y_train), (x, y) = _load(options.data)
        if options.model is None:
            model = tutorial(x_train, y_train, options.epochs)
        else:
            model = load_model(options.model)
        first = options.image // options.batch * options.batch
        start = time.perf_counter()
        path = explain(
            model,
            x[first : first + options.batch],
            y[first : first + options.batch],
            options.output,
            image=options.image - first,
            training=options.training,
            class_names=list(fashion_mnist.CLASS_NAMES),
        )
    except (OSError, TypeError, ValueError) as error:
        note(str(error))
        return 1
    seconds = time.perf_counter() - start
    say(f"{path}: {path.stat().st_size / 1e6:.1f} MB in {seconds:.1f} s. Open it in a browser")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m minicnn.explain",
        description="Show one test image's way through a model, forward and back, as a page.",
    )
    parser.add_argument(
        "model",
        nargs="?",
        help="a .keras file, as examples/fashion_mnist.py --save writes it; without one, the "
        "tutorial's model is trained first",
    )
    parser.add_argument("--image", type=_count, default=0, help="number of the test image: 0")
    parser.add_argument("--batch", type=_size, default=1, help="images of the pass: 1")
    parser.add_argument(
        "--training", action="store_true", help="a pass of training, with dropout's mask"
    )
    parser.add_argument("--epochs", type=_size, default=2, help="of the tutorial's training: 2")
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="folder with the four files of Fashion-MNIST, or 'synthetic' for the drawn set; "
        "by default it is looked for on this machine, then downloaded",
    )
    parser.add_argument("--output", default="explain.html", metavar="FILE", help="explain.html")
    return parser


def tutorial(x: Array, y: Array, epochs: int) -> Sequential:
    """The tutorial's model (examples/fashion_mnist.py), trained."""
    say("Training the tutorial's model. A model of your own: python -m minicnn.explain FILE.keras")
    set_random_seed(42)
    model = Sequential(
        [
            Rescaling(1 / 255, input_shape=(28, 28, 1)),
            Conv2D(32, 3, activation="relu"),
            MaxPooling2D(2),
            Dropout(0.2),
            Flatten(),
            Dense(32, activation="relu"),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile(Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=128, epochs=epochs, verbose=2)
    return model


def _load(data: str | None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    if data != "synthetic":
        try:
            return fashion_mnist.load_data(data)
        except fashion_mnist.DatasetUnavailable as error:
            say(f"Fashion-MNIST cannot be had, so the images are drawn ones.\n{error}")
    return synthetic_fashion.load_data()


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, received {text!r}")
    return int(text)


def _size(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, received {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
