"""Name what is on pictures, with a model that examples/fashion_mnist.py has saved.

    python examples/fashion_mnist.py --save outputs/model.keras
    python examples/predict.py outputs/model.keras shoe.png shirt.jpg

The images of Fashion-MNIST are light things on black, 28 pixels high and wide. Other pictures are
brought to that size and to grey; if their edges are light, as in a shop's photographs, they are
inverted.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from PIL import Image

from minicnn import activations
from minicnn.datasets import fashion_mnist
from minicnn.models import load_model


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a .keras file")
    parser.add_argument("pictures", nargs="+", metavar="picture", help="PNG, JPEG and the like")
    args = parser.parse_args()

    try:
        model = load_model(args.model)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    if not model.built or len(model.input_shape) != 4 or model.input_shape[3] not in (1, 3):
        print(f"{args.model}: expected a model of grey or coloured images", file=sys.stderr)
        return 1
    _, height, width, channels = model.input_shape
    names = fashion_mnist.CLASS_NAMES
    if model.output_shape[-1] != len(names):
        names = [f"class {k}" for k in range(model.output_shape[-1])]

    failed = False
    for path in args.pictures:
        try:
            image = read(path, height, width, channels)
        except OSError as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed = True
            continue
        probabilities = model.predict(image[np.newaxis], verbose=0)[0]
        if probabilities.min() < 0 or not np.isclose(probabilities.sum(), 1, atol=1e-3):  # logits
            probabilities = activations.softmax(probabilities[np.newaxis])[0]
        best = np.argsort(probabilities)[::-1][:3]
        print(f"{path}: " + ", ".join(f"{names[k]} {probabilities[k]:.0%}" for k in best))
    return int(failed)


def read(path: str, height: int, width: int, channels: int) -> np.ndarray:
    """The picture as bytes of shape (height, width, channels), light on dark."""
    with Image.open(path) as picture:
        sized = picture.convert("L" if channels == 1 else "RGB").resize((width, height))
    image = np.asarray(sized).reshape(height, width, channels)
    edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return 255 - image if edges.mean() > 127 else image


if __name__ == "__main__":
    sys.exit(main())
