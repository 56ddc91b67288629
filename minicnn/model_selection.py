"""Cut arrays into a training and a test part, sample for sample as scikit-learn does."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks

Indices = NDArray[np.int64]
RandomSource = np.random.RandomState | np.random.Generator

_WHO = "train_test_split"


def train_test_split(
    *arrays: Any,
    test_size: float | None = None,
    train_size: float | None = None,
    random_state: int | RandomSource | None = None,
    shuffle: bool = True,
    stratify: Any = None,
) -> list[Any]:
    """Split every array along its first axis into a training and a test part.

    The same `random_state` gives the same split as scikit-learn's function of this name, order
    included: one permutation of the samples, its head for the test, what follows for training.
    The parts are copies, and the only ones made.

    Parameters
    ----------
    *arrays : arrays, lists or data frames, all of one length N
        A list, tuple or range comes back as lists, a data frame as data frames, anything else
        as NumPy arrays.
    test_size, train_size : float or int, optional
        A float in (0, 1) is a share of the samples, an int a count. A test share is rounded
        up, a training share down. The one left out takes what the other leaves; with neither,
        a quarter is for the test.
    random_state : int, RandomState or Generator, optional
        None draws fresh randomness. NumPy's global random state is neither read nor changed.
    shuffle : bool
        False keeps the order: the first samples train, the next ones test.
    stratify : array of shape (N,), optional
        Class labels. Both parts then keep the shares of the classes, as nearly as whole
        samples can.

    Returns
    -------
    list
        ``[train, test]`` of the first array, then of the second, and so on.

    Raises
    ------
    ValueError
        Arrays of different lengths; a size outside its range; sizes that together exceed N;
        no sample left to train on; `stratify` without shuffling, with a class of one sample,
        or with more classes than a part has samples.
    TypeError
        A scalar in the place of an array; a size, seed or `shuffle` of another type.

    Examples
    --------
    >>> X, y = np.arange(10).reshape(5, 2), ["a", "b", "c", "d", "e"]
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, random_state=42)
    >>> X_train
    array([[4, 5],
           [0, 1],
           [6, 7]])
    >>> y_train, y_test
    (['c', 'a', 'd'], ['b', 'e'])
    """
    n_samples = _common_length(arrays)
    n_train, n_test = _part_sizes(n_samples, test_size, train_size)
    if not isinstance(shuffle, (bool, np.bool_)):
        raise TypeError(f"{_WHO}: expected shuffle to be True or False, received {shuffle!r}")

    if stratify is not None:
        if not shuffle:
            raise ValueError(
                f"{_WHO}: expected stratify=None with shuffle=False, received labels. "
                "A stratified split is a shuffled one: leave one of the two arguments out"
            )
        labels = _stratify_labels(stratify, n_samples)
        train, test = _stratified_parts(labels, n_train, n_test, _random_source(random_state))
    elif shuffle:
        order = _random_source(random_state).permutation(n_samples)
        test, train = order[:n_test], order[n_test : n_test + n_train]
    else:
        train, test = np.arange(n_train), np.arange(n_train, n_train + n_test)

    return [_take(array, part) for array in arrays for part in (train, test)]


def _common_length(arrays: tuple[Any, ...]) -> int:
    """The number of samples that all `arrays` have."""
    if not arrays:
        raise ValueError(f"{_WHO}: expected at least one array, received none")
    for array in arrays:
        is_list = isinstance(array, Sequence) and not isinstance(array, (str, bytes))
        if not is_list and np.ndim(array) == 0:
            raise TypeError(
                f"{_WHO}: expected arrays or lists, received {array!r} ({type(array).__name__}). "
                "Sizes and seeds go by name: test_size=0.2, random_state=42"
            )
    return checks.same_length({f"array {i}": array for i, array in enumerate(arrays, 1)}, _WHO)


def _part_sizes(
    n_samples: int, test_size: float | None, train_size: float | None
) -> tuple[int, int]:
    """How many samples train and how many test."""
    if n_samples < 2:
        raise ValueError(f"{_WHO}: expected at least 2 samples to split, received {n_samples}")
    if test_size is None and train_size is None:
        test_size = 0.25

    if train_size is None:
        n_test = _count(test_size, "test_size", n_samples, math.ceil)
        n_train = n_samples - n_test
    elif test_size is None:
        n_train = _count(train_size, "train_size", n_samples, math.floor)
        n_test = n_samples - n_train
    else:
        n_test = _count(test_size, "test_size", n_samples, math.ceil)
        n_train = _count(train_size, "train_size", n_samples, math.floor)
        # Two shares may exceed 1 and still round to counts that fit.
        both_shares = test_size < 1 and train_size < 1
        if n_train + n_test > n_samples or (both_shares and test_size + train_size > 1):
            raise ValueError(
                f"{_WHO}: expected test_size and train_size together to be at most all "
                f"{n_samples} samples, received {test_size} and {train_size}. Reduce one of them"
            )

    if n_train == 0:
        raise ValueError(
            f"{_WHO}: expected at least 1 sample to train on, received test_size={test_size} and "
            f"train_size={train_size} for {n_samples} samples, which leaves none. "
            "Give more samples or a smaller test_size"
        )
    return n_train, n_test


def _count(size: Any, name: str, n_samples: int, rounding: Callable[[Any], int]) -> int:
    """A share in (0, 1) or a count in [1, n_samples - 1] as a count."""
    expected = (
        f"{_WHO}: expected {name} to be a share in (0, 1) or a count from 1 to {n_samples - 1}"
    )
    is_number = isinstance(size, numbers.Real) and not isinstance(size, (bool, np.bool_))
    if not is_number:
        raise TypeError(f"{expected}, received {size!r} ({type(size).__name__})")
    is_count = isinstance(size, numbers.Integral)
    if not (1 <= size < n_samples if is_count else 0 < size < 1):
        raise ValueError(f"{expected}, received {size!r}")
    if is_count:
        return int(size)
    # Not through float(): a float32 share of 0.2 would be 0.200000003, rounded up to one more.
    return rounding(size * n_samples)


def _random_source(random_state: Any) -> RandomSource:
    """The generator that `random_state` stands for."""
    if isinstance(random_state, (np.random.RandomState, np.random.Generator)):
        return random_state
    if random_state is None:
        return np.random.RandomState()
    # RandomState and not default_rng: its stream is the one scikit-learn's splits come from.
    seed = checks.integer(random_state, "random_state", _WHO, minimum=0)
    if seed >= 2**32:
        raise ValueError(f"{_WHO}: expected random_state to be below 2**32, received {seed}")
    return np.random.RandomState(seed)


def _stratify_labels(stratify: Any, n_samples: int) -> NDArray[Any]:
    """`stratify` as an array of shape (N,)."""
    labels = np.asarray(stratify)
    if labels.ndim != 1:
        raise ValueError(
            f"{_WHO}: expected stratify to be class labels of shape ({n_samples},), received "
            f"shape {labels.shape}. For (N, 1) use labels.ravel(), for one-hot rows "
            "np.argmax(labels, axis=1)"
        )
    if len(labels) != n_samples:
        raise ValueError(
            f"{_WHO}: expected one label in stratify for each of the {n_samples} samples, "
            f"received {len(labels)}"
        )
    checks.finite(labels, "stratify", _WHO)
    return labels


def _stratified_parts(
    labels: NDArray[Any], n_train: int, n_test: int, rng: RandomSource
) -> tuple[Indices, Indices]:
    """Indices of both parts, each with the classes' shares; the draws in scikit-learn's order."""
    classes, class_of_sample, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if sizes.min() < 2:
        raise ValueError(
            f"{_WHO}: expected at least 2 samples of every class in stratify, received 1 of "
            f"{classes[sizes < 2].tolist()}. Drop these samples or leave stratify out"
        )
    if min(n_train, n_test) < len(classes):
        raise ValueError(
            f"{_WHO}: expected room for all {len(classes)} classes of stratify in both parts, "
            f"received {n_train} samples to train and {n_test} to test. "
            "Change test_size or leave stratify out"
        )

    train_sizes = _apportion(sizes, n_train, rng)
    test_sizes = _apportion(sizes - train_sizes, n_test, rng)

    by_class = np.split(np.argsort(class_of_sample, kind="stable"), np.cumsum(sizes)[:-1])
    train, test = [], []
    for members, of_train, of_test in zip(by_class, train_sizes, test_sizes, strict=True):
        shuffled = members[rng.permutation(len(members))]
        train.append(shuffled[:of_train])
        test.append(shuffled[of_train : of_train + of_test])
    # So far the parts run class by class.
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def _apportion(sizes: Indices, seats: int, rng: RandomSource) -> Indices:
    """Divide `seats` among classes in proportion to `sizes`, largest remainders first.

    Classes of one remainder that compete for the last seats draw lots.
    """
    exact = sizes / sizes.sum() * seats
    given = np.floor(exact)
    remainders = exact - given
    left = int(seats - given.sum())
    for remainder in np.unique(remainders)[::-1]:
        if left == 0:
            break
        tied = np.flatnonzero(remainders == remainder)
        # Drawn even where all of them get a seat: the stream must advance as scikit-learn's does.
        winners = rng.choice(tied, size=min(len(tied), left), replace=False)
        given[winners] += 1
        left -= len(winners)
    counts: Indices = given.astype(np.int64)
    return counts


def _take(array: Any, part: Indices) -> Any:
    """The samples `part` of `array`, in that order."""
    if hasattr(array, "iloc"):  # a data frame or a series: [] would look for labels
        return array.iloc[part]
    if isinstance(array, Sequence):
        return [array[i] for i in part]
    return np.asanyarray(array)[part]
