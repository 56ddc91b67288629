"""Charts: the curves of a training, the confusion of a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.plotting import arguments
from minicnn.reports import confusion_matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from minicnn.tuning import LearningRateRange

_TRAINING, _VALIDATION = "tab:blue", "tab:orange"
_NO_METRIC = ("learning_rate", "lr")  # callbacks write these into a history

MOST_CLASSES = 200  # of a heatmap
MOST_METRICS = 100


def training_curves(
    history: Any, *, validation_freq: int = 1, suptitle: str | None = None
) -> Figure:
    """Draw each metric and the loss over the epochs, training beside validation.

    Parameters
    ----------
    history : History or dict
        What `fit` returns, or its `history` dict: one number per epoch for ``'loss'`` and for
        each metric, and the same under ``'val_'`` + name where there was validation data.
    validation_freq : int
        As given to `fit`: validation ran after every so many epochs.
    suptitle : str, optional
        Over the whole picture.

    Raises
    ------
    ValueError
        No epochs; a number of values that does not fit the number of epochs; more than 100
        metrics, or a name of more than 1,000 letters.
    TypeError
        Neither a History nor a dict; values that are no numbers; `suptitle` no text.
    """
    who = "training_curves"
    every = checks.integer(validation_freq, "validation_freq", who, minimum=1)
    suptitle = arguments.suptitle(suptitle, who)
    record = getattr(history, "history", history)
    if not isinstance(record, Mapping):
        raise TypeError(
            f"{who}: expected a History or its history dict, received {type(history).__name__}. "
            "Pass what fit() returned"
        )
    curves = {  # a callback may have recorded texts, which cannot be drawn
        name: checks.numeric(values, name, f"{who}, in history")
        for name, values in record.items()
        if isinstance(name, str) and (name == "loss" or not _is_text(values))
    }
    for name, values in curves.items():
        if values.ndim != 1:
            raise ValueError(
                f"{who}, in history: expected one value an epoch of {checks.shown(name)}, received "
                f"shape {values.shape}"
            )
    metrics = [name for name in curves if not name.startswith("val_") and name not in _NO_METRIC]
    metrics.sort(key="loss".__eq__)  # the loss comes last
    n_epochs = len(curves[metrics[0]]) if metrics else 0
    if n_epochs == 0:
        raise ValueError(f"{who}: expected at least one epoch, received a history of none")
    for name in metrics:
        _expect_values(curves, name, n_epochs, who)
        _expect_values(curves, f"val_{name}", n_epochs // every, who)

    if len(metrics) > MOST_METRICS:
        raise ValueError(
            f"{who}: expected a history of at most {MOST_METRICS} metrics, received "
            f"{len(metrics)}. Pass a dict of fewer"
        )
    headings = [
        arguments.text({"acc": "accuracy"}.get(name, name), "the names in history", who)
        for name in metrics
    ]

    epochs = np.arange(1, n_epochs + 1)
    figure, axes = _panels(len(metrics), 6 * len(metrics), 4, suptitle)
    for axis, name, heading in zip(axes, metrics, headings, strict=True):
        words = heading.replace("_", " ").title()
        # One epoch is one point: a line without markers would not be seen.
        style: dict[str, Any] = {"marker": "o", "markersize": 5 if n_epochs <= 30 else 2}
        axis.plot(epochs, _drawable(curves[name]), color=_TRAINING, label="Training", **style)
        title = f"Training {words}"
        if f"val_{name}" in curves:
            validated = epochs[every - 1 :: every]
            values = _drawable(curves[f"val_{name}"])
            axis.plot(validated, values, color=_VALIDATION, label="Validation", **style)
            title = f"Training and Validation {words}"
        axis.set_title(title, parse_math=False)
        axis.set_ylabel(words, parse_math=False)
        axis.set(xlabel="Epoch", xticks=_epoch_ticks(n_epochs))
        margin = 0.05 * max(n_epochs - 1, 1)
        axis.set_xlim(1 - margin, n_epochs + margin)  # also where a diverged loss is not drawn
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend()
    return figure


def learning_rate_range(
    found: LearningRateRange, *, ax: Axes | None = None, suptitle: str | None = None
) -> Figure:
    """Draw what `tuning.find_learning_rate` has seen: the loss over the rates, the suggestion.

    Parameters
    ----------
    found : LearningRateRange
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.
    suptitle : str, optional
        Over the whole picture.

    Raises
    ------
    TypeError
        `found` is none, or `ax` no Axes.
    ValueError
        No step had a finite loss: there is nothing to draw.
    """
    from matplotlib.axes import Axes

    who = "learning_rate_range"
    suptitle = arguments.suptitle(suptitle, who)
    if not all(hasattr(found, name) for name in ("learning_rates", "losses", "smoothed")):
        raise TypeError(
            f"{who}: expected found to be what find_learning_rate returned, received "
            f"{checks.shown(found)}"
        )
    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"{who}: expected ax to be a matplotlib Axes, received {checks.shown(ax)}")
    if not len(found.losses):
        raise ValueError(
            f"{who}: expected found to hold at least one step with a finite loss, received "
            f"{checks.shown(found)}"
        )
    if ax is None:
        figure, (axis,) = _panels(1, 6, 4, suptitle)
    else:
        figure, axis = cast("Figure", ax.figure), ax
    axis.plot(found.learning_rates, _drawable(found.losses), color=_TRAINING, alpha=0.3)
    axis.plot(found.learning_rates, _drawable(found.smoothed), color=_TRAINING, label="Smoothed")
    if found.suggestion is not None:
        label = f"Suggestion {found.suggestion:.2g}"
        axis.axvline(found.suggestion, color=_VALIDATION, linestyle="--", label=label)
    low, high = float(np.min(found.smoothed)), float(np.max(found.smoothed[:1]))
    if high > low and found.diverged:  # the last losses would flatten all others
        axis.set_ylim(low - 0.1 * (high - low), high + 0.5 * (high - low))
    axis.set(xscale="log", xlabel="Learning rate", ylabel="Loss")
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend()
    return figure


def confusion_heatmap(
    y_true: Any,
    y_pred: Any,
    class_names: Sequence[str],
    *,
    size: float = 9,
    suptitle: str | None = None,
) -> Figure:
    """Draw the confusion matrix: counts, on a colour for their share of the actual class.

    Parameters
    ----------
    y_true, y_pred : arrays of shape (N,) or (N, 1)
        Actual and predicted classes, 0 to C - 1.
    class_names : C str
    size : float
        Width of the figure in inches, 2 to 100.
    suptitle : str, optional
        Over the whole picture.

    Raises
    ------
    ValueError, TypeError
        As `minicnn.reports.confusion_matrix`; a class without a name; more than 200 classes;
        `size` outside of 2 to 100; names or `suptitle` no text.
    """
    from matplotlib.colors import PowerNorm

    who = "confusion_heatmap"
    size = arguments.size(size, who, least=2)
    suptitle = arguments.suptitle(suptitle, who)
    names = arguments.class_names(class_names, who)
    if len(names) > MOST_CLASSES:
        raise ValueError(
            f"{who}: expected at most {MOST_CLASSES} class_names, received {len(names)}. The "
            "counts of more classes: minicnn.reports.confusion_matrix"
        )
    actual = arguments.class_indices(y_true, "y_true", names, who)
    predicted = arguments.class_indices(y_pred, "y_pred", names, who)
    if checks.same_length({"y_true": actual, "y_pred": predicted}, who) == 0:
        raise ValueError(f"{who}: expected at least one sample in y_true and y_pred, received none")
    classes = range(len(names))
    counts = confusion_matrix(actual, predicted, classes)
    shares = confusion_matrix(actual, predicted, classes, normalize="true")
    cell = 0.75 * size / len(names)  # inches

    figure, (axis,) = _panels(1, size, 0.9 * size, suptitle)
    # The square root spreads the small shares: the mistakes are what one looks for.
    heat = axis.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    bar = figure.colorbar(heat, ax=axis, shrink=0.8, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.set_label("Share of the actual class")
    bar.ax.yaxis.set_major_formatter("{x:.0%}")

    font_size = arguments.font_size(0.85 * cell, [f"{counts.max():,}"], largest=12)
    for (row, column), count in np.ndenumerate(counts):
        on_dark = shares[row, column] > 0.3
        text = axis.text(column, row, f"{count:,}", ha="center", va="center", fontsize=font_size)
        text.set_color("white" if on_dark else "black" if count else "lightgray")
        text.set_fontweight("bold" if row == column else "normal")
        text.set_in_layout(False)  # measuring those of 100 classes takes longer than drawing them
    # Names get a quarter of the width, and slanted ones must not touch.
    label_size = arguments.font_size(0.25 * size, names, largest=min(11, 40 * cell))
    axis.set_xticks(classes, names, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(classes, names)
    for label in [*axis.get_xticklabels(), *axis.get_yticklabels()]:
        label.set(fontsize=label_size, parse_math=False)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    right, total = int(counts.trace()), int(counts.sum())
    axis.set_title(f"{right:,} of {total:,} right ({right / total:.1%})", pad=12)
    axis.set_xlabel("Predicted", fontsize=12)
    axis.set_ylabel("Actual", fontsize=12)
    return figure


def _panels(
    count: int, width: float, height: float, suptitle: str | None
) -> tuple[Figure, list[Axes]]:
    """A new figure and its panels, side by side."""
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06, wspace=0.03)
    figure, grid = plt.subplots(1, count, figsize=(width, height), squeeze=False, layout=layout)
    if suptitle is not None:
        figure.suptitle(suptitle, fontsize=14, parse_math=False)
    return figure, list(grid.flat)


def _epoch_ticks(n_epochs: int) -> list[int]:
    """1, then every epoch, every 5th or every 10th ... : about a dozen ticks at most."""
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(nbins=12, steps=[1, 5, 10], integer=True)
    ticks = [round(tick) for tick in locator.tick_values(1, n_epochs)]
    return [1, *(tick for tick in ticks if 1 < tick <= n_epochs)]


def _drawable(values: NDArray[Any]) -> NDArray[Any]:
    """The numbers of a curve, with nan, which is not drawn, for those that are too large."""
    with np.errstate(over="ignore"):  # of a long double
        values = values.astype(np.float64)
    return np.where(np.abs(values) <= arguments.LARGEST_NUMBER, values, np.nan)


def _is_text(values: Any) -> bool:
    return isinstance(values, (list, tuple)) and any(isinstance(v, str) for v in values)


def _expect_values(curves: Mapping[str, NDArray[Any]], name: str, count: int, who: str) -> None:
    """Refuse a curve that is not `count` numbers; one that is not there is fine."""
    if name in curves and curves[name].shape != (count,):
        raise ValueError(
            f"{who}, in history: expected {count} values of {checks.shown(name)}, received "
            f"shape {curves[name].shape}. Where fit() was given a validation_freq, pass the same "
            "one here"
        )
