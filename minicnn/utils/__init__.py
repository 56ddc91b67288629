"""Small helpers, under Keras's names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, config
from minicnn.seeds import set_random_seed

__all__ = ["set_random_seed", "to_categorical"]


def to_categorical(x: Any, num_classes: int | None = None) -> NDArray[Any]:
    """One-hot rows for whole-number labels.

    Parameters
    ----------
    x : array of shape (N,), (N, 1) or (N, ...)
    num_classes : int, optional
        Width of a row; largest label + 1 if not given.

    Returns
    -------
    ndarray of shape (N, ..., num_classes) and the default float type

    Raises
    ------
    TypeError, ValueError
        If a label is not a whole number from 0 to num_classes - 1.

    Examples
    --------
    >>> to_categorical([0, 2], num_classes=3)
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    labels = checks.numeric(x, "x", "to_categorical")
    if labels.size == 0:
        raise ValueError("to_categorical: expected x to hold at least one label, received none")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    whole = np.isfinite(labels) & (labels == np.floor(labels))
    if not whole.all():
        wrong = labels[~whole].flat[0]
        raise ValueError(f"to_categorical: expected x to hold whole numbers, received {wrong}")
    if labels.min() < 0:
        raise ValueError(
            f"to_categorical: expected x to hold labels from 0 on, received {labels.min()}"
        )
    if num_classes is None:
        classes = int(labels.max()) + 1
        if classes > checks.LARGEST_SIZE:
            raise ValueError(
                f"to_categorical: expected x to hold labels below {checks.LARGEST_SIZE}, received "
                f"{labels.max()}"
            )
    else:
        classes = checks.size(num_classes, "num_classes", "to_categorical")
    if labels.max() >= classes:
        raise ValueError(
            f"to_categorical: expected x to hold labels from 0 to {classes - 1}, received "
            f"{labels.max()}. num_classes is {classes}"
        )
    one_hot = np.zeros((*labels.shape, classes), config.floatx())
    np.put_along_axis(one_hot, labels[..., None].astype(np.intp), 1, -1)
    return one_hot
