"""JSON within limits: what a file says has to be short, shallow and free of repeated keys."""

from __future__ import annotations

import json
import re
from typing import Any

from minicnn.saving.errors import SavedFileError

LONGEST = 2**22  # bytes of a config
MOST_BRACKETS = 100_000
DEEPEST = 100  # brackets inside each other
LONGEST_NUMBER = 400  # digits


def to_json(value: Any, **kwargs: Any) -> str:
    """The value as JSON, in the form that `kwargs` of `json.dumps` ask for."""
    text = json.dumps(value, allow_nan=False)
    parsed(text)  # what is written can be read
    return json.dumps(value, **{"allow_nan": False, **kwargs}) if kwargs else text


def parsed(text: str | bytes | memoryview) -> Any:
    """JSON, within limits. Raises SavedFileError for anything else."""
    raw = text.encode() if isinstance(text, str) else bytes(text[: LONGEST + 1])
    if len(raw) > LONGEST:
        raise SavedFileError(f"its configuration is longer than {LONGEST} bytes")
    expect_few_brackets(raw)
    try:
        return json.loads(
            raw.decode(),
            parse_int=_integer,
            parse_constant=_no_constant,
            object_pairs_hook=_once,
        )
    except (ValueError, RecursionError) as error:
        raise SavedFileError(f"its configuration is no JSON: {error}") from error


def expect_few_brackets(raw: bytes) -> None:
    """Raise SavedFileError for JSON of more lists and dicts, or deeper ones, than files need."""
    depth, opened, inside = 0, 0, False  # a string
    for found in re.finditer(rb'\\.|["\[{\]}]', raw, re.DOTALL):
        letter = found[0]
        inside ^= letter == b'"'
        if inside or letter not in (b"[", b"{", b"]", b"}"):
            continue
        depth += 1 if letter in b"[{" else -1
        opened += letter in b"[{"
        if opened > MOST_BRACKETS:
            raise SavedFileError(f"its configuration has more than {MOST_BRACKETS} lists and dicts")
        if depth > DEEPEST:
            raise SavedFileError(f"its configuration is nested more than {DEEPEST} levels deep")


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise SavedFileError(f"its configuration has a number of {len(digits)} digits")
    return int(digits)


def _no_constant(word: str) -> Any:
    raise SavedFileError(f"its configuration has {word} where a number belongs")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise SavedFileError("its configuration has a key twice")
    return found
