"""Fashion-MNIST: 70,000 grey pictures of clothes, 28x28 pixels, in ten classes.

H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms", 2017, arXiv:1708.07747. Published by Zalando Research under the MIT licence.

The four files are looked for as `files.py` says, and used only with the SHA-256 of the published
ones.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from minicnn.datasets.files import TIMEOUT, DatasetUnavailable, Search, Source, named_folder
from minicnn.datasets.idx import DatasetCorrupt
from minicnn.datasets.idx_files import DataFile, parse_files

__all__ = ["CLASS_NAMES", "DatasetCorrupt", "DatasetUnavailable", "load_data"]

CLASS_NAMES = (
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
)

FILES = (
    DataFile(
        "train-images-idx3-ubyte",
        (60000, 28, 28),
        26421880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    DataFile(
        "train-labels-idx1-ubyte",
        (60000,),
        29515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    DataFile(
        "t10k-images-idx3-ubyte",
        (10000, 28, 28),
        4422102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    DataFile(
        "t10k-labels-idx1-ubyte",
        (10000,),
        5148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)

MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",  # has no https
)

WAYS_OUT = """Ways out:
  - put the four files (train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz,
    t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz) into a folder and name it: pass
    path="that/folder", or set the environment variable MINICNN_DATA;
  - without the data: minicnn.datasets.synthetic_fashion.load_data() draws images of the same
    size and classes."""

SOURCE = Source(
    who="fashion_mnist.load_data",
    title="Fashion-MNIST",
    folder="fashion-mnist",
    keras="fashion-mnist",
    torchvision="FashionMNIST/raw",
    ways_out=WAYS_OUT,
)

Array = NDArray[np.uint8]


def load_data(
    path: str | os.PathLike[str] | None = None,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Fashion-MNIST as `(x_train, y_train), (x_test, y_test)`, from this machine or the network.

    Parameters
    ----------
    path
        A folder to look in first; it takes the place of the environment variable MINICNN_DATA.
        What it lacks is looked for in the other places that `files.py` lists.

    Returns
    -------
    Writable uint8 arrays: `x_train` (60000, 28, 28) and `x_test` (10000, 28, 28), pixels from 0
    to 255; `y_train` (60000,) and `y_test` (10000,), indices into `CLASS_NAMES`.

    Raises
    ------
    DatasetUnavailable
        A file is in none of the places, and no mirror could be reached or sent it in a reasonable
        time. The message lists each place and why it failed. It is an OSError.
    DatasetCorrupt
        A file in the folder named by `path` or MINICNN_DATA is damaged. The file is left as it
        is. It is a ValueError.
    TypeError, ValueError
        `path` is no path, an empty one, or one that no file can have.

    Examples
    --------
    ::

        (x_train, y_train), (x_test, y_test) = fashion_mnist.load_data()
        fashion_mnist.CLASS_NAMES[y_train[0]]  # 'Ankle boot'
    """
    search = Search(SOURCE, named_folder(path, FILES, SOURCE), MIRRORS, TIMEOUT)
    return parse_files(FILES, [search.find(file) for file in FILES], SOURCE)
