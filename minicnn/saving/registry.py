"""What a class name in a file stands for: a closed table. Nothing is imported by name.

The only classes beside these are a user's own, in `minicnn.custom_objects`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from minicnn import constraints, initializers, layers, losses, metrics, optimizers, regularizers
from minicnn.layers import Layer
from minicnn.layers.activations import ELU, LeakyReLU, ReLU, Softmax, Threshold
from minicnn.layers.activations import KNOWN as ACTIVATIONS
from minicnn.layers.base import Layer as Base
from minicnn.optimizers import schedules

# by the module under which Keras exports them
TABLES: dict[str, dict[str, type]] = {
    "keras.constraints": {kind.__name__: kind for kind in constraints.KNOWN.values()},
    "keras.initializers": {kind.__name__: kind for kind in initializers.KNOWN.values()},
    "keras.layers": {
        kind.__name__: kind
        for kind in vars(layers).values()
        if isinstance(kind, type) and issubclass(kind, Layer) and kind.forward is not Base.forward
    },
    "keras.losses": {kind.__name__: kind for kind in losses.KNOWN.values()},
    "keras.metrics": {kind.__name__: kind for kind in metrics.CLASSES},
    "keras.optimizers": {kind.__name__: kind for kind in optimizers.KNOWN.values()},
    "keras.optimizers.schedules": dict(schedules.KNOWN),
    "keras.regularizers": {kind.__name__: kind for kind in regularizers.KNOWN.values()},
}

# layers here that are only activations there, by name: Activation("tanh")
ONLY_ACTIVATIONS = frozenset({*ACTIVATIONS.values(), Threshold}) - {ELU, LeakyReLU, ReLU, Softmax}
NOT_OF_KERAS = ONLY_ACTIVATIONS | {schedules.OneCycle}

# Keras's other names for a class, as they may stand in its files
ALIASES = {"IdentityInitializer": "Identity", "OrthogonalInitializer": "Orthogonal"}


@functools.cache
def module_of(kind: type) -> str | None:
    """Where a file says that a class is from; None for a user's own."""
    for module, table in TABLES.items():
        if table.get(kind.__name__) is kind:
            return module.replace("keras", "minicnn", 1) if kind in NOT_OF_KERAS else module
    return None


def is_ours(description: Mapping[str, Any]) -> bool:
    """Whether a description speaks of a class of Keras or of this package, not of a user's own."""
    module = description.get("module")
    if module is None:
        return True
    return isinstance(module, str) and module.partition(".")[0] in ("keras", "minicnn")
