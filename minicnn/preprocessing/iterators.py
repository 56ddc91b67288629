"""The batches that an ImageDataGenerator gives, in Keras's order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, console
from minicnn.py_dataset import PyDataset
from minicnn.seeds import new_generator
from minicnn.utils.image_folders import checked_folder, class_folders, files_in
from minicnn.utils.images import (
    INTERPOLATIONS,
    MODES,
    array_to_img,
    checked_size,
    img_to_array,
    load_img,
)

if TYPE_CHECKING:
    from minicnn.preprocessing.image import ImageDataGenerator

Array = NDArray[Any]
Random = np.random.RandomState

ALLOWED = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff")
SUBSETS = ("training", "validation")
CLASS_MODES = ("categorical", "binary", "sparse", "input")


class ImageIterator(PyDataset):
    """Batches without end: base of the two kinds.

    `next(batches)` gives the next one, `batches[i]` number i of an epoch, `len(batches)` how many
    an epoch has. With a seed, batch number n is drawn by a generator seeded with seed + n.

    Attributes
    ----------
    n, batch_size, shuffle, seed
        As they were given; `n` is the number of pictures.
    batch_index : int
        The next batch's place in the epoch.
    total_batches_seen : int
    """

    independent = False  # its random numbers go on from batch to batch

    def __init__(
        self,
        who: str,
        generator: ImageDataGenerator,
        n: int,
        batch_size: Any,
        shuffle: Any,
        seed: Any,
        save_to_dir: Any,
        save_prefix: Any,
        save_format: Any,
    ) -> None:
        super().__init__()
        self.generator, self.n = generator, n
        self.batch_size = checks.size(batch_size, "batch_size", who)
        self.shuffle = checks.boolean(shuffle, "shuffle", who)
        if seed is not None:
            seed = checks.integer(seed, "seed", who, minimum=0, maximum=2**31)
        self.seed: int | None = seed
        self.save_to_dir = (
            None if save_to_dir is None else checked_folder(save_to_dir, who, "save_to_dir")
        )
        for name, text in {"save_prefix": save_prefix, "save_format": save_format}.items():
            if not isinstance(text, str):
                raise TypeError(
                    f"{who}: expected {name} to be a str, received {checks.shown(text)}"
                )
        self.save_prefix, self.save_format = save_prefix, save_format
        self.batch_index = self.total_batches_seen = 0
        self._unseeded = Random(int(new_generator().integers(2**32)))
        self._order: Array | None = None

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __iter__(self) -> ImageIterator:
        return self

    def __next__(self) -> Any:
        random = self._random()
        if self.batch_index == 0:
            self._set_order(random)
        index = self.batch_index
        self.batch_index = (index + 1) % len(self)
        return self._numbered(index, random)

    def __getitem__(self, index: int) -> Any:
        index = checks.integer(index, "index", type(self).__name__, minimum=0)
        if index >= len(self):
            raise IndexError(f"expected an index below {len(self)}, received {index}")
        random = self._random()
        if self._order is None:
            self._set_order(random)
        return self._numbered(index, random)

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        self._set_order(self._unseeded if self.seed is None else self._random(count=False))

    def reset(self) -> None:
        """Begin an epoch with the next batch."""
        self.batch_index = 0

    def _random(self, *, count: bool = True) -> Random:
        """What the next batch is drawn by."""
        number = self.total_batches_seen
        self.total_batches_seen += count
        return self._unseeded if self.seed is None else Random(self.seed + number)

    def _set_order(self, random: Random) -> None:
        self._order = random.permutation(self.n) if self.shuffle else np.arange(self.n)

    def _numbered(self, index: int, random: Random) -> Any:
        order = self._order
        if order is None:
            raise RuntimeError("the order of the epoch is not drawn yet")
        chosen = order[index * self.batch_size : (index + 1) * self.batch_size]
        x = np.stack([self._varied(self._image(i), random) for i in chosen])
        if self.save_to_dir is not None:
            for image, i in zip(x, chosen):
                name = f"{self.save_prefix}_{i}_{random.randint(10000)}.{self.save_format}"
                array_to_img(image).save(os.path.join(self.save_to_dir, name))
        return self._batch(x, chosen)

    def _varied(self, image: Array, random: Random) -> Array:
        generator = self.generator
        moved = generator.apply_transform(image, generator.draw(image.shape, random))
        return generator.standardize(moved)

    def _image(self, i: int) -> Array:
        raise NotImplementedError

    def _batch(self, x: Array, chosen: Array) -> Any:
        raise NotImplementedError


class NumpyArrayIterator(ImageIterator):
    """The batches of `ImageDataGenerator.flow`."""

    def __init__(
        self,
        generator: ImageDataGenerator,
        x: Any,
        y: Any,
        *,
        batch_size: int,
        shuffle: bool,
        sample_weight: Any,
        seed: int | None,
        save_to_dir: Any,
        save_prefix: str,
        save_format: str,
        ignore_class_split: bool,
        subset: str | None,
    ) -> None:
        who = "ImageDataGenerator.flow"
        images = checks.numeric(x, "x", who)
        if images.ndim != 4 or images.size == 0:
            raise ValueError(
                f"{who}: expected x (N, H, W, C), received shape {images.shape}. Write "
                "x[..., None] for grey pictures without a channel axis"
            )
        labels = None if y is None else checks.numeric(y, "y", who)
        weights = (
            None if sample_weight is None else checks.numeric(sample_weight, "sample_weight", who)
        )
        for name, values in {"y": labels, "sample_weight": weights}.items():
            if values is not None and (values.ndim == 0 or len(values) != len(images)):
                raise ValueError(
                    f"{who}: expected {name} to be as long as x, {len(images)}, received shape "
                    f"{values.shape}"
                )
        ignored = checks.boolean(ignore_class_split, "ignore_class_split", who)
        part = slice(None)
        if subset is not None:
            subset = checks.one_of(subset, SUBSETS, "subset", who)
            first = int(len(images) * generator.validation_split)
            part = slice(first) if subset == "validation" else slice(first, None)
            if (
                labels is not None
                and not ignored
                and not np.array_equal(np.unique(labels[:first]), np.unique(labels[first:]))
            ):
                raise ValueError(
                    f"{who}: expected the same labels in the first {first} samples, which are for "
                    "validation, and in the others. Shuffle x and y first, or pass "
                    "ignore_class_split=True"
                )
            if len(images[part]) == 0:
                raise ValueError(
                    f"{who}: expected samples for {subset}, received none of {len(images)} with "
                    f"validation_split={generator.validation_split}"
                )
        self.x = images[part]
        self.y = None if labels is None else labels[part]
        self.sample_weight = None if weights is None else weights[part]
        super().__init__(
            who, generator, len(self.x), batch_size, shuffle, seed, save_to_dir, save_prefix,
            save_format,
        )  # fmt: skip

    def _image(self, i: int) -> Array:
        return self.x[i]

    def _batch(self, x: Array, chosen: Array) -> Any:
        if self.y is None:
            return x
        if self.sample_weight is None:
            return x, self.y[chosen]
        return x, self.y[chosen], self.sample_weight[chosen]


class DirectoryIterator(ImageIterator):
    """The batches of `ImageDataGenerator.flow_from_directory`.

    Attributes
    ----------
    samples, num_classes : int
    class_indices : dict
        The label of each class.
    classes : int32 array
        The label of each file.
    filenames, filepaths : list of str
    """

    def __init__(
        self,
        generator: ImageDataGenerator,
        directory: Any,
        *,
        target_size: Any,
        color_mode: str,
        classes: Any,
        class_mode: str | None,
        batch_size: int,
        shuffle: bool,
        seed: int | None,
        save_to_dir: Any,
        save_prefix: str,
        save_format: str,
        follow_links: bool,
        subset: str | None,
        interpolation: str,
        keep_aspect_ratio: bool,
    ) -> None:
        who = "ImageDataGenerator.flow_from_directory"
        self.directory = folder = checked_folder(directory, who)
        self.target_size = checked_size(target_size, "target_size", who)
        self.color_mode = checks.one_of(color_mode, MODES, "color_mode", who)
        if class_mode is not None:
            class_mode = checks.one_of(class_mode, CLASS_MODES, "class_mode", who)
        self.class_mode = class_mode
        follow = checks.boolean(follow_links, "follow_links", who)
        self.interpolation = checks.one_of(interpolation, INTERPOLATIONS, "interpolation", who)
        self.keep_aspect_ratio = checks.boolean(keep_aspect_ratio, "keep_aspect_ratio", who)
        if subset is not None:
            subset = checks.one_of(subset, SUBSETS, "subset", who)
        names = class_folders(folder, classes, "classes", who)
        self.num_classes = len(names)
        self.class_indices = {name: i for i, name in enumerate(names)}
        self.filenames: list[str] = []
        labels: list[int] = []
        for name, i in self.class_indices.items():
            paths = files_in(os.path.join(folder, name), ALLOWED, follow)
            if subset is not None:
                first = int(generator.validation_split * len(paths))
                paths = paths[:first] if subset == "validation" else paths[first:]
            self.filenames += [os.path.relpath(path, folder) for path in paths]
            labels += len(paths) * [i]
        self.classes = np.array(labels, np.int32)
        self.samples = len(labels)
        self.filepaths = [os.path.join(folder, name) for name in self.filenames]
        super().__init__(
            who, generator, self.samples, batch_size, shuffle, seed, save_to_dir, save_prefix,
            save_format,
        )  # fmt: skip
        console.say(f"Found {self.samples} images belonging to {self.num_classes} classes.")
        if not self.samples:
            of = f" for {subset}" if subset else ""
            raise ValueError(
                f"{who}: expected pictures{of} in {Path(folder)}, in a folder for each class, "
                f"received none. Their names have to end in {', '.join(ALLOWED)}"
            )

    @property
    def labels(self) -> Array:
        """`classes`."""
        return self.classes

    def _image(self, i: int) -> Array:
        picture = load_img(
            self.filepaths[i],
            self.color_mode,
            self.target_size,
            self.interpolation,
            self.keep_aspect_ratio,
        )
        return img_to_array(picture)

    def _batch(self, x: Array, chosen: Array) -> Any:
        if self.class_mode is None:
            return x
        if self.class_mode == "input":
            return x, x.copy()
        labels = self.classes[chosen]
        if self.class_mode == "categorical":
            return x, np.eye(self.num_classes, dtype=x.dtype)[labels]
        return x, labels.astype(x.dtype)
