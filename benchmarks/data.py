"""The data that all frameworks get: Fashion-MNIST as float32 in [0, 1], on disk, read by each.

    python -m benchmarks.data FOLDER [--source synthetic] [--images 6000]

It runs in a process of its own, so that the process that starts all others stays small: on Linux a
child's peak memory begins at what its parent's was.
"""

from __future__ import annotations

import argparse
import gzip
import json
import struct
from pathlib import Path

import numpy as np

ARRAYS = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test")


def prepare(folder: Path, source: str | None, images: int) -> str:
    """Write the arrays into `folder`; returns the data's name.

    A fifth of the `images` is kept for validation, as in the tutorial.
    """
    from minicnn.datasets import fashion_mnist, synthetic_fashion

    name = "Fashion-MNIST"
    try:
        if source == "synthetic":
            raise OSError
        train, test = fashion_mnist.load_data(source)
    except OSError:  # what cannot be had is drawn
        name = "synthetic Fashion (drawn, not Fashion-MNIST)"
        train, test = synthetic_fashion.load_data(images, min(10_000, images))
    x, y = train[0][:images], train[1][:images]
    cut = len(x) - len(x) // 5
    arrays = (x[:cut], y[:cut], x[cut:], y[cut:], *test)
    folder.mkdir(parents=True, exist_ok=True)
    for key, array in zip(ARRAYS, arrays):
        if key.startswith("x"):
            array = array[..., None] / np.float32(255)
        np.save(folder / f"{key}.npy", array)
    (folder / "name.json").write_text(json.dumps(name))
    _as_keras_keeps_it(folder / "keras" / "datasets" / "fashion-mnist", train, test)
    return name


def _as_keras_keeps_it(folder: Path, train: tuple, test: tuple) -> None:
    """The four files of Fashion-MNIST, where Keras looks for what it has downloaded before."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, (x, y) in (("train", train), ("t10k", test)):
        for kind, array, magic in (("images-idx3", x, 2051), ("labels-idx1", y, 2049)):
            header = struct.pack(f">{1 + array.ndim}I", magic, *array.shape)
            with gzip.open(folder / f"{part}-{kind}-ubyte.gz", "wb", compresslevel=6) as file:
                file.write(header + array.astype(np.uint8).tobytes())


class Data:
    """The arrays in `folder`; each is read into memory once it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name: str = json.loads((folder / "name.json").read_text())
        self._arrays: dict[str, np.ndarray] = {}

    def __getattr__(self, key: str) -> np.ndarray:
        if key not in ARRAYS:
            raise AttributeError(key)
        if key not in self._arrays:
            self._arrays[key] = np.load(self.folder / f"{key}.npy")
        return self._arrays[key]

    def images(self, n: int, size: int = 28, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The first `n` training images and labels, repeated if need be, at `size` pixels a side.

        Larger images are tiles of the small ones, smaller ones are cut out. Further channels hold
        the image turned.
        """
        x = self.x_train[np.arange(n) % len(self.x_train)] if n > len(self.x_train) else None
        x = self.x_train[:n] if x is None else x
        y = np.resize(self.y_train, n)
        if size != x.shape[1]:
            times = -(-size // x.shape[1])
            x = np.ascontiguousarray(np.tile(x, (1, times, times, 1))[:, :size, :size])
        if channels > 1:
            x = np.concatenate([np.rot90(x, turn, (1, 2)) for turn in range(channels)], axis=-1)
        return x, y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--source")
    parser.add_argument("--images", type=int, default=60_000)
    args = parser.parse_args()
    print(prepare(args.folder, args.source, args.images))


if __name__ == "__main__":
    main()
