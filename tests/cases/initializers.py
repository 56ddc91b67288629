"""Every public initializer: see `InitializerCase`. A new one is one entry of INITIALIZERS."""

from __future__ import annotations

from cases import InitializerCase
from minicnn.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    Initializer,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
)


def glorot(fan_in: int, fan_out: int) -> float:
    return 2 / (fan_in + fan_out)


def he(fan_in: int, fan_out: int) -> float:
    return 2 / fan_in


def lecun(fan_in: int, fan_out: int) -> float:
    return 1 / fan_in


INITIALIZERS: dict[type[Initializer], InitializerCase] = {
    Constant: InitializerCase(constant=0),
    GlorotNormal: InitializerCase(variance=glorot),
    GlorotUniform: InitializerCase(variance=glorot, uniform=True),
    HeNormal: InitializerCase(variance=he),
    HeUniform: InitializerCase(variance=he, uniform=True),
    Identity: InitializerCase(),  # a matrix by definition: test_initializers.py
    LecunNormal: InitializerCase(variance=lecun),
    LecunUniform: InitializerCase(variance=lecun, uniform=True),
    Ones: InitializerCase(constant=1),
    Orthogonal: InitializerCase(),
    RandomNormal: InitializerCase(),
    RandomUniform: InitializerCase(variance=lambda fan_in, fan_out: 0.1**2 / 12, uniform=True),
    TruncatedNormal: InitializerCase(
        variance=lambda fan_in, fan_out: (0.05 * 0.87962566103423978) ** 2
    ),
    VarianceScaling: InitializerCase(variance=lecun),
    Zeros: InitializerCase(constant=0),
}
