"""Where every random number comes from: one root, from which each user draws a generator.

The root is fresh entropy until `set_random_seed` fixes it, and in a forked process fresh again, so
that workers do not all draw the same numbers. Nothing here, nor anything else in the
package, reads or changes NumPy's global random state, save `set_random_seed`, which is asked to.
"""

from __future__ import annotations

import os
import random
import threading
import weakref
from typing import Any

import numpy as np

from minicnn import checks

_lock = threading.Lock()
_root = np.random.SeedSequence()
_fixed = False  # by set_random_seed
_owners: weakref.WeakSet[Any] = weakref.WeakSet()  # of numbers drawn while nothing was fixed


def new_generator() -> np.random.Generator:
    """A generator with a new stream; the n-th after `set_random_seed(s)` is always the same."""
    with _lock:
        (child,) = _root.spawn(1)
    return np.random.default_rng(child)


def differ_after_fork(owner: Any) -> None:
    """Have `owner.reseed()` called in each forked process, unless a seed has been set."""
    if not _fixed:
        _owners.add(owner)


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
    global _root, _fixed
    seed = checks.integer(seed, "seed", "set_random_seed", minimum=0, maximum=2**32 - 1)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  Keras's function of this name seeds it too
    with _lock:
        _root, _fixed = np.random.SeedSequence(seed), True


def is_fixed() -> bool:
    """Whether `set_random_seed` has been called."""
    return _fixed


def _after_fork() -> None:
    """In the child: new entropy for the root, and for the models that the parent made without a
    seed and the child may build or train."""
    global _lock, _root
    _lock = threading.Lock()
    if not _fixed:
        _root = np.random.SeedSequence()
    for owner in _owners:
        owner.reseed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
