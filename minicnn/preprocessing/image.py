"""ImageDataGenerator: pictures varied at random while they are read, as Keras 2 did it.

Keras keeps it as a legacy; in a new model, the layers Rescaling and RandomFlip, RandomTranslation,
RandomRotation, RandomZoom do the same inside of `fit`. The pixels are moved by the kernel of those
layers; random numbers are drawn in Keras's order, so a seed gives Keras's pictures.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, config, kernels
from minicnn.kernels.reference import FILL_MODES
from minicnn.preprocessing.iterators import DirectoryIterator, NumpyArrayIterator
from minicnn.seeds import new_generator
from minicnn.utils.images import array_to_img, img_to_array, load_img, save_img

__all__ = [
    "DirectoryIterator",
    "ImageDataGenerator",
    "NumpyArrayIterator",
    "array_to_img",
    "img_to_array",
    "load_img",
    "save_img",
]

Array = NDArray[Any]
Random = np.random.RandomState  # Keras's numbers come from it
TINY = 1e-6  # beside a standard deviation, or pixels of rounding


class ImageDataGenerator:
    """Batches of pictures, each varied at random, from arrays or a folder.

        generator = ImageDataGenerator(rotation_range=10, horizontal_flip=True, rescale=1 / 255)
        model.fit(generator.flow(x_train, y_train, batch_size=64), epochs=5)

    A picture is first turned, shifted, sheared and zoomed in one step, then gets its channels
    shifted, is mirrored and brightened; `preprocessing_function` and `rescale` follow, and
    normalization last.

    Parameters
    ----------
    featurewise_center, featurewise_std_normalization : bool
        Take out each channel's mean, divide by its deviation, both of the pictures that
        `fit` was given.
    samplewise_center, samplewise_std_normalization : bool
        The same with each picture's own.
    zca_whitening : bool
    zca_epsilon : float
    rotation_range : float
        Degrees, to either side.
    width_shift_range, height_shift_range : float, int or list
        Below 1 a part of the side, otherwise pixels; of a list, or the whole numbers below an int,
        one is drawn. As in Keras 3, a shift drawn for the height moves columns, and one for the
        width rows.
    brightness_range : (float, float), optional
        Factors.
    shear_range : float
        Degrees.
    zoom_range : float or (float, float)
        f stands for (1 - f, 1 + f).
    channel_shift_range : float
    fill_mode : "nearest", "constant", "reflect" or "wrap"
        The last as in the layers, where SciPy, which Keras calls, leaves out a pixel.
    cval : float
        For "constant".
    horizontal_flip, vertical_flip : bool
        Whether half of the pictures are mirrored.
    rescale : float, optional
        A factor.
    preprocessing_function : function, optional
        Of a picture (H, W, C), returns one.
    data_format : "channels_last", optional
    validation_split : float
        The first part of the pictures, which subset="validation" gives.
    interpolation_order : 0 or 1
        The nearest pixel, or a mix of four.
    dtype : "float32" or "float64", optional

    Raises
    ------
    TypeError, ValueError
        For anything else.

    Examples
    --------
    >>> x = np.arange(8.0, dtype="float32").reshape(2, 2, 2, 1)
    >>> flow = ImageDataGenerator(rescale=0.5).flow(x, [0, 1], batch_size=1, shuffle=False)
    >>> len(flow)
    2
    >>> image, label = next(flow)
    >>> image.ravel(), label
    (array([0. , 0.5, 1. , 1.5], dtype=float32), array([0]))
    """

    def __init__(
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: Any = 0.0,
        height_shift_range: Any = 0.0,
        brightness_range: Any = None,
        shear_range: float = 0.0,
        zoom_range: Any = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: str = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Callable[[Array], Any] | None = None,
        data_format: str | None = None,
        validation_split: float = 0.0,
        interpolation_order: int = 1,
        dtype: Any = None,
    ) -> None:
        who = "ImageDataGenerator"

        def number(value: Any, name: str) -> float:
            return checks.real(value, name, who)

        def truth(value: Any, name: str) -> bool:
            return checks.boolean(value, name, who)

        self.featurewise_center = truth(featurewise_center, "featurewise_center")
        self.samplewise_center = truth(samplewise_center, "samplewise_center")
        self.featurewise_std_normalization = truth(
            featurewise_std_normalization, "featurewise_std_normalization"
        )
        self.samplewise_std_normalization = truth(
            samplewise_std_normalization, "samplewise_std_normalization"
        )
        self.zca_whitening = truth(zca_whitening, "zca_whitening")
        self.zca_epsilon = number(zca_epsilon, "zca_epsilon")
        self.rotation_range = number(rotation_range, "rotation_range")
        self.width_shift_range = _shift(width_shift_range, "width_shift_range", who)
        self.height_shift_range = _shift(height_shift_range, "height_shift_range", who)
        self.brightness_range = (
            None if brightness_range is None else _two(brightness_range, "brightness_range", who)
        )
        self.shear_range = number(shear_range, "shear_range")
        if isinstance(zoom_range, (list, tuple)):
            self.zoom_range = _two(zoom_range, "zoom_range", who)
        else:
            zoom = number(zoom_range, "zoom_range")
            self.zoom_range = [1 - zoom, 1 + zoom]
        self.channel_shift_range = number(channel_shift_range, "channel_shift_range")
        self.fill_mode = checks.one_of(fill_mode, FILL_MODES, "fill_mode", who)
        self.cval = number(cval, "cval")
        self.horizontal_flip = truth(horizontal_flip, "horizontal_flip")
        self.vertical_flip = truth(vertical_flip, "vertical_flip")
        self.rescale = None if rescale is None else number(rescale, "rescale")
        if preprocessing_function is not None and not callable(preprocessing_function):
            raise TypeError(
                f"{who}: expected preprocessing_function to be a function of a picture, received "
                f"{checks.shown(preprocessing_function)}"
            )
        self.preprocessing_function = preprocessing_function
        checks.expect_defaults(
            {"data_format": data_format}, {"data_format": (None, "channels_last")}, who
        )
        self.data_format = "channels_last"
        self.validation_split = checks.real(
            validation_split, "validation_split", who, low=0, high=1, open_high=True
        )
        self.interpolation_order = checks.integer(
            interpolation_order, "interpolation_order", who, minimum=0, maximum=1
        )
        self.dtype = config.float_dtype(dtype, who) or np.dtype(config.floatx())
        self.mean: Array | None = None
        self.std: Array | None = None
        self.zca_whitening_matrix: Array | None = None
        self._random = Random(int(new_generator().integers(2**32)))
        self._expect_consistent()

    def _expect_consistent(self) -> None:
        """As in Keras, a division by the deviation takes out the mean as well, and says so."""
        center, divide = "featurewise_center", "featurewise_std_normalization"
        if self.zca_whitening:
            self._override("zca_whitening", center, True)
            self._override("zca_whitening", divide, False)
        if self.featurewise_std_normalization:
            self._override(divide, center, True)
        if self.samplewise_std_normalization:
            self._override("samplewise_std_normalization", "samplewise_center", True)

    def _override(self, cause: str, name: str, value: bool) -> None:
        if getattr(self, name) is not value:
            setattr(self, name, value)
            warnings.warn(f"ImageDataGenerator: {cause} makes {name} {value}", stacklevel=4)

    def flow(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        seed: int | None = None,
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
    ) -> NumpyArrayIterator:
        """Batches (x), (x, y) or (x, y, sample_weight) without end, of pictures (N, H, W, C).

        With `shuffle` each time through the pictures has another order; `seed` fixes them and all
        that is drawn. `subset` is "training" or "validation". `save_to_dir` names a folder in which
        each picture is saved as it is given. Raises TypeError or ValueError for anything else.
        """
        return NumpyArrayIterator(
            self, x, y, batch_size=batch_size, shuffle=shuffle, sample_weight=sample_weight,
            seed=seed, save_to_dir=save_to_dir, save_prefix=save_prefix, save_format=save_format,
            ignore_class_split=ignore_class_split, subset=subset,
        )  # fmt: skip

    def flow_from_directory(
        self,
        directory: Any,
        target_size: Any = (256, 256),
        color_mode: str = "rgb",
        classes: Any = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
    ) -> DirectoryIterator:
        """Batches without end of the pictures in a folder that has a folder for each class.

        `classes` names the folders in the order of their labels. `class_mode` says what y is:
        "categorical" one-hot rows, "binary" or "sparse" the labels, "input" the pictures, None
        nothing; what is not said here is as in `flow` and `load_img`. The result has `samples`,
        `classes`, `class_indices`, `filenames` and `filepaths`. Raises TypeError or ValueError for
        anything else, and ImageFileError for a damaged picture when its turn comes.
        """
        return DirectoryIterator(
            self, directory, target_size=target_size, color_mode=color_mode, classes=classes,
            class_mode=class_mode, batch_size=batch_size, shuffle=shuffle, seed=seed,
            save_to_dir=save_to_dir, save_prefix=save_prefix, save_format=save_format,
            follow_links=follow_links, subset=subset, interpolation=interpolation,
            keep_aspect_ratio=keep_aspect_ratio,
        )  # fmt: skip

    def flow_from_dataframe(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Is not here: raises NotImplementedError."""
        raise NotImplementedError(
            "ImageDataGenerator: flow_from_dataframe is not here. Load the pictures with "
            "minicnn.utils.load_img and use flow, or put them into a folder for each class and use "
            "flow_from_directory"
        )

    def standardize(self, x: Any) -> Array:
        """`x` (H, W, C) or (N, H, W, C), preprocessed, rescaled and normalized: a new array."""
        y = np.array(self._picture(x, "standardize", (3, 4)))
        if self.preprocessing_function is not None:
            y = np.array(self.preprocessing_function(y), dtype=self.dtype)
        if self.rescale:
            y *= self.rescale
        if self.samplewise_center:
            y -= y.mean()
        if self.samplewise_std_normalization:
            y /= y.std() + TINY
        if self.featurewise_center and self._is_fitted("featurewise_center", self.mean):
            y -= self.mean
        if self.featurewise_std_normalization and self._is_fitted(
            "featurewise_std_normalization", self.std
        ):
            y /= self.std + TINY  # type: ignore[operator]
        if self.zca_whitening and self._is_fitted("zca_whitening", self.zca_whitening_matrix):
            size = int(np.prod(y.shape[-3:]))
            y = (y.reshape(-1, size) @ self.zca_whitening_matrix).reshape(y.shape)
        return y

    def _is_fitted(self, setting: str, value: Array | None) -> bool:
        if value is None:
            warnings.warn(
                f"ImageDataGenerator: {setting} needs the pictures' statistics, and there are "
                "none. Call fit(x) first",
                stacklevel=3,
            )
        return value is not None

    def get_random_transform(self, img_shape: Any, seed: int | None = None) -> dict[str, Any]:
        """What `apply_transform` does to a picture of that shape (H, W, C), drawn at random."""
        who = "get_random_transform"
        shape = checks.shape(img_shape, "img_shape", who)
        if len(shape) != 3:
            raise ValueError(f"{who}: expected img_shape (H, W, C), received {shape}")
        return self.draw(shape, self._drawing(seed, who))

    def _drawing(self, seed: int | None, who: str) -> Random:
        if seed is None:
            return self._random
        return Random(checks.integer(seed, "seed", who, minimum=0, maximum=2**32 - 1))

    def draw(self, shape: tuple[int, ...], random: Random) -> dict[str, Any]:
        """The transform of a picture of that shape, by the numbers of `random`."""
        turn, shear, channels = self.rotation_range, self.shear_range, self.channel_shift_range
        drawn: dict[str, Any] = {"theta": random.uniform(-turn, turn) if turn else 0}
        drawn["tx"] = _drawn_shift(self.height_shift_range, shape[0], random)
        drawn["ty"] = _drawn_shift(self.width_shift_range, shape[1], random)
        drawn["shear"] = random.uniform(-shear, shear) if shear else 0
        drawn["zx"], drawn["zy"] = 1, 1
        if self.zoom_range != [1, 1]:
            low, high = self.zoom_range
            drawn["zx"], drawn["zy"] = random.uniform(low, high, 2)
        drawn["flip_horizontal"] = (random.random_sample() < 0.5) * self.horizontal_flip
        drawn["flip_vertical"] = (random.random_sample() < 0.5) * self.vertical_flip
        drawn["channel_shift_intensity"] = random.uniform(-channels, channels) if channels else None
        bright = self.brightness_range
        drawn["brightness"] = None if bright is None else random.uniform(bright[0], bright[1])
        return drawn

    def apply_transform(self, x: Any, transform_parameters: dict[str, Any]) -> Array:
        """The picture x (H, W, C), changed as `get_random_transform` says: a new array.

        The keys are theta, shear (degrees), tx, ty (pixels), zx, zy (factors), flip_horizontal,
        flip_vertical, channel_shift_intensity and brightness; what is missing changes nothing.
        """
        if not isinstance(transform_parameters, dict):
            raise TypeError(
                "apply_transform: expected transform_parameters to be a dict, received "
                f"{checks.shown(transform_parameters)}"
            )
        image, given = self._picture(x, "apply_transform", (3,)), transform_parameters
        y = self._moved(image, _matrix(image.shape, given))
        if given.get("channel_shift_intensity") is not None:
            y = np.clip(y + given["channel_shift_intensity"], y.min(), y.max())
        if given.get("flip_horizontal", False):
            y = y[:, ::-1]
        if given.get("flip_vertical", False):
            y = y[::-1]
        if given.get("brightness") is not None:
            y = _brightened(y, given["brightness"])
        return np.array(y, dtype=self.dtype)

    def random_transform(self, x: Any, seed: int | None = None) -> Array:
        """The picture x (H, W, C), changed at random."""
        image = self._picture(x, "random_transform", (3,))
        drawn = self.draw(image.shape, self._drawing(seed, "random_transform"))
        return self.apply_transform(image, drawn)

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Find the statistics of x (N, H, W, C) that the featurewise settings and whitening need.

        With `augment`, of `rounds` times x, changed at random.
        """
        who = "ImageDataGenerator.fit"
        augment = checks.boolean(augment, "augment", who)
        rounds = checks.size(rounds, "rounds", who)
        random = self._drawing(seed, who)
        images = np.array(self._picture(x, who, (4,)))
        checks.finite(images, "x", who)
        if self.rescale:
            images *= self.rescale
        if augment:
            shape = images.shape[1:]
            images = np.stack([
                self.apply_transform(image, self.draw(shape, random))
                for _ in range(rounds)
                for image in images
            ])  # fmt: skip
        if self.featurewise_center:
            self.mean = images.mean(axis=(0, 1, 2))[None, None]
            images -= self.mean
        if self.featurewise_std_normalization:
            self.std = images.std(axis=(0, 1, 2))[None, None]
            images /= self.std + TINY
        if self.zca_whitening:
            flat = images.reshape(len(images), -1)
            u, s, _ = np.linalg.svd(flat.T, full_matrices=False)
            scaled = u * (np.sqrt(len(flat)) / (s + self.zca_epsilon))
            self.zca_whitening_matrix = (scaled @ u.T).astype(self.dtype)

    def _picture(self, x: Any, who: str, axes: tuple[int, ...]) -> Array:
        array = checks.numeric(x, "x", who)
        if array.ndim not in axes or array.size == 0:
            shapes = {3: "(H, W, C)", 4: "(N, H, W, C)"}
            raise ValueError(
                f"{who}: expected x {' or '.join(shapes[n] for n in axes)}, received shape "
                f"{array.shape}. Write x[..., None] for grey pictures without a channel axis"
            )
        return array.astype(self.dtype, copy=False)

    def _moved(self, x: Array, matrix: Array | None) -> Array:
        """The picture with its pixels from other places; `matrix` is for rows and columns."""
        if matrix is None:
            return x
        H, W, _ = x.shape
        (b1, b0, b2), (a1, a0, a2), _ = matrix
        inside = "nearest" if self.fill_mode == "constant" else self.fill_mode
        y = np.empty_like(x)[None]
        kernels.affine(
            np.ascontiguousarray(x)[None],
            np.array([[a0, a1, a2, b0, b1, b2]]),
            FILL_MODES.index(inside),
            self.interpolation_order == 1,
            x.dtype.type(0),
            y,
        )
        if self.fill_mode == "constant":  # SciPy, which Keras calls, does not mix at the border
            i, j = np.mgrid[:H, :W]
            row, column = b1 * i + b0 * j + b2, a1 * i + a0 * j + a2
            outside = (row < -TINY) | (row > H - 1 + TINY)
            outside |= (column < -TINY) | (column > W - 1 + TINY)
            y[0][outside] = self.cval
        return y[0]


def _shift(value: Any, name: str, who: str) -> Any:
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim == 1):
        if len(value) == 0:
            raise ValueError(f"{who}: expected {name} to hold shifts to draw from, received none")
        return [checks.real(one, f"each of {name}", who) for one in value]
    checks.real(value, name, who)
    if isinstance(value, (int, np.integer)):
        return checks.integer(value, name, who, minimum=0)
    return float(value)


def _two(value: Any, name: str, who: str) -> list[float]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(
            f"{who}: expected {name} to be two numbers, received {checks.shown(value)}"
        )
    return [checks.real(one, f"each of {name}", who) for one in value]


def _drawn_shift(bound: Any, side: int, random: Random) -> float:
    """Pixels of a shift: drawn from a list or the integers below `bound`, or up to a part of
    `side`."""
    if not isinstance(bound, list) and not bound:
        return 0
    if isinstance(bound, float):
        shift = random.uniform(-bound, bound)
    else:
        shift = random.choice(bound)
        shift = shift * random.choice([-1, 1])
    return float(shift * side if np.max(bound) < 1 else shift)


def _matrix(shape: tuple[int, ...], given: dict[str, Any]) -> Array | None:
    """Where each pixel comes from: (row, column, 1) of y to that of x.

    Keras multiplies matrices for (x, y), about the middle of the picture, and then swaps the axes.
    """
    theta, shear = np.deg2rad(given.get("theta", 0)), np.deg2rad(given.get("shear", 0))
    tx, ty, zx, zy = (given.get(k, d) for k, d in (("tx", 0), ("ty", 0), ("zx", 1), ("zy", 1)))
    if (theta, shear, tx, ty, zx, zy) == (0, 0, 0, 0, 1, 1):
        return None
    cos, sin = np.cos(theta), np.sin(theta)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    shift = np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    skew = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
    zoom = np.diag([zx, zy, 1.0])
    x, y = shape[0] / 2 - 0.5, shape[1] / 2 - 0.5
    there = np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])
    back = np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
    swapped = [1, 0, 2]
    return (there @ turn @ shift @ skew @ zoom @ back)[swapped][:, swapped]


def _brightened(x: Array, factor: float) -> Array:
    """By Pillow, which works on bytes: a picture beyond 0 to 255 is scaled there and back."""
    from PIL import ImageEnhance

    low, high = x.min(), x.max()
    beyond = bool(low < 0 or high > 255)
    y = img_to_array(ImageEnhance.Brightness(array_to_img(x, scale=beyond)).enhance(factor))
    return y / 255 * (high - low) + low if beyond else y
