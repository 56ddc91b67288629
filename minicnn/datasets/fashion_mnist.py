"""Fashion-MNIST: 70,000 grey pictures of clothes, 28x28 pixels, in ten classes.

H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
Learning Algorithms", 2017, arXiv:1708.07747. Published by Zalando Research under the MIT licence.

Each of the four files is taken from the first place that has it:

1. the folder that `path` names, or else the environment variable MINICNN_DATA;
2. minicnn's cache: the user's cache folder, or the one that MINICNN_CACHE names;
3. what Keras or torchvision has downloaded before;
4. the official mirrors, from where it goes into the cache.

Nothing is used whose SHA-256 is not that of the published file, so it does not matter which place
a file came from. A damaged file in a folder that the user named is an error, in the cache it is
deleted, anywhere else it is passed over. The sizes of all files are known: no more is read from a
file or a mirror, and of a file only where it is a regular one.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, console
from minicnn.datasets.idx import DatasetCorrupt, parse_idx, verify

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


class DataFile(NamedTuple):
    """What is known of one published file."""

    name: str  # of the unpacked file; the packed one ends in .gz
    shape: tuple[int, ...]
    gz_size: int
    gz_sha256: str
    idx_sha256: str  # unpacked, as torchvision and some browsers keep it

    @property
    def idx_size(self) -> int:
        return 4 * (1 + len(self.shape)) + math.prod(self.shape)


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
TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces of the answer

WAYS_OUT = """Ways out:
  - put the four files (train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz,
    t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz) into a folder and name it: pass
    path="that/folder", or set the environment variable MINICNN_DATA;
  - without the data: minicnn.datasets.synthetic_fashion.load_data() draws images of the same
    size and classes."""

Array = NDArray[np.uint8]
Place = tuple[str, Path]  # whose it is, and the folder


class DatasetUnavailable(OSError):
    """Fashion-MNIST is neither on this machine nor to be had from the network."""


def load_data(
    path: str | os.PathLike[str] | None = None,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Fashion-MNIST as `(x_train, y_train), (x_test, y_test)`, from this machine or the network.

    Parameters
    ----------
    path
        A folder to look in first; it takes the place of the environment variable MINICNN_DATA.
        What it lacks is looked for in the other places that the module's description lists.

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
    named = _named_folder(path)
    try:
        x_train, y_train, x_test, y_test = [_load(file, named) for file in FILES]
        for x, y, part in (x_train, y_train, "training"), (x_test, y_test, "test"):
            if len(x) != len(y):
                raise DatasetCorrupt(
                    f"expected as many labels as images in the {part} set, received {len(x)} "
                    f"images and {len(y)} labels"
                )
    except DatasetCorrupt as error:
        raise DatasetCorrupt(
            f"fashion_mnist.load_data: {error}\n"
            "minicnn deletes nothing in a folder that you named: replace the file, or delete it, "
            f"and it is looked for elsewhere.\n{WAYS_OUT}"
        ) from None
    return (x_train, y_train), (x_test, y_test)


def _named_folder(path: str | os.PathLike[str] | None) -> Place | None:
    """The folder that the user named, if any; says so once where it lacks a file."""
    owner, name = "path", path
    if path is None:
        owner, name = "MINICNN_DATA", os.environ.get("MINICNN_DATA")
        if not name:
            return None
    text: object = name
    if isinstance(name, os.PathLike):
        with contextlib.suppress(Exception):  # of an object's own __fspath__
            text = os.fspath(name)
    if not isinstance(text, str):
        raise TypeError(
            "fashion_mnist.load_data: expected path to be a str or os.PathLike that names a "
            f"folder, received {checks.shown(path)} ({type(path).__name__})"
        )
    if not text:
        raise ValueError(
            "fashion_mnist.load_data: expected path to name a folder, received ''. "
            "Leave it out, or pass '.' for the current folder"
        )
    representable = True
    try:
        os.stat(text)
    except ValueError:  # a zero byte, or a letter that the file system's encoding has not
        representable = False
    except OSError as error:
        representable = error.errno != errno.ENAMETOOLONG
    if not representable:
        raise ValueError(
            "fashion_mnist.load_data: expected path to name a folder, received "
            f"{checks.shown(text)}, which no file system can hold"
        )
    folder = Path(os.path.expanduser(text))
    missing = [f"{file.name}.gz" for file in FILES if not os.path.exists(_held(file, folder)[0])]
    if not os.path.isdir(folder):
        _notice(f"{folder} ({owner}) is not a folder; looking for Fashion-MNIST elsewhere")
    elif missing:
        _notice(f"{folder} ({owner}) lacks {', '.join(missing)}; looking elsewhere")
    return owner, folder


def _load(file: DataFile, named: Place | None) -> Array:
    data, source = _fetch(file, named)
    return parse_idx(data, file.shape, source=source)


def _fetch(file: DataFile, named: Place | None) -> tuple[bytes, str]:
    """The verified bytes of `file`, packed or not, and where they are from."""
    tried: list[str] = []
    for place in _places(named):
        owner, folder = place
        path, size, sha256 = _held(file, folder)
        try:
            data = _read(path, size)
            verify(data, sha256, str(path), size=size)
        except (FileNotFoundError, NotADirectoryError):
            tried.append(f"{path} ({owner}): no such file")
        except OSError as error:
            tried.append(f"{path} ({owner}): cannot be read: {error.strerror}")
        except DatasetCorrupt as error:
            if place == named:
                raise
            tried.append(f"{error} ({owner})")
            if owner == "cache":
                _notice(f"{error}: deleting it from the cache")
                _delete(path)
        else:
            return data, str(path)
    handled = sys.exc_info()[1]  # where load_data is called in the except clause of its caller
    for mirror in MIRRORS:
        url = f"{mirror}{file.name}.gz"
        try:
            data = _download(url, file.gz_size)
            verify(data, file.gz_sha256, url, size=file.gz_size)
        except OSError as error:
            tried.append(f"{url}: {_innermost(error, handled)}")
        except DatasetCorrupt as error:
            tried.append(str(error))
        else:
            _keep(data, _cache_folder() / f"{file.name}.gz")
            return data, url
    places = "\n".join(f"  - {line}" for line in tried)
    raise DatasetUnavailable(
        f"fashion_mnist.load_data: expected {file.name}.gz in one of these places, received it "
        f"from none:\n{places}\n{WAYS_OUT}"
    )


def _places(named: Place | None) -> Iterator[Place]:
    """The folders to look in, best first."""
    if named is not None:
        yield named
    yield "cache", _cache_folder()
    keras = os.environ.get("KERAS_HOME") or "~/.keras"
    yield "Keras", Path(os.path.expanduser(keras), "datasets", "fashion-mnist")
    # torchvision has no place of its own: these are the roots that its users pass most
    for root in ("data", "~/data"):
        yield "torchvision", Path(os.path.expanduser(root), "FashionMNIST", "raw")


def _cache_folder() -> Path:
    cache = os.environ.get("MINICNN_CACHE")
    if not cache:
        import platformdirs  # here: it slows `import minicnn` down

        cache = platformdirs.user_cache_dir("minicnn")
    return Path(os.path.expanduser(cache), "fashion-mnist")


def _held(file: DataFile, folder: Path) -> tuple[Path, int, str]:
    """`file` in `folder`, its size, its SHA-256; unpacked where that is the only form there."""
    packed, unpacked = folder / f"{file.name}.gz", folder / file.name
    if os.path.exists(unpacked) and not os.path.exists(packed):
        return unpacked, file.idx_size, file.idx_sha256
    return packed, file.gz_size, file.gz_sha256


def _read(path: Path, size: int) -> bytes:
    """The content of a regular file; of one that is too long, the first `size` + 1 bytes.

    A pipe or a device by that name would have us wait, or never end.
    """

    def check(status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    check(os.stat(path))  # opening a device can already act on it
    with open(path, "rb", opener=opener) as file:
        check(os.fstat(file.fileno()))  # what was opened may be another file by now
        return file.read(size + 1) or b""  # None where the system has the bytes only later


def _download(url: str, size: int) -> bytes:
    """What `url` answers, held in memory; at most one byte more than `size`."""
    from tqdm import tqdm

    from minicnn.datasets.download import download  # here: it slows `import minicnn` down

    terminal = console.Output(sys.stderr).isatty()
    if not terminal:
        console.note(f"downloading {url} ({size / 1e3:,.0f} kB)")
    bar = {"total": size, "unit": "B", "unit_scale": True, "desc": url.rpartition("/")[2]}
    with tqdm(disable=not terminal, **bar) as progress:
        return download(url, size, TIMEOUT, progress.update)


def _keep(data: bytes, path: Path) -> None:
    """Write a cache file in one step: a reader, or a kill, never meets half of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="part-", dir=path.parent) as scratch:
            part = Path(scratch, path.name)
            part.write_bytes(data)
            os.replace(part, path)
    except OSError as error:
        _notice(
            f"the cache {path.parent} cannot be written ({error.strerror}), so the download is not "
            "kept; set MINICNN_CACHE to a folder that can"
        )


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _notice(f"{path} cannot be deleted ({error.strerror})")


def _innermost(error: BaseException, handled: BaseException | None) -> str:
    """The error that began the chain, in one line; `handled` was there before and ends it.

    What requests raises for a refused connection wraps the reason three times over.
    """
    while error.__context__ not in (None, handled):
        error = error.__context__
    return f"{type(error).__name__}: {error}"


@functools.cache
def _notice(text: str) -> None:
    """One line on standard error; the same line once only."""
    console.note(text)
