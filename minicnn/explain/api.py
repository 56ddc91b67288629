"""`explain`: what it accepts, and the file that it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from minicnn import checks, inputs, losses
from minicnn.engine.logits import before_activation
from minicnn.explain.collect import walk_through
from minicnn.explain.page import page
from minicnn.losses.chosen import Crossentropy
from minicnn.models import Sequential
from minicnn.saving import atomic
from minicnn.training.finite import expect_finite

Array = NDArray[Any]
WHO = "explain"


def explain(
    model: Any,
    x: Any,
    y: Any = None,
    path: Any = "explain.html",
    *,
    image: int = 0,
    training: bool = False,
    class_names: Any = None,
    megabytes: float = 5,
) -> Path:
    """Write a page that shows one image's way through the model, number by number.

    It is one HTML file, which any browser opens without a network: every layer's input and output,
    and with y the gradients, in the letters of the layers' docstrings. A click on a cell shows
    what it was worked out from. The model stays untouched: a copy does the work.

    Parameters
    ----------
    model : Sequential
        Built; compiled, if y is given and it does not end in softmax.
    x : array of shape (N, ...)
        Images as `fit` takes them. One of them is shown; the others matter where batch
        normalization takes its statistics from the batch.
    y : array of shape (N,) or (N, ...), optional
        Targets as `fit` takes them, for the loss of `compile`; without `compile`, a model that
        ends in softmax has cross-entropy. Without y the page has no gradients.
    path : str or path that ends in .html
        The file to write; one that is there is replaced. Its folder has to be there.
    image : int
        Which one of x is shown; from the end if negative.
    training : bool
        Whether the pass is one of training, with batch statistics and the masks of dropout that
        the next step of `fit` would draw for this batch, or one of inference, as in `predict`.
    class_names : list of str, optional
        One for each output.
    megabytes : float
        Size of the file (10^6 bytes). Where all numbers would take more, the page keeps the
        channels and units that matter most, at least one of each layer, and says so.

    Returns
    -------
    Path
        Of the file, absolute.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, or a model that is not built; no file is written then.
    FloatingPointError
        If the outputs are NaN or infinite; names the layer.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from minicnn.layers import Conv2D, Dense, Flatten
    >>> layers = [Conv2D(2, 3, activation="relu", input_shape=(6, 6, 1)), Flatten()]
    >>> model = Sequential([*layers, Dense(3, activation="softmax")])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = explain(model, np.ones((1, 6, 6, 1)), [2], path=f"{folder}/page.html")
    ...     written.name
    'page.html'
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"{WHO}: expected model to be a Sequential, received {checks.shown(model)}")
    model.expect_built(WHO)
    training = checks.boolean(training, "training", WHO)
    megabytes = checks.real(megabytes, "megabytes", WHO, low=0, high=1000, open_low=True)
    target = checks.new_file(
        path, WHO, (".html", ".htm"), "'a.html'", " Browsers know a page by that"
    )
    data = model.checked_data(x, WHO)
    image = _checked_image(image, len(data))
    names = _checked_names(class_names, model.output_shape)
    loss, targets = (None, None) if y is None else _checked_targets(model, y, data.x)

    (batch,) = data.batches(len(data))
    samples = batch.all_inputs(model.input_shape[1:])
    walk = walk_through(model, samples, targets, loss, image, training)
    expect_finite(model, batch, walk.output, WHO)
    text = page(model, walk, loss, names, 1e6 * megabytes)
    atomic.write(target, text.encode())
    return target


def _checked_image(image: Any, N: int) -> int:
    k = checks.integer(image, "image", WHO, minimum=-(2**62), maximum=2**62)
    if not -N <= k < N:
        raise ValueError(
            f"{WHO}: expected image to be the number of one of the {N} images in x, "
            f"{-N} to {N - 1}, received {k}"
        )
    return k % N


def _checked_names(class_names: Any, output_shape: tuple[Any, ...]) -> list[str] | None:
    if class_names is None:
        return None
    names = checks.texts(class_names, "class_names", WHO)
    if len(names) != output_shape[-1]:
        raise ValueError(
            f"{WHO}: expected one of class_names for each of the {output_shape[-1]} outputs, "
            f"received {len(names)}"
        )
    return [name.encode("utf-8", "replace").decode() for name in names]


def _checked_targets(model: Sequential, given: Any, x: Array) -> tuple[losses.Loss, Array]:
    """The loss that was compiled, or cross-entropy behind a softmax; and y as it takes it."""
    loss = model.loss
    if loss is None and before_activation(model.leaves)[1]:
        loss = Crossentropy()
    if loss is None:
        raise ValueError(
            f"{WHO}: expected a compiled model beside y, since {model.who} does not end in softmax "
            "and could have any loss. Call compile(loss=...) first, or leave y out"
        )
    inputs.expect_array(given, "y", WHO)
    y = checks.numeric(given, "y", WHO)
    checks.same_length({"x": x, "y": y}, WHO)
    loss = loss.chosen(y.shape, model.output_shape)
    y = loss.targets(y, model.output_shape, WHO)
    checks.finite(y, "y", WHO, dtype=model.dtype)
    return loss, y
