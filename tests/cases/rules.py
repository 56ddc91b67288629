"""What Keras is asked of schedules, regularizers, constraints and initializers.

Examples are arguments by a name of a few words; every public class has some, and together they give
every argument that has an effect. The numbers are ones that float32 holds exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn import constraints, initializers, regularizers
from minicnn.optimizers import schedules

Examples = Mapping[str, Mapping[str, Any]]

STEPS = (0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 15, 16, 20, 25, 40, 99)

START = {"initial_learning_rate": 0.125, "decay_steps": 10}

SCHEDULES: dict[type, Examples] = {
    schedules.CosineDecay: {
        "defaults": START,
        "alpha": {**START, "alpha": 0.25},
        "warm-up": {**START, "alpha": 0.25, "warmup_target": 0.5, "warmup_steps": 5},
        "warm-up from 0": {**START, "initial_learning_rate": 0.0, "warmup_target": 0.5,
                           "warmup_steps": 4},
        "no steps of warm-up": {**START, "warmup_target": 0.5},
    },
    schedules.CosineDecayRestarts: {
        "defaults": {"initial_learning_rate": 0.125, "first_decay_steps": 5},
        "equal waves": {"initial_learning_rate": 0.125, "first_decay_steps": 5, "t_mul": 1.0},
        "lower": {"initial_learning_rate": 0.125, "first_decay_steps": 5, "t_mul": 1.5,
                  "m_mul": 0.5, "alpha": 0.25},
    },
    schedules.ExponentialDecay: {
        "defaults": {**START, "decay_rate": 0.5},
        "staircase": {**START, "decay_rate": 0.75, "staircase": True},
    },
    schedules.InverseTimeDecay: {
        "defaults": {**START, "decay_rate": 0.5},
        "staircase": {**START, "decay_rate": 0.75, "staircase": True},
    },
    schedules.PiecewiseConstantDecay: {
        "three": {"boundaries": [5, 10], "values": [1.0, 0.5, 0.125]},
        "one": {"boundaries": [5], "values": [0.25, 0.5]},
    },
    schedules.PolynomialDecay: {
        "defaults": {**START, "end_learning_rate": 0.0078125},
        "power": {**START, "end_learning_rate": 0.0078125, "power": 2.0},
        "cycles": {**START, "end_learning_rate": 0.0078125, "power": 0.5, "cycle": True},
    },
}  # fmt: skip

SHAPES = {"vector": (5,), "matrix": (4, 6), "kernel": (3, 2, 4, 5)}

REGULARIZERS: dict[type, Examples] = {
    regularizers.L1: {"defaults": {}, "other": {"l1": 0.25}},
    regularizers.L1L2: {"defaults": {}, "other": {"l1": 0.25, "l2": 0.5}, "one": {"l2": 0.5}},
    regularizers.L2: {"defaults": {}, "other": {"l2": 0.25}},
    regularizers.OrthogonalRegularizer: {
        "defaults": {},
        "columns": {"factor": 0.25, "mode": "columns"},
    },
}


def penalizes(kind: type, shape: tuple[int, ...]) -> bool:
    """Whether a regularizer takes an array of that shape."""
    return kind is not regularizers.OrthogonalRegularizer or len(shape) == 2


CONSTRAINTS: dict[type, Examples] = {
    constraints.MaxNorm: {
        "defaults": {},
        "other": {"max_value": 0.5},
        "kernel": {"max_value": 0.5, "axis": [0, 1, 2]},
    },
    constraints.MinMaxNorm: {
        "defaults": {},
        "other": {"min_value": 0.5, "max_value": 1.5, "rate": 0.75},
        "kernel": {"min_value": 0.5, "max_value": 1.5, "rate": 0.75, "axis": [0, 1, 2]},
    },
    constraints.NonNeg: {"defaults": {}},
    constraints.UnitNorm: {"defaults": {}, "kernel": {"axis": [0, 1, 2]}},
}

# all that is random gets `seed` besides; a fan of a kernel counts the places of the window
DRAWN = {"matrix": (96, 224), "kernel": (3, 5, 32, 64)}
FIXED = {"matrix": (4, 6), "tall": (6, 4)}

INITIALIZERS: dict[type, Examples] = {
    initializers.Constant: {"defaults": {}, "other": {"value": -2.5}},
    initializers.GlorotNormal: {"defaults": {}},
    initializers.GlorotUniform: {"defaults": {}},
    initializers.HeNormal: {"defaults": {}},
    initializers.HeUniform: {"defaults": {}},
    initializers.Identity: {"defaults": {}, "other": {"gain": 2.5}},
    initializers.LecunNormal: {"defaults": {}},
    initializers.LecunUniform: {"defaults": {}},
    initializers.Ones: {"defaults": {}},
    initializers.Orthogonal: {"defaults": {}, "other": {"gain": 2.5}},
    initializers.RandomNormal: {"defaults": {}, "other": {"mean": 2.0, "stddev": 0.5}},
    initializers.RandomUniform: {"defaults": {}, "other": {"minval": -1.0, "maxval": 3.0}},
    initializers.TruncatedNormal: {"defaults": {}, "other": {"mean": 2.0, "stddev": 0.5}},
    initializers.VarianceScaling: {
        "defaults": {},
        **{
            f"{mode} {distribution}": {"scale": 3.0, "mode": mode, "distribution": distribution}
            for mode in initializers.MODES
            for distribution in initializers.DISTRIBUTIONS
        },
    },
    initializers.Zeros: {"defaults": {}},
}


def is_random(kind: type) -> bool:
    """Whether an initializer draws."""
    return kind not in (
        initializers.Constant,
        initializers.Identity,
        initializers.Ones,
        initializers.Zeros,
    )


def fits(kwargs: Mapping[str, Any], shape: tuple[int, ...]) -> bool:
    """Whether an array of that shape has all axes that a constraint asks for."""
    return not isinstance(axis := kwargs.get("axis", 0), list) or len(shape) > max(axis)


def moments(drawn: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Mean, standard deviation, fourth moment over variance squared, largest distance from 0."""
    values = np.concatenate([np.ravel(one) for one in drawn]).astype(np.float64)
    centred = values - values.mean()
    return {
        "mean": values.mean(),
        "std": values.std(),
        "kurtosis": np.mean(centred**4) / values.var() ** 2,
        "furthest": np.abs(centred).max(),
    }
