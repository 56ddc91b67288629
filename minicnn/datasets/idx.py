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
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

UINT8 = 0x0800
GZIP = b"\x1f\x8b"
CHUNK = 1 << 16


class DatasetCorrupt(ValueError):
    """A data file is there, but it does not hold what it should."""


def parse_idx(
    data: bytes, shape: Sequence[int | None], *, source: str = "idx data"
) -> NDArray[np.uint8]:
    """The array that the idx file `data`, packed by gzip or not, holds.

    Parameters
    ----------
    data
        The bytes of the whole file.
    shape
        The expected shape; None stands for any length from 1 on. (None, 28, 28) are images of
        28x28 pixels, (None,) labels.
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

    Examples
    --------
    Three labels: magic 2049, one axis of length 3, then the labels.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 7]), shape=(None,))
    array([9, 0, 7], dtype=uint8)
    """
    content = _unpack(data, source)
    fields = 1 + len(shape)
    header = 4 * fields
    if len(content) < header:
        raise DatasetCorrupt(
            f"{source}: expected an idx header of {header} bytes, received {len(content)} bytes"
        )
    magic, *lengths = struct.unpack_from(f">{fields}I", content)
    if magic != UINT8 + len(shape):
        raise DatasetCorrupt(
            f"{source}: expected magic number {UINT8 + len(shape)} (uint8, axes: {len(shape)}), "
            f"received {magic}"
        )
    fits = all(got > 0 and want in (None, got) for want, got in zip(shape, lengths, strict=True))
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise DatasetCorrupt(f"{source}: expected shape ({wanted}), received {tuple(lengths)}")
    size, received = math.prod(lengths), len(content) - header
    if received != size:
        product = " x ".join(map(str, lengths))
        raise DatasetCorrupt(
            f"{source}: expected a payload of {product} = {size} bytes, as its header says, "
            f"received {received}"
        )
    # Over a bytearray, unlike over bytes, the array is writable without a copy.
    return np.frombuffer(content, np.uint8, offset=header).reshape(lengths)


def verify(data: bytes, sha256: str, source: str) -> None:
    """Raise DatasetCorrupt, with the probable reason, unless `data` has that SHA-256."""
    received = hashlib.sha256(data).hexdigest()
    if received == sha256:
        return
    hashes = f"expected SHA-256 {sha256}, received {received}"
    try:
        _unpack(data, source)
    except DatasetCorrupt as error:
        raise DatasetCorrupt(f"{error} ({hashes})") from None
    raise DatasetCorrupt(
        f"{source}: {hashes}. The file is damaged, or it is another one: MNIST's digits go by the "
        "same names"
    )


def _unpack(data: bytes, source: str) -> bytearray:
    """The content of the file `data`, unpacked where it is gzip; refuses what cannot be idx."""
    if not data:
        raise DatasetCorrupt(f"{source}: expected an idx file, received an empty file")
    content = _gunzip(data, source) if data.startswith(GZIP) else bytearray(data)
    start = content[:1024].lower()
    if b"<html" in start or b"<!doctype html" in start:
        raise DatasetCorrupt(
            f"{source}: expected an idx file, but this is an HTML page: the server sent a login, "
            "an error or a preview instead of the data"
        )
    return content


def _gunzip(data: bytes, source: str) -> bytearray:
    """Unpack exactly one gzip member.

    The gzip module would take an empty file for no data, and a second member for more of it.
    """
    inflater = zlib.decompressobj(wbits=31)  # 31: the format of gzip, whose CRC-32 zlib checks
    content = bytearray()
    packed = memoryview(data)
    try:
        for start in range(0, len(packed), CHUNK):  # in pieces: one unpacked copy, never two
            content += inflater.decompress(packed[start : start + CHUNK])
    except zlib.error as error:
        raise DatasetCorrupt(
            f"{source}: expected a sound gzip file, received one with damaged bytes ({error})"
        ) from None
    if not inflater.eof:
        raise DatasetCorrupt(
            f"{source}: expected a whole gzip file, received one cut after {len(data)} bytes"
        )
    if inflater.unused_data:
        raise DatasetCorrupt(
            f"{source}: expected one gzip member and nothing else, received "
            f"{len(inflater.unused_data)} more bytes after its end"
        )
    return content
