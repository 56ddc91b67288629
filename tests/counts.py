"""How many cases a test tries: all in a run of the slow tests, and fewer in the quick one."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings

QUICK, FULL = 6, 200  # examples of a test that says nothing else; the profiles in conftest.py


def is_full() -> bool:
    """Whether this is a run with the full counts."""
    return settings.default.max_examples == FULL


def draws(full: int, quick: int | None = None) -> settings:
    """A decorator: how many examples hypothesis draws, in the full run and in the quick one."""
    if is_full():
        return settings(max_examples=full)
    return settings(max_examples=min(full, quick or QUICK))


def and_slow(quick: Iterable[Any], slow: Iterable[Any], mark: str = "slow") -> list[Any]:
    """Values for `parametrize`: those of the quick run, and more that are slow."""
    more = (one if isinstance(one, tuple) else (one,) for one in slow)
    return [*quick, *(pytest.param(*one, marks=getattr(pytest.mark, mark)) for one in more)]


def some_and_all(some: int, every: int) -> Any:
    """Parametrizes `seeds` twice: the first few, and the others, which are slow."""
    others = pytest.param(range(some, every), marks=pytest.mark.slow, id="all")
    return pytest.mark.parametrize("seeds", [pytest.param(range(some), id="some"), others])
