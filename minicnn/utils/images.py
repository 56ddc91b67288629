"""Pictures in files and as arrays, under Keras's names. Pillow reads and writes the files.

>>> picture = array_to_img([[[0], [255]], [[255], [0]]], scale=False)
>>> picture.size, picture.mode
((2, 2), 'L')
>>> img_to_array(picture)[:, :, 0]
array([[  0., 255.],
       [255.,   0.]], dtype=float32)
"""

from __future__ import annotations

import errno
import io
import os
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, config

if TYPE_CHECKING:
    from PIL import Image

Array = NDArray[Any]

MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
GREYS = ("L", "I;16", "I")  # which "grayscale" leaves as they are
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
FORMATS = ("channels_first", "channels_last")
OPTIONS = {  # of Pillow's writers
    *("append_images", "bits", "comment", "compress_level", "compression", "dpi", "duration"),
    *("exif", "icc_profile", "lossless", "loop", "method", "optimize", "progressive", "quality"),
    *("save_all", "subsampling", "transparency"),
}
LARGEST_SIDE = 65535  # pixels; JPEG can have no more


class ImageFileError(OSError, ValueError):
    """A file is there, but it is no picture, or a damaged one."""


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: Any = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Image.Image:
    """The picture in a file, pixel for pixel as Keras's function of this name loads it.

    Parameters
    ----------
    path : str, bytes, os.PathLike or io.BytesIO
        The file, or its content.
    color_mode : "rgb", "rgba" or "grayscale"
        The latter leaves grey pictures of 16 and 32 bits as they are.
    target_size : (int, int), optional
        Height and width.
    interpolation : "nearest", "bilinear", "bicubic", "box", "hamming" or "lanczos"
        How it gets that size, in Pillow's words.
    keep_aspect_ratio : bool
        Whether its middle is cut out first, so that nothing is distorted.

    Returns
    -------
    PIL.Image.Image: `img_to_array` makes an array of it.

    Raises
    ------
    ImageFileError
        The file is no picture, or a damaged one. It is an OSError and a ValueError.
    FileNotFoundError, OSError
        The file cannot be read.
    TypeError, ValueError
        For other arguments.
    """
    who = "load_img"
    mode = MODES[checks.one_of(color_mode, MODES, "color_mode", who)]
    interpolation = checks.one_of(interpolation, INTERPOLATIONS, "interpolation", who)
    keep = checks.boolean(keep_aspect_ratio, "keep_aspect_ratio", who)
    size = None if target_size is None else checked_size(target_size, "target_size", who)
    picture = opened(path, who)
    if not (mode == "L" and picture.mode in GREYS) and picture.mode != mode:
        picture = picture.convert(mode)
    if size is None or picture.size == size[::-1]:
        return picture
    from PIL import Image

    method = Image.Resampling[interpolation.upper()]
    box = _middle(picture.size, size[::-1]) if keep else None
    return picture.resize(size[::-1], method, box=box)


def checked_size(value: Any, name: str, who: str) -> tuple[int, int]:
    """`value` as height and width of a picture."""
    height, width = checks.pair(value, name, who)
    if max(height, width) > LARGEST_SIDE:
        raise ValueError(
            f"{who}: expected {name} to be at most {LARGEST_SIDE} pixels a side, received "
            f"{checks.shown(value)}"
        )
    return height, width


def opened(path: Any, who: str) -> Image.Image:
    """The picture in the file `path`, decoded to its end."""
    from PIL import Image  # here: it slows `import minicnn` down

    if isinstance(path, io.BytesIO):
        content, name = path, "the given bytes"
    else:
        content, name = _content(path, who)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(content)
            picture.load()
    except Exception as error:  # Pillow's readers raise many kinds for damaged files
        reason = str(error).partition("<_io.BytesIO")[0].strip() or type(error).__name__
        raise ImageFileError(
            f"{who}: expected a picture in {name}, received a damaged one or another file "
            f"({type(error).__name__}: {reason})"
        ) from None
    return picture


def _content(path: Any, who: str) -> tuple[io.BytesIO, str]:
    """The content of a regular file, and its name in a message."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(
            f"{who}: expected path to be a str, bytes, os.PathLike or io.BytesIO, received "
            f"{checks.shown(path)} ({type(path).__name__})"
        )
    try:
        name = os.fsdecode(path)
        status = os.stat(name)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{who}: expected path to name a file, received {checks.shown(name)}, which is "
            "not there"
        ) from None
    except Exception as error:  # a zero byte, too many letters, a failing __fspath__
        if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
            raise
        raise ValueError(
            f"{who}: expected path to name a file, received {checks.shown(path)}"
        ) from None
    if not stat.S_ISREG(status.st_mode):  # a pipe would have us wait
        raise ImageFileError(f"{who}: expected path to name a file, received {name}, which is none")
    return io.BytesIO(Path(name).read_bytes()), name


def _middle(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a picture of `size` (width, height) that has the proportions of `target`."""
    width, height = size
    target_width, target_height = target
    h = min(height, width * target_height // target_width)
    w = min(width, height * target_width // target_height)
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> Array:
    """A picture as an array (H, W, C), or (C, H, W) with data_format="channels_first".

    Parameters
    ----------
    img : PIL.Image.Image, or array (H, W) or (H, W, C)
    data_format : "channels_last" or "channels_first", optional
        None is "channels_last".
    dtype : str or NumPy dtype, optional
        Of the result; `floatx()` if not given.

    Returns
    -------
    ndarray, pixels from 0 to 255

    Raises
    ------
    ImageFileError
        The file that `img` is read from turns out to be damaged.
    TypeError, ValueError
        For anything else.
    """
    who = "img_to_array"
    first = _channels_first(data_format, who)
    kind = _number_type(dtype, who)
    if hasattr(img, "getbands"):
        try:
            x = np.asarray(img, dtype=kind)
        except Exception as error:  # Pillow reads a file only now
            raise ImageFileError(
                f"{who}: expected img to be a picture, received one whose file is damaged "
                f"({type(error).__name__}: {error})"
            ) from None
    else:
        given = checks.numeric(img, "img", who)
        checks.finite(given, "img", who, dtype=kind if kind.kind == "f" else np.dtype(np.float64))
        x = np.array(given, dtype=kind)
    if x.ndim not in (2, 3):
        raise ValueError(
            f"{who}: expected img to be one picture (H, W) or (H, W, C), received shape {x.shape}"
        )
    if x.ndim == 2:
        x = x[:, :, None]
    return x.transpose(2, 0, 1) if first else x


def array_to_img(
    x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None
) -> Image.Image:
    """A picture of an array.

    Parameters
    ----------
    x : array (H, W, C), or (C, H, W) with data_format="channels_first"
        One channel for grey, three for red, green, blue, a fourth for opacity.
    data_format : "channels_last" or "channels_first", optional
        None is "channels_last".
    scale : bool
        Whether the smallest number becomes 0 and the largest 255; otherwise the numbers have to
        be from 0 to 255, and more in grey pictures alone, which get 32 bits for it.
    dtype : str or NumPy dtype, optional
        Of the calculation; `floatx()` if not given.

    Returns
    -------
    PIL.Image.Image; fractions of pixels are cut off.

    Raises
    ------
    TypeError, ValueError
        For another shape, numbers that are not finite, or too small or large without `scale`.
    """
    who = "array_to_img"
    first = _channels_first(data_format, who)
    scale = checks.boolean(scale, "scale", who)
    kind = _number_type(dtype, who)
    given = checks.numeric(x, "x", who)
    if given.ndim != 3:
        raise ValueError(
            f"{who}: expected x to be one picture (H, W, C), received shape {given.shape}. "
            "Write x[0] for the first of several, x[..., None] for one without channels"
        )
    if first:
        given = given.transpose(1, 2, 0)
    if given.size == 0 or given.shape[2] not in (1, 3, 4):
        raise ValueError(
            f"{who}: expected x to have pixels of 1, 3 or 4 channels, received shape {given.shape}"
        )
    checks.finite(given, "x", who)
    pixels = given.astype(kind)
    if scale:
        pixels = pixels.astype(np.result_type(kind, np.float32)) - pixels.min()
        largest = pixels.max()
        if largest != 0:
            pixels /= largest
        pixels *= 255
    most = 2.0**31 if pixels.shape[2] == 1 else 256.0
    if pixels.min() <= -1 or pixels.max() >= most:
        raise ValueError(
            f"{who}: expected x to hold pixels from 0 to 255, received {pixels.min()} to "
            f"{pixels.max()}. Pass scale=True, or scale x first"
        )
    from PIL import Image

    if pixels.shape[2] > 1:
        return Image.fromarray(pixels.astype(np.uint8))
    grey = pixels[:, :, 0]
    return Image.fromarray(grey.astype(np.int32 if grey.max() > 255 else np.uint8))


def save_img(
    path: Any,
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array as a picture.

    Parameters
    ----------
    path : str, os.PathLike or file object
    x, data_format, scale
        As in `array_to_img`.
    file_format : str, optional
        Such as "png"; the ending of `path` says it if this is not given.
    **kwargs
        For Pillow's `Image.save`, such as quality=90; OPTIONS has their names.

    Raises
    ------
    OSError
        The file cannot be written.
    TypeError, ValueError
        For other arguments, and for a format that Pillow does not know.
    """
    who = "save_img"
    picture = array_to_img(x, data_format, scale)
    unknown = kwargs.keys() - OPTIONS
    if unknown:
        raise TypeError(
            f"{who} got an unexpected keyword argument {min(unknown)!r}. Pillow's options are "
            f"{', '.join(sorted(OPTIONS))}"
        )
    is_file = callable(getattr(type(path), "write", None))
    if not is_file and not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"{who}: expected path to be a str, os.PathLike or file object, received "
            f"{checks.shown(path)} ({type(path).__name__})"
        )
    if not is_file:
        path = checks.path(path, "path", who)
    if file_format is None:
        file_format = "" if is_file else Path(path).suffix[1:]
    elif not isinstance(file_format, str):
        raise TypeError(
            f"{who}: expected file_format to be a str such as 'png', received "
            f"{checks.shown(file_format)}"
        )
    file_format = {"jpg": "jpeg", "tif": "tiff"}.get(file_format.lower(), file_format.lower())
    from PIL import Image

    Image.init()
    if file_format.upper() not in Image.SAVE:
        raise ValueError(
            f"{who}: expected path to end in the name of a format that Pillow writes, or "
            f"file_format to name it, such as 'png' or 'jpeg'; received {checks.shown(file_format)}"
        )
    if picture.mode == "RGBA" and file_format == "jpeg":
        warnings.warn(f"{who}: JPEG has no opacity, which is left out", stacklevel=2)
        picture = picture.convert("RGB")
    picture.save(path, format=file_format, **kwargs)


def _channels_first(data_format: Any, who: str) -> bool:
    if data_format is None:
        return False
    return checks.one_of(data_format, FORMATS, "data_format", who) == "channels_first"


def _number_type(dtype: Any, who: str) -> np.dtype[Any]:
    if dtype is None:
        return np.dtype(config.floatx())
    try:  # only what names a type: an array would be asked for its own
        kind = np.dtype(dtype if isinstance(dtype, (str, type, np.dtype)) else object)
    except (TypeError, ValueError):
        kind = np.dtype(object)
    if kind.kind not in "fiu":
        raise ValueError(
            f"{who}: expected dtype to be a type of numbers such as 'float32' or 'uint8', received "
            f"{checks.shown(dtype)}"
        )
    return kind
