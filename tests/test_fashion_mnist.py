"""Where Fashion-MNIST is looked for, and every way in which a place can fail.

The files here are small ones of our own; only the last tests need the real data. All servers are
on the loopback interface, and the autouse fixture leaves nothing else to be reached.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from counts import and_slow

from minicnn.datasets import download, fashion_mnist, files
from minicnn.datasets.fashion_mnist import DatasetCorrupt, DatasetUnavailable, load_data
from minicnn.datasets.idx import parse_idx, verify
from minicnn.datasets.idx_files import DataFile

REAL = os.environ.get("MINICNN_DATA")
REAL_FOLDER = Path(REAL or "").expanduser().absolute()  # the tests run in another folder
ROOT = Path(fashion_mnist.__file__).parents[2]

HTML = b"<!DOCTYPE html>\n<html><body>Please log in to this network</body></html>\n"
ANY_IMAGES, ANY_LABELS = (None, 28, 28), (None,)


def idx_bytes(array: np.ndarray, magic: int | None = None) -> bytes:
    magic = 0x0800 + array.ndim if magic is None else magic
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


def pack(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def flipped(data: bytes, bit: int) -> bytes:
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def small_set(n_train: int = 5, n_test: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte": rng.integers(0, 256, (n_train, 28, 28), np.uint8),
        "train-labels-idx1-ubyte": rng.integers(0, 10, n_train, np.uint8),
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (n_test, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte": rng.integers(0, 10, n_test, np.uint8),
    }


def describe(arrays: dict[str, np.ndarray]) -> tuple[DataFile, ...]:
    """The table that load_data needs for files that hold `arrays`."""
    table = []
    for name, array in arrays.items():
        raw = idx_bytes(array)
        packed = pack(raw)
        hashes = (hashlib.sha256(data).hexdigest() for data in (packed, raw))
        table.append(DataFile(name, array.shape, len(packed), *hashes))
    return tuple(table)


ARRAYS = small_set()
FILES = describe(ARRAYS)
PACKED = {f"{name}.gz": pack(idx_bytes(array)) for name, array in ARRAYS.items()}
FIRST = "train-images-idx3-ubyte.gz"


def fill(folder: Path, *, unpacked: bool = False) -> Path:
    """Write the four files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in PACKED.items():
        if unpacked:
            name, data = name.removesuffix(".gz"), gzip.decompress(data)
        (folder / name).write_bytes(data)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_loaded(result: object) -> None:
    (x_train, y_train), (x_test, y_test) = result
    for got, want in zip((x_train, y_train, x_test, y_test), ARRAYS.values(), strict=True):
        np.testing.assert_array_equal(got, want)
        assert got.dtype == np.uint8
        assert got.flags.writeable


HANGS = 120.0  # seconds; what ends does so in a moment, but on a busy machine


def within(seconds: float, call: Callable[[], object]) -> object:
    """What `call` returns or raises; a failure instead of a hang where it does not end in time."""
    ends: list[tuple[object, BaseException | None]] = []

    def run() -> None:
        try:
            ends.append((call(), None))
        except BaseException as error:
            ends.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert ends, f"still at it after {seconds} s"
    result, error = ends[0]
    if error is not None:
        raise error
    return result


def peak_of(call: Callable[[], object]) -> int:
    """The most bytes that Python and NumPy hold at once during `call`."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No home, cache, mirror or proxy of the machine; the small files in place of the real."""
    home = tmp_path / "home"
    here = tmp_path / "here"
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
    monkeypatch.setattr(fashion_mnist, "MIRRORS", ())
    monkeypatch.setattr(fashion_mnist, "TIMEOUT", (5.0, 5.0))
    monkeypatch.setattr(fashion_mnist, "FILES", FILES)
    files.notice.cache_clear()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "fashion-mnist"


Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


class Mirror(ThreadingHTTPServer):
    """A server of the four files on the loopback; `answer` may be replaced to misbehave."""

    daemon_threads = False  # closing it then waits for the handlers, and no socket is left open

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Answer = send_whole
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.half_sent = threading.Event()
        self.released = threading.Event()

    def handle_error(self, *_: object) -> None:
        pass  # a client that hangs up is part of the tests


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2].partition("?")[0]  # a proxy sees whole addresses
        self.server.asked.append(name)
        self.server.answer(self, PACKED[name])

    def log_message(self, *_: object) -> None:
        pass


def send(handler: BaseHTTPRequestHandler, data: bytes, length: int | None) -> None:
    handler.send_response(200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(data)


def send_whole(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    send(handler, data, len(data))


def send_404(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.send_error(404)


def send_nothing(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.server.released.wait(HANGS)


def send_half_and_stall(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    send(handler, data[: len(data) // 2], len(data))
    handler.wfile.flush()
    handler.server.half_sent.set()
    handler.server.released.wait(HANGS)


def send_half(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    send(handler, data[: len(data) // 2], len(data))


def send_half_unannounced(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    send(handler, data[: len(data) // 2], None)


def send_page(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    send(handler, HTML, len(HTML))


def send_flipped(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    send(handler, flipped(data, 8 * (len(data) // 2)), len(data))


def send_as_encoded_if_welcome(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    """What some servers do with .gz files, which a client then unpacks on the way."""
    handler.send_response(200)
    if "gzip" in handler.headers["Accept-Encoding"]:
        handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(data)


def send_empty(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    send(handler, b"", 0)


Serve = Callable[..., list[Mirror]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start one mirror for each answer; they are then the mirrors that load_data knows."""
    running = []

    def start(*answers: Answer) -> list[Mirror]:
        mirrors = []
        for answer in answers:
            mirror = Mirror()
            mirror.answer = answer
            # at the default poll of 0.5 s shutdown takes as long
            thread = threading.Thread(target=mirror.serve_forever, args=(0.01,))
            thread.start()
            running.append((mirror, thread))
            mirrors.append(mirror)
        monkeypatch.setattr(fashion_mnist, "MIRRORS", tuple(mirror.url for mirror in mirrors))
        return mirrors

    yield start
    for mirror, thread in running:
        mirror.released.set()
        mirror.shutdown()
        mirror.server_close()
        thread.join()


# ------------------------------------------------------------------------------ the idx format


@pytest.mark.parametrize("wrap", [bytes, pack])
@pytest.mark.parametrize(("n", "kind"), [(4, "images"), (1, "images"), (7, "labels")])
def test_parse_idx_reads_images_and_labels_packed_or_not(
    wrap: Callable[[bytes], bytes], n: int, kind: str
) -> None:
    shape = (28, 28) if kind == "images" else ()
    want = np.random.default_rng(n).integers(0, 256, (n, *shape), np.uint8)
    got = parse_idx(wrap(idx_bytes(want)), (None, *shape))
    np.testing.assert_array_equal(got, want)
    assert got.dtype == np.uint8
    got[...] = 7  # writable, and no view of the input
    assert parse_idx(idx_bytes(want), (n, *shape)).tobytes() == want.tobytes()


FIVE = ARRAYS["train-images-idx3-ubyte"]
RAW = idx_bytes(FIVE)
BAD_IDX = {
    "empty": (b"", "an empty file"),
    "empty, packed": (pack(b""), "header of 16 bytes, received 0 bytes"),
    "cut header": (RAW[:15], "header of 16 bytes, received 15 bytes"),
    "labels for images": (
        idx_bytes(np.zeros(5000, np.uint8)),
        r"magic number 2051 \(uint8, axes: 3\), received 2049",
    ),
    "float elements": (idx_bytes(FIVE, magic=0x0D03), "magic number 2051 .*received 3331"),
    "little-endian header": (
        struct.pack("<4I", 2051, 5, 28, 28) + FIVE.tobytes(),
        "magic number 2051 .*received 50855936",
    ),
    "27 columns": (
        idx_bytes(FIVE[:, :, 1:]),
        r"shape \(any, 28, 28\), received \(5, 28, 27\)",
    ),
    "27 rows": (idx_bytes(FIVE[:, 1:]), r"shape \(any, 28, 28\), received \(5, 27, 28\)"),
    "no image": (idx_bytes(FIVE[:0]), r"shape \(any, 28, 28\), received \(0, 28, 28\)"),
    "payload one short": (RAW[:-1], "5 x 28 x 28 = 3920 bytes, .*received 3919"),
    "payload one over": (RAW + b"\0", "5 x 28 x 28 = 3920 bytes, .*received 3921"),
    "count one over": (
        struct.pack(">4I", 2051, 6, 28, 28) + FIVE.tobytes(),
        "6 x 28 x 28 = 4704 bytes, .*received 3920",
    ),
    "count of four billion": (
        struct.pack(">4I", 2051, 0xFFFFFFFF, 28, 28) + FIVE.tobytes(),
        "4294967295 x 28 x 28 = 3367254359280 bytes, .*received 3920",
    ),
    "second member": (pack(RAW) + pack(RAW), "nothing else, received [0-9]+ more bytes"),
    "one byte after the end": (pack(RAW) + b"\0", "nothing else, received 1 more bytes"),
    "page": (HTML, "this is an HTML page"),
    "packed page": (pack(HTML), "this is an HTML page"),
    "page without the html tag": (b"<!doctype HTML><title>404</title>", "this is an HTML page"),
    "page after a comment": (b"\n<!-- portal -->\n<HTML lang=en>", "this is an HTML page"),
}


@pytest.mark.parametrize(("data", "message"), BAD_IDX.values(), ids=BAD_IDX.keys())
def test_parse_idx_refuses(data: bytes, message: str) -> None:
    with pytest.raises(DatasetCorrupt, match=f"^some/file.gz: expected .*{message}"):
        parse_idx(data, ANY_IMAGES, source="some/file.gz")


@pytest.mark.parametrize("wrap", [bytes, pack])
def test_parse_idx_refuses_images_for_labels(wrap: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DatasetCorrupt, match=r"magic number 2049 .*received 2051"):
        parse_idx(wrap(RAW), ANY_LABELS)


def test_parse_idx_refuses_another_count_than_asked_for() -> None:
    with pytest.raises(DatasetCorrupt, match=r"shape \(6, 28, 28\), received \(5, 28, 28\)"):
        parse_idx(RAW, (6, 28, 28))


def test_a_gzip_file_cut_anywhere_is_refused() -> None:
    packed = pack(idx_bytes(ARRAYS["train-labels-idx1-ubyte"]))
    for length in range(2, len(packed)):
        with pytest.raises(DatasetCorrupt, match=f"cut after {length} bytes"):
            parse_idx(packed[:length], ANY_LABELS)


def test_a_gzip_file_with_any_bit_flipped_is_refused() -> None:
    labels = ARRAYS["train-labels-idx1-ubyte"]
    packed = pack(idx_bytes(labels))
    sha256 = hashlib.sha256(packed).hexdigest()
    verify(packed, sha256, "good")
    padding = []
    for bit in range(8 * len(packed)):
        damaged = flipped(packed, bit)
        with pytest.raises(DatasetCorrupt, match=f"expected SHA-256 {sha256}, received"):
            verify(damaged, sha256, "bad")
        if bit >= 80:  # after the gzip header, whose time stamp and such no CRC covers
            try:
                read = parse_idx(damaged, ANY_LABELS)
            except DatasetCorrupt:
                continue
            padding.append(bit)
            np.testing.assert_array_equal(read, labels)
    assert len(padding) < 8  # the bits that fill up the last byte before the CRC mean nothing


def test_unpacking_holds_one_copy() -> None:
    size = 4 << 20
    noise = np.random.default_rng(0).integers(0, 256, size // 4, np.uint8)
    packed = gzip.compress(idx_bytes(np.tile(noise, 4)), compresslevel=1)
    assert parse_idx(packed, ANY_LABELS).nbytes == size
    assert peak_of(lambda: parse_idx(packed, ANY_LABELS)) < 1.3 * size


MEGABYTE = 1 << 20


def bomb(head: bytes, megabytes: int = 64, encoding: str = "gzip") -> bytes:
    """A file a thousandth as large as what it unpacks to: `head`, and then zeros.

    A full flush makes each piece independent of those before it, so one megabyte is packed, once.
    """
    packer = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS, strategy=zlib.Z_RLE)
    zeros = bytes(MEGABYTE)
    first, piece = (packer.compress(x) + packer.flush(zlib.Z_FULL_FLUSH) for x in (head, zeros))
    body = first + megabytes * piece + packer.flush()
    checksum = {"gzip": zlib.crc32, "deflate": zlib.adler32}[encoding]
    total = checksum(head)
    for _ in range(megabytes):
        total = checksum(zeros, total)
    if encoding == "deflate":
        return b"\x78\x01" + body + struct.pack(">I", total)
    return pack(b"")[:10] + body + struct.pack("<2I", total, len(head) + megabytes * MEGABYTE)


@pytest.mark.parametrize("head", [b"", b"head"])
def test_a_bomb_is_a_sound_file(head: bytes) -> None:
    unpacked = head + bytes(3 * MEGABYTE)
    assert gzip.decompress(bomb(head, 3)) == unpacked
    assert zlib.decompress(bomb(head, 3, "deflate")) == unpacked
    assert len(bomb(head, 3)) < len(unpacked) / 200


def idx_head(*lengths: int) -> bytes:
    return struct.pack(f">{1 + len(lengths)}I", 0x0800 + len(lengths), *lengths)


BOMBS = {
    "of the right shape": (bomb(idx_head(5, 28, 28)), "3920 bytes, .*received more"),
    "one image more": (bomb(idx_head(6, 28, 28)), r"shape \(5, 28, 28\), received \(6, 28, 28\)"),
    "all zeros": (bomb(b""), "magic number 2051 .*received 0"),
    "page": (bomb(HTML), "this is an HTML page"),
    "cut": (bomb(idx_head(5, 28, 28))[:-9], "3920 bytes, .*received more"),
}


@pytest.mark.parametrize(("data", "message"), BOMBS.values(), ids=BOMBS.keys())
def test_no_more_is_unpacked_than_the_shape_says(data: bytes, message: str) -> None:
    def parse() -> None:
        with pytest.raises(DatasetCorrupt, match=message):
            parse_idx(data, (5, 28, 28))

    assert peak_of(parse) < MEGABYTE


def test_no_more_is_unpacked_than_the_header_says() -> None:
    def parse(data: bytes, message: str) -> None:
        with pytest.raises(DatasetCorrupt, match=message):
            parse_idx(data, ANY_IMAGES)

    longer = bomb(idx_head(1000, 28, 28))
    assert peak_of(lambda: parse(longer, "784000 bytes, .*received more")) < 2 * MEGABYTE
    endless = bomb(idx_head(0xFFFFFFFF, 28, 28))
    assert peak_of(lambda: parse(endless, "too few for as many")) < MEGABYTE
    shorter = pack(
        idx_head(MEGABYTE, 28, 28) + bytes(MEGABYTE)
    )  # the header is believed to a point
    assert peak_of(lambda: parse(shorter, "too few for as many")) < MEGABYTE


def test_a_file_as_dense_as_gzip_can_make_it_is_read() -> None:
    """Zeros are what the bound on the density of gzip must still let through."""
    n = 10 * MEGABYTE
    packed = gzip.compress(idx_head(n) + bytes(n), compresslevel=9)
    assert n > 900 * len(packed)
    assert not parse_idx(packed, ANY_LABELS).any()


def test_a_member_that_ends_on_the_edge_of_a_piece_is_whole() -> None:
    for n in 65536 - 8, 65536 - 9, 65536 - 7, 2 * 65536 - 8, 1024 - 8, 1025 - 8:
        labels = np.random.default_rng(n).integers(0, 256, n, np.uint8)
        np.testing.assert_array_equal(parse_idx(pack(idx_bytes(labels)), (n,)), labels)
        with pytest.raises(DatasetCorrupt, match="received more"):
            parse_idx(pack(idx_bytes(labels) + b"1"), (n,))
        with pytest.raises(DatasetCorrupt, match="received 3 more bytes after its end"):
            parse_idx(pack(idx_bytes(labels)) + b"abc", (n,))


@pytest.mark.parametrize(
    "head",
    [b"", idx_head(5, 28, 28), idx_head(0xFFFFFFFF, 28, 28), HTML],
    ids=["zeros", "five images", "four billion images", "page"],
)
def test_the_reason_of_a_wrong_digest_is_found_without_keeping_what_is_unpacked(
    head: bytes,
) -> None:
    data = bomb(head, megabytes=80)
    refuse = functools.partial(pytest.raises, DatasetCorrupt, match="expected SHA-256 0{64}")

    def check() -> None:
        with refuse():
            verify(data, "0" * 64, "bomb")

    assert peak_of(check) < MEGABYTE


def test_a_longer_file_than_expected_needs_no_reading_to_its_end() -> None:
    sha256 = hashlib.sha256(RAW).hexdigest()
    verify(RAW, sha256, "good", size=len(RAW))
    verify(bytearray(RAW), sha256.upper(), "good")
    with pytest.raises(
        DatasetCorrupt, match=f"SHA-256 {sha256} and {len(RAW)} bytes, received more"
    ):
        verify(RAW + b"1", sha256, "long", size=len(RAW))
    with pytest.raises(DatasetCorrupt, match=r"an HTML page.* and 20 bytes, received more"):
        verify(HTML, sha256, "page", size=20)


# ------------------------------------------------------------------- a folder that the user names


def test_the_ten_names() -> None:
    assert len(fashion_mnist.CLASS_NAMES) == 10
    assert fashion_mnist.CLASS_NAMES[0] == "T-shirt/top"
    assert fashion_mnist.CLASS_NAMES[9] == "Ankle boot"


@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize("kind", [str, Path])
def test_path_names_a_folder(
    tmp_path: Path, kind: type, unpacked: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = fill(tmp_path / "mine", unpacked=unpacked)
    before = contents(folder)
    assert_loaded(load_data(kind(folder)))
    assert_loaded(load_data(path=kind(folder)))
    assert contents(folder) == before
    assert capfd.readouterr() == ("", "")


def test_path_and_variable_expand_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "home" / "mine")
    assert_loaded(load_data("~/mine"))
    monkeypatch.setenv("MINICNN_DATA", "~/mine")
    assert_loaded(load_data())


def test_path_wins_over_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINICNN_DATA", str(fill(tmp_path / "variable")))
    (tmp_path / "variable" / FIRST).write_bytes(b"damaged")
    with pytest.raises(DatasetCorrupt, match="variable"):
        load_data()
    assert_loaded(load_data(fill(tmp_path / "argument")))


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    fill(cache)
    monkeypatch.setenv("MINICNN_DATA", "")
    fill(Path())  # which the empty name must not stand for
    Path(FIRST).write_bytes(b"damaged")
    assert_loaded(load_data())


PACKED_FIRST = PACKED[FIRST]
DAMAGE = {
    "empty": (b"", "an empty file"),
    "cut": (PACKED_FIRST[:-100], "cut after [0-9]+ bytes"),
    "flipped": (flipped(PACKED_FIRST, 8000), "damaged bytes|The file is damaged"),
    "second member": (PACKED_FIRST + PACKED_FIRST, "and [0-9]+ bytes, received more"),
    "page": (HTML, "this is an HTML page"),
    "another file": (pack(idx_bytes(FIVE + 1)), "MNIST's digits and Fashion-MNIST's clothes go by"),
}


@pytest.mark.parametrize("by", ["path", "variable"])
@pytest.mark.parametrize(("data", "reason"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_in_a_named_folder_is_an_error_and_stays(
    data: bytes, reason: str, by: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache)  # a good copy elsewhere does not hide what is wrong with the named one
    folder = fill(tmp_path / "mine")
    (folder / FIRST).write_bytes(data)
    before = contents(folder)
    if by == "variable":
        monkeypatch.setenv("MINICNN_DATA", str(folder))
    with pytest.raises(DatasetCorrupt) as caught:
        load_data(folder if by == "path" else None)
    message = str(caught.value)
    assert re.search(reason, message)
    assert str(folder / FIRST) in message
    assert FILES[0].gz_sha256 in message
    if len(data) <= len(PACKED_FIRST):  # a longer one is not read to its end
        assert hashlib.sha256(data).hexdigest() in message
    for way_out in "replace the file", "path=", "MINICNN_DATA", "synthetic_fashion":
        assert way_out in message
    assert contents(folder) == before


def test_a_damaged_unpacked_file_in_a_named_folder(tmp_path: Path) -> None:
    folder = fill(tmp_path / "mine", unpacked=True)
    damaged = folder / "t10k-labels-idx1-ubyte"
    damaged.write_bytes(flipped(damaged.read_bytes(), 70))
    with pytest.raises(DatasetCorrupt, match=f"labels-idx1-ubyte: .*{FILES[3].idx_sha256}"):
        load_data(folder)


@pytest.mark.parametrize("by", ["path", "MINICNN_DATA"])
def test_a_named_folder_without_the_files_is_passed_over_with_a_notice(
    by: str,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    fill(cache)
    folder = tmp_path / "mine"
    folder.mkdir()
    if by == "MINICNN_DATA":
        monkeypatch.setenv("MINICNN_DATA", str(folder))
    for _ in range(2):
        assert_loaded(load_data(folder if by == "path" else None))
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(f"minicnn: {folder} ({by}) lacks {', '.join(PACKED)}; looking elsewhere")


def test_a_named_folder_with_some_files_is_completed_from_elsewhere(
    tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(cache)
    folder = fill(tmp_path / "mine")
    (folder / FIRST).unlink()
    (cache / "t10k-labels-idx1-ubyte.gz").unlink()
    assert_loaded(load_data(folder))
    assert f"lacks {FIRST}; looking elsewhere" in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["a file", "nothing"])
def test_a_named_folder_that_is_none(
    kind: str, tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(cache)
    path = tmp_path / "mine"
    if kind == "a file":
        path.write_bytes(b"")
    assert_loaded(load_data(path))
    assert f"{path} (path) is not a folder" in capfd.readouterr().err


def test_a_file_that_cannot_be_read_is_passed_over(tmp_path: Path, cache: Path) -> None:
    folder = fill(tmp_path / "mine")
    (folder / FIRST).unlink()
    (folder / FIRST).mkdir()
    with pytest.raises(DatasetUnavailable, match=rf"{FIRST} \(path\): cannot be read: "):
        load_data(folder)
    fill(cache)
    assert_loaded(load_data(folder))


def test_images_and_labels_of_different_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = {**ARRAYS, "t10k-labels-idx1-ubyte": np.zeros(4, np.uint8)}
    monkeypatch.setattr(fashion_mnist, "FILES", describe(arrays))
    folder = fill(tmp_path / "mine")
    last = folder / "t10k-labels-idx1-ubyte.gz"
    last.write_bytes(pack(idx_bytes(arrays["t10k-labels-idx1-ubyte"])))
    with pytest.raises(DatasetCorrupt, match="test set, received 3 images and 4 labels") as caught:
        load_data(folder)
    assert "Ways out" in str(caught.value)


# ------------------------------------------------------------- the cache, and copies of other tools


def test_a_good_cache_is_used_and_kept(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fill(cache)
    before = {p: p.stat().st_mtime_ns for p in cache.iterdir()}
    assert_loaded(load_data())
    assert {p: p.stat().st_mtime_ns for p in cache.iterdir()} == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("data", "reason"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_bad_file_in_the_cache_is_removed_and_the_good_ones_kept(
    data: bytes, reason: str, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(cache)
    (cache / FIRST).write_bytes(data)
    with pytest.raises(DatasetUnavailable) as caught:
        load_data()
    assert set(contents(cache)) == set(PACKED) - {FIRST}
    assert re.search(reason, str(caught.value))
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert str(cache / FIRST) in err
    assert "deleting it from the cache" in err


def test_a_bad_file_in_the_cache_is_downloaded_anew(cache: Path, serve: Serve) -> None:
    (mirror,) = serve(send_whole)
    fill(cache)
    (cache / FIRST).write_bytes(PACKED_FIRST[:100])
    assert_loaded(load_data())
    assert mirror.asked == [FIRST]
    assert contents(cache) == PACKED


def test_a_bad_file_in_the_cache_that_cannot_be_deleted_is_no_obstacle(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(cache)
    fill(tmp_path / "home" / "data" / "FashionMNIST" / "raw")
    (cache / FIRST).write_bytes(b"damaged")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert_loaded(load_data())
    monkeypatch.undo()
    assert f"{cache / FIRST} cannot be deleted (Permission denied)" in capfd.readouterr().err


def test_the_cache_is_the_users_own_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import platformdirs

    monkeypatch.delenv("MINICNN_CACHE")
    users = Path(platformdirs.user_cache_dir("minicnn"))
    assert files.cache_folder("fashion-mnist") == users / "fashion-mnist"
    assert files.cache_folder("fashion-mnist").is_relative_to(tmp_path / "home")
    monkeypatch.setenv("MINICNN_CACHE", "~/elsewhere")
    assert files.cache_folder("fashion-mnist") == tmp_path / "home" / "elsewhere" / "fashion-mnist"


OTHERS = {
    "Keras": "home/.keras/datasets/fashion-mnist",
    "torchvision, here": "here/data/FashionMNIST/raw",
    "torchvision, at home": "home/data/FashionMNIST/raw",
}


@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize("folder", OTHERS.values(), ids=OTHERS.keys())
def test_copies_of_keras_and_torchvision_are_used_and_left_alone(
    folder: str, unpacked: bool, tmp_path: Path, cache: Path
) -> None:
    copies = fill(tmp_path / folder, unpacked=unpacked)
    before = contents(copies)
    assert_loaded(load_data())
    assert contents(copies) == before
    assert not cache.exists()


def test_keras_home_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "keras" / "datasets" / "fashion-mnist")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    assert_loaded(load_data())


@pytest.mark.parametrize("folder", OTHERS.values(), ids=OTHERS.keys())
def test_a_damaged_copy_of_another_tool_is_passed_over_and_left_alone(
    folder: str, tmp_path: Path, serve: Serve
) -> None:
    (mirror,) = serve(send_whole)
    copies = fill(tmp_path / folder)
    (copies / FIRST).write_bytes(flipped(PACKED_FIRST, 8000))
    before = contents(copies)
    assert_loaded(load_data())
    assert contents(copies) == before
    assert mirror.asked == [FIRST]


# ----------------------------------------------------------- what stands in a file's place, or more


def make_link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_socket(path: Path) -> None:
    # the name of a socket may have some 100 bytes only, so it is made here and moved there
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        os.rename("socket", path)


def make_link_to_fifo(path: Path) -> None:
    os.mkfifo("fifo")
    path.symlink_to(Path("fifo").absolute())


NO_FILES = {
    "FIFO": lambda path: os.mkfifo(path),
    "link to a FIFO": make_link_to_fifo,
    "link to /dev/zero": make_link_to_zeros,
    "link to a terminal": lambda path: path.symlink_to("/dev/tty"),
    "socket": make_socket,
    "directory": lambda path: path.mkdir(),
    "link to itself": lambda path: path.symlink_to(path),
}
PLACES = {"path": "mine", "cache": "cache/fashion-mnist", **OTHERS}


def all_but_its_last_reading(path: Path) -> tuple[int, ...]:
    status = path.lstat()  # following a link may change the time of its last reading
    return status.st_mode, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
@pytest.mark.parametrize("unpacked", and_slow([False], [True], "in_ci"))
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("make", NO_FILES.values(), ids=NO_FILES.keys())
def test_what_is_no_regular_file_is_passed_over_at_once(
    make: Callable[[Path], None], place: str, unpacked: bool, tmp_path: Path, serve: Serve
) -> None:
    (mirror,) = serve(send_whole)
    folder = fill(tmp_path / place, unpacked=unpacked)
    first = folder / FIRST.removesuffix(".gz" if unpacked else "")
    first.unlink()
    make(first)
    named = folder if place == "mine" else None
    before = all_but_its_last_reading(first)
    peak = peak_of(lambda: assert_loaded(within(10, lambda: load_data(named))))
    assert peak < 32 * MEGABYTE  # what is imported for the download included
    assert mirror.asked == [FIRST]
    if place != PLACES["cache"]:
        assert all_but_its_last_reading(first) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_what_is_no_regular_file_is_named(tmp_path: Path) -> None:
    folder = fill(tmp_path / "mine")
    (folder / FIRST).unlink()
    os.mkfifo(folder / FIRST)
    with pytest.raises(DatasetUnavailable, match=r"\(path\): cannot be read: not a regular file"):
        within(10, lambda: load_data(folder))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_file_that_becomes_a_pipe_before_it_is_opened(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache)
    folder = fill(tmp_path / "mine")
    opened = os.open

    def swap_and_open(name: object, *args: object) -> int:
        if name == folder / FIRST:
            (folder / FIRST).unlink()
            os.mkfifo(folder / FIRST)
        return opened(name, *args)

    monkeypatch.setattr(os, "open", swap_and_open)
    assert_loaded(within(10, lambda: load_data(folder)))


@pytest.mark.parametrize("data", [bomb(idx_head(5, 28, 28)), bomb(HTML)], ids=["idx", "page"])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_bomb_in_any_folder_costs_nothing(
    data: bytes, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that has the size of the true file."""
    folder = fill(tmp_path / place)
    (folder / FIRST).write_bytes(data)
    named = folder if place == "mine" else None
    for size in FILES[0].gz_size, len(data):
        files = (FILES[0]._replace(gz_size=size), *FILES[1:])
        monkeypatch.setattr(fashion_mnist, "FILES", files)

        def load() -> None:
            with pytest.raises((DatasetCorrupt, DatasetUnavailable), match=FILES[0].gz_sha256):
                load_data(named)

        (folder / FIRST).write_bytes(data)  # the cache deletes it
        assert peak_of(load) < MEGABYTE


@pytest.mark.parametrize("unpacked", [False, True])
def test_a_file_that_is_too_long_is_not_read_to_its_end(unpacked: bool, tmp_path: Path) -> None:
    folder = fill(tmp_path / "mine", unpacked=unpacked)
    first = folder / FIRST.removesuffix(".gz" if unpacked else "")
    os.truncate(first, 1 << 36)  # zeros that take no place on the disk
    size = FILES[0].idx_size if unpacked else FILES[0].gz_size

    def load() -> None:
        with pytest.raises(DatasetCorrupt, match=f"and {size} bytes, received more"):
            load_data(folder)

    assert peak_of(load) < MEGABYTE


# ------------------------------------------------------------------------------------ the download


def test_a_download_is_kept_and_not_repeated(
    cache: Path, serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    (mirror,) = serve(send_whole)
    assert_loaded(load_data())
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()  # no terminal: one plain line for each file
    assert [line.split(" (")[0] for line in lines] == [
        f"minicnn: downloading {mirror.url}{name}" for name in PACKED
    ]
    assert contents(cache) == PACKED
    assert sorted(p.name for p in cache.iterdir()) == sorted(PACKED)  # no scratch left behind
    assert_loaded(load_data())
    assert mirror.asked == list(PACKED)
    assert capfd.readouterr() == ("", "")


def test_a_download_is_not_unpacked_on_the_way(cache: Path, serve: Serve) -> None:
    serve(send_as_encoded_if_welcome)
    assert_loaded(load_data())
    assert contents(cache) == PACKED


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_progress_bar(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(send_whole)
    monkeypatch.setattr(sys, "stderr", Terminal())
    load_data()
    shown = sys.stderr.getvalue()
    for name in PACKED:
        assert re.search(rf"{name}: 100%\|", shown)
    assert "downloading" not in shown


FAILURES = {
    "404": (send_404, "404 .*Not Found"),
    "time-out before the answer": (send_nothing, "TimeoutError: timed out"),
    "time-out in the body": (send_half_and_stall, "TimeoutError: timed out"),
    "short body": (send_half, "IncompleteRead|cut after [0-9]+ bytes"),
    "short body, no length": (send_half_unannounced, "cut after [0-9]+ bytes"),
    "empty body": (send_empty, "an empty file"),
    "page": (send_page, "this is an HTML page"),
    "flipped bits": (send_flipped, "expected SHA-256 [0-9a-f]{64}, received [0-9a-f]{64}"),
    "connection closed": (lambda handler, data: None, "RemoteDisconnected"),
}


@pytest.mark.parametrize(("answer", "reason"), FAILURES.values(), ids=FAILURES.keys())
def test_a_mirror_that_fails_is_named_with_its_reason_and_the_next_one_tried(
    answer: Answer, reason: str, cache: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fashion_mnist, "TIMEOUT", (0.3, 0.1))
    (bad,) = serve(answer)
    with pytest.raises(DatasetUnavailable) as caught:
        load_data()
    line = next(line for line in str(caught.value).splitlines() if bad.url in line)
    assert re.search(rf"{FIRST}: .*{reason}", line)
    assert not contents(cache)

    bad, good = serve(answer, send_whole)
    assert_loaded(load_data())
    assert bad.asked == list(PACKED)
    assert good.asked == list(PACKED)
    assert contents(cache) == PACKED


def send_for_ever(
    handler: BaseHTTPRequestHandler,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    pieces: Iterator[bytes] | None = None,
    pause: float = 0.0,
) -> None:
    """An answer that ends only when the client hangs up, or the test is over."""
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    for piece in pieces or itertools.repeat(bytes(1 << 16)):
        handler.wfile.write(piece)
        handler.wfile.flush()
        if handler.server.released.wait(pause):
            return


def endless(**headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, data: send_for_ever(handler, headers=named)


def send_bomb(encoding: str) -> Answer:
    body = bomb(b"", 256, encoding)

    def answer(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", encoding)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def send_too_long(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    send(handler, data + b"1", len(data) + 1)


def send_chunks_for_ever(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.protocol_version = "HTTP/1.1"
    chunk = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    headers = {"Transfer-Encoding": "chunked"}
    send_for_ever(handler, headers=headers, pieces=itertools.repeat(chunk))


def send_a_chunk_size_for_ever(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.protocol_version = "HTTP/1.1"
    headers = {"Transfer-Encoding": "chunked"}
    send_for_ever(handler, headers=headers, pieces=itertools.repeat(b"0" * (1 << 16)))


def send_headers_for_ever(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n")
    while not handler.server.released.is_set():
        handler.wfile.write(b"X-More: " + b"x" * 60000 + b"\r\n")


def redirect_with_endless_body(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    location = handler.path.partition("?")[0] + "?again"
    send_for_ever(handler, status=302, headers={"Location": location})


def redirect_round_and_round(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    handler.send_response(302)
    handler.send_header("Location", handler.path.partition("?")[0] + "?again")
    handler.end_headers()


LONGER = f"and {FILES[0].gz_size} bytes, received more"
TOO_MUCH = {
    "endless": (endless(), LONGER),
    "endless, false length": (
        endless(Content_Length=str(1 << 40)),
        LONGER,
    ),
    "endless, length of the file": (
        endless(Content_Length=str(FILES[0].gz_size)),
        "expected SHA-256",
    ),
    "endless, chunked": (send_chunks_for_ever, LONGER),
    "endless size of a chunk": (send_a_chunk_size_for_ever, "got more than 65536 bytes|invalid"),
    "endless headers": (send_headers_for_ever, "got more than 100 headers"),
    "endless error page": (
        lambda handler, data: send_for_ever(handler, status=503),
        "HTTPError: 503",
    ),
    "endless redirect": (redirect_with_endless_body, "redirected more than 5 times"),
    "redirects without end": (redirect_round_and_round, "redirected more than 5 times"),
    "one byte too long": (send_too_long, LONGER),
    "bomb, gzip": (send_bomb("gzip"), LONGER),
    "bomb, deflate": (send_bomb("deflate"), LONGER),
    "bomb that says gzip, endless": (
        endless(Content_Encoding="gzip"),
        LONGER,
    ),
}


@pytest.mark.parametrize(("answer", "reason"), TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_a_mirror_that_sends_too_much_is_stopped(
    answer: Answer, reason: str, cache: Path, serve: Serve
) -> None:
    bad, good = serve(answer, send_whole)
    peak = peak_of(lambda: assert_loaded(within(HANGS, load_data)))
    assert peak < 32 * MEGABYTE  # 100 headers of 60 kB, and the modules that are imported
    assert good.asked == list(PACKED)
    assert contents(cache) == PACKED
    fashion_mnist.MIRRORS = (bad.url,)  # the fixture sets it back
    for file in cache.iterdir():
        file.unlink()
    with pytest.raises(DatasetUnavailable) as caught:
        within(HANGS, load_data)
    line = next(line for line in str(caught.value).splitlines() if bad.url in line)
    assert re.search(reason, line)


def drip(handler: BaseHTTPRequestHandler, data: bytes, beginning: bytes = b"") -> None:
    """Send `beginning` at once and `data` byte by byte, so that no pause is ever long."""
    handler.wfile.write(beginning)
    for byte in itertools.cycle(data):
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        if handler.server.released.wait(0.05):
            return


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "body": lambda handler, data: drip(handler, data, OK + b"\r\n"),
    "body, with its length": lambda handler, data: drip(
        handler, data, OK + b"Content-Length: %d\r\n\r\n" % len(data)
    ),
    "body, after half of it": lambda handler, data: drip(
        handler, b"1", OK + b"\r\n" + data[: len(data) // 2]
    ),
    "chunks": lambda handler, data: drip(handler, b"1\r\nx\r\n", CHUNKED),
    "size of a chunk": lambda handler, data: drip(handler, b"0", CHUNKED),
    "end of the chunks": lambda handler, data: drip(handler, b"X: y\r\n", CHUNKED + b"0\r\n"),
    "status line": lambda handler, data: drip(handler, b" ", b"HTTP/1.1 200"),
    "headers": lambda handler, data: drip(handler, b"X", OK + b"X-More: "),
    "informational answers": lambda handler, data: drip(handler, b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers of a redirect": lambda handler, data: drip(
        handler, b"X", b"HTTP/1.1 302 Found\r\nLocation: /\r\nX-More: "
    ),
}


# each waits for a third of a second
@pytest.mark.parametrize("what", and_slow([*DRIPS][:3], [*DRIPS][3:], "in_ci"))
def test_a_mirror_that_drips_is_given_up(
    what: str, cache: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    (mirror,) = serve(DRIPS[what])
    start = time.monotonic()
    with pytest.raises(DatasetUnavailable) as caught:
        within(HANGS, load_data)
    assert 0.3 < time.monotonic() - start < 25  # by itself PATIENCE is 30
    line = next(line for line in str(caught.value).splitlines() if mirror.url in line)
    assert re.search(r"TimeoutError: the server is too slow: [0-9]+ bytes in [0-9.]+ s", line)
    assert not contents(cache)


class FalseClock:
    """What a download takes for the time: it passes when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(download, "time", SimpleNamespace(monotonic=lambda: self.now))


def test_redirects_share_the_time_of_the_answer(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def redirect_late(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        clock.now += 200
        redirect_round_and_round(handler, data)

    clock = FalseClock(monkeypatch)
    monkeypatch.setattr(download, "PATIENCE", 500)
    (mirror,) = serve(redirect_late)
    with pytest.raises(DatasetUnavailable, match="the server is too slow"):
        within(HANGS, load_data)
    assert len(mirror.asked) == 3


def test_a_slow_mirror_that_sends_steadily_has_the_time_it_takes(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward = download.Clock.reward

    def arrive_late(self: download.Clock, received: int) -> None:
        clock.now += received / 20
        reward(self, received)

    clock = FalseClock(monkeypatch)
    monkeypatch.setattr(download.Clock, "reward", arrive_late)
    monkeypatch.setattr(download, "PATIENCE", 100)
    monkeypatch.setattr(download, "SLOWEST", 5)
    monkeypatch.setattr(download, "CHUNK", 200)
    serve(send_whole)
    assert_loaded(within(HANGS, load_data))
    assert max(map(len, PACKED.values())) / 20 > 150  # by itself PATIENCE would not do


def test_a_mirror_that_has_moved_is_followed(
    cache: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.send_response(301)
        handler.send_header("Location", good.url + handler.path.removeprefix("/"))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    old, good = serve(moved, send_whole)
    monkeypatch.setattr(fashion_mnist, "MIRRORS", (old.url,))
    assert_loaded(load_data())
    assert old.asked == good.asked == list(PACKED)
    assert contents(cache) == PACKED


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://", "http://[", "//", "ftp://x/y", "http://\xff\xfe/"]
)
def test_a_redirect_to_nowhere(location: str, cache: Path, serve: Serve) -> None:
    def astray(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.end_headers()

    _, good = serve(astray, send_whole)
    assert_loaded(load_data())
    assert good.asked == list(PACKED)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "br", "nonsense"])
def test_what_a_server_calls_packed_is_not_unpacked_on_the_way(
    encoding: str, cache: Path, serve: Serve
) -> None:
    def label(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", encoding)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    serve(label)
    assert_loaded(load_data())
    assert contents(cache) == PACKED


@pytest.fixture
def secure(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Answer], Mirror]:
    """Start a mirror that is reached by https only, with a certificate made for it."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")

    def start(answer: Answer) -> Mirror:
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        subprocess.run(
            [*request, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        (mirror,) = serve(answer)
        mirror.socket = context.wrap_socket(mirror.socket, server_side=True)
        monkeypatch.setattr(fashion_mnist, "MIRRORS", (f"https://localhost:{mirror.server_port}/",))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        return mirror

    return start


@pytest.mark.in_ci
def test_a_download_by_https(
    cache: Path, secure: Callable[[Answer], Mirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = secure(send_whole)
    assert_loaded(within(HANGS, load_data))
    assert contents(cache) == PACKED
    for answer in DRIPS["headers"], DRIPS["body"], DRIPS["chunks"]:
        mirror.answer = answer
        for file in cache.iterdir():
            file.unlink()
        monkeypatch.setattr(download, "PATIENCE", 0.5)
        with pytest.raises(DatasetUnavailable, match="the server is too slow"):
            within(HANGS, load_data)


def test_a_handshake_that_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def shake_hands_for_ever() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"\x16\x03\x03\x40\x00")  # 16 kB of handshake are to come
            while not over.wait(0.05):
                with suppress(OSError):
                    connection.sendall(b"\x02")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=shake_hands_for_ever)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setattr(fashion_mnist, "MIRRORS", (url,))
        monkeypatch.setattr(fashion_mnist, "TIMEOUT", (0.5, 5.0))
        try:
            with pytest.raises(DatasetUnavailable, match="timed out"):
                within(HANGS, load_data)
        finally:
            over.set()
            thread.join()


def test_a_proxy_is_asked_and_watched_as_well(
    cache: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_proxy(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        proxy.wanted.append(handler.path)
        if proxy.drips:
            drip(handler, b"X", OK + b"X-More: ")
        else:
            send_whole(handler, data)

    (proxy,) = serve(as_proxy)
    proxy.wanted, proxy.drips = [], False
    address = "http://data.invalid/"
    monkeypatch.setattr(fashion_mnist, "MIRRORS", (address,))
    monkeypatch.setenv("http_proxy", proxy.url)
    assert_loaded(load_data())
    assert proxy.wanted == [address + name for name in PACKED]
    for file in cache.iterdir():
        file.unlink()
    proxy.drips = True
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    with pytest.raises(DatasetUnavailable, match="the server is too slow"):
        within(HANGS, load_data)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers")
def test_an_interrupted_download_leaves_nothing(
    cache: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt_in_the_middle(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        send(handler, data[: len(data) // 2], len(data))
        handler.wfile.flush()
        handler.server.half_sent.set()
        os.kill(os.getpid(), signal.SIGALRM)  # which the main thread takes
        handler.server.released.wait(HANGS)

    (mirror,) = serve(interrupt_in_the_middle)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            load_data()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert mirror.half_sent.is_set()
    assert not cache.exists()


def test_an_interrupted_write_to_the_cache_leaves_nothing(
    cache: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(send_whole)
    write = Path.write_bytes

    def interrupted(path: Path, data: bytes) -> int:
        write(path, data[: len(data) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_data()
    assert not list(cache.iterdir())


@pytest.fixture
def closed_port() -> Iterator[str]:
    """The address of a port that refuses: bound, so that no other process gets it, but deaf."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{deaf.getsockname()[1]}/"


def test_nowhere_to_be_had(
    closed_port: str, tmp_path: Path, cache: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mirror,) = serve(send_404)
    monkeypatch.setattr(fashion_mnist, "MIRRORS", (mirror.url, closed_port))
    keras = fill(tmp_path / OTHERS["Keras"])
    (keras / FIRST).write_bytes(HTML)
    folder = tmp_path / "mine"
    folder.mkdir()
    with pytest.raises(OSError, match="from none") as caught:
        load_data(folder)
    assert type(caught.value) is DatasetUnavailable
    assert caught.value.__cause__ is None
    places = [line[4:] for line in str(caught.value).splitlines() if line.startswith("  - ")]
    expected = [
        rf"{re.escape(str(folder / FIRST))} \(path\): no such file",
        rf"{re.escape(str(cache / FIRST))} \(cache\): no such file",
        rf"{re.escape(str(keras / FIRST))}: .*this is an HTML page.* \(Keras\)",
        r"data.FashionMNIST.raw.* \(torchvision\): no such file",
        r".*home.data.FashionMNIST.raw.* \(torchvision\): no such file",
        rf"{mirror.url}{FIRST}: HTTPError: 404 ",
        rf"{closed_port}{FIRST}: ConnectionRefusedError: ",
        r"put the four files",
        r"without the data",
    ]
    assert len(places) == len(expected)
    for place, pattern in zip(places, expected, strict=True):
        assert re.match(pattern, place)
    for way_out in "path=", "MINICNN_DATA", "minicnn.datasets.synthetic_fashion":
        assert way_out in str(caught.value)


def test_the_reason_is_not_what_the_caller_was_handling(
    closed_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fashion_mnist, "MIRRORS", (closed_port,))
    try:
        raise KeyError("of the caller")
    except KeyError:
        with pytest.raises(DatasetUnavailable, match="ConnectionRefusedError") as caught:
            load_data()
    assert "of the caller" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_said_once_and_done_without(
    tmp_path: Path, serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    (mirror,) = serve(send_whole)
    (tmp_path / "cache").write_bytes(b"a file where the folder should be")
    for _ in range(2):
        assert_loaded(load_data())
    lines = capfd.readouterr().err.splitlines()
    (notice,) = [line for line in lines if "downloading" not in line]
    assert "cannot be written" in notice
    assert "MINICNN_CACHE" in notice
    assert mirror.asked == [*PACKED, *PACKED]


def test_a_full_disk_leaves_nothing_in_the_cache(
    cache: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    serve(send_whole)
    write = Path.write_bytes

    def write_half(path: Path, data: bytes) -> int:
        write(path, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_half)
    assert_loaded(load_data())
    assert not list(cache.iterdir())
    assert "(No space left on device)" in capfd.readouterr().err


# ------------------------------------------------------------------------------- several processes

SCRIPT = """
import json, os, signal, sys
from minicnn.datasets import fashion_mnist
url, files, die_at_replace = json.loads(sys.argv[1])
fashion_mnist.MIRRORS = (url,)
fashion_mnist.FILES = tuple(fashion_mnist.DataFile(*file) for file in files)
if die_at_replace:
    os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
(x_train, _), _ = fashion_mnist.load_data()
print(x_train.sum())
"""


def run_load_data(url: str, *, die_at_replace: bool = False) -> subprocess.Popen[str]:
    arguments = json.dumps([url, FILES, die_at_replace])
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


needs_sigkill = pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="this system cannot kill a process outright"
)


@needs_sigkill
@pytest.mark.parametrize("when", ["in the download", "before the last step"])
@pytest.mark.in_ci
def test_a_killed_process_leaves_no_half_file(when: str, cache: Path, serve: Serve) -> None:
    in_download = when == "in the download"
    (mirror,) = serve(send_half_and_stall if in_download else send_whole)
    with run_load_data(mirror.url, die_at_replace=not in_download) as process:
        if in_download:
            arrived = mirror.half_sent.wait(HANGS)
            time.sleep(0.1)  # let the half be read
            process.kill()
            assert arrived
        process.communicate(timeout=HANGS)
    assert process.returncode == -signal.SIGKILL
    assert not list(cache.glob("*.gz"))

    serve(send_whole)
    assert_loaded(load_data())
    assert {p.name: p.read_bytes() for p in cache.glob("*.gz")} == PACKED


@pytest.mark.in_ci
def test_two_processes_may_download_at_once(cache: Path, serve: Serve) -> None:
    meeting = threading.Barrier(2, timeout=HANGS)

    def answer_together(handler: BaseHTTPRequestHandler, data: bytes) -> None:
        meeting.wait()
        send_whole(handler, data)

    (mirror,) = serve(answer_together)
    processes = [run_load_data(mirror.url) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=HANGS)
        assert process.returncode == 0, err
        assert int(out) == FIVE.sum()
    assert sorted(mirror.asked) == sorted([*PACKED, *PACKED])
    assert contents(cache) == PACKED


def test_the_import_does_not_load_the_downloader() -> None:
    code = "import sys, minicnn.datasets.fashion_mnist; print('requests' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


# ------------------------------------------------------------------------------------ the real data

PUBLISHED = fashion_mnist.FILES  # before the autouse fixture puts the small ones in their place
needs_data = pytest.mark.skipif(
    not REAL, reason="MINICNN_DATA does not name a folder with the Fashion-MNIST files"
)


@pytest.fixture
def real_files(monkeypatch: pytest.MonkeyPatch) -> tuple[DataFile, ...]:
    monkeypatch.setattr(fashion_mnist, "FILES", PUBLISHED)
    return PUBLISHED


@needs_data
@pytest.mark.usefixtures("real_files")
def test_the_real_data(capfd: pytest.CaptureFixture[str]) -> None:
    (x_train, y_train), (x_test, y_test) = load_data(REAL_FOLDER)
    assert x_train.shape == (60000, 28, 28)
    assert y_train.shape == (60000,)
    assert x_test.shape == (10000, 28, 28)
    assert y_test.shape == (10000,)
    for array in x_train, y_train, x_test, y_test:
        assert array.dtype == np.uint8
        assert array.flags.writeable
    assert x_train.sum(dtype=np.int64) == 3431114169
    assert x_test.sum(dtype=np.int64) == 573469082
    assert y_train[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert y_test[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    assert np.bincount(y_train).tolist() == [6000] * 10
    assert np.bincount(y_test).tolist() == [1000] * 10
    assert capfd.readouterr() == ("", "")


@needs_data
def test_the_real_data_unpacked(real_files: tuple[DataFile, ...], tmp_path: Path) -> None:
    for file in real_files:
        packed = (REAL_FOLDER / f"{file.name}.gz").read_bytes()
        assert len(packed) == file.gz_size
        (tmp_path / file.name).write_bytes(gzip.decompress(packed))
    (x_train, _), (x_test, _) = load_data(tmp_path)
    assert x_train.sum(dtype=np.int64) == 3431114169
    assert x_test.sum(dtype=np.int64) == 573469082
