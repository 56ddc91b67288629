"""MNIST: 70,000 grey pictures of handwritten digits, 28x28 pixels.

Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", 1998. Licence:
Creative Commons Attribution-Share Alike 3.0.

The data come in two forms, of which the first that is found is taken: `mnist.npz`, which Keras
downloads, and the four idx files, which torchvision does. They are looked for as `files.py` says,
and used only with the SHA-256 of the published ones.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn.datasets.files import (
    TIMEOUT,
    VARIABLE,
    DatasetUnavailable,
    Form,
    Found,
    Place,
    Search,
    Source,
    named_folder,
)
from minicnn.datasets.idx import DatasetCorrupt
from minicnn.datasets.idx_files import DataFile, parse_files

__all__ = ["DatasetCorrupt", "DatasetUnavailable", "load_data"]

Array = NDArray[np.uint8]
HEADER = 4096  # bytes before the numbers of a .npy file; it has 128


class NpzFile(NamedTuple):
    """What is known of the archive of the four arrays."""

    forms: tuple[Form, ...]
    shapes: dict[str, tuple[int, ...]]


NPZ = NpzFile(
    (
        Form(
            "mnist.npz",
            11490434,
            "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        ),
    ),
    {
        "x_train": (60000, 28, 28),
        "y_train": (60000,),
        "x_test": (10000, 28, 28),
        "y_test": (10000,),
    },
)
FILES = (
    DataFile(
        "train-images-idx3-ubyte",
        (60000, 28, 28),
        9912422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    DataFile(
        "train-labels-idx1-ubyte",
        (60000,),
        28881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    DataFile(
        "t10k-images-idx3-ubyte",
        (10000, 28, 28),
        1648877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    DataFile(
        "t10k-labels-idx1-ubyte",
        (10000,),
        4542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)

MIRRORS = ("https://storage.googleapis.com/tensorflow/tf-keras-datasets/",)  # of mnist.npz
IDX_MIRRORS = (  # of the four files
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

SOURCE = Source(
    who="mnist.load_data",
    title="MNIST",
    folder="mnist",
    keras="",
    torchvision="MNIST/raw",
    ways_out="""Ways out:
  - put mnist.npz, or the four files train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz,
    t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz, into a folder and name it: pass
    path="that/folder", or set the environment variable MINICNN_DATA to the folder that has
    the folder mnist in it;
  - without the data: minicnn.datasets.synthetic_fashion.load_data() draws clothes of the same
    size.""",
)


def load_data(
    path: str | os.PathLike[str] | None = None,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """MNIST as `(x_train, y_train), (x_test, y_test)`, from this machine or the network.

    Parameters
    ----------
    path
        A folder to look in first, or the place of `mnist.npz`; it takes the place of the
        environment variable MINICNN_DATA. What it lacks is looked for in the other places that
        `files.py` lists. A name without a folder, such as "mnist.npz", which is Keras's default,
        is that of the file in Keras's cache.

    Returns
    -------
    Writable uint8 arrays: `x_train` (60000, 28, 28) and `x_test` (10000, 28, 28), pixels from 0
    to 255; `y_train` (60000,) and `y_test` (10000,), the digits.

    Raises
    ------
    DatasetUnavailable
        The files are in none of the places, and no mirror could be reached or sent them in a
        reasonable time. The message lists each place and why it failed. It is an OSError.
    DatasetCorrupt
        A file in the folder named by `path` or MINICNN_DATA is damaged, or Fashion-MNIST's. The
        file is left as it is. It is a ValueError.
    TypeError, ValueError
        `path` is no path, an empty one, or one that no file can have.

    Examples
    --------
    ::

        (x_train, y_train), (x_test, y_test) = mnist.load_data()
    """
    npz, folder = _npz_and_folder(path)
    either = npz._replace(forms=(*npz.forms, *FILES[0].forms))
    named = named_folder(folder, (either,), SOURCE)
    search = Search(SOURCE, named, MIRRORS, TIMEOUT)
    found = search.on_disk(npz)
    if found is not None:
        return _arrays(*found)
    search.named = _of_digits(named)
    files = _on_disk(search)
    if len(files) < len(FILES):
        found = search.from_mirror(npz)
        if found is not None:
            return _arrays(*found)
        search.mirrors = IDX_MIRRORS
    for file in FILES[len(files) :]:
        one = search.from_mirror(file)
        if one is None:
            raise search.unavailable(f"{npz.forms[0].name}, or {file.forms[0].name} and its kin,")
        files.append(one)
    return parse_files(FILES, files, SOURCE)


def _npz_and_folder(path: Any) -> tuple[NpzFile, Any]:
    """The archive, under the name that `path` ends in too, and the folder that `path` names."""
    text = os.fspath(path) if isinstance(path, (str, Path)) else path
    if not isinstance(text, str) or not text.endswith(".npz"):
        return NPZ, path
    folder, name = os.path.split(text)
    other = NPZ.forms[0]._replace(name=name)
    return NPZ._replace(forms=tuple(dict.fromkeys((*NPZ.forms, other)))), folder or None


def _of_digits(named: Place | None) -> Place | None:
    """The folder that the user named for MNIST; one for all data sets may be Fashion-MNIST's."""
    if named is not None and named[0] == VARIABLE and named[1].name != SOURCE.folder:
        return None
    return named


def _on_disk(search: Search) -> list[Found]:
    """The idx files, up to the first that is on no disk."""
    found: list[Found] = []
    for file in FILES:
        one = search.on_disk(file)
        if one is None:
            break
        found.append(one)
    return found


def _arrays(data: bytes, place: str) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """The four arrays of an archive by NumPy."""
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name, shape in NPZ.shapes.items():
                member = archive.getinfo(f"{name}.npy")
                if member.file_size > math.prod(shape) + HEADER:
                    raise DatasetCorrupt(
                        f"{place}: expected {name} {shape}, received {member.file_size} bytes"
                    )
                arrays[name] = np.load(io.BytesIO(archive.read(member)), allow_pickle=False)
    except (KeyError, EOFError, OSError, MemoryError, zipfile.BadZipFile) as error:
        raise DatasetCorrupt(f"{place}: expected an archive by NumPy: {error}") from None
    except ValueError as error:
        if isinstance(error, DatasetCorrupt):
            raise
        raise DatasetCorrupt(f"{place}: expected an archive by NumPy: {error}") from None
    for name, shape in NPZ.shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype != np.uint8:
            raise DatasetCorrupt(
                f"{place}: expected {name} to be uint8 {shape}, received {arrays[name].dtype} "
                f"{arrays[name].shape}"
            )
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
