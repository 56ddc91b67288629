"""A `.keras` file: a zip archive whose members are stored, not compressed.

    metadata.json       Keras's version, the date, and ours
    config.json         layers and what compile chose (config.py)
    model.weights.h5    numbers (state.py, hdf5.py)
    run.json            where a `fit` was that is backed up (training/run.py); in backups alone
    minicnn.json        SHA-256 of the other members, and what Keras has no place for

Keras ignores the last two.

Nothing in a member is looked at before its checksum is verified.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Collection, Mapping

from minicnn.saving.errors import SavedFileError

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
RUN, PRIVATE = "run.json", "minicnn.json"
KNOWN = (METADATA, CONFIG, WEIGHTS, RUN, PRIVATE)

MOST_MEMBERS = 1000
LONGEST_DIRECTORY = 2**20  # bytes
END = struct.Struct("<4s4H2LH")  # a zip file's last record


def packed(members: Mapping[str, bytes]) -> bytes:
    """An archive of these members, in this order."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return memory.getvalue()


def sha256(members: Mapping[str, bytes | memoryview]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}


def unpacked(file: bytes) -> dict[str, memoryview]:
    """The members of a `.keras` file that are known here; others are ignored. See `members`."""
    found = members(file, KNOWN)
    return {name: found[name] for name in KNOWN if name in found}


def members(file: bytes, known: Collection[str] | None = None) -> dict[str, memoryview]:
    """The members of an archive, or the known ones of them, their checksums verified.

    Raises SavedFileError for an archive that is cut, compressed or encrypted, has a member twice,
    or says other sizes than it has.
    """
    count = _listed(file)
    found: dict[str, memoryview] = {}
    try:
        archive = zipfile.ZipFile(io.BytesIO(file))
    except (zipfile.BadZipFile, ValueError, struct.error) as error:
        raise SavedFileError(f"its list of members is damaged: {error}") from error
    with archive:
        listed = archive.infolist()
        if len(listed) != count or sum(member.file_size for member in listed) > len(file):
            raise SavedFileError("its list of members is damaged")
        for member in listed:
            if member.filename in found:
                raise SavedFileError(f"it has {member.filename} twice")
            if known is None or member.filename in known:
                found[member.filename] = _content(archive, member)
    return found


def expect_end(end: bytes) -> None:
    """Raise SavedFileError unless these are the last bytes of a zip archive."""
    if len(end) < END.size or end[:4] != b"PK\x05\x06":
        raise SavedFileError("it is no .keras file, which is a zip archive, or its end is missing")


def _listed(file: bytes) -> int:
    """How many members the archive has, before all of them are listed."""
    expect_end(file[-END.size :])
    _, disk, first_disk, here, count, size, start, comment = END.unpack(file[-END.size :])
    if (disk, first_disk, comment) != (0, 0, 0) or here != count:
        raise SavedFileError("its list of members is damaged")
    if count > MOST_MEMBERS or size > LONGEST_DIRECTORY:
        raise SavedFileError(f"it says that it has {count} members, and four are enough")
    if start + size + END.size != len(file):  # so there is no list of 64 bits either
        raise SavedFileError("its list of members is damaged")
    return int(count)


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> memoryview:
    name = member.filename
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & ~0x0808:
        raise SavedFileError(f"{name} is compressed or encrypted; Keras stores it plainly")
    if member.file_size != member.compress_size:
        raise SavedFileError(f"{name} has two sizes")
    try:
        return memoryview(archive.read(member))  # compares its CRC
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise SavedFileError(f"{name} is damaged: {error}") from error
