"""What models, layers, losses and metrics give: arrays and floats with Keras's `numpy()`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Output(np.ndarray[Any, Any]):
    """An array with `numpy()`. Whatever is computed from it is a plain array.

    Examples
    --------
    >>> y = np.array([1.0, 2.0]).view(Output)
    >>> y.numpy()
    array([1., 2.])
    >>> type(y + 1).__name__, type(y[:1]).__name__, type(y.reshape(2, 1)).__name__
    ('ndarray', 'ndarray', 'ndarray')
    """

    def __repr__(self) -> str:
        return repr(_plain(self))

    def numpy(self) -> NDArray[Any]:
        """The same numbers as a plain array, no copy."""
        return _plain(self)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*_plain(inputs), **_plain(kwargs))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return func(*_plain(args), **_plain(kwargs))


class Figure(float):
    """A float with `numpy()`. Whatever is computed from it is a plain float.

    Examples
    --------
    >>> loss = Figure(0.5)
    >>> loss, type(loss.numpy()).__name__, type(loss + 1).__name__
    (0.5, 'float64', 'float')
    """

    def numpy(self) -> np.float64:
        """The same number as NumPy's."""
        return np.float64(self)


def with_numpy(value: Any) -> Any:
    """A plain float or array as one that has `numpy()`; anything else, such as a user's metric may
    return, as it is.
    """
    if type(value) is float:
        return Figure(value)
    return value.view(Output) if type(value) is np.ndarray else value


def _plain(value: Any) -> Any:
    """The value, with plain arrays where it is or holds an `Output`."""
    if isinstance(value, Output):
        return np.ndarray.view(value, np.ndarray)
    if type(value) in (list, tuple):
        return type(value)(_plain(one) for one in value)
    if type(value) is dict:
        return {key: _plain(one) for key, one in value.items()}
    return value


def _of_the_plain(name: str) -> Any:
    """The method of that name, of the plain array."""
    method = getattr(np.ndarray, name)

    def called(self: Output, *args: Any, **kwargs: Any) -> Any:
        return method(_plain(self), *args, **kwargs)

    called.__name__ = name
    return called


def _attribute(name: str) -> Any:
    return property(lambda self: getattr(_plain(self), name))


COPIES = ("__copy__", "__deepcopy__", "__getitem__", "__reduce__", "__reduce_ex__")
for _name in dir(np.ndarray):
    _member = getattr(np.ndarray, _name)
    if callable(_member) and (_name in COPIES or not _name.startswith("_")):
        setattr(Output, _name, _of_the_plain(_name))
for _name in ("T", "flat", "imag", "mT", "real"):
    if hasattr(np.ndarray, _name):  # mT since NumPy 2
        setattr(Output, _name, _attribute(_name))
