"""A file is replaced as a whole or not at all.

    .model.keras.a1b2c3d4.part    written, flushed and synced beside the target; of a long name, a
                                  digest instead, since file systems limit the length of names
    model.keras                   the old file until `os.replace`, the new one from then on

A process that is killed leaves its `.part` behind, unlocked; the next one that writes to the same
path removes it. One that is being written is locked, and left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path

from minicnn.engine import ranks

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]


LONGEST = 100  # bytes of a file's name that its part bears, too


def write(path: Path, content: bytes | bytearray | memoryview) -> None:
    """Put `content` where `path` points to, links followed.

    Raises OSError where the folder cannot be written to, or the disk is full: the old file is then
    whole, and nothing new lies beside it. Of several processes that work together rank 0 writes.
    """
    if ranks.group().rank:
        return
    target = Path(os.path.realpath(path))
    expect_replaceable(target)
    clear(target)
    try:
        _replace(target, content)
    except OSError as error:  # of the part, whose name says nothing to the user
        raise OSError(error.errno, error.strerror, str(target)) from error
    _sync_folder(target.parent)


def _replace(target: Path, content: bytes | bytearray | memoryview) -> None:
    descriptor, part = new_part(target)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            left = memoryview(content).cast("B")
            while left:
                left = left[file.write(left) :]
            if target.exists():
                os.chmod(part, stat.S_IMODE(target.stat().st_mode))
            os.fsync(descriptor)
            if fcntl is None:
                file.close()
            os.replace(part, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def expect_replaceable(target: Path) -> None:
    """Raise OSError if something other than a file is there."""
    if target.is_dir():
        raise IsADirectoryError(f"expected the path of a file, received a folder: {target}")
    if target.exists() and not target.is_file():
        raise OSError(f"expected the path of a file, received a device or the like: {target}")


def clear(target: Path) -> None:
    """Remove what killed processes have left of this file."""
    for part in target.parent.glob(f".{_escaped(_stem(target))}.*.part"):
        with contextlib.suppress(OSError):
            descriptor = os.open(part, os.O_RDWR)
            try:
                if fcntl is not None:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(part)
            finally:
                os.close(descriptor)
            if fcntl is None:
                os.unlink(part)


def _stem(target: Path) -> str:
    """What the names of its parts begin with."""
    name = os.fsencode(target.name)
    return target.name if len(name) <= LONGEST else hashlib.sha256(name).hexdigest()


def _escaped(name: str) -> str:
    """A name in which `glob` sees no pattern."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def new_part(target: Path) -> tuple[int, Path]:
    """A new file beside the target, open and locked."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        part = target.with_name(f".{_stem(target)}.{secrets.token_hex(4)}.part")
        descriptor = os.open(part, flags, 0o666)
        if fcntl is None:
            return descriptor, part
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return descriptor, part
        except BlockingIOError:  # another process took it for a dead one's, and removes it
            pass
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """The new name survives a power failure, too, where the system can promise it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
