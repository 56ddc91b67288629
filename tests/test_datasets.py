"""MNIST, CIFAR-10 and CIFAR-100: the forms in which they come, and archives that are not what they
say. How files are looked for, downloaded and kept is the subject of test_fashion_mnist.py: all data
sets go that way. The files here are small ones of our own, and the server is on the loopback.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicnn import datasets
from minicnn.datasets import cifar, cifar10, cifar100, fashion_mnist, files, mnist, pickled
from minicnn.datasets.files import DatasetUnavailable, Form
from minicnn.datasets.idx import DatasetCorrupt
from minicnn.datasets.idx_files import DataFile

RNG = np.random.default_rng(0)
DIGITS = {
    "x_train": RNG.integers(0, 256, (5, 28, 28), np.uint8),
    "y_train": RNG.integers(0, 10, 5, np.uint8),
    "x_test": RNG.integers(0, 256, (3, 28, 28), np.uint8),
    "y_test": RNG.integers(0, 10, 3, np.uint8),
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def npz_of(arrays: dict[str, Any], **kwargs: Any) -> bytes:
    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays, **kwargs)
    return memory.getvalue()


def idx_of(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


NPZ = npz_of(DIGITS)
IDX = {file.name: idx_of(x) for file, x in zip(mnist.FILES, DIGITS.values(), strict=True)}


def npz_file(data: bytes) -> mnist.NpzFile:
    shapes = {name: x.shape for name, x in DIGITS.items()}
    return mnist.NpzFile((Form("mnist.npz", len(data), sha256(data)),), shapes)


# -- CIFAR's batches as Python 2 pickled them ------------------------------------------------------


class Python2:
    """Writes what cPickle of Python 2 writes for lists, dicts, strings, integers and arrays."""

    def __init__(self) -> None:
        self.memoized = 0
        self.out = bytearray(b"\x80\x02")

    def dump(self, value: Any) -> bytes:
        self.save(value)
        return bytes(self.out) + b"."

    def put(self) -> None:
        self.memoized += 1
        short = self.memoized < 256
        self.out += (
            struct.pack("<cB", b"q", self.memoized)
            if short
            else (struct.pack("<cI", b"r", self.memoized))
        )

    def save(self, value: Any) -> None:
        if value is None:
            self.out += b"N"
        elif isinstance(value, bool):
            self.out += b"\x88" if value else b"\x89"
        elif isinstance(value, int):
            if 0 <= value < 256:
                self.out += struct.pack("<cB", b"K", value)
            elif 0 <= value < 65536:
                self.out += struct.pack("<cH", b"M", value)
            else:
                self.out += struct.pack("<ci", b"J", value)
        elif isinstance(value, bytes):
            short = len(value) < 256
            self.out += struct.pack("<cB" if short else "<ci", b"U" if short else b"T", len(value))
            self.out += value
            self.put()
        elif isinstance(value, tuple):
            sizes = {0: b")", 1: b"\x85", 2: b"\x86", 3: b"\x87"}
            small = len(value) in sizes
            self.out += b"" if small else b"("
            for item in value:
                self.save(item)
            self.out += sizes[len(value)] if small else b"t"
            if value:
                self.put()
        elif isinstance(value, list):
            self.out += b"]"
            self.put()
            self.out += b"("
            for item in value:
                self.save(item)
            self.out += b"e"
        elif isinstance(value, dict):
            self.out += b"}"
            self.put()
            self.out += b"("
            for key, item in value.items():
                self.save(key)
                self.save(item)
            self.out += b"u"
        else:
            self.save_array(value)

    def named(self, name: bytes) -> None:
        self.out += b"c" + name.replace(b" ", b"\n") + b"\n"
        self.put()

    def save_array(self, array: np.ndarray) -> None:
        self.named(b"numpy.core.multiarray _reconstruct")
        self.named(b"numpy ndarray")
        self.save((0,))
        self.save(b"b")
        self.out += b"\x87"
        self.put()
        self.out += b"R"
        self.put()
        self.out += b"("
        self.save(1)
        self.save(array.shape)
        self.named(b"numpy dtype")
        self.save((b"u1", 0, 1))
        self.out += b"R"
        self.put()
        self.save((3, b"|", None, None, None, -1, -1, 0))
        self.out += b"b"
        self.save(False)
        self.save(array.tobytes())
        self.out += b"tb"


def batch_of(x: np.ndarray, **labels: list[int]) -> dict[bytes, Any]:
    flat = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    batch: dict[bytes, Any] = {b"batch_label": b"training batch 1 of 5"}
    batch |= {key.encode(): value for key, value in labels.items()}
    batch[b"data"] = flat
    batch[b"filenames"] = [b"picture_%d.png" % i for i in range(len(x))]
    return batch


def tar_of(members: dict[str, bytes | tarfile.TarInfo], *, folder: bool = True) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.GNU_FORMAT) as archive:
        if folder:
            info = tarfile.TarInfo("cifar-10-batches-py/")
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return memory.getvalue()


def pictures(n: int, seed: int) -> tuple[np.ndarray, list[int], list[int]]:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, 32, 32, 3), np.uint8)
    return x, rng.integers(0, 10, n).tolist(), rng.integers(0, 20, n).tolist()


TEN = {name: pictures(n, n) for name, n in (("data_batch_1", 4), ("data_batch_2", 3), ("test", 2))}
TEN_MEMBERS = {
    f"cifar-10-batches-py/{name}": Python2().dump(batch_of(x, labels=y))
    for name, (x, y, _) in TEN.items()
}
HUNDRED = {name: pictures(n, 10 + n) for name, n in (("train", 4), ("test", 2))}
HUNDRED_MEMBERS = {
    f"cifar-100-python/{name}": Python2().dump(batch_of(x, fine_labels=y, coarse_labels=coarse))
    for name, (x, y, coarse) in HUNDRED.items()
}


def packed(members: dict[str, Any], **kwargs: Any) -> bytes:
    return gzip.compress(tar_of(members, **kwargs), mtime=0)


def ten_file(data: bytes) -> cifar.CifarFile:
    forms = cifar.forms(sha256(data), len(data), *(form.name for form in cifar10.FILE.forms))
    batches = [cifar.Batch(f"cifar-10-batches-py/{name}", len(x)) for name, (x, *_) in TEN.items()]
    return cifar.CifarFile(forms, tuple(batches[:2]), tuple(batches[2:]))


def hundred_file(data: bytes) -> cifar.CifarFile:
    forms = cifar.forms(sha256(data), len(data), *(form.name for form in cifar100.FILE.forms))
    train, test = (
        cifar.Batch(f"cifar-100-python/{name}", len(x)) for name, (x, *_) in HUNDRED.items()
    )
    return cifar.CifarFile(forms, (train,), (test,))


TEN_DATA = packed({**TEN_MEMBERS, "cifar-10-batches-py/readme.html": b"<html>"})
HUNDRED_DATA = packed(HUNDRED_MEMBERS, folder=False)

# -- nothing of this machine -----------------------------------------------------------------------


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No home, cache, mirror or proxy of the machine; the small files in place of the real."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    for name in "HOME", "USERPROFILE":
        monkeypatch.setenv(name, str(home))
    for name in "MINICNN_DATA", "KERAS_HOME", "XDG_CACHE_HOME":
        monkeypatch.delenv(name, raising=False)
    for name in "http_proxy", "https_proxy", "all_proxy":
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    for module in mnist, cifar10, cifar100, fashion_mnist:
        monkeypatch.setattr(module, "MIRRORS", ())
        monkeypatch.setattr(module, "TIMEOUT", (5.0, 5.0))
    monkeypatch.setattr(mnist, "IDX_MIRRORS", ())
    monkeypatch.setattr(mnist, "NPZ", npz_file(NPZ))
    small = [
        DataFile(name, x.shape, len(gzip.compress(raw, mtime=0)),
                 sha256(gzip.compress(raw, mtime=0)), sha256(raw))
        for (name, raw), x in zip(IDX.items(), DIGITS.values(), strict=True)
    ]  # fmt: skip
    monkeypatch.setattr(mnist, "FILES", tuple(small))
    monkeypatch.setattr(cifar10, "FILE", ten_file(TEN_DATA))
    monkeypatch.setattr(cifar100, "FILE", hundred_file(HUNDRED_DATA))
    files.notice.cache_clear()


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def put_idx(folder: Path, *, unpacked: bool = False) -> Path:
    for name, raw in IDX.items():
        if unpacked:
            put(folder / name, raw)
        else:
            put(folder / f"{name}.gz", gzip.compress(raw, mtime=0))
    return folder


def assert_digits(result: Any) -> None:
    (x_train, y_train), (x_test, y_test) = result
    for got, want in zip((x_train, y_train, x_test, y_test), DIGITS.values(), strict=True):
        np.testing.assert_array_equal(got, want)
        assert got.dtype == np.uint8
        assert got.flags.writeable


def assert_ten(result: Any) -> None:
    (x_train, y_train), (x_test, y_test) = result
    np.testing.assert_array_equal(
        x_train, np.concatenate([TEN["data_batch_1"][0], TEN["data_batch_2"][0]])
    )
    assert y_train[:, 0].tolist() == TEN["data_batch_1"][1] + TEN["data_batch_2"][1]
    np.testing.assert_array_equal(x_test, TEN["test"][0])
    assert y_test[:, 0].tolist() == TEN["test"][1]
    assert y_train.shape == (7, 1)
    for array in x_train, y_train, x_test, y_test:
        assert array.dtype == np.uint8
        assert array.flags.writeable
        assert array.flags.c_contiguous


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, bytes]], list[str]]]:
    """Serve the files by their names, as the one mirror of all data sets; returns what is asked."""
    running = []

    def start(contents: dict[str, bytes]) -> list[str]:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                asked.append(name)
                if name not in contents:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(contents[name])))
                self.end_headers()
                self.wfile.write(contents[name])

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        url = (f"http://127.0.0.1:{server.server_port}/",)
        for module in mnist, cifar10, cifar100:
            monkeypatch.setattr(module, "MIRRORS", url)
        monkeypatch.setattr(mnist, "IDX_MIRRORS", url)
        return asked

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


# -- what is published -----------------------------------------------------------------------------


def test_the_tables_say_what_is_published() -> None:
    """The digests of Keras 3.15's keras/src/datasets, which downloads the same files."""
    import importlib

    for module in mnist, cifar10, cifar100:
        importlib.reload(module)  # without the small files of the tests
    try:
        (npz,) = mnist.NPZ.forms
        assert npz.name == "mnist.npz"
        assert npz.sha256 == "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
        for module, digest in (
            (cifar10, "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"),
            (cifar100, "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"),
        ):
            assert {form.sha256 for form in module.FILE.forms} == {digest}
            assert module.MIRRORS == ("https://www.cs.toronto.edu/~kriz/",)
        assert [file.idx_size for file in mnist.FILES] == [47040016, 60008, 7840016, 10008]
        pairs = {(file.gz_sha256, file.idx_sha256) for file in (*mnist.FILES, *PUBLISHED_CLOTHES)}
        digests = [digest for pair in pairs for digest in pair]
        assert len(set(digests)) == len(digests) == 16
        assert sum(batch.pictures for batch in cifar10.FILE.train) == 50000
        assert sum(batch.pictures for batch in cifar100.FILE.train) == 50000
    finally:
        for module in mnist, cifar10, cifar100:
            importlib.reload(module)


PUBLISHED_CLOTHES = fashion_mnist.FILES


def test_all_of_them_are_in_the_package() -> None:
    assert set(datasets.__all__) >= {"mnist", "cifar10", "cifar100", "fashion_mnist"}
    assert len(cifar10.CLASS_NAMES) == 10
    assert cifar10.CLASS_NAMES[6] == "frog"


# -- MNIST -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["cache/mnist", "home/.keras/datasets"])
def test_mnist_of_the_cache_and_of_keras(
    place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / place / "mnist.npz", NPZ)
    assert_digits(mnist.load_data())
    assert_digits(mnist.load_data("mnist.npz"))  # Keras's default
    assert_digits(mnist.load_data(path="mnist.npz"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize("root", ["home/data", "here/data"])
def test_mnist_of_torchvision(
    root: str, unpacked: bool, tmp_path: Path, serve: Callable[..., list[str]]
) -> None:
    asked = serve({"mnist.npz": NPZ})
    put_idx(tmp_path / root / "MNIST/raw", unpacked=unpacked)
    assert_digits(mnist.load_data())
    assert asked == []


def test_mnist_in_a_named_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "mine/mnist.npz", NPZ)
    put(tmp_path / "other/digits.npz", NPZ)
    put_idx(tmp_path / "idx")
    assert_digits(mnist.load_data(tmp_path / "mine"))
    assert_digits(mnist.load_data(tmp_path / "mine/mnist.npz"))
    assert_digits(mnist.load_data(str(tmp_path / "other/digits.npz")))
    assert_digits(mnist.load_data(tmp_path / "idx"))
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "mine"))
    assert_digits(mnist.load_data())
    assert capfd.readouterr() == ("", "")


def test_a_folder_for_all_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in the folder of its name; idx files that lie beside may be those of the clothes."""
    put_idx(tmp_path / "all/mnist")
    put(tmp_path / "all/cifar-10/cifar-10-python.tar.gz", TEN_DATA)
    for name in IDX:
        put(tmp_path / "all" / f"{name}.gz", b"the clothes")
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "all"))
    assert_digits(mnist.load_data())
    assert_ten(cifar10.load_data())


def test_the_folder_of_the_clothes_is_none_of_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "cache/mnist/mnist.npz", NPZ)
    for name in IDX:
        put(tmp_path / "clothes" / f"{name}.gz", b"the clothes")
    monkeypatch.setenv("MINICNN_DATA", str(tmp_path / "clothes"))
    assert_digits(mnist.load_data())
    (tmp_path / "cache/mnist/mnist.npz").unlink()
    with pytest.raises(DatasetUnavailable, match=r"mnist.load_data: expected .*from none"):
        mnist.load_data()
    with pytest.raises(DatasetCorrupt, match="Fashion-MNIST's clothes go by the same names"):
        mnist.load_data(tmp_path / "clothes")


def test_mnist_is_downloaded_once(tmp_path: Path, serve: Callable[..., list[str]]) -> None:
    asked = serve({"mnist.npz": NPZ})
    for _ in range(2):
        assert_digits(mnist.load_data())
    assert asked == ["mnist.npz"]
    assert [p.name for p in (tmp_path / "cache/mnist").iterdir()] == ["mnist.npz"]


def test_mnist_of_the_other_mirrors(tmp_path: Path, serve: Callable[..., list[str]]) -> None:
    """Where mnist.npz is damaged, the four files are asked for."""
    contents = {f"{name}.gz": gzip.compress(raw, mtime=0) for name, raw in IDX.items()}
    asked = serve({"mnist.npz": NPZ[:-1], **contents})
    for _ in range(2):
        assert_digits(mnist.load_data())
    assert asked == ["mnist.npz", *contents]


BAD_NPZ: dict[str, tuple[bytes, str]] = {
    "no archive": (b"PK not one", "expected an archive by NumPy"),
    "an array less": (npz_of({k: v for k, v in DIGITS.items() if k != "y_test"}), "y_test"),
    "another shape": (npz_of(DIGITS | {"x_test": DIGITS["x_test"][:2]}), r"x_test to be uint8 \("),
    "floats": (npz_of(DIGITS | {"y_test": np.zeros(3)}), "y_test to be uint8 .*received float64"),
    "objects": (npz_of(DIGITS | {"y_test": np.array([1, 2, 3], object)}), "by NumPy"),
    "too long": (npz_of(DIGITS | {"y_test": np.zeros(10_000, np.uint8)}), r"y_test .* 10128 bytes"),
}


@pytest.mark.parametrize(("data", "message"), BAD_NPZ.values(), ids=BAD_NPZ.keys())
def test_an_archive_that_is_not_mnist(
    data: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where its digest is the expected one."""
    monkeypatch.setattr(mnist, "NPZ", npz_file(data))
    put(tmp_path / "mine/mnist.npz", data)
    with pytest.raises(DatasetCorrupt, match=message):
        mnist.load_data(tmp_path / "mine")


def test_an_archive_by_numpy_with_a_damaged_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, x in DIGITS.items():
            content = io.BytesIO()
            np.save(content, x)
            archive.writestr(f"{name}.npy", content.getvalue()[: -1 if name == "x_test" else None])
    data = memory.getvalue()
    monkeypatch.setattr(mnist, "NPZ", npz_file(data))
    put(tmp_path / "mine/mnist.npz", data)
    with pytest.raises(DatasetCorrupt, match="by NumPy"):
        mnist.load_data(tmp_path / "mine")


# -- CIFAR -----------------------------------------------------------------------------------------

CIFAR_PLACES = [
    "cache/cifar-10/cifar-10-python.tar.gz",
    "home/.keras/datasets/cifar-10-batches-py-target_archive",
    "home/.keras/datasets/cifar-10-batches-py.tar.gz",
    "here/data/cifar-10-python.tar.gz",
    "home/data/cifar-10-python.tar.gz",
]


@pytest.mark.parametrize("place", CIFAR_PLACES)
def test_cifar10_of_the_cache_keras_and_torchvision(
    place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / place, TEN_DATA)
    assert_ten(cifar10.load_data())
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.rglob("*batch_1*")) == []  # nothing is unpacked onto the disk


def test_cifar10_is_downloaded_once(tmp_path: Path, serve: Callable[..., list[str]]) -> None:
    asked = serve({"cifar-10-python.tar.gz": TEN_DATA})
    for _ in range(2):
        assert_ten(cifar10.load_data())
    assert asked == ["cifar-10-python.tar.gz"]


def test_cifar10_that_is_nowhere(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(DatasetUnavailable) as caught:
        cifar10.load_data(tmp_path / "mine")
    message = str(caught.value)
    assert message.startswith("cifar10.load_data: expected cifar-10-python.tar.gz in one of")
    for part in "mine", "cache/cifar-10", ".keras/datasets", "Ways out", "synthetic_fashion":
        assert part in message


def test_a_damaged_cifar10_in_a_named_folder(tmp_path: Path) -> None:
    path = put(tmp_path / "mine/cifar-10-python.tar.gz", TEN_DATA[:-5])
    with pytest.raises(DatasetCorrupt, match="cut after") as caught:
        cifar10.load_data(tmp_path / "mine")
    assert "idx" not in str(caught.value)
    assert "MNIST" not in str(caught.value)
    assert path.read_bytes() == TEN_DATA[:-5]


@pytest.mark.parametrize("mode", ["fine", "coarse"])
def test_cifar100(mode: str, tmp_path: Path) -> None:
    put(tmp_path / "home/.keras/datasets/cifar-100-python-target_archive", HUNDRED_DATA)
    (x_train, y_train), (x_test, y_test) = cifar100.load_data(label_mode=mode)
    np.testing.assert_array_equal(x_train, HUNDRED["train"][0])
    np.testing.assert_array_equal(x_test, HUNDRED["test"][0])
    place = 1 if mode == "fine" else 2
    assert y_train[:, 0].tolist() == HUNDRED["train"][place]
    assert y_test[:, 0].tolist() == HUNDRED["test"][place]
    assert y_test.shape == (2, 1)
    assert y_test.dtype == np.uint8


def test_cifar100_of_another_label_mode() -> None:
    with pytest.raises(ValueError, match="label_mode to be one of coarse, fine; received 'fines'"):
        cifar100.load_data("fines")


def link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


FIRST = "cifar-10-batches-py/data_batch_1"
BAD_ARCHIVES = {
    "outside": ({**TEN_MEMBERS, "cifar-10-batches-py/../../x": b"1"}, "inside of the archive's"),
    "absolute": ({**TEN_MEMBERS, "/etc/x": b"1"}, "inside of the archive's folder"),
    "symbolic link": (
        {**TEN_MEMBERS, "l": link("l", tarfile.SYMTYPE, "/etc/passwd")},
        "'l', which is a link",
    ),
    "hard link": ({**TEN_MEMBERS, "l": link("l", tarfile.LNKTYPE, FIRST)}, "'l', which is a link"),
    "device": ({**TEN_MEMBERS, "d": link("d", tarfile.CHRTYPE, "")}, "a link or a device"),
    "link for a batch": ({**TEN_MEMBERS, FIRST: link(FIRST, tarfile.SYMTYPE, "x")}, "is a link"),
    "a batch less": (
        {name: content for name, content in TEN_MEMBERS.items() if name != FIRST},
        f"expected {FIRST} in the archive",
    ),
    "long batch": ({**TEN_MEMBERS, FIRST: bytes(200_000)}, "at most [0-9]+ bytes, received 200000"),
    "many members": (
        {**{f"f{i}": b"" for i in range(cifar.MOST_MEMBERS)}, **TEN_MEMBERS},
        "at most 100 members",
    ),
    "long": (
        {**{f"f{i}": bytes(1 << 20) for i in range(3)}, **TEN_MEMBERS},
        "bytes in the archive",
    ),
    "no pickle": ({**TEN_MEMBERS, FIRST: b"nonsense"}, f"{FIRST}: expected a pickle of plain data"),
    "a list": ({**TEN_MEMBERS, FIRST: Python2().dump([1])}, "a pickled dict, received list"),
    "no data": ({**TEN_MEMBERS, FIRST: Python2().dump({b"labels": [1] * 4})}, "expected data"),
}


def with_batch(x: np.ndarray, **labels: Any) -> dict[str, bytes]:
    return {**TEN_MEMBERS, FIRST: Python2().dump(batch_of(x, **labels))}


X, Y, _ = TEN["data_batch_1"]
BAD_BATCHES = {
    "a picture less": (with_batch(X[:3], labels=Y), r"expected data \(4, 3072\), received \(3, 30"),
    "a label less": (with_batch(X, labels=Y[:3]), "expected 4 labels, received 3"),
    "no labels": (with_batch(X, fine_labels=Y), "expected 4 labels, received NoneType"),
    "an eleventh class": (with_batch(X, labels=[*Y[:3], 10]), "labels from 0 to 9"),
    "a negative label": (with_batch(X, labels=[*Y[:3], -1]), "labels from 0 to 9"),
    "truth for a label": (with_batch(X, labels=[*Y[:3], True]), "labels from 0 to 9"),
}


@pytest.mark.parametrize(
    ("members", "message"),
    [*BAD_ARCHIVES.values(), *BAD_BATCHES.values()],
    ids=[*BAD_ARCHIVES, *BAD_BATCHES],
)
def test_an_archive_that_is_not_cifar(
    members: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where its digest is the expected one."""
    data = packed(members)
    monkeypatch.setattr(cifar10, "FILE", ten_file(data))
    put(tmp_path / "mine/cifar-10-python.tar.gz", data)
    with pytest.raises(DatasetCorrupt, match=message):
        cifar10.load_data(tmp_path / "mine")
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        "cifar-10-python.tar.gz", "here", "home", "mine",
    ]  # fmt: skip


def test_a_batch_that_is_twice_in_the_archive() -> None:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        for _ in range(2):
            info = tarfile.TarInfo(FIRST)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
    data = gzip.compress(memory.getvalue())
    with pytest.raises(DatasetCorrupt, match="once, received it twice"):
        cifar.members(data, [cifar.Batch(FIRST, 4)], "a.tar.gz")


def test_a_cut_tar_file() -> None:
    whole = tar_of(TEN_MEMBERS)
    wanted = [cifar.Batch(name, 4) for name in TEN_MEMBERS]
    assert cifar.members(gzip.compress(whole), wanted, "a.tar.gz") == TEN_MEMBERS
    for length in 0, 100, 700, len(whole) // 2:
        with pytest.raises(DatasetCorrupt, match="a.tar.gz: expected"):
            cifar.members(gzip.compress(whole[:length]), wanted, "a.tar.gz")


# -- pickles ---------------------------------------------------------------------------------------


def test_our_pickles_are_pickles() -> None:
    """What these tests write is what Python reads: so the reader below reads what Python wrote."""
    for members in TEN_MEMBERS, HUNDRED_MEMBERS:
        for content in members.values():
            theirs, ours = pickle.loads(content, encoding="bytes"), pickled.read(content, "batch")
            assert list(theirs) == list(ours)
            for key in theirs:
                np.testing.assert_array_equal(theirs[key], ours[key])


class Harmful:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("was_run"),)


class Builtin:
    def __reduce__(self) -> Any:
        return eval, ("open('was_run', 'w')",)


def marked(*parts: bytes) -> bytes:
    return b"\x80\x02}(U\x01a" + b"".join(parts) + b"u."


BAD_PICKLES = {
    **{
        f"{kind.__name__}, protocol {protocol}": pickle.dumps({"a": kind()}, protocol)
        for kind in (Harmful, Builtin)
        for protocol in range(6)
    },
    "array of objects": pickle.dumps({"a": np.array([{}, []], object)}, 2),
    "array of floats": pickle.dumps({"a": np.zeros(3)}, 2),
    "numpy.load": marked(b"cnumpy\nload\nU\x01x\x85R"),
    "call of ndarray": marked(b"cnumpy\nndarray\nK\x03\x85R"),
    "type of floats": marked(b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R"),
    "state of a dict": marked(b"}}b"),
    "instance": marked(b"(cnumpy\ndtype\no"),
    "old instance": marked(b"(inumpy\ndtype\n"),
    "persistent id": marked(b"Pname\n"),
    "extension": marked(b"\x82\x01"),
    "nothing": b"",
    "end alone": b".",
    "cut": TEN_MEMBERS[FIRST][:-200],
    "cut string": b"\x80\x02T\xff\xff\xff\x7fabc.",
    "string of negative length": b"\x80\x02T\xff\xff\xff\xffabc.",
    "no mark": b"\x80\x02}K\x01K\x02u.",
    "odd entries": b"\x80\x02}(K\x01u.",
    "entries of a list": b"\x80\x02](K\x01K\x02u.",
    "items of a dict": b"\x80\x02}(K\x01e.",
    "list for a key": b"\x80\x02}(]K\x01u.",
    "unknown memo": b"\x80\x02h\x07.",
    "endless tuple": b"\x80\x02t.",
    "array that is shorter than its shape": (
        TEN_MEMBERS[FIRST].replace(b"K\x04M\x00\x0c", b"K\x05M\x00\x0c")
    ),
}


@pytest.mark.parametrize("data", BAD_PICKLES.values(), ids=BAD_PICKLES.keys())
def test_a_pickle_of_more_than_plain_data_is_refused_and_not_run(data: bytes) -> None:
    with pytest.raises(DatasetCorrupt, match="batch: expected a pickle"):
        pickled.read(data, "batch")
    assert list(Path().iterdir()) == []


def test_a_damaged_pickle_ends_in_its_error() -> None:
    """Whatever byte is changed: the result is a dict or a DatasetCorrupt."""
    content = Python2().dump({b"a": [1, 300, -5, None, True], b"b": (b"x", np.zeros((2, 3), "u1"))})
    rng = np.random.default_rng(1)
    refused = 0
    for place in range(len(content)):
        for value in rng.integers(0, 256, 8).tolist():
            damaged = bytes([*content[:place], value, *content[place + 1 :]])
            try:
                assert isinstance(pickled.read(damaged, "batch"), dict)
            except DatasetCorrupt:
                refused += 1
    assert refused > 300


def test_the_words_of_the_first_protocol() -> None:
    assert pickled.read(b"}(U\x01aI01\nU\x01bI7\nU\x01c(K\x01K\x02tU\x01d]K\x05au.", "batch") == {
        b"a": True,
        b"b": 7,
        b"c": (1, 2),
        b"d": [5],
    }
    assert pickled.read(b"\x80\x02}U\x01a\x8a\x03\x00\x00\x01s.", "batch") == {b"a": 65536}


def test_reading_keeps_no_second_copy_of_the_pictures() -> None:
    import tracemalloc

    x = np.zeros((2000, 32, 32, 3), np.uint8)
    content = Python2().dump(batch_of(x, labels=[1] * 2000))
    read = functools.partial(pickled.read, content, "batch")
    tracemalloc.start()
    try:
        read()
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 4
    finally:
        tracemalloc.stop()
