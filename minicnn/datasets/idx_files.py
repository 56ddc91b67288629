"""The four idx files in which MNIST and Fashion-MNIST are published, under the same names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn.datasets.files import Form, Found, Source
from minicnn.datasets.idx import DatasetCorrupt, parse_idx

Array = NDArray[np.uint8]


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

    @property
    def forms(self) -> tuple[Form, Form]:
        packed = Form(f"{self.name}.gz", self.gz_size, self.gz_sha256)
        return packed, Form(self.name, self.idx_size, self.idx_sha256)


def parse_files(
    files: Sequence[DataFile], found: Sequence[Found], source: Source
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """`(x_train, y_train), (x_test, y_test)` of the four files in that order."""
    x_train, y_train, x_test, y_test = (
        parse_idx(data, file.shape, source=place)
        for file, (data, place) in zip(files, found, strict=True)
    )
    for x, y, part in (x_train, y_train, "training"), (x_test, y_test, "test"):
        if len(x) != len(y):
            raise DatasetCorrupt(
                f"{source.who}: expected as many labels as images in the {part} set, received "
                f"{len(x)} images and {len(y)} labels\n{source.ways_out}"
            )
    return (x_train, y_train), (x_test, y_test)
