"""The state of a `fit` as JSON: numbers, strings, lists, dicts, and arrays with all their bits."""

from __future__ import annotations

import base64
import json
from collections import deque
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.saving import json_text
from minicnn.saving.errors import SavedFileError

ARRAY = "array of"  # the key that an array is known by
KIND = "kind"  # and what else JSON has no form for
KINDS: dict[str, type] = {"tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}


def encoded(state: Any) -> bytes:
    """Raises TypeError for a state that holds anything else, ValueError for one that is too deep or
    of too many parts to be read."""
    content = json.dumps(_plain(state)).encode()  # NaN and infinity are written as JavaScript does
    try:
        json_text.expect_few_brackets(content)
    except SavedFileError as error:
        raise ValueError(f"fit: the states of callbacks cannot be kept: {error}") from error
    return content


def decoded(content: bytes | memoryview) -> Any:
    """What was encoded. Raises SavedFileError for anything else."""
    json_text.expect_few_brackets(bytes(content))
    try:
        return json.loads(bytes(content), object_hook=_object)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise SavedFileError(f"its state of the training is damaged: {error}") from error


def _plain(value: Any) -> Any:
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {key: _plain(one) for key, one in value.items()}
    if type(value) is list:
        return [_plain(one) for one in value]
    if type(value) is dict:
        return {KIND: "dict", "items": [[_plain(key), _plain(one)] for key, one in value.items()]}
    if type(value) in KINDS.values():
        kind = type(value).__name__
        return {KIND: kind, "items": [_plain(one) for one in value],
                "most": getattr(value, "maxlen", None)}  # fmt: skip
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        array = np.asarray(value)
        bits = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
        if isinstance(value, np.generic):
            return {KIND: "number", "items": [_plain(array)]}
        return {ARRAY: array.dtype.str, "shape": list(array.shape), "bits": bits}
    raise TypeError(
        "fit: expected the states of callbacks to be numbers, strings, arrays, lists and dicts, "
        f"received {checks.shown(value)}. Define get_state and set_state"
    )


def _object(value: dict[str, Any]) -> Any:
    if value.get(KIND) == "dict" and "items" in value:
        return dict(value["items"])
    if value.get(KIND) == "number" and "items" in value:
        return value["items"][0][()]
    if value.get(KIND) == "deque" and "items" in value:
        return deque(value["items"], value["most"])
    if value.get(KIND) in KINDS and "items" in value:
        return KINDS[value[KIND]](value["items"])
    if ARRAY not in value:
        return value
    dtype = np.dtype(value[ARRAY])
    if dtype.kind not in "biuf":
        raise ValueError(f"an array of {dtype}")
    bits = base64.b64decode(value["bits"], validate=True)
    return np.frombuffer(bits, dtype).reshape(value["shape"]).copy()
