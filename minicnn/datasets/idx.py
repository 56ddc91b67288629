"""The idx file format, in which MNIST and its successors are published.

    magic     4 bytes: 0, 0, 8 (the elements are uint8), number of axes
    lengths   4 bytes for each axis, big-endian
    payload   the elements, the last axis fastest

So a file of images has the magic number 0x0803 = 2051 and a header of 16 bytes, a file of labels
0x0801 = 2049 and 8 bytes. The files usually come packed by gzip; both forms are read here.
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks

UINT8 = 0x0800
GZIP = b"\x1f\x8b"
CHUNK = 1 << 16
BEGINNING = 1 << 10  # bytes of content in which a header or an HTML page shows
SEARCHED = 1 << 26  # bytes of content that `verify` looks through; Fashion-MNIST has 47 MB
DENSEST = 1032  # bytes that one packed byte can stand for: deflate takes 2 bits for 258 bytes
MOST_AXES = 32  # of an array in NumPy 1
NO_SHAPES = (str, bytes, bytearray, memoryview)  # which are sequences, too


class DatasetCorrupt(ValueError):
    """A data file is there, but it does not hold what it should."""


def parse_idx(
    data: bytes, shape: Sequence[int | None], *, source: str = "idx data"
) -> NDArray[np.uint8]:
    """The array that the idx file `data`, packed by gzip or not, holds.

    However a file is packed, no more of it is unpacked than `shape` and the file's own header say.

    Parameters
    ----------
    data
        The bytes of the whole file.
    shape
        The expected shape; None stands for any length from 1 on. (None, 28, 28) are images of
        28x28 pixels, (None,) labels. Where the file comes from a stranger, name the lengths: they
        bound the memory that it can take.
    source
        What error messages call the file: its path or address.

    Returns
    -------
    uint8 array of that shape, writable.

    Raises
    ------
    DatasetCorrupt
        `data` is empty, cut, damaged, an HTML page, or of another magic number or shape; or the
        payload is shorter or longer than the header says.
    TypeError, ValueError
        `data` is not bytes or bytearray, `source` not a str, or `shape` not a sequence of 1 to 32
        positive integers or None.

    Examples
    --------
    Three labels: magic 2049, one axis of length 3, then the labels.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 7]), shape=(None,))
    array([9, 0, 7], dtype=uint8)
    """
    _check_file(data, source, "parse_idx")
    shape = _checked_shape(shape)
    beginning = _beginning(data, source)
    fields = 1 + len(shape)
    header = 4 * fields
    if len(beginning) < header:
        raise DatasetCorrupt(
            f"{source}: expected an idx header of {header} bytes, received {len(beginning)} bytes"
        )
    magic, *lengths = struct.unpack_from(f">{fields}I", beginning)
    if magic != UINT8 + len(shape):
        raise DatasetCorrupt(
            f"{source}: expected magic number {UINT8 + len(shape)} (uint8, axes: {len(shape)}), "
            f"received {magic}"
        )
    fits = all(got > 0 and want in (None, got) for want, got in zip(shape, lengths, strict=True))
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise DatasetCorrupt(f"{source}: expected shape ({wanted}), received {tuple(lengths)}")

    size = math.prod(lengths)
    product = " x ".join(map(str, lengths))
    expected = f"{source}: expected a payload of {product} = {size} bytes, as its header says"
    packed = data.startswith(GZIP)
    if packed and header + size > DENSEST * len(data):
        raise DatasetCorrupt(f"{expected}, received {len(data)} packed bytes, too few for as many")
    content = bytearray()  # grows with what comes, since a header can claim anything
    for piece in pieces(data, header + size + 1, source):
        content += piece
    received = (len(content) if packed else len(data)) - header
    if received != size:
        surplus = packed and received > size  # of which only the first byte was unpacked
        raise DatasetCorrupt(f"{expected}, received {'more' if surplus else received}")
    # Over a bytearray, unlike over bytes, the array is writable without a copy.
    return np.frombuffer(content, np.uint8, offset=header).reshape(lengths)


def verify(data: bytes, sha256: str, source: str, *, size: int | None = None) -> None:
    """Raise DatasetCorrupt, with the probable reason, unless `data` has that SHA-256.

    Parameters
    ----------
    data
        The bytes of the file. A caller that knows its size need not read more than one byte
        beyond it.
    sha256
        64 hexadecimal digits.
    source
        What error messages call the file: its path or address.
    size
        How many bytes the file should have, where that is known.

    Raises
    ------
    DatasetCorrupt
        `data` has another SHA-256. To find the reason, at most 64 MiB of it are unpacked, and
        none of it is kept.
    TypeError, ValueError
        An argument is of another type, or `sha256` is not such a number.
    """
    _check_file(data, source, "verify")
    if not isinstance(sha256, str):
        raise TypeError(
            f"verify: expected sha256 to be a str of 64 hexadecimal digits, received "
            f"{checks.shown(sha256)} ({type(sha256).__name__})"
        )
    if len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef"):
        raise ValueError(
            f"verify: expected sha256 to be 64 hexadecimal digits, received {checks.shown(sha256)}"
        )
    if size is not None:
        size = checks.integer(size, "size", "verify", minimum=0)
    received = hashlib.sha256(data).hexdigest()
    if received == sha256.lower():
        return
    whole = size is None or len(data) <= size
    hashes = f"expected SHA-256 {sha256}" + (
        f", received {received}" if whole else f" and {size} bytes, received more"
    )
    try:
        _beginning(data, source)
        if whole:
            for _ in pieces(data, SEARCHED, source):
                pass
    except DatasetCorrupt as error:
        raise DatasetCorrupt(f"{error} ({hashes})") from None
    twins = ": MNIST's digits and Fashion-MNIST's clothes go by the same names"
    raise DatasetCorrupt(
        f"{source}: {hashes}. The file is damaged, or it is another one"
        + (twins if "-ubyte" in source else "")
    )


def _check_file(data: Any, source: Any, who: str) -> None:
    if not isinstance(data, (bytes, bytearray)):
        raise TypeError(
            f"{who}: expected data to be the bytes of a file, received {type(data).__name__}. "
            "Read the file first: pathlib.Path(name).read_bytes()"
        )
    if not isinstance(source, str):
        raise TypeError(
            f"{who}: expected source to be a str, the file's path or address, received "
            f"{checks.shown(source)} ({type(source).__name__})"
        )


def _checked_shape(shape: Any) -> tuple[int | None, ...]:
    if not isinstance(shape, Sequence) or isinstance(shape, NO_SHAPES):
        raise TypeError(
            "parse_idx: expected shape to be a tuple of integers or None, such as (None, 28, 28), "
            f"received {checks.shown(shape)} ({type(shape).__name__})"
        )
    if not 1 <= len(shape) <= MOST_AXES:
        raise ValueError(
            f"parse_idx: expected shape to have 1 to {MOST_AXES} axes, received {len(shape)}"
        )
    return tuple(
        None if n is None else checks.size(n, f"shape[{axis}]", "parse_idx")
        for axis, n in enumerate(shape)
    )


def _beginning(data: bytes, source: str) -> bytes:
    """The first bytes of the content, unpacked; refuses what cannot be idx."""
    if not data:
        raise DatasetCorrupt(f"{source}: expected a data file, received an empty file")
    beginning = b"".join(pieces(data, BEGINNING, source))
    start = beginning.lower()
    if b"<html" in start or b"<!doctype html" in start:
        raise DatasetCorrupt(
            f"{source}: expected a data file, but this is an HTML page: the server sent a login, "
            "an error or a preview instead of the data"
        )
    return beginning


def pieces(data: bytes, limit: int, source: str) -> Iterator[bytes | memoryview]:
    """The first `limit` bytes of the content in pieces, unpacked where the file is gzip.

    Takes exactly one gzip member: the gzip module would take an empty file for no data, and a
    second member for more of it.
    """
    file = memoryview(data)
    if not data.startswith(GZIP):
        yield file[:limit]
        return
    inflater = zlib.decompressobj(wbits=31)  # 31: the format of gzip, whose CRC-32 zlib checks
    fed = 0
    while limit > 0 and not inflater.eof:
        packed: bytes | memoryview = inflater.unconsumed_tail
        if not packed:
            packed = file[fed : fed + CHUNK]
            fed += len(packed)
        try:
            piece = inflater.decompress(packed, min(limit, CHUNK))
        except zlib.error as error:
            raise DatasetCorrupt(
                f"{source}: expected a sound gzip file, received one with damaged bytes ({error})"
            ) from None
        if not piece and not packed:
            raise DatasetCorrupt(
                f"{source}: expected a whole gzip file, received one cut after {len(data)} bytes"
            )
        limit -= len(piece)
        yield piece
    surplus = len(inflater.unused_data) + len(file) - fed
    if inflater.eof and surplus:
        raise DatasetCorrupt(
            f"{source}: expected one gzip member and nothing else, received {surplus} more bytes "
            "after its end"
        )
