"""Names of layers and models that were given none: Keras's automatic ones."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

_names: dict[str, Iterator[int]] = {}


def snake_case(class_name: str) -> str:
    """Keras's rule.

    >>> snake_case("MyOwnLayer2D"), snake_case("Conv2DTranspose"), snake_case("RMSNormalization")
    ('my_own_layer2d', 'conv2d_transpose', 'rms_normalization')
    """
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def unique_name(class_name: str) -> str:
    """Keras's automatic names, counted through the whole process.

    >>> unique_name("MyOwnLayer2D"), unique_name("MyOwnLayer2D")
    ('my_own_layer2d', 'my_own_layer2d_1')
    """
    snake = snake_case(class_name)
    count = next(_names.setdefault(snake, itertools.count()))  # without a lock: forks may hold it
    return f"{snake}_{count}" if count else snake


def reset() -> None:
    """Count from the start again."""
    _names.clear()
