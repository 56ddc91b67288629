"""Cut arrays into a training and a test part, sample for sample as scikit-learn does."""

from __future__ import annotations

import contextlib
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
        A scalar in the place of an array; a size, seed or `shuffle` of another type; `stratify`
        with masked labels, or with labels that have no order.

    A ValueError that scikit-learn raises as well ends in scikit-learn's words.

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
        raise TypeError(
            f"{_WHO}: expected shuffle to be True or False, received {checks.shown(shuffle)}"
        )

    rng = _random_source(random_state)
    if stratify is not None:
        if not shuffle:
            raise _refused(
                "expected stratify=None with shuffle=False, received labels. "
                "A stratified split is a shuffled one: leave one of the two arguments out",
                "Stratified train/test split is not implemented for shuffle=False",
            )
        labels = _stratify_labels(stratify, n_samples)
        train, test = _stratified_parts(labels, n_train, n_test, rng)
    elif shuffle:
        order = rng.permutation(n_samples)
        test, train = order[:n_test], order[n_test : n_test + n_train]
    else:
        train, test = np.arange(n_train), np.arange(n_train, n_train + n_test)

    return [_take(array, part) for array in arrays for part in (train, test)]


def _refused(ours: str, theirs: str) -> ValueError:
    return ValueError(checks.in_other_words(f"{_WHO}: {ours}", "scikit-learn", theirs))


def _common_length(arrays: tuple[Any, ...]) -> int:
    """The number of samples that all `arrays` have."""
    if not arrays:
        raise _refused(
            "expected at least one array, received none", "At least one array required as input"
        )
    lengths = [_length(array) for array in arrays]
    if len(set(lengths)) > 1:
        listed = ", ".join(f"array {i} {length}" for i, length in enumerate(lengths[:20], 1))
        more = f" and {len(lengths) - 20:,} more" if len(lengths) > 20 else ""
        raise _refused(
            f"expected the same number of samples in each array, received {listed}{more}",
            f"Found input variables with inconsistent numbers of samples: {checks.shown(lengths)}",
        )
    return lengths[0]


def _length(array: Any) -> int:
    is_list = isinstance(array, Sequence) and not isinstance(array, (str, bytes))
    with contextlib.suppress(Exception):  # sparse matrices, endless ranges, an object's own errors
        if is_list or np.ndim(array) != 0:
            return len(array)
    raise TypeError(
        f"{_WHO}: expected arrays or lists, received {checks.shown(array)} "
        f"({type(array).__name__}). Sizes and seeds go by name: test_size=0.2, random_state=42"
    )


def _part_sizes(
    n_samples: int, test_size: float | None, train_size: float | None
) -> tuple[int, int]:
    """How many samples train and how many test."""
    if test_size is None and train_size is None:
        test_size = 0.25
    n_test = _count(test_size, "test_size", n_samples, math.ceil)
    n_train = _count(train_size, "train_size", n_samples, math.floor)

    few = f"expected at least 2 samples to split, received {n_samples}" if n_samples < 2 else ""
    if test_size is not None and train_size is not None:
        together = few or (
            "expected test_size and train_size together to be at most all "
            f"{n_samples} samples, received {test_size} and {train_size}. Reduce one of them"
        )
        # Two shares may exceed 1 and still round to counts that fit.
        if test_size < 1 and train_size < 1 and train_size + test_size > 1:
            raise _refused(
                together,
                f"The sum of test_size and train_size = {train_size + test_size}, should be in the "
                "(0, 1) range. Reduce test_size and/or train_size.",
            )
        if n_train + n_test > n_samples:
            raise _refused(
                together,
                f"The sum of train_size and test_size = {n_train + n_test}, should be smaller than "
                f"the number of samples {n_samples}. Reduce test_size and/or train_size.",
            )
    elif train_size is None:
        n_train = n_samples - n_test
    else:
        n_test = n_samples - n_train

    if n_train == 0:
        raise _refused(
            few
            or f"expected at least 1 sample to train on, received test_size={test_size} and "
            f"train_size={train_size} for {n_samples} samples, which leaves none. "
            "Give more samples or a smaller test_size",
            f"With n_samples={n_samples}, test_size={test_size} and train_size={train_size}, the "
            "resulting train set will be empty. Adjust any of the aforementioned parameters.",
        )
    return n_train, n_test


def _count(size: Any, name: str, n_samples: int, rounding: Callable[[Any], int]) -> int:
    """A share in (0, 1) or a count in [1, n_samples - 1] as a count; 0 for None."""
    if size is None:
        return 0
    expected = f"expected {name} to be a share in (0, 1) or a count from 1 to {n_samples - 1}"
    if n_samples < 2:
        expected = (
            f"expected at least 2 samples to split (there are {n_samples}), and {name} to be a "
            "share in (0, 1) or a smaller count"
        )
    is_number = isinstance(size, numbers.Real) and not isinstance(size, (bool, np.bool_))
    if not is_number:
        raise TypeError(
            f"{_WHO}: {expected}, received {checks.shown(size)} ({type(size).__name__})"
        )
    is_count = isinstance(size, numbers.Integral)
    if not (1 <= size < n_samples if is_count else 0 < size < 1):
        shown = checks.shown(int(size)) if is_count else f"{size}"
        raise _refused(
            f"{expected}, received {shown}",
            f"{name}={shown} should be either positive and smaller than the number of samples "
            f"{n_samples} or a float in the (0, 1) range",
        )
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
    seed = checks.integer(random_state, "random_state", _WHO, minimum=0, maximum=2**32 - 1)
    return np.random.RandomState(seed)


def _stratify_labels(stratify: Any, n_samples: int) -> NDArray[Any]:
    """`stratify` as an array of shape (N,)."""
    if np.ma.is_masked(stratify):
        raise TypeError(
            f"{_WHO}: expected stratify without masked labels, received {checks.shown(stratify)}"
        )
    try:
        labels = np.asarray(stratify)
    except ValueError as error:  # NumPy refuses ragged nested lists
        raise ValueError(
            f"{_WHO}: expected stratify to be class labels of shape ({n_samples},), received a "
            "ragged sequence"
        ) from error
    except Exception as error:  # of the object's own __array__
        raise TypeError(
            f"{_WHO}: expected stratify to be class labels, received {checks.shown(stratify)}, of "
            f"which NumPy makes no array: {error}"
        ) from error
    if labels.ndim != 1:
        raise ValueError(
            f"{_WHO}: expected stratify to be class labels of shape ({n_samples},), received "
            f"shape {labels.shape}. For (N, 1) use labels.ravel(), for one-hot rows "
            "np.argmax(labels, axis=1)"
        )
    if len(labels) != n_samples:
        raise _refused(
            f"expected one label in stratify for each of the {n_samples} samples, received "
            f"{len(labels)}",
            "Found input variables with inconsistent numbers of samples: "
            f"{[n_samples, len(labels)]}",
        )
    checks.finite(labels, "stratify", _WHO)
    if labels.dtype.kind == "O":
        try:
            np.unique(labels)
        except TypeError as error:
            raise TypeError(
                f"{_WHO}: expected stratify to be labels that can be sorted, all numbers or all "
                f"text, received dtype {labels.dtype}"
            ) from error
    return labels


def _stratified_parts(
    labels: NDArray[Any], n_train: int, n_test: int, rng: RandomSource
) -> tuple[Indices, Indices]:
    """Indices of both parts, each with the classes' shares; the draws in scikit-learn's order."""
    classes, class_of_sample, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if sizes.min() < 2:
        alone = checks.shown(classes[sizes < 2].tolist())
        raise _refused(
            f"expected at least 2 samples of every class in stratify, received 1 of {alone}. "
            "Drop these samples or leave stratify out",
            "The least populated classes in y have only 1 member, which is too few. The minimum "
            "number of groups for any class cannot be less than 2. Classes with too few members "
            f"are: {alone}",
        )
    if min(n_train, n_test) < len(classes):
        name, size = ("train", n_train) if n_train < len(classes) else ("test", n_test)
        raise _refused(
            f"expected room for all {len(classes)} classes of stratify in both parts, "
            f"received {n_train} samples to train and {n_test} to test. "
            "Change test_size or leave stratify out",
            f"The {name}_size = {size} should be greater or equal to the number of classes = "
            f"{len(classes)}",
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
