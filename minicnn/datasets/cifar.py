"""What CIFAR-10 and CIFAR-100 share: archives of batches of colour pictures, 32x32 pixels.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. An archive is a packed
tar file, and a batch in it a pickle of Python 2: a dict of `data`, bytes (n, 3072), a picture's red
pixels row by row, its green ones, its blue ones; and lists of labels. Nothing of the archive is
written to the disk, and no pickle is run (`pickled.py`).
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn.datasets import pickled
from minicnn.datasets.files import Form, Source
from minicnn.datasets.idx import DatasetCorrupt, pieces

Array = NDArray[np.uint8]

SIDE, CHANNELS = 32, 3
PICTURE = SIDE * SIDE * CHANNELS
AROUND = 200  # bytes of a batch for each picture beside its pixels: the labels, the file's name
MOST_MEMBERS = 100
MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)


class Batch(NamedTuple):
    """A member of the archive."""

    name: str
    pictures: int


class CifarFile(NamedTuple):
    """What is known of a published archive."""

    forms: tuple[Form, ...]
    train: tuple[Batch, ...]
    test: tuple[Batch, ...]


def forms(sha256: str, size: int, *names: str) -> tuple[Form, ...]:
    """The same archive under several names."""
    return tuple(Form(name, size, sha256) for name in names)


def source(who: str, title: str, archive: str) -> Source:
    return Source(
        who=who,
        title=title,
        folder=title.lower(),
        keras="",
        torchvision="",
        ways_out=f"""Ways out:
  - put {archive} into a folder and name it: pass path="that/folder", or set the
    environment variable MINICNN_DATA;
  - without the data: minicnn.datasets.synthetic_fashion.load_data() draws grey pictures of
    clothes.""",
    )


def images_and_labels(
    file: CifarFile, labels: str, classes: int, data: bytes, source: str
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """`(x_train, y_train), (x_test, y_test)`: pictures (N, 32, 32, 3) and labels (N, 1), uint8."""
    batches = members(data, (*file.train, *file.test), source)
    sets = []
    for part in file.train, file.test:
        n = sum(batch.pictures for batch in part)
        x = np.empty((n, SIDE, SIDE, CHANNELS), np.uint8)
        y = np.empty((n, 1), np.uint8)
        start = 0
        for batch in part:
            rows = slice(start, start + batch.pictures)
            where = f"{source}: {batch.name}"
            content = pickled.read(batches.pop(batch.name), where)
            pictures = _pictures(content, batch.pictures, where)
            x[rows] = pictures.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
            y[rows, 0] = _labels(content, labels, classes, batch.pictures, where)
            start += batch.pictures
        sets.append((x, y))
    return sets[0], sets[1]


def _pictures(content: dict[object, object], n: int, where: str) -> Array:
    pictures = content.get(b"data")
    if not isinstance(pictures, np.ndarray) or pictures.shape != (n, PICTURE):
        received = getattr(pictures, "shape", type(pictures).__name__)
        raise DatasetCorrupt(f"{where}: expected data {(n, PICTURE)}, received {received}")
    return pictures


def _labels(content: dict[object, object], key: str, classes: int, n: int, where: str) -> list[int]:
    labels = content.get(key.encode())
    if not isinstance(labels, list) or len(labels) != n:
        received = len(labels) if isinstance(labels, list) else type(labels).__name__
        raise DatasetCorrupt(f"{where}: expected {n} {key}, received {received}")
    if not all(type(label) is int and 0 <= label < classes for label in labels):
        raise DatasetCorrupt(f"{where}: expected {key} from 0 to {classes - 1}, received others")
    return labels


def members(data: bytes, wanted: Sequence[Batch], source: str) -> dict[str, bytes]:
    """The wanted members of a tar file packed by gzip; the others are passed over.

    Raises DatasetCorrupt for an archive that is damaged, lacks one of them, has one twice or longer
    than a batch is, holds anything but files and folders, or names a place outside of its folder.
    """
    longest = {batch.name: batch.pictures * (PICTURE + AROUND) + 100_000 for batch in wanted}
    found: dict[str, bytes] = {}
    limit = 2 * sum(longest.values()) + 1_000_000
    try:
        with tarfile.open(fileobj=_Unpacked(data, limit, source), mode="r|") as archive:
            for count, member in enumerate(archive):
                _expect_harmless(member, count, source)
                if member.name not in longest or member.isdir():
                    continue
                if member.name in found:
                    raise DatasetCorrupt(
                        f"{source}: expected {member.name} once, received it twice"
                    )
                if member.size > longest[member.name]:
                    raise DatasetCorrupt(
                        f"{source}: expected {member.name} to have at most "
                        f"{longest[member.name]} bytes, received {member.size}"
                    )
                content = archive.extractfile(member)
                found[member.name] = b"" if content is None else content.read()
    except (tarfile.TarError, EOFError, OverflowError) as error:
        raise DatasetCorrupt(f"{source}: expected a whole tar file: {error}") from None
    missing = [batch.name for batch in wanted if batch.name not in found]
    if missing:
        raise DatasetCorrupt(f"{source}: expected {', '.join(missing)} in the archive, not there")
    return found


def _expect_harmless(member: tarfile.TarInfo, count: int, source: str) -> None:
    if count >= MOST_MEMBERS:
        raise DatasetCorrupt(f"{source}: expected at most {MOST_MEMBERS} members, received more")
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise DatasetCorrupt(
            f"{source}: expected files and folders alone, received {member.name!r}, which is a "
            "link or a device"
        )
    if member.name.startswith(("/", "\\")) or ".." in member.name.replace("\\", "/").split("/"):
        raise DatasetCorrupt(
            f"{source}: expected names inside of the archive's folder, received {member.name!r}"
        )


class _Unpacked(io.RawIOBase):
    """The content of a packed file, as tarfile reads it; not more than `limit` bytes of it."""

    def __init__(self, data: bytes, limit: int, source: str) -> None:
        self._pieces: Iterator[bytes | memoryview] = pieces(data, limit + 1, source)
        self._rest = b""
        self._left, self._limit, self._source = limit, limit, source

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts, wanted = [], size
        while wanted > 0:
            if not self._rest:
                self._rest = bytes(next(self._pieces, b""))
                self._left -= len(self._rest)
                if self._left < 0:
                    raise DatasetCorrupt(
                        f"{self._source}: expected at most {self._limit} bytes in the archive, "
                        "received more"
                    )
                if not self._rest:
                    break
            part, self._rest = self._rest[:wanted], self._rest[wanted:]
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)
