"""ImageDataGenerator, as keras.src.legacy.preprocessing.image of Keras 3.15 defines it.

Its batches were compared with Keras's seed by seed; the numbers here are worked out by hand.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicnn import utils
from minicnn.preprocessing.image import ImageDataGenerator
from minicnn.utils.images import ImageFileError

NINE = np.arange(1.0, 10.0, dtype=np.float32).reshape(3, 3, 1)
X = np.random.default_rng(0).integers(0, 256, (10, 8, 6, 3)).astype(np.float32)
Y = np.arange(10)


def moved(fill_mode: str = "constant", order: int = 1, **given: Any) -> list[list[float]]:
    generator = ImageDataGenerator(fill_mode=fill_mode, interpolation_order=order)
    return generator.apply_transform(NINE, given)[:, :, 0].round(3).tolist()


def test_each_transform_by_hand() -> None:
    assert moved(tx=1) == [[2, 3, 0], [5, 6, 0], [8, 9, 0]]
    assert moved(ty=1) == [[4, 5, 6], [7, 8, 9], [0, 0, 0]]
    assert moved("nearest", ty=-1) == [[1, 2, 3], [1, 2, 3], [4, 5, 6]]
    assert moved(tx=0.5) == [[1.5, 2.5, 0], [4.5, 5.5, 0], [7.5, 8.5, 0]]
    assert moved(theta=180) == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]
    assert moved(theta=90) == [[3, 6, 9], [2, 5, 8], [1, 4, 7]]
    assert moved(zx=0.5, zy=0.5) == [[3, 3.5, 4], [4.5, 5, 5.5], [6, 6.5, 7]]
    assert moved("reflect", tx=2) == [[3, 3, 2], [6, 6, 5], [9, 9, 8]]
    assert moved(flip_horizontal=True) == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]
    assert moved(flip_vertical=True) == [[7, 8, 9], [4, 5, 6], [1, 2, 3]]
    assert moved(channel_shift_intensity=2) == [[3, 4, 5], [6, 7, 8], [9, 9, 9]]
    assert moved(brightness=2.0) == [[2, 4, 6], [8, 10, 12], [14, 16, 18]]
    assert moved("nearest", order=0, tx=0.4) == NINE[:, :, 0].tolist()
    assert moved() == NINE[:, :, 0].tolist()


def test_shifts_are_drawn_as_parts_pixels_or_from_a_list() -> None:
    def drawn(value: Any) -> set[float]:
        generator = ImageDataGenerator(height_shift_range=value)
        return {
            round(generator.get_random_transform((10, 10, 1), seed)["tx"], 9) for seed in range(60)
        }

    assert all(-2 <= shift <= 2 for shift in drawn(0.2))
    assert len(drawn(0.2)) == 60
    assert drawn(3) == {-2, -1, 0, 1, 2}
    assert drawn([2, 5]) == {-5, -2, 2, 5}
    assert drawn(0) == {0}


def test_a_seed_draws_what_keras_draws() -> None:
    """Keras draws from numpy.random after numpy.random.seed(seed), in this order."""
    generator = ImageDataGenerator(
        rotation_range=20, width_shift_range=0.1, height_shift_range=0.2, shear_range=5,
        zoom_range=0.3, horizontal_flip=True, channel_shift_range=9, brightness_range=(0.5, 1.5),
    )  # fmt: skip
    state = np.random.get_state()[1].tolist()
    drawn = generator.get_random_transform((10, 20, 3), seed=5)
    assert np.random.get_state()[1].tolist() == state
    random = np.random.RandomState(5)
    want = {
        "theta": random.uniform(-20, 20),
        "tx": random.uniform(-0.2, 0.2) * 10,
        "ty": random.uniform(-0.1, 0.1) * 20,
        "shear": random.uniform(-5, 5),
        "zx": random.uniform(0.7, 1.3),
        "zy": random.uniform(0.7, 1.3),
        "flip_horizontal": 1 * (random.random_sample() < 0.5),
        "flip_vertical": 0 * random.random_sample(),
        "channel_shift_intensity": random.uniform(-9, 9),
        "brightness": random.uniform(0.5, 1.5),
    }
    assert drawn == pytest.approx(want)


def test_the_batches_of_arrays() -> None:
    flow = ImageDataGenerator().flow(X, Y, batch_size=4, shuffle=False)
    assert len(flow) == 3
    for _ in range(2):  # without end
        for start in 0, 4, 8:
            x, y = next(flow)
            np.testing.assert_array_equal(x, X[start : start + 4])
            assert y.tolist() == Y[start : start + 4].tolist()
    assert flow[2][1].tolist() == [8, 9]
    weighted = ImageDataGenerator().flow(X, Y, sample_weight=Y / 2, shuffle=False)
    assert [len(part) for part in next(weighted)] == [10, 10, 10]
    assert next(ImageDataGenerator().flow(X)).shape == X.shape
    with pytest.raises(IndexError, match="below 3"):
        flow[3]


def test_the_orders_of_a_seed() -> None:
    flow = ImageDataGenerator().flow(X, Y, batch_size=4, seed=11)
    epochs = [np.concatenate([next(flow)[1] for _ in range(3)]).tolist() for _ in range(2)]
    assert epochs[0] == np.random.RandomState(11).permutation(10).tolist()
    assert epochs[1] == np.random.RandomState(11 + 3).permutation(10).tolist()


def test_the_caller_s_arrays_stay_and_batches_are_new() -> None:
    x = X.copy()
    generator = ImageDataGenerator(rescale=0.5, horizontal_flip=True, samplewise_center=True)
    for batch in itertools.islice(generator.flow(x, Y, batch_size=4), 6):
        batch[0][...] = -1
    generator.standardize(x)
    generator.fit(x)
    np.testing.assert_array_equal(x, X)


def test_statistics() -> None:
    generator = ImageDataGenerator(
        featurewise_center=True, featurewise_std_normalization=True, rescale=0.5
    )
    with pytest.warns(UserWarning, match="Call fit"):
        generator.standardize(X[0])
    generator.fit(X)
    y = generator.standardize(X)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std(axis=(0, 1, 2)), 1, atol=1e-5)
    each = ImageDataGenerator(samplewise_center=True, samplewise_std_normalization=True)
    y = each.standardize(X[0])
    assert abs(y.mean()) < 1e-5
    assert abs(y.std() - 1) < 1e-5
    white = ImageDataGenerator(featurewise_center=True, zca_whitening=True)
    small = X[:, :2, :1]
    white.fit(small)
    y = white.standardize(small).reshape(10, -1)
    np.testing.assert_allclose(y.T @ y / 10, np.eye(6), atol=1e-3)
    assert y.dtype == np.float32


def test_settings_that_imply_others_say_so() -> None:
    with pytest.warns(UserWarning, match="makes featurewise_center True"):
        assert ImageDataGenerator(featurewise_std_normalization=True).featurewise_center
    with pytest.warns(UserWarning, match="makes samplewise_center True"):
        assert ImageDataGenerator(samplewise_std_normalization=True).samplewise_center


def test_parts_of_arrays() -> None:
    generator = ImageDataGenerator(validation_split=0.3)
    labels = Y % 2
    first = generator.flow(X, labels, subset="validation", shuffle=False)
    np.testing.assert_array_equal(next(first)[0], X[:3])
    np.testing.assert_array_equal(next(generator.flow(X, subset="training", shuffle=False)), X[3:])
    with pytest.raises(ValueError, match="the same labels in the first 3 samples"):
        generator.flow(X, Y, subset="training")
    generator.flow(X, Y, subset="training", ignore_class_split=True)
    with pytest.raises(ValueError, match="samples for validation, received none"):
        ImageDataGenerator().flow(X, subset="validation")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, n in ("cats", 3), ("dogs", 4):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(n):
            path = tmp_path / "pictures" / name / f"{i}.png"
            utils.save_img(path, np.full((5, 4, 3), 10.0 * i), scale=False)
    return tmp_path / "pictures"


def test_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = ImageDataGenerator(rescale=0.1)
    flow = generator.flow_from_directory(folder, target_size=(3, 2), batch_size=5, shuffle=False)
    assert capsys.readouterr().out == "Found 7 images belonging to 2 classes.\n"
    assert flow.class_indices == {"cats": 0, "dogs": 1}
    assert flow.filenames == ["cats/0.png", "cats/1.png", "cats/2.png"] + [
        f"dogs/{i}.png" for i in range(4)
    ]
    assert flow.classes.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert (flow.samples, flow.num_classes, len(flow)) == (7, 2, 2)
    x, y = next(flow)
    assert x.shape == (5, 3, 2, 3)
    np.testing.assert_allclose(x[:, 0, 0, 0], [0, 1, 2, 0, 1], atol=1e-6)
    assert y.tolist() == 3 * [[1, 0]] + 2 * [[0, 1]]

    def first(**kwargs: Any) -> Any:
        return next(generator.flow_from_directory(folder, shuffle=False, **kwargs))

    assert first(class_mode="sparse")[1].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert first(class_mode="binary", classes=["dogs", "cats"])[1].tolist() == 4 * [0] + 3 * [1]
    assert first(class_mode=None, color_mode="grayscale").shape == (7, 256, 256, 1)
    x, y = first(class_mode="input")
    np.testing.assert_array_equal(x, y)


def test_parts_of_a_folder(folder: Path) -> None:
    generator = ImageDataGenerator(validation_split=0.4)
    validation = generator.flow_from_directory(folder, subset="validation")
    training = generator.flow_from_directory(folder, subset="training")
    assert validation.filenames == ["cats/0.png", "dogs/0.png"]
    assert len(training.filenames) == 5


def test_what_a_folder_lacks(folder: Path, tmp_path: Path) -> None:
    generator = ImageDataGenerator()
    (folder / "dogs" / "2.png").write_bytes(b"damaged")
    flow = generator.flow_from_directory(folder, batch_size=5, shuffle=False)
    next(flow)
    with pytest.raises(ImageFileError, match=r"expected a picture in .*dogs/2.png"):
        next(flow)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected pictures in .*received none"):
        generator.flow_from_directory(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="expected directory to be a folder"):
        generator.flow_from_directory(tmp_path / "not_there")
    with pytest.raises(ValueError, match="classes to be folders"):
        generator.flow_from_directory(folder, classes=["birds"])
    with pytest.raises(NotImplementedError, match="use flow"):
        generator.flow_from_dataframe(None)


def test_pictures_are_saved(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    next(ImageDataGenerator().flow(X, batch_size=4, save_to_dir=tmp_path / "out", save_prefix="p"))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 4
    assert all(name.startswith("p_") and name.endswith(".png") for name in names)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"zoom_range": (1, 2, 3)}, "zoom_range to be two numbers"),
        ({"brightness_range": 0.5}, "brightness_range to be two numbers"),
        ({"fill_mode": "mirror"}, "fill_mode to be one of"),
        ({"validation_split": 1}, "validation_split"),
        ({"interpolation_order": 3}, "interpolation_order"),
        ({"width_shift_range": []}, "width_shift_range to hold shifts"),
        ({"rescale": "a"}, "rescale"),
        ({"preprocessing_function": 3}, "preprocessing_function to be a function"),
    ],
)
def test_settings_that_are_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"ImageDataGenerator: expected {message}"):
        ImageDataGenerator(**kwargs)


def test_normalize_and_the_module_of_keras_2() -> None:
    from minicnn.utils.np_utils import to_categorical

    assert utils.np_utils.normalize([[3.0, 4.0]]).tolist() == [[0.6, 0.8]]
    assert to_categorical is utils.to_categorical
    np.testing.assert_allclose(utils.normalize(X, axis=0, order=1).sum(axis=0), 1, atol=1e-5)
    with pytest.raises(ValueError, match="normalize: expected axis"):
        utils.normalize([1.0], axis=1)


def test_the_backend() -> None:
    from minicnn import backend as K
    from minicnn import layers
    from minicnn.models import Sequential

    assert K.image_data_format() == "channels_last"
    with pytest.raises(ValueError, match="data_format"):
        K.set_image_data_format("channels_first")
    K.clear_session()
    assert layers.Dense(1).name == "dense"
    K.clear_session()
    model = Sequential([layers.Input((2,)), layers.Dense(3)])
    assert model.layers[-1].name == "dense"
    kernel = model.weights[0]
    K.set_value(kernel, np.ones((2, 3)))
    assert K.get_value(kernel).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert (K.int_shape(kernel), K.ndim(kernel), K.count_params(kernel)) == ((2, 3), 2, 6)
    with pytest.raises(TypeError, match="learning_rate = 0.01"):
        K.set_value(0.1, 0.2)
    with pytest.raises(AttributeError, match="use NumPy's function"):
        K.square  # noqa: B018
