"""Argument checks: every message says what was expected, what was received, and how to fix it.

A kernel never validates, so whatever reaches one has passed through here first.
`who` is the name of the caller as the user wrote it: "Conv2D 'conv2d_1'", "fit", "Adam".
"""

from __future__ import annotations

import itertools
import math
import numbers
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
T = TypeVar("T")

LONGEST = 300  # characters of a value in an error message
MOST_ITEMS = 100_000  # of a list of names: an iterator may have no end
MOST_AXES = 32  # of an array in every version of NumPy
LARGEST_SIZE = 2**31 - 1  # of an axis, a window or a stride: products of two still fit 64 bits


def integer(
    value: Any,
    name: str,
    who: str,
    *,
    minimum: int,
    maximum: int | None = None,
    wrong_type: type[Exception] = TypeError,
) -> int:
    """`value` as an int of at least `minimum` and, where one is given, at most `maximum`.

    Raises `wrong_type` for anything that is not a whole-number type, ValueError outside the two.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise wrong_type(
            f"{who}: expected {name} to be an integer >= {minimum}, "
            f"received {shown(value)} ({type(value).__name__})"
        )
    if value < minimum:
        raise ValueError(
            f"{who}: expected {name} to be an integer >= {minimum}, received {shown(value)}"
        )
    if maximum is not None and int(value) > maximum:
        raise ValueError(
            f"{who}: expected {name} to be an integer from {minimum} to {maximum}, "
            f"received {shown(value)}"
        )
    return int(value)


def size(value: Any, name: str, who: str, *, wrong_type: type[Exception] = TypeError) -> int:
    """`value` as the size of an axis, a window or a stride."""
    return integer(value, name, who, minimum=1, maximum=LARGEST_SIZE, wrong_type=wrong_type)


def seed(value: Any, name: str, who: str) -> int | None:
    """`value` as the seed of random numbers; None stands for numbers that are always new."""
    return None if value is None else integer(value, name, who, minimum=0)


def shown(value: Any) -> str:
    """`value` in an error message: short, and whatever it is.

    Python writes out thousands of digits, or refuses to, and a user's __repr__ may fail.
    """
    if isinstance(value, int) and value.bit_length() > 256:
        return f"{'-' if value < 0 else ''}2**{value.bit_length() - 1} or more"
    try:
        text = repr(value)
    except Exception:
        parts = ", ".join(map(shown, value)) if type(value) in (list, tuple) else ""
        text = f"{type(value).__name__}({parts})"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def path(value: Any, name: str, who: str, *, kind: str = "a path") -> str:
    """`value` as the text of a path, "~" replaced by the home folder; `kind` is what is expected.

    Raises TypeError unless it is a str, bytes or os.PathLike, ValueError for one that no file
    system can hold.
    """
    try:
        text = os.fsdecode(value)
    except Exception as error:  # of an object's own __fspath__, whatever it raises
        raise TypeError(f"{who}: expected {name} to be {kind}, received {shown(value)}") from error
    try:
        os.stat(text or "\0")
    except OSError:  # it is too long, or there is none: opening it will say so
        pass
    except ValueError as error:  # a zero byte, or a letter that the file system's encoding has not
        raise ValueError(
            f"{who}: expected {name} to be {kind}, received {shown(value)}, which no file system "
            "can hold"
        ) from error
    return os.path.expanduser(text)


def new_file(value: Any, who: str, endings: tuple[str, ...], example: str, more: str = "") -> Path:
    """The argument `path` as the absolute path of a file that can be written: its folder is there.

    `endings` are those it may have, `more` is said where it has another.
    """
    target = Path(os.path.abspath(path(value, "path", who, kind=f"a path such as {example}")))
    if target.suffix.lower() not in endings:
        raise ValueError(
            f"{who}: expected path to end in {' or '.join(endings)}, received "
            f"{shown(str(target))}.{more}"
        )
    if target.is_dir():
        raise ValueError(f"{who}: expected path to name a file, received the folder {target}")
    if not target.parent.is_dir():
        raise ValueError(
            f"{who}: expected path to lie in a folder that is there, received "
            f"{shown(str(target))}. Make it first: mkdir {target.parent}"
        )
    return target


def boolean(value: Any, name: str, who: str) -> bool:
    """`value` as True or False; a word such as "False" would be true to Python, and is refused."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{who}: expected {name} to be True or False, received {shown(value)}")
    return bool(value)


def pair(value: Any, name: str, who: str) -> tuple[int, int]:
    """`value` as two positive ints, height first; one int stands for both, as in Keras."""
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise ValueError(
                f"{who}: expected {name} to be one integer or two (height, width), "
                f"received {shown(value)}"
            )
        return size(value[0], name, who), size(value[1], name, who)
    side = size(value, name, who)
    return side, side


def real(
    value: Any,
    name: str,
    who: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """`value` as a finite float between `low` and `high` (each end open where asked)."""
    left = "(" if open_low or low == -math.inf else "["
    right = ")" if open_high or high == math.inf else "]"
    allowed = f"a number in {left}{low:g}, {high:g}{right}"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"{who}: expected {name} to be {allowed}, received {shown(value)} "
            f"({type(value).__name__})"
        )
    try:
        number = float(value)
    except OverflowError:  # an integer that is beyond all floats
        number = math.inf
    too_low = number <= low if open_low else number < low
    too_high = number >= high if open_high else number > high
    if not math.isfinite(number) or too_low or too_high:
        raise ValueError(f"{who}: expected {name} to be {allowed}, received {shown(value)}")
    return number


def text(value: Any, name: str, who: str) -> str:
    """`value`, if it is a string with something in it."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{who}: expected {name} to be a non-empty string, received {shown(value)}")
    return value


def shape(value: Any, name: str, who: str) -> tuple[int, ...]:
    """`value` as the shape of an array."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{who}: expected {name} to be a tuple, received {shown(value)}")
    return tuple(size(n, f"each size of {name}", who) for n in value)


def batch_shape(value: Any, name: str, who: str) -> tuple[Any, ...]:
    """`value` as the shape of a batch, its axis first; None stands for a size that is open."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(
            f"{who}: expected {name} to be a tuple, batch axis first, such as "
            f"(None, 28, 28, 1), received {shown(value)}"
        )
    if not value:
        raise ValueError(
            f"{who}: expected {name} to have a batch axis, received (). Write (None, ...)"
        )
    if len(value) > MOST_AXES:
        raise ValueError(
            f"{who}: expected {name} to have at most {MOST_AXES} axes, received {len(value)}"
        )
    for n in value:
        if n is not None:
            size(n, f"each size of {name} {shown(value)}", who)
    return tuple(value)


def one_of(value: Any, known: Iterable[str], name: str, who: str) -> str:
    """`value` in lower case, if it is among the `known` words."""
    known = sorted(known)
    if not isinstance(value, str) or value.lower() not in known:
        kind = TypeError if not isinstance(value, str) else ValueError
        raise kind(
            f"{who}: expected {name} to be one of {', '.join(known)}; received {shown(value)}"
        )
    return value.lower()


def expect_defaults(
    given: Mapping[str, Any],
    known: Mapping[str, tuple[Any, ...]],
    who: str,
    instead: Mapping[str, str] | None = None,
) -> None:
    """Accept the arguments that only Keras has at the values that change nothing.

    Raises ValueError for another value of a `known` argument, TypeError for an unknown one, with
    what to write `instead` of it where that is given.
    """
    for name, value in given.items():
        if name not in known:
            advice = f". {instead[name]}" if instead and name in instead else ""
            raise TypeError(f"{who} got an unexpected keyword argument {shown(name)}{advice}")
        if not any(_is_the_same(value, allowed) for allowed in known[name]):
            allowed = " or ".join(repr(allowed) for allowed in known[name])
            raise ValueError(f"{who}: {name} can only be {allowed} here, received {shown(value)}")


def _is_the_same(value: Any, allowed: Any) -> bool:
    """Whether they are equal and of one kind, as 1 and True are not; `value` may be anything."""
    if isinstance(allowed, tuple):
        same_length = isinstance(value, (list, tuple)) and len(value) == len(allowed)
        return same_length and all(map(_is_the_same, value, allowed))
    if allowed is None or value is None:
        return value is allowed
    booleans = [isinstance(one, (bool, np.bool_)) for one in (value, allowed)]
    kinds: dict[type, Any] = {
        bool: (bool, np.bool_),
        int: numbers.Integral,
        float: numbers.Real,
        str: str,
    }
    return len(set(booleans)) == 1 and isinstance(value, kinds[type(allowed)]) and value == allowed


def lookup(value: str, known: Mapping[str, T], name: str, who: str) -> T:
    """The entry of `known` that the name `value` stands for, upper and lower case alike."""
    return known[one_of(value, known, name, who)]


def listed(value: Any, name: str, who: str, *, most: int = MOST_ITEMS) -> list[Any]:
    """`value` as a list of at most `most` items. A text is none, nor what has keys or no order."""
    if isinstance(value, Iterable) and not isinstance(value, _NO_LISTS):
        try:
            items = list(itertools.islice(value, most + 1))
        except Exception:  # an array without axes, an object's own errors
            pass
        else:
            if len(items) > most:
                raise ValueError(f"{who}: expected at most {most:,} {name}, received more")
            return items
    raise TypeError(f"{who}: expected {name} to be a list, received {shown(value)}")


_NO_LISTS = (str, bytes, bytearray, memoryview, Mapping, set, frozenset)


def texts(value: Any, name: str, who: str, *, most: int = MOST_ITEMS) -> list[str]:
    """`value` as a list of text; numbers are written out."""
    written = []
    for item in listed(value, name, who, most=most):
        try:
            text = str(item) if isinstance(item, (str, numbers.Number, np.bool_)) else None
        except Exception:  # Python writes out no more than thousands of digits
            text = None
        if text is None:
            raise TypeError(
                f"{who}: expected {name} to be a list of text, received one with {shown(item)}"
            )
        written.append(text)
    return written


def in_other_words(error: str, library: str, words: str) -> str:
    """An error, and what `library` says there: people search for the words that they know."""
    return f"{error}. In {library}'s words: {words}"


def numeric(value: Any, name: str, who: str) -> Array:
    """`value` as a NumPy array of real numbers, without a copy where it already is one.

    Raises TypeError for object, string and complex arrays (a ragged list is an object array), and
    for arrays with masked numbers, which would come back to life.
    """
    if np.ma.is_masked(value):
        raise TypeError(
            f"{who}: expected {name} without masked numbers, received a masked array that hides "
            f"{int(np.ma.getmaskarray(value).sum())} of them. Say what stands in their place: "
            f"{name}.filled(0)"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:  # NumPy refuses ragged nested lists
        raise TypeError(
            f"{who}: expected {name} to be an array of numbers, received a ragged sequence. "
            "Give all rows the same length."
        ) from error
    except Exception as error:  # of the object's own __array__
        raise TypeError(
            f"{who}: expected {name} to be an array of numbers, received {shown(value)}, of which "
            f"NumPy makes none: {error}"
        ) from error
    if array.dtype.kind not in "buif":
        raise TypeError(
            f"{who}: expected {name} to be an array of real numbers, received dtype {array.dtype}. "
            f"Convert it first: np.asarray({name}, dtype='float32')"
        )
    return array


def _in_turn(check: Callable[[int], None], starts: Iterable[int]) -> None:
    for start in starts:
        check(start)


def all_finite(array: Array) -> bool:
    """Whether every number is finite.

    A finite sum of squares says so in a third of the time that looking at each takes.
    """
    with np.errstate(over="ignore"):
        return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())


def finite(
    array: Array,
    name: str,
    who: str,
    *,
    dtype: Any = None,
    run: Callable[[Callable[[int], None], Iterable[int]], Any] = _in_turn,
    places: Array | None = None,
) -> None:
    """Refuse NaN and infinity, and numbers that the float type `dtype` cannot hold, if given.

    Messages say where; by `places`, if these rows of a larger array were taken.
    Reads as many rows at a time as the cache holds; `run(check, starts)` calls `check` for each
    of these portions.
    """
    if array.dtype.kind != "f":
        return
    narrower = dtype is not None and np.dtype(dtype).itemsize < array.dtype.itemsize
    few = array.size < 10_000 and array.flags.c_contiguous  # an image: the rest takes longer
    if few and not narrower and all_finite(array.reshape(-1)):
        return
    limit = float(np.finfo(dtype if narrower else array.dtype).max)
    array = np.atleast_1d(array)
    rows = max(1, 100_000 * len(array) // max(1, array.size))

    def check(start: int) -> None:
        part = array[start : start + rows]
        if narrower and part.size and -limit <= part.min() and part.max() <= limit:  # no NaN either
            return
        good = np.isfinite(part)
        if narrower:
            good &= (part >= -limit) & (part <= limit)
        if good.all():
            return
        index = tuple(int(i) for i in np.argwhere(~good)[0])
        where = (index[0] + start, *index[1:])
        value = array[where]
        if places is not None:
            where = (int(places[where[0]]), *where[1:])
        if np.isfinite(value):
            raise ValueError(
                f"{who}: expected {name} to fit into {np.dtype(dtype)}, whose largest number "
                f"is {limit:.2g}, received {value} at index {list(where)}. Scale the data, or "
                "give the layers dtype='float64'"
            )
        raise ValueError(
            f"{who}: expected {name} to be finite, received {value} at index "
            f"{list(where)}. Clean the data first, e.g. np.nan_to_num({name.split()[0]})"
        )

    run(check, range(0, len(array), rows))


def factors(array: Array, n: int, name: str, who: str) -> None:
    """Refuse anything but one finite number of at least 0 for each of `n` samples."""
    if array.shape != (n,):
        raise ValueError(f"{who}: expected {name} of shape ({n},), received {array.shape}")
    not_negative(array, name, who)


def not_negative(array: Array, name: str, who: str) -> None:
    """Refuse anything but finite numbers of at least 0."""
    finite(array, name, who)
    if array.size and array.min() < 0:
        at = np.unravel_index(array.argmin(), array.shape)
        where = f" at index {[int(i) for i in at]}" if at else ""
        raise ValueError(
            f"{who}: expected {name} of at least 0, received {array[at]}{where}. "
            "A negative factor has the model unlearn the sample; leave it out with 0"
        )


def same_length(arrays: Mapping[str, Array], who: str) -> int:
    """The common number of samples of all `arrays` (the first axis)."""
    for name, array in arrays.items():
        if getattr(array, "ndim", 1) == 0:
            raise ValueError(f"{who}: expected {name} to be an array, received a single number")
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) != 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(
            f"{who}: expected the same number of samples in each array, received {listed}. "
            "Data cardinality is ambiguous: make all arrays the same length"
        )
    return next(iter(sizes.values()))
