"""Names of layers and models that were given none: Keras's automatic ones."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

_names: dict[str, Iterator[int]] = {}


def unique_name(class_name: str) -> str:
    """Keras's automatic names, counted through the whole process.

    >>> unique_name("MyOwnLayer2D"), unique_name("MyOwnLayer2D")
    ('my_own_layer2d', 'my_own_layer2d_1')
    """
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name)
    snake = re.sub(r"_(\d*)_?D$", r"\1D", snake).lower()
    count = next(_names.setdefault(snake, itertools.count()))  # without a lock: forks may hold it
    return f"{snake}_{count}" if count else snake
