"""minicnn: convolutional networks from scratch in NumPy, with Keras's words.

    from minicnn.models import Sequential
    from minicnn.layers import Conv2D, MaxPooling2D, Flatten, Dense

`layers/` is written to be read: forward and backward of each layer stand side by side.
"""

from importlib import import_module
from typing import Any

from minicnn import (
    activations,
    backend,
    callbacks,
    config,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    model_selection,
    models,
    optimizers,
    regularizers,
    saving,
    utils,
)
from minicnn.config import show_config
from minicnn.engine.shards import get_shard_size, set_shard_size
from minicnn.engine.threads import get_num_threads, set_num_threads
from minicnn.layers import Input
from minicnn.models import Model, Sequential

__version__ = "0.1.0"

_LAZY = (
    *("applications", "course", "distributed", "explain", "gradcheck", "interop", "plotting"),
    *("preprocessing", "tuning"),
)


def __getattr__(name: str) -> Any:
    """`minicnn.plotting` and its like, imported when they are first asked for."""
    if name == "diagnose":
        return import_module("minicnn.diagnosis").diagnose
    if name in _LAZY:
        return import_module(f"minicnn.{name}")
    raise AttributeError(f"module 'minicnn' has no attribute {name!r}")


__all__ = [
    "Input",
    "Model",
    "Sequential",
    "activations",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "get_num_threads",
    "get_shard_size",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "model_selection",
    "models",
    "optimizers",
    "regularizers",
    "saving",
    "set_num_threads",
    "set_shard_size",
    "show_config",
    "utils",
]
