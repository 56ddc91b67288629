"""Published files, wherever a copy of them lies: the way by which every data set here comes.

A file is taken from the first place that has it:

1. the folder that the caller's `path` names, or else the environment variable MINICNN_DATA; of the
   latter the folder of the data set's own name, such as mnist, where there is one;
2. minicnn's cache: the user's cache folder, or the one that MINICNN_CACHE names;
3. what Keras or torchvision has downloaded before;
4. the official mirrors, from where it goes into the cache.

Nothing is used whose SHA-256 is not that of the published file, so it does not matter which place
a file came from. A damaged file in a folder that the user named is an error, in the cache it is
deleted, anywhere else it is passed over. The sizes of all files are known: no more is read from a
file or a mirror, and of a file only where it is a regular one.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from minicnn import checks, console
from minicnn.datasets.idx import DatasetCorrupt, verify

Place = tuple[str, Path]  # whose it is, and the folder
Found = tuple[bytes, str]  # the verified bytes, and the path or address that they are from
VARIABLE = "MINICNN_DATA"
TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces of the answer


class DatasetUnavailable(OSError):
    """A data set is neither on this machine nor to be had from the network."""


class Form(NamedTuple):
    """A form in which a file is found: packed or not, or under the name that another tool gives."""

    name: str
    size: int
    sha256: str


class Published(Protocol):
    """A published file; its first form is what the mirrors have and the cache keeps."""

    @property
    def forms(self) -> Sequence[Form]: ...


class Source(NamedTuple):
    """What the search has to know of a data set, beside its files."""

    who: str  # the caller, as the user wrote it
    title: str
    folder: str  # in the cache, and in a folder of several data sets
    keras: str  # below Keras's folder of data sets
    torchvision: str  # below the folder that its users name
    ways_out: str  # what to do where there are no files


class Search:
    """The search for a data set's files; it remembers where it has been."""

    def __init__(
        self,
        source: Source,
        named: Place | None,
        mirrors: Sequence[str],
        timeout: tuple[float, float],
    ) -> None:
        self.source, self.named = source, named
        self.mirrors, self.timeout = mirrors, timeout
        self.tried: list[str] = []

    def find(self, file: Published) -> Found:
        """The bytes of `file`, and where they are from."""
        found = self.on_disk(file) or self.from_mirror(file)
        if found is None:
            raise self.unavailable(file.forms[0].name)
        return found

    def on_disk(self, file: Published) -> Found | None:
        """From the first folder that has it, or None. Raises DatasetCorrupt where a folder that
        the user named has another file by that name."""
        for place in self._places():
            owner, folder = place
            path, form = held(file, folder)
            try:
                data = _read(path, form.size)
                verify(data, form.sha256, str(path), size=form.size)
            except (FileNotFoundError, NotADirectoryError):
                self.tried.append(f"{path} ({owner}): no such file")
            except OSError as error:
                self.tried.append(f"{path} ({owner}): cannot be read: {error.strerror}")
            except DatasetCorrupt as error:
                if place == self.named:
                    raise DatasetCorrupt(
                        f"{self.source.who}: {error}\n"
                        "minicnn deletes nothing in a folder that you named: replace the file, or "
                        f"delete it, and it is looked for elsewhere.\n{self.source.ways_out}"
                    ) from None
                self.tried.append(f"{error} ({owner})")
                if owner == "cache":
                    notice(f"{error}: deleting it from the cache")
                    _delete(path)
            else:
                return data, str(path)
        return None

    def from_mirror(self, file: Published) -> Found | None:
        """From the first mirror that has it, and into the cache; or None."""
        handled = sys.exc_info()[1]  # where load_data is called in the except clause of its caller
        form = file.forms[0]
        for mirror in self.mirrors:
            url = mirror + form.name
            try:
                data = _download(url, form.size, self.timeout)
                verify(data, form.sha256, url, size=form.size)
            except OSError as error:
                self.tried.append(f"{url}: {_innermost(error, handled)}")
            except DatasetCorrupt as error:
                self.tried.append(str(error))
            else:
                _keep(data, cache_folder(self.source.folder) / form.name)
                return data, url
        return None

    def unavailable(self, name: str) -> DatasetUnavailable:
        places = "\n".join(f"  - {line}" for line in self.tried)
        return DatasetUnavailable(
            f"{self.source.who}: expected {name} in one of these places, received it from none:\n"
            f"{places}\n{self.source.ways_out}"
        )

    def _places(self) -> Iterable[Place]:
        """The folders to look in, best first."""
        if self.named is not None:
            yield self.named
        yield "cache", cache_folder(self.source.folder)
        keras = os.environ.get("KERAS_HOME") or "~/.keras"
        yield "Keras", Path(os.path.expanduser(keras), "datasets", self.source.keras)
        # torchvision has no place by default: these are the roots that its users pass most
        for root in ("data", "~/data"):
            yield "torchvision", Path(os.path.expanduser(root), self.source.torchvision)


def named_folder(
    path: str | os.PathLike[str] | None, files: Sequence[Published], source: Source
) -> Place | None:
    """The folder that the user named, if any; says so once where it lacks a file.

    Raises TypeError or ValueError where `path` is no path, an empty one, or one that no file can
    have.
    """
    owner, name = "path", path
    if path is None:
        owner, name = VARIABLE, os.environ.get(VARIABLE)
        if not name:
            return None
    text: object = name
    if isinstance(name, os.PathLike):
        with contextlib.suppress(Exception):  # of an object's own __fspath__
            text = os.fspath(name)
    if not isinstance(text, str):
        raise TypeError(
            f"{source.who}: expected path to be a str or os.PathLike that names a "
            f"folder, received {checks.shown(path)} ({type(path).__name__})"
        )
    if not text:
        raise ValueError(
            f"{source.who}: expected path to name a folder, received ''. "
            "Leave it out, or pass '.' for the current folder"
        )
    representable = True
    try:
        os.stat(text)
    except ValueError:  # a zero byte, or a letter that the file system's encoding has not
        representable = False
    except OSError as error:
        representable = error.errno != errno.ENAMETOOLONG
    if not representable:
        raise ValueError(
            f"{source.who}: expected path to name a folder, received "
            f"{checks.shown(text)}, which no file system can hold"
        )
    folder = Path(os.path.expanduser(text))
    if owner == VARIABLE and os.path.isdir(folder / source.folder):
        folder = folder / source.folder
    missing = [file.forms[0].name for file in files if not os.path.exists(held(file, folder)[0])]
    if not os.path.isdir(folder):
        notice(f"{folder} ({owner}) is not a folder; looking for {source.title} elsewhere")
    elif missing:
        notice(f"{folder} ({owner}) lacks {', '.join(missing)}; looking elsewhere")
    return owner, folder


def cache_folder(name: str) -> Path:
    """The folder of that data set in minicnn's cache."""
    cache = os.environ.get("MINICNN_CACHE")
    if not cache:
        import platformdirs  # here: it slows `import minicnn` down

        cache = platformdirs.user_cache_dir("minicnn")
    return Path(os.path.expanduser(cache), name)


def held(file: Published, folder: Path) -> tuple[Path, Form]:
    """`file` in `folder`: the first of its forms that is there, or the first of them."""
    there = (form for form in file.forms if os.path.exists(folder / form.name))
    form = next(there, file.forms[0])
    return folder / form.name, form


def _read(path: Path, size: int) -> bytes:
    """The content of a regular file; of one that is too long, the first `size` + 1 bytes.

    A pipe or a device by that name would have us wait, or never end.
    """

    def check(status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    check(os.stat(path))  # opening a device can already act on it
    with open(path, "rb", opener=opener) as file:
        check(os.fstat(file.fileno()))  # what was opened may be another file by now
        return file.read(size + 1) or b""  # None where the system has the bytes only later


def _download(url: str, size: int, timeout: tuple[float, float]) -> bytes:
    """What `url` answers, held in memory; at most one byte more than `size`."""
    from tqdm import tqdm

    from minicnn.datasets.download import download  # here: it slows `import minicnn` down

    terminal = console.Output(sys.stderr).isatty()
    if not terminal:
        console.note(f"downloading {url} ({size / 1e3:,.0f} kB)")
    bar = {"total": size, "unit": "B", "unit_scale": True, "desc": url.rpartition("/")[2]}
    with tqdm(disable=not terminal, **bar) as progress:
        return download(url, size, timeout, progress.update)


def _keep(data: bytes, path: Path) -> None:
    """Write a cache file in one step: a reader, or a kill, never meets half of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="part-", dir=path.parent) as scratch:
            part = Path(scratch, path.name)
            part.write_bytes(data)
            os.replace(part, path)
    except OSError as error:
        notice(
            f"the cache {path.parent} cannot be written ({error.strerror}), so the download is not "
            "kept; set MINICNN_CACHE to a folder that can"
        )


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        notice(f"{path} cannot be deleted ({error.strerror})")


def _innermost(error: BaseException, handled: BaseException | None) -> str:
    """The error that began the chain, in one line; `handled` was there before and ends it.

    What requests raises for a refused connection wraps the reason three times over.
    """
    while error.__context__ not in (None, handled):
        error = error.__context__
    return f"{type(error).__name__}: {error}"


@functools.cache
def notice(text: str) -> None:
    """One line on standard error; the same line once only."""
    console.note(text)
