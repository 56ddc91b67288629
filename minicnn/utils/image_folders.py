"""Batches of pictures from a folder, under Keras's name."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, console
from minicnn.outputs import Output
from minicnn.seeds import new_generator
from minicnn.utils import resampling
from minicnn.utils.batches import Batches
from minicnn.utils.images import MODES, array_to_img, checked_size, opened

Array = NDArray[Any]

ALLOWED = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
LABEL_MODES = ("int", "categorical", "binary")
SUBSETS = ("training", "validation", "both")


class Pictures(Output):
    """A batch of pictures; one of them has `numpy()`, too, as in `images[0].numpy()`."""

    def __getitem__(self, key: Any) -> Any:
        part = self.numpy()[key]
        return part.view(Output) if isinstance(part, np.ndarray) else part


class ImageBatches(Batches):
    """The pictures of a folder in batches, read anew each time one iterates over them.

    Pictures and labels are arrays that have `numpy()`, as scripts for tf.data write it; what is
    computed from them is a plain array.

    Attributes
    ----------
    class_names : list of str, or None
    file_paths : list of str
        In the order in which the pictures come where they are not shuffled.
    """

    class_names: list[str] | None
    file_paths: list[str]

    def __init__(
        self,
        file_paths: list[str],
        labels: Array | None,
        class_names: list[str] | None,
        batch_size: int | None,
        read: Any,
        seed: int | None,
    ) -> None:
        self.file_paths, self.class_names = file_paths, class_names
        self._labels, self._read = labels, read
        self._batch_size, self._seed = batch_size, seed
        self._times = itertools.count()
        super().__init__(
            self._batches, -(-len(file_paths) // (batch_size or 1)), make_some=self._batches
        )

    def _batches(self, first: int = 0, step: int = 1) -> Iterator[Any]:
        order = np.arange(len(self.file_paths))
        if self._seed is not None:
            np.random.default_rng([self._seed, next(self._times)]).shuffle(order)
        return self._read_in(order, first, step)

    def _read_in(self, order: Array, first: int, step: int) -> Iterator[Any]:
        size = self._batch_size or 1
        for start in range(first * size, len(order), step * size):
            chosen = order[start : start + size]
            x = np.stack([self._read(self.file_paths[i]) for i in chosen]).view(Pictures)
            if self._batch_size is None:
                yield x[0] if self._labels is None else (x[0], self._labels[chosen[0]])
            else:
                yield x if self._labels is None else (x, self._labels[chosen].view(Output))


def image_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: Any = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str | None = None,
    verbose: bool = True,
) -> Any:
    """Batches of the pictures in a folder that has a folder for each class.

        main_folder/
            cats/  1.jpg  2.jpg
            dogs/  1.jpg  2.jpg

    Files, classes, their order for a `seed`, and the two parts of a `validation_split` are Keras's.
    The order within an epoch is not: all pictures are shuffled anew each time, where TensorFlow
    shuffles eight batches at a time.

    Parameters
    ----------
    directory : str or os.PathLike
    labels : "inferred", None, or list of int
        From the folders; none; or one for each file in the order of their paths, in which case all
        folders are searched.
    label_mode : "int", "categorical", "binary" or None
    class_names : list of str, optional
        The folders to take, in the order of their labels; all, by name, if not given.
    color_mode : "rgb", "rgba" or "grayscale"
    batch_size : int or None
        None gives single pictures.
    image_size : int or (int, int)
        Height and width that every picture gets.
    shuffle : bool
    seed : int, optional
        Fixes the orders.
    validation_split : float between 0 and 1, optional
        What share of the pictures is for validation.
    subset : "training", "validation" or "both"
        Has to be given with a `validation_split`; "both" gives a list of the two.
    interpolation : str
        "bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian" or
        "mitchellcubic": how pictures get their size, see `resampling.py`.
    follow_links : bool
        Whether links to folders are followed.
    crop_to_aspect_ratio, pad_to_aspect_ratio : bool
        Whether the middle is cut out first, or black put around, so that nothing is distorted.
    data_format : "channels_last", optional
    format : "tf", optional
    verbose : bool
        Whether it is said how many files and classes there are.

    Returns
    -------
    ImageBatches
        Of (x, y), or of x alone: x float32 (N, height, width, channels), from 0 to 255;
        y int32 (N,), or float32 (N, classes) of ones and zeros for "categorical", float32 (N, 1)
        for "binary". `fit`, `evaluate` and `predict` take it. It has `class_names`, `file_paths`,
        a length, and `map`, `take`, `skip`, `repeat`, `cache`, `prefetch` and `shuffle`.

    Raises
    ------
    ValueError, TypeError
        The folder is none, has no folders or no pictures; or for other arguments.
    ImageFileError
        When the picture's turn comes, for a damaged one, with its path. It is a ValueError and an
        OSError.
    """
    who = "image_dataset_from_directory"
    folder = checked_folder(directory, who)
    if label_mode is not None:
        label_mode = checks.one_of(label_mode, LABEL_MODES, "label_mode", who)
    given = _given_labels(labels, class_names, who)
    if labels is None or label_mode is None:
        given, label_mode = None, None
    mode = MODES[checks.one_of(color_mode, MODES, "color_mode", who)]
    if batch_size is not None:
        batch_size = checks.size(batch_size, "batch_size", who)
    size = checked_size(image_size, "image_size", who)
    shuffle = checks.boolean(shuffle, "shuffle", who)
    if seed is not None:
        seed = checks.integer(seed, "seed", who, minimum=0, maximum=2**32 - 1)
    share = _share(validation_split, subset, shuffle, seed, who)
    method = checks.one_of(interpolation, resampling.INTERPOLATIONS, "interpolation", who)
    follow_links = checks.boolean(follow_links, "follow_links", who)
    resize = _resizing(crop_to_aspect_ratio, pad_to_aspect_ratio, who)
    only = {"data_format": (None, "channels_last"), "format": (None, "tf")}
    checks.expect_defaults({"data_format": data_format, "format": format}, only, who)
    verbose = checks.boolean(verbose, "verbose", who)

    paths, found, names = _indexed(folder, given, class_names, follow_links, who)
    _say(f"Found {len(paths)} files" + _belonging(names), verbose)
    if label_mode == "binary" and names is not None and len(names) != 2:
        raise ValueError(
            f"{who}: expected two classes for label_mode='binary', received {checks.shown(names)}"
        )
    root = int(new_generator().integers(2**32)) if seed is None else seed
    y = None if found is None else _encoded(found, label_mode, len(names or ()), who)
    if shuffle:  # as Keras does, so that a seed gives its parts
        order = np.arange(len(paths))
        np.random.RandomState(root).shuffle(order)
        paths, y = [paths[i] for i in order], None if y is None else y[order]

    def read(path: str) -> Array:
        return resize(_pixels(path, mode, who), *size, method)

    def part(name: str | None, moved: bool) -> ImageBatches:
        rows = _rows(len(paths), share, name)
        chosen = paths[rows]
        if name is not None:
            _say(f"Using {len(chosen)} files for {name}", verbose)
        if not chosen:
            of_all = f", and there are {len(paths)} of them" if paths else ""
            raise ValueError(
                f"{who}: expected pictures {f'for {name} ' if name else ''}in {folder}, received "
                f"none. Their names have to end in {', '.join(ALLOWED)}{of_all}"
            )
        labels = None if y is None else y[rows]
        return ImageBatches(chosen, labels, names, batch_size, read, root if moved else None)

    if subset == "both":
        return [part("training", shuffle), part("validation", False)]
    return part(subset, shuffle)


def checked_folder(directory: Any, who: str, name: str = "directory") -> str:
    """`directory`, if it is a folder; `name` is the argument's."""
    if not isinstance(directory, (str, os.PathLike)):
        raise TypeError(
            f"{who}: expected {name} to be a str or os.PathLike, received "
            f"{checks.shown(directory)} ({type(directory).__name__})"
        )
    try:
        folder = os.path.expanduser(os.fsdecode(directory))
        there = os.path.isdir(folder)
        folder.encode(sys.getfilesystemencoding(), "surrogateescape")
        if "\0" in folder or not folder:
            raise ValueError
    except Exception:  # a zero byte, a letter that no file system has, a failing __fspath__
        raise ValueError(
            f"{who}: expected {name} to name a folder, received {checks.shown(directory)}"
        ) from None
    if not there:
        kind = NotADirectoryError if os.path.exists(folder) else FileNotFoundError
        raise kind(f"{who}: expected {name} to be a folder, received {checks.shown(folder)}")
    return folder


def _given_labels(labels: Any, class_names: Any, who: str) -> Array | str | None:
    """The labels, checked, which may be "inferred" or None."""
    if labels is None or (isinstance(labels, str) and labels == "inferred"):
        if labels is None and class_names is not None:
            raise ValueError(f"{who}: expected no class_names with labels=None, received some")
        return labels
    if not isinstance(labels, (list, tuple)):
        raise ValueError(
            f"{who}: expected labels to be 'inferred', None, or a list of one integer for each "
            f"file, received {checks.shown(labels)}"
        )
    if class_names is not None:
        raise ValueError(
            f"{who}: expected class_names with labels='inferred' alone; otherwise they are the "
            "labels in their order"
        )
    for label in labels:
        checks.integer(label, "each of labels", who, minimum=0, maximum=2**31 - 1)
    return np.array(labels, np.int32)


def _share(split: Any, subset: Any, shuffle: bool, seed: int | None, who: str) -> float:
    """The share of the pictures that is for validation."""
    if subset is not None:
        checks.one_of(subset, SUBSETS, "subset", who)
    if split is not None and not (type(split) in (int, float) and split == 0):
        split = checks.real(
            split, "validation_split", who, low=0, high=1, open_low=True, open_high=True
        )
    if bool(split) != bool(subset):
        raise ValueError(
            f"{who}: expected subset and validation_split together, received one of them. Pass "
            "validation_split=0.2 and subset='training', 'validation' or 'both'"
        )
    if split and shuffle and seed is None:
        raise ValueError(
            f"{who}: expected a seed, since the pictures are shuffled before they are split: "
            "without one, a picture may be in both parts. Pass seed=1 in both calls"
        )
    return float(split or 0)


def _resizing(crop: Any, pad: Any, who: str) -> Any:
    """The function that gives a picture its size."""
    crop = checks.boolean(crop, "crop_to_aspect_ratio", who)
    pad = checks.boolean(pad, "pad_to_aspect_ratio", who)
    if crop and pad:
        raise ValueError(
            f"{who}: expected crop_to_aspect_ratio or pad_to_aspect_ratio, received both. "
            "Choose one"
        )
    if crop:
        return resampling.cropped_and_resized
    return resampling.resized_and_padded if pad else resampling.resized


def _indexed(
    folder: str, labels: Any, class_names: Any, follow_links: bool, who: str
) -> tuple[list[str], Array | None, list[str] | None]:
    """Paths of the pictures, their labels, and the names of the classes; in Keras's order."""
    if not isinstance(labels, str):
        paths = files_in(folder, ALLOWED, follow_links)
        if labels is not None and len(labels) != len(paths):
            raise ValueError(
                f"{who}: expected a label for each of the {len(paths)} files in {folder}, "
                f"received {len(labels)}"
            )
        names = None if labels is None else [str(label) for label in np.unique(labels)]
        return paths, labels, names
    names = class_folders(folder, class_names, "class_names", who)
    if not names:
        raise ValueError(
            f"{who}: expected a folder for each class in {folder}, received none. Pass labels=None "
            "for pictures without classes"
        )
    paths, numbers = [], []
    for number, name in enumerate(names):
        its_own = files_in(os.path.join(folder, name), ALLOWED, follow_links)
        paths += its_own
        numbers += len(its_own) * [number]
    return paths, np.array(numbers, np.int32), names


def class_folders(folder: str, chosen: Any, name: str, who: str) -> list[str]:
    """The folders in `folder`, by name, or the `chosen` ones of them in the order given."""
    there = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    there = [one for one in there if not one.startswith(".")]
    if chosen is None:
        return there
    names = checks.texts(chosen, name, who)
    if not names:
        raise ValueError(f"{who}: expected {name} to have a folder's name in it, received none")
    if not set(names) <= set(there) or len(set(names)) < len(names):
        raise ValueError(
            f"{who}: expected {name} to be folders in {folder}, each once; there are "
            f"{checks.shown(there)}, received {checks.shown(names)}"
        )
    return names


def files_in(folder: str, endings: tuple[str, ...], follow_links: bool) -> list[str]:
    """The files with one of these endings in `folder` and the folders in it, in Keras's order."""
    walked = sorted(os.walk(folder, followlinks=follow_links), key=lambda where: where[0])
    return [
        os.path.join(root, name)
        for root, _, names in walked
        for name in sorted(names)
        if name.lower().endswith(endings)
    ]


def _encoded(labels: Array, label_mode: str | None, classes: int, who: str) -> Array:
    if label_mode == "int":
        return labels
    if labels.size and labels.max() >= classes:
        raise ValueError(
            f"{who}: expected labels from 0 to {classes - 1}, as many as there are, received "
            f"{labels.max()}. Number them without gaps, or pass label_mode='int'"
        )
    if label_mode == "binary":
        return labels.astype(np.float32)[:, None]
    return np.eye(classes, dtype=np.float32)[labels]


def _pixels(path: str, mode: str, who: str) -> Array:
    """The picture in a file as uint8 (H, W, C)."""
    picture = opened(path, who)
    if picture.mode.startswith("I"):  # 16 bits, of which Pillow would cut off the upper ones
        grey = np.asarray(picture).astype(np.int64) >> 8
        picture = array_to_img(np.clip(grey, 0, 255)[:, :, None], scale=False)
    x = np.asarray(picture.convert(mode))
    return x[:, :, None] if x.ndim == 2 else x


def _rows(n: int, share: float, subset: str | None) -> slice:
    """Which of n pictures are in the subset: those for validation come last."""
    first = n - int(share * n)
    return {"training": slice(first), "validation": slice(first, n)}.get(subset or "", slice(n))


def _belonging(names: list[str] | None) -> str:
    return "" if names is None else f" belonging to {len(names)} classes"


def _say(text: str, verbose: bool) -> None:
    if verbose:
        console.say(f"{text}.")
