"""Pictures in files, as arrays and in folders.

The pictures are made here; what Keras and TensorFlow make of such pictures stands beside the tests.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minicnn import layers, utils
from minicnn.models import Sequential
from minicnn.utils import image_dataset_from_directory, img_to_array, load_img, resampling
from minicnn.utils.batches import Batches
from minicnn.utils.images import ImageFileError

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)
SQUARES = (np.arange(20).reshape(4, 5, 1) ** 2 % 251).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, **kwargs: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels).save(path, **kwargs)
    return path


# -- files and arrays ------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "kept"), [("rgb", "RGB"), ("rgba", "RGBA"), ("grayscale", "L")])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_load_img_converts_as_pillow_does(
    mode: str, kept: str, channels: int, tmp_path: Path
) -> None:
    pixels = RNG.integers(0, 256, (6, 9, channels), np.uint8)
    path = save(tmp_path / "a.png", pixels)
    picture = load_img(path, color_mode=mode)
    assert picture.mode == kept
    with Image.open(path) as original:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(original.convert(kept)))
    x = img_to_array(picture)
    assert x.shape == (6, 9, {"RGB": 3, "RGBA": 4, "L": 1}[kept])
    assert x.dtype == np.float32
    if channels == x.shape[2]:
        np.testing.assert_array_equal(x, pixels)


def test_load_img_takes_what_names_a_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", SQUARES)
    for given in path, str(path), os.fsencode(path), io.BytesIO(path.read_bytes()):
        np.testing.assert_array_equal(img_to_array(load_img(given, "grayscale")), SQUARES)


def test_grey_pictures_of_16_bits_stay_as_they_are(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 65536, (4, 3, 1)).astype(np.uint16)
    picture = load_img(save(tmp_path / "a.png", pixels), "grayscale")
    np.testing.assert_array_equal(img_to_array(picture), pixels)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"])
@pytest.mark.parametrize(
    ("size", "box"),
    [((8, 8), (10, 0, 50, 40)), ((10, 30), (0, 10, 60, 30)), ((5, 50), (0, 17, 60, 23))],
)
def test_load_img_resizes_as_pillow_does(
    method: str, size: tuple[int, int], box: tuple[int, ...], tmp_path: Path
) -> None:
    pixels = RNG.integers(0, 256, (40, 60, 3), np.uint8)
    path = save(tmp_path / "a.png", pixels)
    original = Image.fromarray(pixels)
    how = Image.Resampling[method.upper()]
    plain = load_img(path, target_size=size, interpolation=method)
    assert plain.tobytes() == original.resize(size[::-1], how).tobytes()
    cut = load_img(path, target_size=list(size), interpolation=method, keep_aspect_ratio=True)
    assert cut.tobytes() == original.resize(size[::-1], how, box=box).tobytes()


def test_the_nearest_pixel_is_the_default(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", SQUARES)
    x = img_to_array(load_img(path, "grayscale", target_size=(2, 5)))
    np.testing.assert_array_equal(x, SQUARES[[1, 3]])


def test_arrays_with_the_channels_first_and_of_other_types() -> None:
    picture = Image.fromarray(RNG.integers(0, 256, (4, 5, 3), np.uint8))
    x = img_to_array(picture, "channels_first", "uint8")
    assert x.shape == (3, 4, 5)
    assert x.dtype == np.uint8
    np.testing.assert_array_equal(x.transpose(1, 2, 0), np.asarray(picture))
    again = utils.array_to_img(x, "channels_first", scale=False)
    assert again.tobytes() == picture.tobytes()
    assert img_to_array(np.zeros((4, 5))).shape == (4, 5, 1)
    assert img_to_array(np.zeros((4, 5)), data_format="channels_first").shape == (1, 4, 5)


def test_array_to_img_scales() -> None:
    x = np.array([[[-1.0], [0.0], [1.0]]])
    assert np.asarray(utils.array_to_img(x)).tolist() == [[0, 127, 255]]
    assert np.asarray(utils.array_to_img(np.full((1, 2, 1), 7.0))).tolist() == [[0, 0]]
    plain = utils.array_to_img(np.array([[[0.9], [255.9]]]), scale=False)
    assert np.asarray(plain).tolist() == [[0, 255]]
    deep = utils.array_to_img(np.array([[[3], [70000]]]), scale=False)
    assert deep.mode == "I"
    assert np.asarray(deep).tolist() == [[3, 70000]]
    assert [utils.array_to_img(np.zeros((2, 2, c))).mode for c in (1, 3, 4)] == ["L", "RGB", "RGBA"]


BAD_ARRAYS = {
    "several": (
        np.zeros((2, 4, 4, 3)),
        {},
        r"one picture \(H, W, C\), received shape \(2, 4, 4, 3",
    ),
    "without channels": (np.zeros((4, 4)), {}, r"x\[..., None\]"),
    "two channels": (np.zeros((4, 4, 2)), {}, "1, 3 or 4 channels"),
    "no pixel": (np.zeros((0, 4, 3)), {}, "1, 3 or 4 channels"),
    "not finite": (np.full((4, 4, 3), np.nan), {}, "x"),
    "words": (np.full((4, 4, 3), "a"), {}, "x"),
    "below 0": (np.full((4, 4, 3), -2.0), {"scale": False}, "from 0 to 255, received -2.0 to -2.0"),
    "above 255": (np.full((4, 4, 3), 256), {"scale": False}, "Pass scale=True"),
    "format": (np.zeros((4, 4, 3)), {"data_format": "last"}, "data_format to be one of"),
    "type": (np.zeros((4, 4, 3)), {"dtype": "complex64"}, "dtype to be a type of numbers"),
}


@pytest.mark.parametrize(("x", "kwargs", "message"), BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
def test_array_to_img_refuses(x: Any, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"array_to_img: expected .*{message}"):
        utils.array_to_img(x, **kwargs)


def test_save_img(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (6, 5, 3), np.uint8)
    utils.save_img(tmp_path / "a.png", x, scale=False)
    np.testing.assert_array_equal(img_to_array(load_img(tmp_path / "a.png")), x)
    utils.save_img(str(tmp_path / "b.JPG"), x, scale=False, quality=95)
    with Image.open(tmp_path / "b.JPG") as picture:
        assert picture.format == "JPEG"
    memory = io.BytesIO()
    utils.save_img(memory, x, file_format="bmp", scale=False)
    assert memory.getvalue()[:2] == b"BM"
    with pytest.warns(UserWarning, match="JPEG has no opacity"):
        utils.save_img(tmp_path / "c.jpg", np.zeros((4, 4, 4)))


def test_save_img_refuses_before_it_writes(tmp_path: Path) -> None:
    for path, kwargs in (
        (tmp_path / "a", {}),
        (tmp_path / "a.docx", {}),
        (io.BytesIO(), {}),
        (tmp_path / "a.png", {"file_format": "docx"}),
    ):
        with pytest.raises(ValueError, match="save_img: expected path to end in"):
            utils.save_img(path, np.zeros((2, 2, 1)), **kwargs)

    class Refuses(os.PathLike[str]):
        def __fspath__(self) -> str:
            raise RuntimeError("no")

    for path in 3, Refuses():
        with pytest.raises(TypeError, match="save_img: expected path to be a"):
            utils.save_img(path, np.zeros((2, 2, 1)))
    with pytest.raises(ValueError, match="save_img: expected path .*no file system"):
        utils.save_img("a\0b.png", np.zeros((2, 2, 1)))
    with pytest.raises(TypeError, match="save_img: expected file_format"):
        utils.save_img(tmp_path / "a.png", np.zeros((2, 2, 1)), file_format=3)
    assert list(tmp_path.iterdir()) == []


def damaged(kind: str) -> bytes:
    memory = io.BytesIO()
    picture = Image.fromarray(RNG.integers(0, 256, (40, 40, 3), np.uint8))
    picture.save(memory, format={"jpg": "jpeg"}.get(kind, kind))
    return memory.getvalue()


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "gif"])
@pytest.mark.parametrize("cut", [0.02, 0.5, 0.95])
def test_a_cut_picture_is_named(kind: str, cut: float, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    whole = damaged(kind)
    path.write_bytes(whole)
    load_img(path)
    path.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(ImageFileError, match=f"load_img: expected a picture in .*a.{kind}, "):
        load_img(path)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "gif"])
def test_no_damage_ends_in_another_error(kind: str, tmp_path: Path) -> None:
    whole = damaged(kind)
    rng = np.random.default_rng(1)
    refused = 0
    for place in rng.integers(0, min(len(whole), 1000), 60):
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        try:
            load_img(io.BytesIO(bytes(content)))
        except ImageFileError:
            refused += 1
    assert refused or kind in ("bmp", "gif")


def test_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in "a.png", "empty.png":
        with pytest.raises(ImageFileError, match="UnidentifiedImageError: cannot identify"):
            load_img(tmp_path / name)
        with pytest.raises(OSError, match="load_img"):  # as in Keras
            load_img(str(tmp_path / name))
        with pytest.raises(ValueError, match="load_img"):
            load_img(os.fsencode(tmp_path / name))
    with pytest.raises(ImageFileError, match="to name a file, received .*, which is none"):
        load_img(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_img(tmp_path / "not_there.png")
    with pytest.raises(TypeError, match="load_img: expected path to be a str"):
        load_img(3)
    for name in "a\0b", "a" * 100_000:
        with pytest.raises(ValueError, match="load_img: expected path to name a file"):
            load_img(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageFileError, match="which is none"):
        load_img(tmp_path / "a.png")


@pytest.mark.in_ci
def test_a_picture_of_a_billion_pixels_is_not_unpacked() -> None:
    memory = io.BytesIO()
    Image.new("1", (40000, 30000)).save(memory, "png")
    with pytest.raises(ImageFileError, match="DecompressionBomb"):
        load_img(io.BytesIO(memory.getvalue()))


BAD_LOADS = {
    "mode": ({"color_mode": "bgr"}, "color_mode to be one of grayscale, rgb, rgba"),
    "size": ({"target_size": (3, 4, 5)}, "target_size"),
    "no size": ({"target_size": (0, 4)}, "target_size"),
    "large size": ({"target_size": (4, 70000)}, "target_size to be at most 65535"),
    "interpolation": ({"interpolation": "area"}, "interpolation to be one of bicubic"),
    "ratio": ({"keep_aspect_ratio": "yes"}, "keep_aspect_ratio to be True or False"),
}


@pytest.mark.parametrize(("kwargs", "message"), BAD_LOADS.values(), ids=BAD_LOADS.keys())
def test_load_img_refuses(kwargs: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", SQUARES)
    with pytest.raises((TypeError, ValueError), match=f"load_img: expected {message}"):
        load_img(path, **kwargs)


def test_the_import_does_not_load_pillow() -> None:
    code = "import sys, minicnn; print('PIL' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


# -- resizing --------------------------------------------------------------------------------------

BY_TENSORFLOW = json.loads((ROOT / "tests/fixtures/tensorflow_resize.json").read_text())


@pytest.mark.parametrize(
    "case", BY_TENSORFLOW, ids=[f"{case['method']}-{case['size'][0]}" for case in BY_TENSORFLOW]
)
def test_pictures_are_resized_as_tensorflow_does(case: dict[str, Any]) -> None:
    """tf.image.resize(SQUARES, size, method). Its bicubic weights come from a table."""
    y = resampling.resized(SQUARES, *case["size"], case["method"])
    assert y.dtype == np.float32
    largest = np.abs(y[:, :, 0] - np.array(case["y"])).max()
    assert largest < (0.15 if case["method"] == "bicubic" else 0.002)


def test_every_method_has_its_numbers() -> None:
    assert {case["method"] for case in BY_TENSORFLOW} == set(resampling.INTERPOLATIONS)


@pytest.mark.parametrize("method", resampling.INTERPOLATIONS)
def test_the_weights_of_a_pixel_sum_to_one(method: str) -> None:
    for n_in, n_out in itertools.product((1, 2, 5, 33), (1, 3, 8, 64)):
        A = resampling.mixing(n_in, n_out, method)
        assert A.shape == (n_out, n_in)
        np.testing.assert_allclose(A.sum(axis=1), 1, atol=1e-12)


def test_the_middle_or_black_around() -> None:
    """By keras.preprocessing.image.smart_resize and tf.image.resize_with_pad."""
    y = resampling.cropped_and_resized(SQUARES, 2, 4, "bilinear")[:, :, 0]
    want = [[26.375, 40.875, 58.375, 78.875], [102.625, 129.625, 159.625, 192.625]]
    np.testing.assert_allclose(y, want, atol=1e-3)
    y = resampling.cropped_and_resized(SQUARES, 4, 2, "bilinear")[:, :, 0]
    np.testing.assert_array_equal(y, [[1, 4], [36, 49], [121, 144], [5, 38]])
    y = resampling.resized_and_padded(SQUARES, 5, 4, "bilinear")[:, :, 0]
    want = [
        [4.5, 8.583, 15.667, 25.75],
        [64.5, 85.25, 109, 135.75],
        [181.688, 36.083, 76.5, 119.917],
    ]
    np.testing.assert_allclose(y, [*want, [0] * 4, [0] * 4], atol=1e-3)
    y = resampling.resized_and_padded(SQUARES, 4, 8, "bilinear")[:, :, 0]
    np.testing.assert_array_equal(y, np.pad(SQUARES[:, :, 0], ((0, 0), (1, 2))))


def test_a_thin_picture_is_not_lost_when_black_is_put_around() -> None:
    y = resampling.resized_and_padded(np.full((1, 300, 1), 9, np.uint8), 5, 5, "bilinear")
    assert y.sum() == 45  # where TensorFlow ends in an error


# -- a folder --------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures in two classes, the n-th of them brighter by n."""
    folder = tmp_path / "pictures"
    for n in range(6):
        save(folder / "ab"[n % 2] / f"{n}.png", SQUARES + np.uint8(n))
    return folder


def quiet(folder: Any, **kwargs: Any) -> Any:
    kwargs = {"image_size": (4, 5), "color_mode": "grayscale", "verbose": False, **kwargs}
    return image_dataset_from_directory(folder, **kwargs)


def names(data: Any) -> list[str]:
    return ["/".join(Path(path).parts[-2:]) for path in data.file_paths]


def brightness(data: Any) -> list[int]:
    """The numbers of the pictures, in the order in which they come."""
    return [int(x[0, 0, 0]) for batch in data for x in batch[0]]


def test_a_folder_in_order(folder: Path) -> None:
    data = quiet(folder, shuffle=False, batch_size=4)
    assert data.class_names == ["a", "b"]
    assert names(data) == ["a/0.png", "a/2.png", "a/4.png", "b/1.png", "b/3.png", "b/5.png"]
    assert len(data) == 2
    for _ in range(2):  # again and again
        (x, y), (x_rest, y_rest) = data
        assert x.shape == (4, 4, 5, 1)
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x[1], SQUARES + np.uint8(2))
        assert y.dtype == np.int32
        assert y.tolist() == [0, 0, 0, 1]
        assert x_rest.shape == (2, 4, 5, 1)
        assert y_rest.tolist() == [1, 1]
    assert quiet(folder, shuffle=False, image_size=3, color_mode="rgb").take(
        1
    ).__iter__().__next__()[0].shape == (6, 3, 3, 3)


def test_the_labels_of_each_mode(folder: Path) -> None:
    def labels(**kwargs: Any) -> np.ndarray:
        ((_, y),) = quiet(folder, shuffle=False, **kwargs)
        return y

    one_hot = labels(label_mode="categorical")
    assert one_hot.dtype == np.float32
    assert one_hot.tolist() == 3 * [[1, 0]] + 3 * [[0, 1]]
    binary = labels(label_mode="binary")
    assert binary.dtype == np.float32
    assert binary.tolist() == 3 * [[0]] + 3 * [[1]]
    assert labels(class_names=["b", "a"]).tolist() == [0, 0, 0, 1, 1, 1]
    given = labels(labels=[5, 4, 3, 2, 1, 0])
    assert given.tolist() == [5, 4, 3, 2, 1, 0]
    for kwargs in {"labels": None}, {"label_mode": None}, {"labels": None, "label_mode": None}:
        (x,) = quiet(folder, shuffle=False, **kwargs)
        assert x.shape == (6, 4, 5, 1)
    single = quiet(folder, shuffle=False, batch_size=None)
    assert len(single) == 6
    x, y = next(iter(single))
    assert x.shape == (4, 5, 1)
    assert y == 0


def test_labels_of_the_users_own_have_names(folder: Path) -> None:
    given = [9, 9, 2, 2, 2, 30]
    data = quiet(folder, labels=given, seed=1)
    assert data.class_names == ["2", "9", "30"]
    assert given == [9, 9, 2, 2, 2, 30]  # Keras shuffles the caller's list
    with pytest.raises(ValueError, match="Number them without gaps"):
        quiet(folder, labels=given, label_mode="categorical")


def test_the_order_of_a_seed_is_keras_s(folder: Path) -> None:
    """keras.utils.image_dataset_from_directory(folder, seed=7).file_paths and so on, Keras 3.15."""
    of_seven = ["b/1.png", "b/5.png", "a/0.png", "a/4.png", "a/2.png", "b/3.png"]
    assert names(quiet(folder, seed=7)) == of_seven
    split = {"seed": 7, "validation_split": 0.4}
    assert names(quiet(folder, **split, subset="training")) == of_seven[:4]
    assert names(quiet(folder, **split, subset="validation")) == of_seven[4:]
    training, validation = quiet(folder, **split, subset="both")
    assert names(training) == of_seven[:4]
    assert names(validation) == of_seven[4:]
    other = quiet(folder, seed=2**31, validation_split=0.2, subset="validation")
    assert names(other) == ["a/4.png"]
    ((_, y),) = quiet(folder, seed=7)
    assert y.sum() == 3


def test_each_epoch_has_another_order_and_a_seed_fixes_them(folder: Path) -> None:
    data, again = quiet(folder, seed=7, batch_size=2), quiet(folder, seed=7, batch_size=2)
    orders = [brightness(data) for _ in range(6)]
    assert orders == [brightness(again) for _ in range(6)]
    assert len({tuple(order) for order in orders}) > 3
    assert all(sorted(order) == [0, 1, 2, 3, 4, 5] for order in orders)
    for x, y in data:  # each picture keeps its label
        assert (x[:, 0, 0, 0] % 2).tolist() == y.tolist()
    _, validation = quiet(folder, seed=7, validation_split=0.4, subset="both")
    assert brightness(validation) == brightness(validation) == [2, 3]


def test_set_random_seed_fixes_the_orders(folder: Path) -> None:
    def order() -> list[int]:
        utils.set_random_seed(5)
        return brightness(quiet(folder))

    assert order() == order()


def test_a_batch_and_its_pictures_have_numpy(folder: Path) -> None:
    ((x, y),) = quiet(folder, shuffle=False)
    for array in x, x[0], x[:2], y:
        assert type(array.numpy()) is np.ndarray
        np.testing.assert_array_equal(array.numpy(), np.asarray(array))
    assert x[0].numpy().astype("uint8").shape == (4, 5, 1)
    assert ["a", "b"][y[-1]] == "b"
    assert float(x[0, 0, 0, 0]) == 0
    assert type(x / 255) is np.ndarray
    ((scaled, _),) = quiet(folder).map(lambda x, y: (x / 255, y))
    assert type(scaled) is np.ndarray
    alone, _ = next(iter(quiet(folder, batch_size=None)))
    assert alone.numpy().shape == (4, 5, 1)


def test_two_loops_at_once_do_not_disturb_each_other(folder: Path) -> None:
    data = quiet(folder, seed=3, batch_size=1)
    both = [(int(a[0][0, 0, 0, 0]), int(b[0][0, 0, 0, 0])) for a, b in zip(data, data)]
    for order in zip(*both):
        assert sorted(order) == [0, 1, 2, 3, 4, 5]


def test_what_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet(folder, seed=1, validation_split=0.4, subset="both", verbose=True)
    assert capsys.readouterr().out == (
        "Found 6 files belonging to 2 classes.\n"
        "Using 4 files for training.\n"
        "Using 2 files for validation.\n"
    )
    quiet(folder, labels=None, verbose=True)
    assert capsys.readouterr().out == "Found 6 files.\n"
    quiet(folder)
    assert capsys.readouterr().out == ""


def test_which_files_count(folder: Path, tmp_path: Path) -> None:
    save(folder / "b" / "deep" / "er" / "0.JPEG", SQUARES)
    save(folder / "b" / "z.bmp", SQUARES)
    save(folder / "c.png", SQUARES)
    save(folder / ".d" / "0.png", SQUARES)
    (folder / "b" / "notes.txt").write_text("text")
    save(tmp_path / "elsewhere" / "1.gif", SQUARES)
    (folder / "a" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    data = quiet(folder, shuffle=False)
    assert names(data)[3:] == ["b/1.png", "b/3.png", "b/5.png", "b/z.bmp", "er/0.JPEG"]
    assert names(quiet(folder, shuffle=False, follow_links=True))[3] == "link/1.gif"
    assert len(quiet(folder, labels=None, shuffle=False).file_paths) == 10


def test_pictures_of_16_bits_and_of_several(folder: Path) -> None:
    deep = (256 * np.arange(20).reshape(4, 5, 1)).astype(np.uint16)
    save(folder / "a" / "8.png", deep)
    frames = [Image.fromarray(SQUARES[:, :, 0]), Image.fromarray(SQUARES[::-1, :, 0])]
    frames[0].save(folder / "b" / "9.gif", save_all=True, append_images=frames[1:])
    ((x, _),) = quiet(folder, shuffle=False)
    np.testing.assert_array_equal(x[3, :, :, 0], np.arange(20).reshape(4, 5))
    np.testing.assert_array_equal(x[-1], SQUARES)


def test_a_damaged_picture_is_named_when_its_turn_comes(folder: Path) -> None:
    path = folder / "b" / "3.png"
    path.write_bytes(path.read_bytes()[:-30])
    data = quiet(folder, shuffle=False, batch_size=2)
    batches = iter(data)
    next(batches)
    next(batches)
    with pytest.raises(ImageFileError, match=f"expected a picture in {path}"):
        next(batches)


BAD_FOLDERS = {
    "no folder": ({"directory": "not_there"}, "directory to be a folder, received 'not_there'"),
    "a file": ({"directory": "a_file"}, "directory to be a folder, received 'a_file'"),
    "a number": ({"directory": 3}, "directory to be a str or os.PathLike"),
    "zero byte": ({"directory": "a\0b"}, "directory to name a folder"),
    "no classes": ({"directory": "empty"}, "a folder for each class in empty, received none"),
    "empty classes": ({"directory": "hollow"}, "expected pictures in hollow, received none. Their"),
    "nothing at all": ({"directory": "empty", "labels": None}, "expected pictures in empty"),
    "labels": ({"labels": "folders"}, "labels to be 'inferred', None, or a list"),
    "too few labels": ({"labels": [1, 2]}, "a label for each of the 6 files .*received 2"),
    "half a label": ({"labels": [0.5] * 6}, "each of labels to be an integer"),
    "names beside labels": ({"labels": [1] * 6, "class_names": ["a"]}, "class_names with labels="),
    "names without labels": ({"labels": None, "class_names": ["a"]}, "no class_names with labels="),
    "other names": (
        {"class_names": ["a", "c"]},
        r"class_names to be folders in .*\['a', 'b'\], re",
    ),
    "a name twice": ({"class_names": ["a", "a"]}, "class_names to be folders .*each once"),
    "label mode": ({"label_mode": "one_hot"}, "label_mode to be one of binary, categorical, int"),
    "binary": ({"label_mode": "binary", "class_names": ["a"]}, "two classes for label_mode='bin"),
    "color": ({"color_mode": "bgr"}, "color_mode to be one of"),
    "batch": ({"batch_size": 0}, "batch_size to be an integer >= 1"),
    "size": ({"image_size": (4, 4, 3)}, "image_size to be one integer or two"),
    "interpolation": ({"interpolation": "lanczos"}, "interpolation to be one of"),
    "seed": ({"seed": -1}, "seed to be an integer"),
    "split alone": ({"validation_split": 0.5}, "subset and validation_split together"),
    "subset alone": ({"subset": "training"}, "subset and validation_split together"),
    "no seed": ({"validation_split": 0.5, "subset": "both"}, "a seed, since the pictures are shuf"),
    "split": ({"validation_split": 1.5, "subset": "both", "seed": 1}, "validation_split"),
    "subset": ({"validation_split": 0.5, "subset": "test", "seed": 1}, "subset to be one of"),
    "small split": (
        {"validation_split": 0.1, "subset": "validation", "seed": 1},
        "pictures for validation in .*and there are 6 of them",
    ),
    "both ratios": (
        {"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True},
        "crop_to_aspect_ratio or pad_to_aspect_ratio, received both",
    ),
    "format": ({"format": "grain"}, "format can only be None or 'tf' here"),
    "data format": ({"data_format": "channels_first"}, "data_format can only be"),
    "verbose": ({"verbose": 1}, "verbose to be True or False"),
}


@pytest.mark.parametrize(("kwargs", "message"), BAD_FOLDERS.values(), ids=BAD_FOLDERS.keys())
def test_what_is_refused(
    kwargs: dict[str, Any],
    message: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "a").mkdir(parents=True)
    (tmp_path / "a_file").write_bytes(b"")
    given = {"verbose": False, "directory": folder, **kwargs}
    with pytest.raises((TypeError, ValueError, OSError), match=message):
        image_dataset_from_directory(**given)


def test_a_model_learns_from_a_folder(folder: Path) -> None:
    data = quiet(folder, seed=1, batch_size=4)
    model = Sequential([layers.Input((4, 5, 1)), layers.Flatten(), layers.Dense(2)])
    model.compile("sgd", "mse")
    for x, y in data:
        assert np.isfinite(model.train_on_batch(x / 255, np.eye(2)[y]))


# -- the words of tf.data --------------------------------------------------------------------------


def counted(n: int) -> tuple[Batches, list[int]]:
    """n batches, and a list that grows with each one that is made."""
    made: list[int] = []

    def make() -> Any:
        for i in range(n):
            made.append(i)
            yield i

    return Batches(make, n), made


def read_in_parts(n: int) -> tuple[Batches, list[int]]:
    """`n` batches that can be read one by one, and which of them were."""
    read: list[int] = []

    def make(start: int = 0, step: int = 1) -> Any:
        for number in range(start, n, step):
            read.append(number)
            yield number

    return Batches(make, n, make), read


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data,
        lambda data: data.map(lambda x: 10 * x),
        lambda data: data.take(4),
        lambda data: data.take(-1).prefetch(2),
        lambda data: data.repeat(3),
        lambda data: data.repeat().take(17),
        lambda data: data.map(lambda x: -x).repeat(2).take(9),
        lambda data: data.skip(1),
        lambda data: data.cache(),
        lambda data: data.shuffle(3, seed=1),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 20])
def test_some_of_the_batches_are_every_so_manieth(change, step: int) -> None:
    whole = list(change(read_in_parts(5)[0]))
    for start in range(step):
        changed = change(read_in_parts(5)[0])
        assert list(itertools.islice(changed.some(start, step), len(whole))) == whole[start::step]


def test_the_other_batches_are_not_read() -> None:
    data, read = read_in_parts(5)
    assert list(data.map(lambda x: 2 * x).repeat(2).take(8).some(1, 2)) == [2, 6, 0, 4]
    assert read == [1, 3, 0, 2]


def test_map_take_skip_repeat() -> None:
    data, _ = counted(5)
    assert list(data.map(lambda x: x * x)) == [0, 1, 4, 9, 16]
    pairs = Batches(lambda: iter([(1, 2), (3, 4)]), 2)
    assert list(pairs.map(lambda x, y: x + y, num_parallel_calls=-1)) == [3, 7]
    assert [len(data.take(n)) for n in (0, 2, 9, -1)] == [0, 2, 5, 5]
    assert [list(data.take(n)) for n in (0, 2, -1)] == [[], [0, 1], [0, 1, 2, 3, 4]]
    assert [len(data.skip(n)) for n in (0, 2, 9, -1)] == [5, 3, 0, 0]
    assert list(data.skip(3)) == [3, 4]
    assert list(data.skip(-1)) == []
    assert list(data.repeat(2)) == [0, 1, 2, 3, 4] * 2
    assert len(data.repeat(2)) == 10
    endless = data.repeat()
    assert list(itertools.islice(endless, 12))[10:] == [0, 1]
    with pytest.raises(TypeError, match="repeated without end"):
        len(endless)
    assert len(endless.take(3)) == 3
    assert list(data.as_numpy_iterator()) == [0, 1, 2, 3, 4]
    assert not data.take(0)
    assert endless


def test_no_more_batches_are_made_than_are_taken() -> None:
    data, made = counted(5)
    list(data.take(2))
    assert made == [0, 1]


def test_cache_makes_each_batch_once() -> None:
    data, made = counted(3)
    kept = data.cache()
    next(iter(kept))  # not gone through
    assert list(kept) == list(kept) == list(kept) == [0, 1, 2]
    assert made == [0, 0, 1, 2]
    with pytest.raises(ValueError, match="cache: expected no filename"):
        data.cache("file")


def test_shuffle_draws_from_a_buffer() -> None:
    data, _ = counted(40)
    mixed = data.shuffle(10, seed=3)
    first, second = list(mixed), list(mixed)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(40))
    assert list(data.shuffle(10, seed=3)) == first
    assert all(value < place + 10 for place, value in enumerate(first))
    fixed = data.shuffle(10, seed=3, reshuffle_each_iteration=False)
    assert list(fixed) == list(fixed)
    assert list(data.shuffle(1)) == list(range(40))
    assert sorted(data.shuffle(1000)) == list(range(40))


def test_prefetch_changes_nothing() -> None:
    data, _ = counted(3)
    assert list(data.prefetch(-1)) == list(data.prefetch(buffer_size=2)) == [0, 1, 2]
    assert len(data.prefetch()) == 3


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("batch", "say batch_size"),
        ("unbatch", "yield from zip"),
        ("filter", "write a generator with an `if`"),
        ("class_names", "before map, take"),
        ("cardinality", r"write len\(data\)"),
        ("nonsense", "has no attribute 'nonsense'$"),
    ],
)
def test_a_word_that_is_not_there_says_what_to_write(name: str, advice: str, folder: Path) -> None:
    data = quiet(folder).take(1)
    with pytest.raises(AttributeError, match=advice):
        getattr(data, name)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: data.map(3), "map: expected map_func"),
        (lambda data: data.take("a"), "take: expected count"),
        (lambda data: data.take(-2), "take: expected count"),
        (lambda data: data.skip(1.5), "skip: expected count"),
        (lambda data: data.repeat("a"), "repeat: expected count"),
        (lambda data: data.take(0).repeat(), "repeat: expected batches"),
        (lambda data: data.shuffle(0), "shuffle: expected buffer_size"),
        (lambda data: data.shuffle(3, seed="a"), "shuffle: expected seed"),
    ],
)
def test_words_with_wrong_arguments(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call(counted(3)[0])


def test_a_copy_is_one(folder: Path) -> None:
    import copy

    data = quiet(folder, seed=1)
    assert brightness(copy.copy(data)) != []
