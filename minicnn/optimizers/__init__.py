"""How the gradient moves the parameters. `base.py` says what all optimizers do, and in which order.

optimizer = Adam(learning_rate=CosineDecay(0.001, 1000), clipnorm=1.0)
"""

from __future__ import annotations

import sys
from typing import Any

from minicnn import checks
from minicnn.optimizers import schedules
from minicnn.optimizers.adam import Adam, Adamax, AdamW, Lion, Nadam
from minicnn.optimizers.base import Optimizer
from minicnn.optimizers.rmsprop import Adadelta, Adagrad, RMSprop
from minicnn.optimizers.sgd import SGD
from minicnn.settings import restored

KNOWN: dict[str, type[Optimizer]] = {
    "adadelta": Adadelta,
    "adagrad": Adagrad,
    "adam": Adam,
    "adamax": Adamax,
    "adamw": AdamW,
    "lion": Lion,
    "nadam": Nadam,
    "rmsprop": RMSprop,
    "sgd": SGD,
}


def get(identifier: Any, who: str = "optimizers") -> Optimizer:
    """The optimizer of that name (in any case), class or object.

    {"class_name": ..., "config": ...} stands for the object that it describes.

    Raises ValueError for an unknown name (the message lists the known ones), TypeError for
    anything else.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return identifier()
    if isinstance(identifier, dict):
        return restored(identifier, KNOWN.values(), "optimizer", who)
    return checks.lookup(identifier, KNOWN, "optimizer", who)()


# Keras's modules that are this one: `from minicnn.optimizers.legacy import SGD`
legacy = sys.modules[__name__]
for _name in ("adam_v2", "gradient_descent_v2", "legacy", "rmsprop_v2"):
    sys.modules[f"{__name__}.{_name}"] = legacy

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "get",
    "schedules",
]
