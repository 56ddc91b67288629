"""What a layer's docstring says of its formulas, and where it stands."""

from __future__ import annotations

import inspect
import itertools
import re
import textwrap
from functools import lru_cache
from pathlib import Path

from minicnn.subclasses import of_the_user


def lesson(cls: type) -> list[tuple[str, str]]:
    """Heading and text of what the docstring begins with, then of its sections on shapes, forward,
    backward and why, as they are written. The first one has no heading.

    >>> from minicnn.layers import Flatten
    >>> lesson(Flatten)[2]
    ('Forward', 'y = x, reshaped')
    """
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines()
    first = list(itertools.takewhile(bool, lines))
    found: list[tuple[str, list[str]]] = [("", first)] if first else []
    inside = False
    for line in lines[len(first) :]:
        heading = re.match(r"(Shapes|Forward|Backward)\b(?!:)", line)
        if line.startswith("Why:"):
            found.append(("Why", [line[4:].strip()]))
            inside = True
        elif heading:
            found.append((line, []))
            inside = True
        elif inside and found[-1][0] == "Why":
            inside = bool(line)  # it is one paragraph, and not indented
            found[-1][1].append(line)
        elif inside:
            inside = not line or line[0] == " "
            found[-1][1].extend([line] * inside)
    return [(head, _joined(head, text)) for head, text in found]


def _joined(head: str, text: list[str]) -> str:
    return (
        " ".join(text).strip()
        if head in ("", "Why")
        else textwrap.dedent("\n".join(text)).strip("\n")
    )


@lru_cache(128)
def _line(cls: type) -> int:
    """Of the file, which inspect parses as a whole to find it."""
    return inspect.getsourcelines(cls)[1]


def source(cls: type) -> str:
    """File and line of the class, from the package's name on: "minicnn/layers/conv.py:93".

    Of a user's class the file's name alone; "" where there is no source.
    """
    try:
        path = inspect.getsourcefile(cls)
        line = _line(cls)
    except (OSError, TypeError):  # defined at a prompt
        return ""
    if path is None:
        return ""
    if of_the_user(cls):
        return f"{Path(path).name}:{line}"
    return (
        f"{cls.__module__.replace('.', '/')}{'/__init__' * path.endswith('__init__.py')}.py:{line}"
    )
