"""CIFAR-100: 60,000 colour pictures, 32x32 pixels, in 100 classes that form 20 groups.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. The archive is
looked for as `files.py` says, used only with the SHA-256 of the published one, and read as
`cifar.py` says.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.datasets import cifar
from minicnn.datasets.files import TIMEOUT, DatasetUnavailable, Search, named_folder
from minicnn.datasets.idx import DatasetCorrupt

__all__ = ["DatasetCorrupt", "DatasetUnavailable", "load_data"]

Array = NDArray[np.uint8]

CLASSES = {"fine": 100, "coarse": 20}

FILE = cifar.CifarFile(
    cifar.forms(
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        169001437,
        "cifar-100-python.tar.gz",
        "cifar-100-python-target_archive",  # Keras 3 calls it so
    ),
    train=(cifar.Batch("cifar-100-python/train", 50000),),
    test=(cifar.Batch("cifar-100-python/test", 10000),),
)
MIRRORS = cifar.MIRRORS
SOURCE = cifar.source("cifar100.load_data", "CIFAR-100", "cifar-100-python.tar.gz")


def load_data(
    label_mode: str = "fine", path: str | os.PathLike[str] | None = None
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """CIFAR-100 as `(x_train, y_train), (x_test, y_test)`, from this machine or the network.

    Parameters
    ----------
    label_mode
        "fine" for the 100 classes, "coarse" for the 20 groups.
    path
        A folder to look in first; it takes the place of the environment variable MINICNN_DATA.
        What it lacks is looked for in the other places that `files.py` lists.

    Returns
    -------
    Writable uint8 arrays: `x_train` (50000, 32, 32, 3) and `x_test` (10000, 32, 32, 3), pixels from
    0 to 255; `y_train` (50000, 1) and `y_test` (10000, 1). Keras documents the labels so, and
    returns them as int64.

    Raises
    ------
    DatasetUnavailable
        The archive is in none of the places, and no mirror could be reached or sent it in a
        reasonable time. The message lists each place and why it failed. It is an OSError.
    DatasetCorrupt
        The archive in the folder named by `path` or MINICNN_DATA is damaged. The file is left as
        it is. It is a ValueError.
    TypeError, ValueError
        `label_mode` is another one; `path` is no path, an empty one, or one that no file can have.

    Examples
    --------
    ::

        (x_train, y_train), (x_test, y_test) = cifar100.load_data(label_mode="coarse")
    """
    mode = checks.one_of(label_mode, CLASSES, "label_mode", SOURCE.who)
    search = Search(SOURCE, named_folder(path, (FILE,), SOURCE), MIRRORS, TIMEOUT)
    return cifar.images_and_labels(FILE, f"{mode}_labels", CLASSES[mode], *search.find(FILE))
