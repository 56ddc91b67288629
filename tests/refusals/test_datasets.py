"""Wrong arguments of the data sets' functions; damaged files: test_fashion_mnist.py."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_fashion_mnist import ANY_IMAGES, RAW

from minicnn.datasets import fashion_mnist, synthetic_fashion
from minicnn.datasets.idx import parse_idx, verify

HASH = "0" * 64
WRONG_CALLS = {
    "data: str": (lambda: parse_idx("labels", (None,)), TypeError, "data"),
    "data: path": (lambda: parse_idx(Path("x.gz"), (None,)), TypeError, "data"),
    "data: array": (lambda: parse_idx(np.zeros(9, np.uint8), (None,)), TypeError, "data"),
    "data: list": (lambda: parse_idx([0, 0, 8, 1], (None,)), TypeError, "data"),
    "data: None": (lambda: parse_idx(None, (None,)), TypeError, "data"),
    "data: memoryview": (lambda: parse_idx(memoryview(RAW), (None,)), TypeError, "data"),
    "shape: None": (lambda: parse_idx(RAW, None), TypeError, "shape"),
    "shape: int": (lambda: parse_idx(RAW, 5), TypeError, "shape"),
    "shape: str": (lambda: parse_idx(RAW, "5"), TypeError, "shape"),
    "shape: bytes": (lambda: parse_idx(RAW, b"555"), TypeError, "shape"),
    "shape: set": (lambda: parse_idx(RAW, {5, 28}), TypeError, "shape"),
    "shape: array": (lambda: parse_idx(RAW, np.array([5, 28, 28])), TypeError, "shape"),
    "shape: no axes": (lambda: parse_idx(RAW, ()), ValueError, "shape"),
    "shape: many axes": (lambda: parse_idx(RAW, [1] * 300), ValueError, "shape"),
    "shape: float": (lambda: parse_idx(RAW, (5.0, 28, 28)), TypeError, r"shape\[0\]"),
    "shape: bool": (lambda: parse_idx(RAW, (5, True, 28)), TypeError, r"shape\[1\]"),
    "shape: tuple": (lambda: parse_idx(RAW, (5, 28, (28,))), TypeError, r"shape\[2\]"),
    "shape: zero": (lambda: parse_idx(RAW, (0, 28, 28)), ValueError, r"shape\[0\]"),
    "shape: negative": (lambda: parse_idx(RAW, (-1, 28, 28)), ValueError, r"shape\[0\]"),
    "source: None": (lambda: parse_idx(RAW, ANY_IMAGES, source=None), TypeError, "source"),
    "source: path": (lambda: parse_idx(RAW, ANY_IMAGES, source=Path("x")), TypeError, "source"),
    "verify data: str": (lambda: verify("labels", HASH, "x"), TypeError, "data"),
    "verify data: None": (lambda: verify(None, HASH, "x"), TypeError, "data"),
    "verify data: array": (lambda: verify(np.zeros(9), HASH, "x"), TypeError, "data"),
    "sha256: bytes": (lambda: verify(RAW, HASH.encode(), "x"), TypeError, "sha256"),
    "sha256: None": (lambda: verify(RAW, None, "x"), TypeError, "sha256"),
    "sha256: hash": (lambda: verify(RAW, hashlib.sha256(RAW), "x"), TypeError, "sha256"),
    "sha256: short": (lambda: verify(RAW, HASH[1:], "x"), ValueError, "sha256"),
    "sha256: no digits": (lambda: verify(RAW, "x" * 64, "x"), ValueError, "sha256"),
    "verify source": (lambda: verify(RAW, HASH, 3), TypeError, "source"),
    "size: float": (lambda: verify(RAW, HASH, "x", size=1.5), TypeError, "size"),
    "size: negative": (lambda: verify(RAW, HASH, "x", size=-1), ValueError, "size"),
}


@pytest.mark.parametrize(("call", "kind", "name"), WRONG_CALLS.values(), ids=WRONG_CALLS.keys())
def test_arguments_of_another_type(call: Callable[[], object], kind: type, name: str) -> None:
    with pytest.raises(kind, match=f"^(parse_idx|verify): expected {name} to ") as caught:
        call()
    assert caught.type is kind  # DatasetCorrupt is a ValueError, too


@pytest.mark.parametrize("path", [3, 1.5, b"folder", ["folder"], True])
def test_path_of_another_type(path: object) -> None:
    message = f"expected path to be a str or os.PathLike .* received {re.escape(repr(path))}"
    with pytest.raises(TypeError, match=message):
        fashion_mnist.load_data(path)


@pytest.mark.parametrize("path", ["nul\0byte", "surrogate\ud800"])
def test_path_that_no_file_can_have(path: str) -> None:
    with pytest.raises(ValueError, match=r"load_data: expected path to name a folder, received '"):
        fashion_mnist.load_data(path)


def test_empty_path() -> None:
    with pytest.raises(ValueError, match=r"expected path to name a folder, received ''"):
        fashion_mnist.load_data("")


@pytest.mark.parametrize("name", ["n_train", "n_test", "seed"])
@pytest.mark.parametrize("value", [1.0, "10", None, True, [3]])
def test_sizes_and_seeds_have_to_be_integers(name, value):
    with pytest.raises(TypeError, match=rf"synthetic_fashion\.load_data.*{name}.*integer"):
        synthetic_fashion.load_data(**{"n_train": 10, "n_test": 10, name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("n_train", 0), ("n_train", -5), ("n_test", 0), ("seed", -1)]
)
def test_sizes_and_seeds_that_are_too_small_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name}.*received {value}"):
        synthetic_fashion.load_data(**{"n_train": 10, "n_test": 10, name: value})


@pytest.mark.parametrize("name", ["n_train", "n_test"])
@pytest.mark.parametrize("value", [2**31, 2**63, 10**5000], ids=["31", "63", "long"])
def test_sizes_beyond_int32_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"load_data: expected {name} to be an integer from 1 to"):
        synthetic_fashion.load_data(**{"n_train": 10, "n_test": 10, name: value})
