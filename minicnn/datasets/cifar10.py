"""CIFAR-10: 60,000 colour pictures, 32x32 pixels, in ten classes of vehicles and animals.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The archive is
looked for as `files.py` says, used only with the SHA-256 of the published one, and read as
`cifar.py` says.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from minicnn.datasets import cifar
from minicnn.datasets.files import TIMEOUT, DatasetUnavailable, Search, named_folder
from minicnn.datasets.idx import DatasetCorrupt

__all__ = ["CLASS_NAMES", "DatasetCorrupt", "DatasetUnavailable", "load_data"]

Array = NDArray[np.uint8]

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

FILE = cifar.CifarFile(
    cifar.forms(
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        170498071,
        "cifar-10-python.tar.gz",
        "cifar-10-batches-py-target_archive",  # Keras 3 calls it so
        "cifar-10-batches-py.tar.gz",  # and Keras 2 so
    ),
    train=tuple(cifar.Batch(f"cifar-10-batches-py/data_batch_{i}", 10000) for i in range(1, 6)),
    test=(cifar.Batch("cifar-10-batches-py/test_batch", 10000),),
)
MIRRORS = cifar.MIRRORS
SOURCE = cifar.source("cifar10.load_data", "CIFAR-10", "cifar-10-python.tar.gz")


def load_data(
    path: str | os.PathLike[str] | None = None,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """CIFAR-10 as `(x_train, y_train), (x_test, y_test)`, from this machine or the network.

    Parameters
    ----------
    path
        A folder to look in first; it takes the place of the environment variable MINICNN_DATA.
        What it lacks is looked for in the other places that `files.py` lists.

    Returns
    -------
    Writable uint8 arrays: `x_train` (50000, 32, 32, 3) and `x_test` (10000, 32, 32, 3), pixels from
    0 to 255; `y_train` (50000, 1) and `y_test` (10000, 1), indices into `CLASS_NAMES`.

    Raises
    ------
    DatasetUnavailable
        The archive is in none of the places, and no mirror could be reached or sent it in a
        reasonable time. The message lists each place and why it failed. It is an OSError.
    DatasetCorrupt
        The archive in the folder named by `path` or MINICNN_DATA is damaged. The file is left as
        it is. It is a ValueError.
    TypeError, ValueError
        `path` is no path, an empty one, or one that no file can have.

    Examples
    --------
    ::

        (x_train, y_train), (x_test, y_test) = cifar10.load_data()
        cifar10.CLASS_NAMES[y_train[0, 0]]  # 'frog'
    """
    search = Search(SOURCE, named_folder(path, (FILE,), SOURCE), MIRRORS, TIMEOUT)
    return cifar.images_and_labels(FILE, "labels", len(CLASS_NAMES), *search.find(FILE))
