"""Activations, each a layer; inside Conv2D and Dense the same layers serve.

    base.py        what they share, and a user's own function with its derivative
    piecewise.py   ReLU and its relatives, with a kink
    smooth.py      sigmoid, tanh and the rest that map each number by itself
    softmax.py     those in which the numbers of a row share
    known.py       what a name stands for

As functions of arrays they are in `minicnn.activations`.
"""

from __future__ import annotations

from minicnn.layers.activations.base import ActivationLayer, Elementwise, Function
from minicnn.layers.activations.known import KNOWN, ActivatedLayer, Activation, get
from minicnn.layers.activations.piecewise import (
    CELU,
    ELU,
    SELU,
    HardSigmoid,
    HardSiLU,
    LeakyReLU,
    Linear,
    PReLU,
    ReLU,
)
from minicnn.layers.activations.smooth import (
    GELU,
    Exponential,
    Mish,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Squareplus,
    Tanh,
)
from minicnn.layers.activations.softmax import LogSoftmax, Softmax

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "KNOWN",
    "SELU",
    "ActivatedLayer",
    "Activation",
    "ActivationLayer",
    "Elementwise",
    "Exponential",
    "Function",
    "HardSiLU",
    "HardSigmoid",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Squareplus",
    "Tanh",
    "get",
]
