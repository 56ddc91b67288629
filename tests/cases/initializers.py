"""Every public initializer: see `InitializerCase`. A new one is one entry of INITIALIZERS."""

from __future__ import annotations

from cases import InitializerCase
from minicnn.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    Ones,
    Zeros,
)


def glorot(fan_in: int, fan_out: int) -> float:
    return 2 / (fan_in + fan_out)


def he(fan_in: int, fan_out: int) -> float:
    return 2 / fan_in


INITIALIZERS: dict[type[Initializer], InitializerCase] = {
    Constant: InitializerCase(constant=0),
    GlorotNormal: InitializerCase(variance=glorot),
    GlorotUniform: InitializerCase(variance=glorot, uniform=True),
    HeNormal: InitializerCase(variance=he),
    HeUniform: InitializerCase(variance=he, uniform=True),
    Ones: InitializerCase(constant=1),
    Zeros: InitializerCase(constant=0),
}
