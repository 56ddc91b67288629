"""The part of HDF5 that weights files need: groups of arrays, written by h5py, read by this file.

The reader knows what h5py writes for Keras and for us, and refuses everything else: a link that
leads elsewhere, a datatype that is no number, storage that is not one piece of this file. It looks
at nothing that it has not found to lie inside the file, goes to no place twice, and hands out
arrays only where the sizes that are declared agree with the bytes that are there. So no file can
make it allocate memory, loop, or read from another one.

    superblock -> root group -> B-tree -> symbol nodes -> header of each group or array

Source: HDF5 File Format Specification 3.0, versions 0 of the superblock and 1 of object headers,
B-trees and groups.
"""

from __future__ import annotations

import hashlib
import io
import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.saving.errors import SavedFileError

Array = NDArray[Any]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
UNDEFINED = 2**64 - 1  # an address that leads nowhere
MOST_AXES = 32
DEEPEST = 64  # groups inside groups, and levels of a B-tree

# messages of an object header, by their numbers
NIL, DATASPACE, DATATYPE, OLD_FILL, FILL, LAYOUT, ATTRIBUTE, COMMENT = 0, 1, 3, 4, 5, 8, 12, 13
OLD_TIME, CONTINUATION, SYMBOLS, TIME = 14, 16, 17, 18
KNOWN = {NIL, DATASPACE, DATATYPE, OLD_FILL, FILL, LAYOUT, ATTRIBUTE, COMMENT}
KNOWN |= {OLD_TIME, CONTINUATION, SYMBOLS, TIME}
REFUSED = {
    6: "a link that may lead elsewhere",
    7: "storage in other files",
    11: "a filter, such as compression",
}

# the attributes of the root that hold the digest; Keras looks at neither
DIGESTS = ((), ("vars",))
DIGEST = "minicnn_sha256"


class Stored(NamedTuple):
    """An array in the file: what is declared of it, and where it lies."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Content:
    """What an HDF5 file holds: arrays by their paths, which are read when they are asked for."""

    def __init__(self, file: memoryview, stored: dict[str, Stored]) -> None:
        self._file, self.stored = file, stored

    def __contains__(self, path: str) -> bool:
        return path in self.stored

    def __getitem__(self, path: str) -> Array:
        one = self.stored[path]
        values = np.frombuffer(self._file, one.dtype, one.size, one.start)
        return values.reshape(one.shape)

    def under(self, group: str) -> dict[str, Stored]:
        """The arrays inside a group, by their paths from there."""
        prefix = f"{group}/"
        return {
            path[len(prefix) :]: one for path, one in self.stored.items() if path.startswith(prefix)
        }


# -- writing --------------------------------------------------------------------------------------


def written(groups: Mapping[str, str | None], arrays: Mapping[str, Array]) -> bytes:
    """A file with these groups, by path and with the attribute `name` that Keras gives them, and
    these arrays, by path."""
    import h5py

    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for path, name in groups.items():
            group = file.require_group(path)
            if name is not None:
                try:
                    group.attrs["name"] = name
                except ValueError as error:
                    raise ValueError(
                        "save: expected names that a file can hold, without zero bytes and halves "
                        f"of surrogate pairs, received {checks.shown(name)}. Give another name"
                    ) from error
        for path, array in arrays.items():
            file[path] = array
        digest = np.bytes_(digest_of(arrays))
        for place in DIGESTS:
            file.require_group("/" + "/".join(place)).attrs[DIGEST] = digest
    return memory.getvalue()


def digest_of(arrays: Mapping[str, Array]) -> str:
    """SHA-256 over names, shapes, types and bytes of all arrays, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(arrays):
        array = np.asarray(arrays[path], order="C")
        digest.update(f"{path} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


# -- reading --------------------------------------------------------------------------------------


def read(file: bytes | memoryview) -> Content:
    """The arrays of a file. Raises SavedFileError for anything that h5py does not write for Keras,
    and where the digest, if there is one, is not that of the arrays."""
    return _Reader(memoryview(file)).content()


def _type_table() -> dict[bytes, np.dtype[Any]]:
    """The numbers that weights are stored as, by the bytes of their datatype message."""
    table: dict[bytes, np.dtype[Any]] = {}
    floats = ((2, 10, 5, 15), (4, 23, 8, 127), (8, 52, 11, 1023))
    for size, mantissa, exponent, bias in floats:
        bits = 8 * size
        properties = struct.pack("<HHBBBBI", 0, bits, mantissa, exponent, 0, mantissa, bias)
        head = struct.pack("<B3BI", 0x11, 0x20, bits - 1, 0, size)
        table[head + properties] = np.dtype(f"<f{size}")
    for size in (1, 2, 4, 8):
        for signed, letter in ((8, "i"), (0, "u")):
            head = struct.pack("<B3BI", 0x10, signed, 0, 0, size)
            table[head + struct.pack("<HH", 0, 8 * size)] = np.dtype(f"<{letter}{size}")
    return table


TYPES = _type_table()


class _Reader:
    def __init__(self, file: memoryview) -> None:
        self.file = file
        self.seen: set[int] = set()  # addresses of headers and nodes
        self.stored: dict[str, Stored] = {}
        self.digests: list[str] = []
        self.held = 0  # bytes of all arrays
        self.messages = 0

    def content(self) -> Content:
        try:
            root = self._superblock()
            self._group(root, (), 0)
        except struct.error as error:
            raise SavedFileError("the HDF5 part ends too early") from error
        if self.held > len(self.file):
            raise SavedFileError("arrays of the HDF5 part lie on top of each other")
        content = Content(self.file, self.stored)
        if self.digests:
            arrays = {path: content[path] for path in self.stored}
            if self.digests != [digest_of(arrays)] * len(DIGESTS):
                raise SavedFileError("the weights are not those that were saved (SHA-256 differs)")
        return content

    # -- pieces of the file -----------------------------------------------------------------------

    def _bytes(self, start: int, size: int) -> memoryview:
        if start < 0 or size < 0 or start + size > len(self.file):
            raise SavedFileError("the HDF5 part refers to a place outside of the file")
        return self.file[start : start + size]

    def _unpack(self, form: str, start: int) -> tuple[Any, ...]:
        return struct.unpack(form, self._bytes(start, struct.calcsize(form)))

    def _signed(self, start: int, signature: bytes) -> None:
        if start in self.seen:
            raise SavedFileError("the HDF5 part refers to one place twice")
        self.seen.add(start)
        if self._bytes(start, len(signature)) != signature:
            raise SavedFileError(f"expected {signature.decode('latin1')} in the HDF5 part")

    def _superblock(self) -> int:
        """The address of the root's header."""
        if len(self.file) < 96 or self.file[:8] != SIGNATURE:
            raise SavedFileError("expected a file of HDF5")
        versions = self._unpack("<8B", 8)
        if versions != (0, 0, 0, 0, 0, 8, 8, 0):
            raise SavedFileError(
                "expected HDF5 as h5py writes it by default (superblock 0, addresses of 8 bytes)"
            )
        base, free_space, end, driver = self._unpack("<4Q", 24)
        if (base, free_space, driver) != (0, UNDEFINED, UNDEFINED) or end != len(self.file):
            raise SavedFileError("the HDF5 part is not as long as it says")
        _, header, cache = self._unpack("<QQI", 56)
        if cache > 1:
            raise SavedFileError("the HDF5 part has a link that may lead elsewhere")
        return int(header)

    # -- objects ----------------------------------------------------------------------------------

    def _object(self, header: int, place: tuple[str, ...], depth: int) -> None:
        messages = self._messages(header)
        kinds = {kind for kind, _ in messages}
        if SYMBOLS in kinds:
            self._members(messages, place, depth)
        elif {DATASPACE, DATATYPE, LAYOUT} <= kinds:
            self._array(messages, place)
        else:
            raise SavedFileError(f"{'/'.join(place)} is neither a group nor an array")

    def _group(self, header: int, place: tuple[str, ...], depth: int) -> None:
        messages = self._messages(header)
        if SYMBOLS not in {kind for kind, _ in messages}:
            raise SavedFileError("the root of the HDF5 part is no group")
        self._members(messages, place, depth)

    def _messages(self, header: int) -> list[tuple[int, memoryview]]:
        """Kind and content of each message of an object's header."""
        if header in self.seen:
            raise SavedFileError("the HDF5 part has two links to one object")
        self.seen.add(header)
        version, reserved, count, _, size = self._unpack("<BBHII", header)
        if (version, reserved) != (1, 0):
            raise SavedFileError("the HDF5 part has a header that h5py does not write by default")
        found: list[tuple[int, memoryview]] = []
        blocks = [(header + 16, size)]
        taken = 0
        while blocks:
            start, size = blocks.pop(0)
            block, at = self._bytes(start, size), 0
            while at + 8 <= size and taken < count:
                kind, length, flags, *_ = struct.unpack("<HHB3B", block[at : at + 8])
                at, taken = at + 8, taken + 1
                self.messages += 1
                if 8 * self.messages > len(self.file):  # each has a head of 8 bytes
                    raise SavedFileError("headers of the HDF5 part lie on top of each other")
                if length % 8 or at + length > size:
                    raise SavedFileError("the HDF5 part has a message of a wrong length")
                content = block[at : at + length]
                at += length
                if kind in REFUSED:
                    raise SavedFileError(f"the HDF5 part has {REFUSED[kind]}, which is refused")
                if kind not in KNOWN or flags & 2:
                    raise SavedFileError(f"the HDF5 part has a message of the kind {kind}")
                if kind == CONTINUATION:
                    more, length = struct.unpack("<QQ", content[:16])
                    if more in self.seen:
                        raise SavedFileError("the HDF5 part refers to one place twice")
                    self.seen.add(more)
                    blocks.append((more, length))
                found.append((kind, content))
        if taken != count:
            raise SavedFileError("the HDF5 part has a header that ends too early")
        return found

    def _members(
        self, messages: list[tuple[int, memoryview]], place: tuple[str, ...], depth: int
    ) -> None:
        if depth > DEEPEST:
            raise SavedFileError(f"the HDF5 part has more than {DEEPEST} groups inside each other")
        tables = [content for kind, content in messages if kind == SYMBOLS]
        if len(tables) != 1:
            raise SavedFileError("the HDF5 part has a group with several tables")
        tree, heap = struct.unpack("<QQ", tables[0][:16])
        names = self._heap(heap)
        for kind, content in messages:
            if kind == ATTRIBUTE and place in DIGESTS:
                self._attribute(content)
        for name, header in self._links(tree, names, 0):
            self._object(header, (*place, name), depth + 1)

    def _heap(self, start: int) -> memoryview:
        """The names of a group's members."""
        self._signed(start, b"HEAP")
        version, size, _, data = self._unpack("<B3xQQQ", start + 4)
        if version != 0:
            raise SavedFileError("the HDF5 part has a heap of another version")
        return self._bytes(data, size)

    def _links(self, node: int, names: memoryview, level: int) -> list[tuple[str, int]]:
        """Name and header of each member below a node of a B-tree."""
        if level > DEEPEST:
            raise SavedFileError("the HDF5 part has a tree that is too deep")
        if bytes(self._bytes(node, 4)) == b"SNOD":
            return self._symbols(node, names)
        self._signed(node, b"TREE")
        kind, _, used = self._unpack("<BBH", node + 4)
        if kind != 0:
            raise SavedFileError("the HDF5 part has a tree of another kind")
        children = self._unpack("<" + "QQ" * used, node + 24)[1::2]
        return [link for child in children for link in self._links(child, names, level + 1)]

    def _symbols(self, node: int, names: memoryview) -> list[tuple[str, int]]:
        self._signed(node, b"SNOD")
        version, _, count = self._unpack("<BBH", node + 4)
        if version != 1:
            raise SavedFileError("the HDF5 part has a node of another version")
        links = []
        for k in range(count):
            offset, header, cache = self._unpack("<QQI", node + 8 + 40 * k)
            if cache > 1:
                raise SavedFileError("the HDF5 part has a link that may lead elsewhere")
            rest = bytes(names[offset : offset + 1024])
            name, end, _ = rest.partition(b"\0")
            if not name or not end or b"/" in name:
                raise SavedFileError("the HDF5 part has a member without a name")
            try:
                links.append((name.decode(), int(header)))
            except UnicodeDecodeError as error:
                raise SavedFileError("the HDF5 part has a name that is no text") from error
        return links

    # -- arrays and attributes --------------------------------------------------------------------

    def _array(self, messages: list[tuple[int, memoryview]], place: tuple[str, ...]) -> None:
        path = "/".join(place)
        found: dict[int, memoryview] = {}
        for kind, content in messages:
            if kind in (DATASPACE, DATATYPE, LAYOUT) and kind in found:
                raise SavedFileError(f"{path} is declared twice")
            found[kind] = content
        shape, dtype = self._shape(found[DATASPACE], path), self._dtype(found[DATATYPE], path)
        version, layout = found[LAYOUT][:2]
        if (version, layout) != (3, 1):
            raise SavedFileError(f"{path} is not stored as one piece of this file")
        start, size = struct.unpack("<QQ", found[LAYOUT][2:18])
        if size != math.prod(shape) * dtype.itemsize:
            raise SavedFileError(f"{path} has another size than its shape {shape} says")
        if size:
            self._bytes(start, size)
        self.held += size
        if path in self.stored:
            raise SavedFileError(f"{path} is there twice")
        self.stored[path] = Stored(shape, dtype, start if size else 0)

    def _shape(self, message: memoryview, path: str) -> tuple[int, ...]:
        version, axes, flags = message[:3]
        if version != 1 or axes > MOST_AXES or flags & ~1:
            raise SavedFileError(f"{path} has no shape that an array of weights can have")
        return tuple(int(n) for n in struct.unpack(f"<{axes}Q", message[8 : 8 + 8 * axes]))

    def _dtype(self, message: memoryview, path: str) -> np.dtype[Any]:
        for encoded, dtype in TYPES.items():
            if message[: len(encoded)] == encoded:
                return dtype
        raise SavedFileError(f"{path} does not hold numbers as Keras stores them")

    def _attribute(self, message: memoryview) -> None:
        """Keep the digest; other attributes do not matter."""
        version, _, name_size, type_size, space_size = struct.unpack("<BBHHH", message[:8])
        name = bytes(message[8 : 8 + name_size]).rstrip(b"\0")
        if name != DIGEST.encode():
            return
        if version != 1:
            raise SavedFileError("the digest is an attribute of another version")
        at = 8 + sum(-(-size // 8) * 8 for size in (name_size, type_size, space_size))
        self.digests.append(bytes(message[at : at + 64]).decode("ascii", "replace"))
