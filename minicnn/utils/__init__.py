"""Small helpers, under Keras's names."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, config
from minicnn.py_dataset import PyDataset
from minicnn.seeds import set_random_seed
from minicnn.utils.image_folders import image_dataset_from_directory
from minicnn.utils.images import array_to_img, img_to_array, load_img, save_img

__all__ = [
    "PyDataset",
    "Sequence",
    "array_to_img",
    "image_dataset_from_directory",
    "img_to_array",
    "load_img",
    "normalize",
    "save_img",
    "set_random_seed",
    "to_categorical",
]

Sequence = PyDataset  # its name in Keras 2


def __getattr__(name: str) -> Any:
    if name == "np_utils":  # of Keras 2
        return import_module("minicnn.utils.np_utils")
    raise AttributeError(f"module 'minicnn.utils' has no attribute {name!r}")


def normalize(x: Any, axis: int = -1, order: Any = 2) -> NDArray[Any]:
    """`x` divided by its norm along an axis; where that is 0, x stays.

    Parameters
    ----------
    x : array
    axis : int
        From -ndim to ndim - 1.
    order : int, float or inf
        1 for the sum of absolute values, 2 for the root of the sum of squares, inf for the largest.

    Returns
    -------
    ndarray of the shape of x, in x's float type, or float64

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> normalize([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    array = checks.numeric(x, "x", "normalize")
    if array.ndim == 0:
        raise ValueError("normalize: expected x to have an axis, received a number")
    axis = checks.integer(axis, "axis", "normalize", minimum=-array.ndim, maximum=array.ndim - 1)
    checks.finite(array, "x", "normalize")
    if not (isinstance(order, float) and abs(order) == np.inf):
        order = checks.real(order, "order", "normalize")
    if array.size == 0:
        return array * 1.0
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    norm = np.linalg.norm(array, order, axis, keepdims=True)
    norm[norm == 0] = 1
    return array / norm


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
