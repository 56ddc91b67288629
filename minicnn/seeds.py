"""Where every random number comes from: one root, from which each user draws a generator.

The root is fresh entropy until `set_random_seed` fixes it. Nothing here, nor anything else in the
package, reads or changes NumPy's global random state, save `set_random_seed`, which is asked to.
"""

from __future__ import annotations

import random
import threading

import numpy as np

from minicnn import checks

_lock = threading.Lock()
_root = np.random.SeedSequence()


def new_generator() -> np.random.Generator:
    """A generator of its own stream; the n-th after `set_random_seed(s)` is always the same."""
    with _lock:
        (child,) = _root.spawn(1)
    return np.random.default_rng(child)


def set_random_seed(seed: int) -> None:
    """Make all that follows repeatable: seeds Python, NumPy's global state and minicnn.

    Parameters
    ----------
    seed : int in [0, 2^32)

    Raises
    ------
    TypeError, ValueError
        If `seed` is not such an integer.
    """
    global _root
    seed = checks.integer(seed, "seed", "set_random_seed", minimum=0)
    if seed >= 2**32:
        raise ValueError(f"set_random_seed: expected seed below 2**32, received {seed}")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  Keras's function of this name seeds it too
    with _lock:
        _root = np.random.SeedSequence(seed)
