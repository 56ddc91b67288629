"""In which order images become rows where they are held with another axis first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.layers.base import Shape

Array = NDArray[Any]


def flattened(sample: Shape, order: tuple[int, ...]) -> Array | None:
    """Where the numbers of a flattened sample stand in the layers' row, None if at the same place.

    Parameters
    ----------
    sample : tuple
        Shape of one sample as the layers see it, (H, W, C).
    order : tuple of int
        The axes in which the other side holds it, the batch's, 0, included: (0, 3, 1, 2) for
        (N, C, H, W).

    Returns
    -------
    ndarray of int
        Number k of the other side's row is number result[k] of the layers' row.

    Examples
    --------
    Of an image of 1x2 cells with two channels, the first channel of both cells comes first.

    >>> flattened((1, 2, 2), (0, 3, 1, 2))
    array([0, 2, 1, 3])
    """
    places = np.arange(np.prod(sample, dtype=np.int64)).reshape(sample)
    rows: Array = places.transpose([axis - 1 for axis in order[1:]]).reshape(-1)
    return None if np.array_equal(rows, np.arange(len(rows))) else rows
