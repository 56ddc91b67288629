"""What stands in Keras for values that a graph of layers will have: here, for their shape alone."""

from __future__ import annotations

from typing import Any, NoReturn

NO_GRAPH = (
    "There is no functional API: layers in a row are Sequential([Input(shape), Dense(10)]), the "
    "outputs of a layer inside a model are those of Sequential(model.layers[:3]), and branches "
    "that meet again are one layer of your own with forward and backward: subclass "
    "minicnn.layers.Layer"
)


class Symbolic:
    """What has a shape and no values: to compute with it is an error that says what to do."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{self!r} has a shape and no values to compute with. {NO_GRAPH}")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __neg__ = _refuse
    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __getitem__ = __len__ = __float__ = _refuse
    __array__ = __array_ufunc__ = numpy = _refuse

    def __bool__(self) -> bool:
        return True


class KerasTensor(Symbolic):
    """What `layer.output` and `model.inputs` tell of a batch: its shape and float type.

    Attributes
    ----------
    shape : tuple
        Batch axis first; None where its size is open.
    dtype : str
    name : str

    Examples
    --------
    >>> KerasTensor((None, 10), "float32", "dense")
    <KerasTensor shape=(None, 10), dtype=float32, name=dense>
    """

    def __init__(self, shape: tuple[Any, ...], dtype: Any, name: str) -> None:
        self.shape, self.dtype, self.name = tuple(shape), str(dtype), name

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"

    @property
    def ndim(self) -> int:
        return len(self.shape)
