"""train_test_split: stored splits, the rules of the sizes, and scikit-learn as the oracle."""

from __future__ import annotations

import re
import tracemalloc

import numpy as np
import pytest
from counts import draws
from hypothesis import given
from hypothesis import strategies as st

from minicnn.model_selection import train_test_split

TUTORIAL = {"test_size": 0.2, "random_state": 42}


def sklearn_split():
    return pytest.importorskip("sklearn.model_selection").train_test_split


# --- stored results: these fail without scikit-learn too


def test_the_tutorials_split_is_scikit_learns():
    index = np.arange(60000)
    train, test = train_test_split(index, **TUTORIAL)
    assert (train.shape, test.shape) == ((48000,), (12000,))
    assert test[:3].tolist() == [12628, 37730, 39991]
    assert train[:3].tolist() == [48572, 38696, 13611]
    assert np.array_equal(np.sort(np.concatenate([train, test])), index)


def test_small_stored_splits():
    assert train_test_split(range(5), test_size=0.33, random_state=42) == [[2, 0, 3], [1, 4]]
    assert train_test_split(range(5), shuffle=False) == [[0, 1, 2], [3, 4]]
    labels = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert train_test_split(range(12), test_size=5, random_state=0, stratify=labels) == [
        [8, 2, 1, 6, 11, 4, 10],
        [9, 5, 7, 0, 3],
    ]
    labels = np.arange(60000) % 10
    train, test = train_test_split(np.arange(60000), stratify=labels, **TUTORIAL)
    assert train[:5].tolist() == [50696, 26886, 28363, 38913, 53070]
    assert test[:5].tolist() == [37475, 1944, 12215, 30762, 43771]


def test_samples_stay_with_their_labels():
    X = np.arange(100 * 6, dtype=np.uint8).reshape(100, 2, 3) % 251
    y = np.arange(100)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=3)
    assert X_train.dtype == np.uint8
    assert X_test.shape == (25, 2, 3)
    assert np.array_equal(X_train, X[y_train])
    assert np.array_equal(X_test, X[y_test])


# --- scikit-learn, over many inputs


@st.composite
def sizes(draw, n):
    share = st.floats(0.001, 0.999)
    single = st.one_of(st.none(), share, st.integers(1, n))
    return draw(single), draw(single)


@st.composite
def calls(draw):
    n = draw(st.integers(1, 200))
    test_size, train_size = draw(sizes(n))
    return n, {
        "test_size": test_size,
        "train_size": train_size,
        "random_state": draw(st.integers(0, 2**32 - 1)),
        "shuffle": draw(st.booleans()),
    }


def both(ours, theirs, *arrays, **options):
    """Run both functions: the same results, or a ValueError from both, ours with their words."""
    try:
        expected = theirs(*arrays, **options)
    except ValueError as error:
        words = str(error)
        if words.startswith("The least populated"):  # the rest differs between versions
            words = "The minimum number of groups for any class cannot be less than 2."
        with pytest.raises(ValueError, match=re.escape(words)) as refused:
            ours(*arrays, **options)
        assert "train_test_split: expected " in str(refused.value)
        return
    for got, want in zip(ours(*arrays, **options), expected, strict=True):
        assert np.array_equal(got, want)
        assert type(got) is type(want)


@draws(100)
@given(calls())
def test_equals_scikit_learn(call):
    n, options = call
    both(train_test_split, sklearn_split(), np.arange(n), list(range(n)), **options)


@draws(100)
@given(st.integers(0, 9), st.data(), st.booleans(), st.booleans(), st.booleans())
def test_edge_sizes_equal_scikit_learns(n, data, shuffle, stratified, text):
    """Few samples or none, shares next to 0 and 1, counts up to beyond all samples."""
    shares = [1e-12, 0.5, 1 - 1e-12, 1 - 2**-53, 1 / max(n, 2), 1 - 1 / max(n, 2)]
    size = st.none() | st.sampled_from(shares) | st.integers(1, n + 2)
    options = {"test_size": data.draw(size), "train_size": data.draw(size), "shuffle": shuffle}
    if stratified:
        names = "abc" if text else [3, 1, 2]
        options["stratify"] = data.draw(st.lists(st.sampled_from(names), min_size=n, max_size=n))
    both(train_test_split, sklearn_split(), np.arange(n), list("x" * n), random_state=1, **options)


@draws(100)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=4), st.integers(1, 3))
def test_lengths_that_differ(lengths, length):
    both(train_test_split, sklearn_split(), *map(range, lengths), random_state=0)
    stratify = [0, 1] * length
    both(train_test_split, sklearn_split(), range(4), random_state=0, stratify=stratify)


def test_no_array_at_all():
    both(train_test_split, sklearn_split())


@draws(100)
@given(calls(), st.integers(1, 6), st.booleans())
def test_stratified_equals_scikit_learn(call, n_classes, text):
    n, options = call
    weights = np.arange(1.0, n_classes + 1)
    rng = np.random.default_rng(n)
    labels = rng.choice(n_classes, size=n, p=weights / weights.sum())
    if text:
        labels = np.array(list("badfec"))[labels]
    both(train_test_split, sklearn_split(), np.arange(n), stratify=labels, **options)


@draws(100)
@given(st.integers(8, 60), st.integers(2, 4), st.integers(0, 1000))
def test_balanced_classes_draw_lots_as_scikit_learn_does(per_class, n_classes, seed):
    labels = np.arange(per_class * n_classes) % n_classes
    options = {"test_size": 0.3, "train_size": 0.37, "random_state": seed, "stratify": labels}
    both(train_test_split, sklearn_split(), np.arange(len(labels)), **options)


def test_a_random_state_object_goes_on_where_it_stood():
    expected = sklearn_split()
    ours, theirs = np.random.RandomState(5), np.random.RandomState(5)
    for _ in range(2):
        parts = train_test_split(range(20), random_state=ours)
        assert parts == expected(range(20), random_state=theirs)


# --- properties


def test_a_float32_share_is_the_share_it_prints():
    train, test = train_test_split(range(60000), test_size=np.float32(0.2), random_state=0)
    assert (len(train), len(test)) == (48000, 12000)


def test_stratify_keeps_the_shares_of_the_classes():
    labels = np.repeat([0, 1, 2], [700, 200, 100])
    train, test = train_test_split(labels, test_size=0.1, random_state=1, stratify=labels)
    assert np.bincount(test).tolist() == [70, 20, 10]
    assert np.bincount(train).tolist() == [630, 180, 90]
    assert not np.array_equal(train, np.sort(train))


def test_no_seed_means_another_split_whatever_the_global_state():
    state = np.random.get_state()
    splits = [train_test_split(np.arange(1000))[0]]
    for after, before in zip(np.random.get_state(), state, strict=True):
        assert np.array_equal(after, before)
    splits.append(train_test_split(np.arange(1000))[0])
    assert not np.array_equal(*splits)


def test_a_generator_is_accepted():
    splits = [train_test_split(range(50), random_state=np.random.default_rng(7)) for _ in "ab"]
    assert splits[0] == splits[1]
    labels = np.arange(50) % 3
    train, test = train_test_split(
        range(50), random_state=np.random.default_rng(7), stratify=labels
    )
    assert sorted(train + test) == list(range(50))


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_parts_are_copies(shuffle):
    data = np.zeros((10, 2))
    for part in train_test_split(data, shuffle=shuffle, random_state=0):
        assert not np.shares_memory(part, data)
        part += 1
    assert not data.any()


def test_only_the_parts_are_allocated():
    data = np.zeros((20000, 28, 28), dtype=np.uint8)
    tracemalloc.start()
    parts = train_test_split(data, random_state=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(part.nbytes for part in parts) == data.nbytes
    assert peak < 1.05 * data.nbytes


def test_kinds_of_sequences():
    train, test = train_test_split(("a", "b", "c", "d"), random_state=0)
    assert isinstance(train, list)
    assert sorted(train + test) == ["a", "b", "c", "d"]

    class Frame:  # stands for pandas, which is not installed here
        def __init__(self, values):
            self.values = values
            self.iloc = values

        def __len__(self):
            return len(self.values)

        def __array__(self, dtype=None, copy=None):
            return np.asarray(self.values, dtype=dtype)

    column = np.arange(8)
    assert np.array_equal(
        train_test_split(Frame(column), random_state=0)[0],
        train_test_split(column, random_state=0)[0],
    )
    masked = np.ma.masked_equal(np.arange(8), 3)
    parts = train_test_split(masked, random_state=0)
    assert sum(part.mask.sum() for part in parts) == 1
