"""minicnn: convolutional networks from scratch in NumPy, with Keras's words.

    from minicnn.models import Sequential
    from minicnn.layers import Conv2D, MaxPooling2D, Flatten, Dense

`layers/` is written to be read: forward and backward of each layer stand side by side.
"""

from minicnn import (
    callbacks,
    config,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    model_selection,
    models,
    optimizers,
    utils,
)
from minicnn.engine.threads import get_num_threads, set_num_threads
from minicnn.layers import Input
from minicnn.models import Sequential

__version__ = "0.1.0"

__all__ = [
    "Input",
    "Sequential",
    "callbacks",
    "config",
    "datasets",
    "get_num_threads",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "model_selection",
    "models",
    "optimizers",
    "set_num_threads",
    "utils",
]
