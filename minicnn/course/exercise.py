"""What an exercise consists of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.gradcheck import Mistake

Array = NDArray[Any]
Case = dict[str, Any]  # the arguments of one call, by name and in their order


@dataclass(frozen=True)
class Slip:
    """A common mistake.

    Attributes
    ----------
    kind : str
        Its short name: "kernel not rotated".
    output : str
        What it spoils: "dx".
    text : str
        What is wrong, and what to do about it.
    wrong : function
        What comes out with the mistake: called with a case's arguments, and with `flags`.
    flags : dict
        Mistakes of one `wrong` can be made together: then it is called with the flags of both.
    """

    kind: str
    output: str
    text: str
    wrong: Callable[..., Any]
    flags: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gradient:
    """Which function an exercise's answers are the gradient of, for `minicnn.gradcheck`.

    Attributes
    ----------
    x : str
        The argument that takes the place of a layer's x.
    outputs : dict
        The answer that is the gradient of each tensor: {"x": "dx", "W": "dW"}.
    y : function
        y of the package's own forward, called with a case's arguments and with `unseen`.
    unseen : function
        From a case to parameters that backward is not given, such as a bias.
    """

    x: str
    outputs: dict[str, str]
    y: Callable[..., Array]
    unseen: Callable[[Case], dict[str, Array]] = lambda case: {}


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes
    ----------
    name, page : str
        "conv_backward"; the number of the page that sets it.
    arguments, outputs : tuple of str
    task : str
        What is to be worked out, in one line.
    cases : function
        From a random generator to calls of the function, the simplest first.
    right : function
        The right answers, one for each of `outputs`, for the arguments of a case.
    slips : tuple of Slip
    hints : tuple of str
    gradient : Gradient, optional
    also_right : tuple of (function, str)
        Other answers that pass, with what is said of them.
    more : function, optional
        Looks for mistakes that no number shows, in a function that is right.
    """

    name: str
    page: int
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    task: str
    cases: Callable[[np.random.Generator], Sequence[Case]]
    right: Callable[..., tuple[Any, ...]]
    slips: tuple[Slip, ...]
    hints: tuple[str, ...]
    gradient: Gradient | None = None
    also_right: tuple[tuple[Callable[..., tuple[Any, ...]], str], ...] = ()
    more: Callable[[Callable[..., Any]], list[Mistake]] | None = None

    @property
    def signature(self) -> str:
        """ "conv_backward(dy, x, W, S, P) -> dx, dW, db"."""
        return f"{self.name}({', '.join(self.arguments)}) -> {', '.join(self.outputs)}"


def arguments(text: str) -> tuple[str, ...]:
    """ "dy, x" as a tuple."""
    return tuple(text.split(", "))
