"""What a pickle of plain data says, read without running anything.

A pickle is a program: it may name any function and call it. CIFAR's batches, which Python 2 wrote,
need a small part of that language, and this is an interpreter of that part alone. Strings, numbers,
lists, tuples and dicts are built here; the three names of NumPy by which an array of bytes is
written stand for marks, none of which is looked up or called. All else is refused.

Opcodes: Python's `pickletools`, https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.datasets.idx import DatasetCorrupt

NAMES = {
    b"numpy.core.multiarray _reconstruct": "_reconstruct",
    b"numpy._core.multiarray _reconstruct": "_reconstruct",
    b"numpy ndarray": "ndarray",
    b"numpy dtype": "dtype",
}
CONSTANTS = {"N": None, chr(0x88): True, chr(0x89): False}
SIZED = {"K": "<B", "M": "<H", "J": "<i"}  # integers
STRINGS = {"U": "<B", "T": "<i", "X": "<I"}  # behind their lengths
PUTS, GETS = {"q": "<B", "r": "<I"}, {"h": "<B", "j": "<I"}
TUPLES = {chr(0x85): 1, chr(0x86): 2, chr(0x87): 3}
LONG1, PROTO = chr(0x8A), chr(0x80)


class Name:
    """A name in the pickle, which stays one."""

    def __init__(self, name: str) -> None:
        self.name = name


class Bytes:
    """An array of bytes, or (empty so far) the type of its elements."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: NDArray[np.uint8] | None = None


MARK = Name("(")


def read(data: bytes, source: str) -> dict[Any, Any]:
    """The dict that the pickle `data` says: its strings as bytes, long ones as memoryviews, arrays
    of uint8 as arrays.

    Raises DatasetCorrupt, with `source` in its message, for all but plain data.
    """
    try:
        found = _Reader(data).result()
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise DatasetCorrupt(
            f"{source}: expected a pickle of plain data, received another or a damaged one "
            f"({error}). It was read without being run"
        ) from None
    if not isinstance(found, dict):
        raise DatasetCorrupt(f"{source}: expected a pickled dict, received {type(found).__name__}")
    return {key: v.values if isinstance(v, Bytes) else v for key, v in found.items()}


class _Reader:
    """A stack, a memo and a place in the bytes: a pickle's whole machine."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = memoryview(data), 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        while True:
            code = chr(self._number("<B"))
            if code == ".":
                return self.stack.pop()
            self._do(code)

    def _do(self, code: str) -> None:
        stack = self.stack
        if code in SIZED:
            stack.append(self._number(SIZED[code]))
        elif code in STRINGS:
            text = self._taken(self._number(STRINGS[code]))
            stack.append(bytes(text) if len(text) < 256 else text)
        elif code in PUTS:
            self.memo[self._number(PUTS[code])] = stack[-1]
        elif code in GETS:
            stack.append(self.memo[self._number(GETS[code])])
        elif code in CONSTANTS:
            stack.append(CONSTANTS[code])
        elif code == "I":  # a number as text; 00 and 01 are False and True
            line = self._line()
            stack.append(line == b"01" if line in (b"00", b"01") else int(line))
        elif code == LONG1:
            stack.append(int.from_bytes(self._taken(self._number("<B")), "little", signed=True))
        elif code in TUPLES:
            items = [stack.pop() for _ in range(TUPLES[code])]
            stack.append(tuple(reversed(items)))
        elif code in "])}":
            stack.append({"]": list, ")": tuple, "}": dict}[code]())
        elif code == "(":
            stack.append(MARK)
        elif code in "ta":
            items = self._from_mark() if code == "t" else [stack.pop()]
            stack.append(tuple(items)) if code == "t" else self._list().extend(items)
        elif code == "e":
            items = self._from_mark()
            self._list().extend(items)
        elif code in "su":
            items = self._from_mark() if code == "u" else [stack.pop(), stack.pop()][::-1]
            self._dict().update(zip(items[::2], items[1::2], strict=True))
        elif code == "c":
            stack.append(Name(NAMES[self._line() + b" " + self._line()]))
        elif code == "R":
            self._reduce()
        elif code == "b":
            self._build()
        elif code == PROTO:
            self._number("<B")  # the protocol
        else:
            raise ValueError(f"opcode {code!r}")

    def _reduce(self) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, Name) or name.name not in ("_reconstruct", "dtype"):
            raise ValueError("a call of something else than NumPy's array")
        first = arguments[0]
        of_array = name.name == "_reconstruct" and getattr(first, "name", None) == "ndarray"
        of_type = name.name == "dtype" and first == b"u1"
        if not (of_array or of_type):
            raise ValueError("an array of something else than bytes")
        self.stack.append(Bytes(name.name))

    def _build(self) -> None:
        state, thing = self.stack.pop(), self.stack[-1]
        if not isinstance(thing, Bytes):
            raise ValueError("the state of something else than an array")
        if thing.name == "dtype":
            return  # its state says the order of the bytes in an element, which is one byte
        _, shape, kind, by_columns, content = state
        if not isinstance(kind, Bytes) or kind.name != "dtype":
            raise ValueError("an array without a type")
        values = np.frombuffer(content, np.uint8)
        thing.values = values.reshape(shape, order="F" if by_columns else "C")

    def _number(self, layout: str) -> int:
        (number,) = struct.unpack(layout, self._taken(struct.calcsize(layout)))
        return int(number)

    def _taken(self, n: int) -> memoryview:
        if not 0 <= n <= len(self.data) - self.place:
            raise ValueError("it ends too early")
        self.place += n
        return self.data[self.place - n : self.place]

    def _line(self) -> bytes:
        line = bytes(self.data[self.place : self.place + 256]).partition(b"\n")[0]
        self.place += len(line) + 1
        return line.rstrip(b"\r")

    def _from_mark(self) -> list[Any]:
        start = len(self.stack) - 1
        while self.stack[start] is not MARK:
            start -= 1
            if start < 0:
                raise ValueError("a mark is missing")
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def _list(self) -> list[Any]:
        if not isinstance(self.stack[-1], list):
            raise ValueError("items without a list")
        return self.stack[-1]

    def _dict(self) -> dict[Any, Any]:
        if not isinstance(self.stack[-1], dict):
            raise ValueError("entries without a dict")
        return self.stack[-1]
