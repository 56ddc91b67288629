"""Page 8: a convolution with fewer multiplications."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.course.exercise import Exercise, Slip, arguments
from minicnn.gradcheck import Mistake


class Counted:
    """A number that counts how often something of x is multiplied by something of w."""

    __array_priority__ = 1000

    def __init__(self, value: float, of: str, tally: list[int]) -> None:
        self.value, self.of, self.tally = value, of, tally

    def _with(self, other: Any, value: float, *, product: bool = False) -> Counted:
        if not isinstance(other, Counted):
            return Counted(value, self.of, self.tally)
        self.tally[0] += product
        of = self.of if self.of == other.of else "both"
        return Counted(value, of, self.tally)

    def __add__(self, other: Any) -> Counted:
        return self._with(other, self.value + _value(other))

    def __sub__(self, other: Any) -> Counted:
        return self._with(other, self.value - _value(other))

    def __rsub__(self, other: Any) -> Counted:
        return self._with(other, _value(other) - self.value)

    def __mul__(self, other: Any) -> Counted:
        return self._with(other, self.value * _value(other), product=True)

    def __truediv__(self, other: Any) -> Counted:
        return self._with(other, self.value / _value(other), product=True)

    def __neg__(self) -> Counted:
        return Counted(-self.value, self.of, self.tally)

    def __float__(self) -> float:
        return self.value

    __radd__, __rmul__ = __add__, __mul__


def _value(number: Any) -> float:
    return number.value if isinstance(number, Counted) else float(number)


PRODUCTS = 4


def _multiplications(function: Callable[..., Any]) -> list[Mistake]:
    """Whether the function multiplies more often than Winograd's does."""
    tally = [0]
    x = np.array([Counted(value, "x", tally) for value in (1.0, 2.0, -3.0, 5.0)], object)
    w = np.array([Counted(value, "w", tally) for value in (0.5, -1.0, 2.0)], object)
    try:
        function(x, w)
    except Exception:  # it wants numbers of NumPy's; then its products cannot be counted
        return []
    if tally[0] <= PRODUCTS:
        return []
    return [
        Mistake(
            "too many multiplications",
            f"the numbers are right, with {tally[0]} multiplications of numbers that are not "
            f"constants: {PRODUCTS} are enough. Additions, and halving, do not count",
        )
    ]


WINOGRAD = Exercise(
    name="winograd",
    page=8,
    arguments=arguments("x, w"),
    outputs=("y",),
    task="two outputs of a filter with three weights, with four multiplications: "
    "y[i] = x[i] w[0] + x[i+1] w[1] + x[i+2] w[2]",
    cases=lambda rng: [
        {"x": np.array([1.0, 2.0, 3.0, 4.0]), "w": np.array([1.0, 10.0, 100.0])},
        {"x": rng.normal(size=4), "w": rng.normal(size=3)},
    ],
    right=lambda x, w: (np.correlate(x, w, "valid"),),
    slips=(
        Slip(
            "kernel rotated",
            "y",
            "the weights are applied from the last to the first",
            lambda x, w: np.correlate(x, w[::-1], "valid"),
        ),
        Slip(
            "not halved",
            "y",
            "the two products with w[0] + w[1] + w[2] and w[0] - w[1] + w[2] are halved",
            lambda x, w: np.array(
                [
                    (x[0] - x[2]) * w[0]
                    + (x[1] + x[2]) * (w[0] + w[1] + w[2])
                    + (x[2] - x[1]) * (w[0] - w[1] + w[2]),
                    (x[1] + x[2]) * (w[0] + w[1] + w[2])
                    - (x[2] - x[1]) * (w[0] - w[1] + w[2])
                    - (x[1] - x[3]) * w[2],
                ]
            ),
        ),
    ),
    hints=(
        "two of the products are (x[0] - x[2]) * w[0] and (x[1] - x[3]) * w[2]",
        "the other two are (x[1] + x[2]) * (w[0] + w[1] + w[2]) / 2 and "
        "(x[2] - x[1]) * (w[0] - w[1] + w[2]) / 2; their sum and their difference are what is left",
    ),
    more=_multiplications,
)

EXERCISES = (WINOGRAD,)
