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
    HardShrink,
    HardSigmoid,
    HardSiLU,
    HardTanh,
    LeakyReLU,
    Linear,
    PReLU,
    ReLU,
    SoftShrink,
    SparsePlus,
    SparseSigmoid,
    Threshold,
)
from minicnn.layers.activations.smooth import (
    GELU,
    Exponential,
    LogSigmoid,
    Mish,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Squareplus,
    Tanh,
    TanhShrink,
)
from minicnn.layers.activations.softmax import GLU, LogSoftmax, Softmax, Sparsemax

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "KNOWN",
    "SELU",
    "ActivatedLayer",
    "Activation",
    "ActivationLayer",
    "Elementwise",
    "Exponential",
    "Function",
    "HardShrink",
    "HardSiLU",
    "HardSigmoid",
    "HardTanh",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "SoftShrink",
    "Softmax",
    "Softplus",
    "Softsign",
    "SparsePlus",
    "SparseSigmoid",
    "Sparsemax",
    "Squareplus",
    "Tanh",
    "TanhShrink",
    "Threshold",
    "get",
]
