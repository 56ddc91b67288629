"""The pictures of the course, each from the numbers that its page works with.

    python docs/course/draw.py            all of them, into docs/course/images
    python docs/course/draw.py pooling    one of them

Colours are those of Okabe and Ito and the map "cividis", which colour-blind readers tell apart;
what a colour says is said by words, numbers or lines, too.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from minicnn.layers import Conv2D, MaxPooling2D, ReLU, Softmax
from minicnn.optimizers import SGD, Adam

FOLDER = Path(__file__).parent / "images"
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, YELLOW, GREY = "#BFE0F5", "#F9E79F", "#E8E8E8"

NINE = np.arange(1.0, 10).reshape(3, 3)
KERNEL = np.array([[1.0, 2], [3, 4]])
DY = np.array([[1.0, 10], [100, 1000]])


def table(
    ax: Axes,
    numbers: np.ndarray,
    title: str = "",
    *,
    colors: dict[tuple[int, int], str] | None = None,
    frame: tuple[int, int, int, int] | None = None,
    size: float = 13,
) -> None:
    """Numbers in cells; `frame` is a window by its row, column, height and width."""
    rows, columns = numbers.shape
    for (i, j), value in np.ndenumerate(numbers):
        color = (colors or {}).get((i, j), "white")
        ax.add_patch(Rectangle((j, i), 1, 1, facecolor=color, edgecolor="#888888", lw=0.8))
        text = f"{value:g}"
        ax.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=size)
    if frame is not None:
        i, j, height, width = frame
        ax.add_patch(Rectangle((j, i), width, height, fill=False, edgecolor=ORANGE, lw=3.5))
    ax.set(xlim=(-0.1, columns + 0.1), ylim=(rows + 0.1, -0.1), aspect="equal")
    ax.set_title(title, fontsize=11)
    ax.axis("off")


def sign(figure: Figure, x: float, y: float, text: str, size: float = 18) -> None:
    figure.text(x, y, text, ha="center", va="center", fontsize=size)


# -- page 1 ---------------------------------------------------------------------------------------


def gradient() -> Figure:
    """The loss over one weight with its slope; and the error of differences over their width."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.5), layout="constrained")
    w = np.linspace(-0.4, 2.2, 200)

    def loss(w):
        return (3 * w - 0.5 - 3) ** 2  # x = (3, -1), w[1] = 1, b = 0.5, t = 3

    left.plot(w, loss(w), color=BLUE, lw=2)
    left.plot(w, 4 - 12 * (w - 0.5), color=ORANGE, lw=2, ls="--")
    left.plot([0.5], [4], "o", color=ORANGE, ms=8)
    left.annotate("w[0] = 0.5: L = 4,\nslope -12", (0.5, 4), (0.85, 7.6), fontsize=10,
                  arrowprops={"arrowstyle": "-", "color": "#666666"})  # fmt: skip
    left.set(xlabel="w[0]", ylabel="loss L", ylim=(-0.5, 14), title="The gradient is a slope")
    h = np.logspace(-13, 0, 60)
    one, two = (np.exp(1 + h) - np.exp(1)) / h, (np.exp(1 + h) - np.exp(1 - h)) / (2 * h)
    right.loglog(h, np.abs(one / np.e - 1) + 1e-17, color=BLUE, lw=2, ls="--", label="one-sided")
    right.loglog(h, np.abs(two / np.e - 1) + 1e-17, color=ORANGE, lw=2, label="central")
    right.set(xlabel="h", ylabel="error", ylim=(1e-13, 2), title="How wide should h be?")
    right.text(1e-13, 1e-8, "rounding", fontsize=10)
    right.text(2e-7, 1e-2, "the curve bends", fontsize=10)
    right.legend(frameon=False, loc="lower left", fontsize=10)
    return figure


# -- page 2 ---------------------------------------------------------------------------------------


def relu() -> Figure:
    """ReLU and its slope; and what three units make of one input."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9.6, 3.1), layout="constrained")
    x = np.linspace(-2, 2, 401)
    left.plot(x, ReLU().forward(x), color=BLUE, lw=2.5)
    left.plot([-0.8, 0.8], [0, 0.8], "o--", color=ORANGE, lw=1.5)
    left.text(-1.9, 1.2, "across the kink\ndifferences say 1/2", fontsize=10)
    left.set(title="y = max(x, 0)", xlabel="x")
    middle.plot([-2, 0], [0, 0], color=BLUE, lw=2.5)
    middle.plot([0, 2], [1, 1], color=BLUE, lw=2.5)
    middle.plot([0], [0], "o", color=BLUE, ms=7)
    middle.plot([0], [1], "o", color=BLUE, ms=7, mfc="white")
    middle.set(title="slope: 0 at the kink", xlabel="x", ylim=(-0.2, 1.4))
    parts = [np.maximum(x + 1.2, 0), -2 * np.maximum(x + 0.2, 0), 1.8 * np.maximum(x - 0.6, 0)]
    for part, style in zip(parts, ("--", ":", "-.")):
        right.plot(x, part, color="#777777", lw=1.3, ls=style)
    right.plot(x, sum(parts), color=ORANGE, lw=2.5)
    right.set(title="the sum of three units bends", xlabel="x", ylim=(-2, 3))
    return figure


# -- page 3 ---------------------------------------------------------------------------------------


def convolution() -> Figure:
    """One window, its products, and the result."""
    figure, axes = plt.subplots(1, 3, figsize=(8.4, 2.9), gridspec_kw={"width_ratios": [3, 2, 2]})
    seen = {(i, j): SKY for i in (1, 2) for j in (0, 1)}
    layer = Conv2D(1, 2, use_bias=False, kernel_initializer=KERNEL[:, :, None, None])
    y = layer.forward(NINE[None, :, :, None])[0, :, :, 0]
    table(axes[0], NINE, "x, and window (1, 0)", colors=seen, frame=(1, 0, 2, 2))
    table(axes[1], KERNEL, "W")
    table(axes[2], y, "y", colors={(1, 0): SKY}, frame=(1, 0, 1, 1))
    figure.text(0.5, 0.02, "4·1 + 5·2 + 7·3 + 8·4 = 67", ha="center", fontsize=13)
    figure.subplots_adjust(bottom=0.14)
    return figure


def im2col() -> Figure:
    """Windows as rows: one matrix product."""
    figure, axes = plt.subplots(1, 4, figsize=(9, 3), gridspec_kw={"width_ratios": [3, 4, 1, 1]})
    cols = np.array([NINE[i : i + 2, j : j + 2].ravel() for i in (0, 1) for j in (0, 1)])
    seen = {(i, j): SKY for i in (1, 2) for j in (0, 1)}
    table(axes[0], NINE, "x", colors=seen, frame=(1, 0, 2, 2))
    table(axes[1], cols, "cols: a window a row", colors={(2, j): SKY for j in range(4)},
          frame=(2, 0, 1, 4))  # fmt: skip
    table(axes[2], KERNEL.reshape(4, 1), "W")
    table(axes[3], (cols @ KERNEL.ravel()).reshape(4, 1), "y", colors={(2, 0): SKY},
          frame=(2, 0, 1, 1))  # fmt: skip
    sign(figure, 0.695, 0.47, "@")
    sign(figure, 0.815, 0.47, "=")
    return figure


# -- page 4 ---------------------------------------------------------------------------------------


def rotated() -> Figure:
    """The gradient of the middle pixel: four windows, and the rotated kernel."""
    figure, axes = plt.subplots(2, 4, figsize=(9.4, 5.1))
    figure.subplots_adjust(hspace=0.5)
    for ax, (i, j) in zip(axes[0], np.ndindex(2, 2)):
        weights = np.full((3, 3), np.nan)
        weights[i : i + 2, j : j + 2] = KERNEL
        colors = {(1, 1): YELLOW}
        for place, value in np.ndenumerate(weights):
            ax.add_patch(Rectangle(place[::-1], 1, 1, facecolor=colors.get(place, "white"),
                                   edgecolor="#888888", lw=0.8))  # fmt: skip
            if value == value:
                ax.text(place[1] + 0.5, place[0] + 0.5, f"{value:g}", ha="center", va="center",
                        fontsize=13)  # fmt: skip
        ax.add_patch(Rectangle((j, i), 2, 2, fill=False, edgecolor=ORANGE, lw=3.5))
        ax.set(xlim=(-0.1, 3.1), ylim=(3.1, -0.1), aspect="equal")
        ax.axis("off")
        weight, dy = KERNEL[1 - i, 1 - j], DY[i, j]
        ax.set_title(f"window ({i}, {j})\nsends {weight:g} · {dy:g}", fontsize=11)
    table(axes[1, 0], DY, "dy")
    table(axes[1, 1], KERNEL[::-1, ::-1], "W rotated", colors=dict.fromkeys(np.ndindex(2, 2), SKY))
    table(axes[1, 2], DY * KERNEL[::-1, ::-1], "products")
    dx = np.zeros((3, 3))
    for i, j in np.ndindex(2, 2):
        dx[i : i + 2, j : j + 2] += DY[i, j] * KERNEL
    table(axes[1, 3], dx, "dx", colors={(1, 1): YELLOW}, frame=(1, 1, 1, 1), size=11)
    return figure


# -- page 5 ---------------------------------------------------------------------------------------


def pooling() -> Figure:
    """Winners on the way up, and on the way down."""
    figure, axes = plt.subplots(
        1, 4, figsize=(9.4, 2.9), gridspec_kw={"width_ratios": [4, 2, 2, 4]}
    )
    x = np.array([[1.0, 7, 2, 0], [3, 5, 8, 4], [6, 2, 1, 9], [0, 3, 5, 2]])
    layer = MaxPooling2D(2)
    y = layer.forward(x[None, :, :, None])[0, :, :, 0]
    dy = np.array([[10.0, 20], [30, 40]])
    dx = layer.backward(dy[None, :, :, None])[0, :, :, 0]
    won = {place: SKY for place, value in np.ndenumerate(dx) if value}
    table(axes[0], x, "x", colors=won)
    table(axes[1], y, "y", colors=dict.fromkeys(np.ndindex(2, 2), SKY))
    table(axes[2], dy, "dy", colors=dict.fromkeys(np.ndindex(2, 2), YELLOW))
    table(axes[3], dx, "dx", colors=dict.fromkeys(won, YELLOW))
    for ax in (axes[0], axes[3]):
        ax.plot([2, 2], [0, 4], color=ORANGE, lw=3)
        ax.plot([0, 4], [2, 2], color=ORANGE, lw=3)
    return figure


# -- page 6 ---------------------------------------------------------------------------------------


def softmax() -> Figure:
    """Logits, probabilities, and the gradient for one label."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.9), layout="constrained")
    z = np.log(np.array([[1.0, 2, 5]]))
    p = Softmax().forward(z)[0]
    dz = p - np.array([0, 1, 0])
    titles = ("logits z", "p = softmax(z)", "dz = p - t, for the label 1")
    for ax, values, title in zip(axes, (z[0], p, dz), titles):
        colors = [BLUE if value >= 0 else ORANGE for value in values]
        bars = ax.bar(["0", "1", "2"], values, color=colors)
        ax.bar_label(bars, [f"{value:.3g}" for value in values], fontsize=10, padding=2)
        ax.axhline(0, color="black", lw=0.8)
        ax.margins(y=0.2)
        ax.set(title=title, xlabel="class")
    return figure


# -- page 7 ---------------------------------------------------------------------------------------


def descent() -> Figure:
    """The ways of three optimizers down the same narrow valley."""
    figure, axes = plt.subplots(1, 3, figsize=(9.8, 3.1), sharey=True, layout="constrained")
    a, b = np.meshgrid(np.linspace(-2.6, 1.2, 120), np.linspace(-1.2, 1.2, 120))
    for ax, (name, optimizer) in zip(
        axes,
        {
            "SGD(0.09)": SGD(0.09),
            "SGD(0.02, momentum=0.8)": SGD(0.02, momentum=0.8),
            "Adam(0.2)": Adam(0.2),
        }.items(),
    ):
        w, way = np.array([-2.3, 0.9]), []
        for _ in range(30):
            way.append(w.copy())
            optimizer.update(w, np.array([1.0, 20.0]) * w)
        way = np.array(way)
        ax.contour(a, b, a**2 / 2 + 10 * b**2, levels=[0.05, 0.3, 1, 2.5, 5, 9], cmap="cividis",
                   linewidths=1)  # fmt: skip
        ax.plot(*way.T, "o-", color=ORANGE, ms=3.5, lw=1.2)
        ax.plot([0], [0], "*", color=BLUE, ms=13)
        ax.set(title=name, xlabel="w[0]")
    axes[0].set_ylabel("w[1]")
    return figure


# -- page 8 ---------------------------------------------------------------------------------------


def multiplications() -> Figure:
    """Multiplications for one output of a 3x3 window."""
    figure, ax = plt.subplots(figsize=(7.2, 2.3))
    names = ["window by window", "Winograd, tiles of 2x2", "Winograd, tiles of 4x4"]
    counts = [9, 16 / 4, 36 / 16]
    bars = ax.barh(names, counts, color=[BLUE, SKY, ORANGE], edgecolor="black", lw=0.8)
    ax.bar_label(bars, [f"{count:g}" for count in counts], padding=4)
    ax.invert_yaxis()
    ax.set(xlim=(0, 10), title="Multiplications for one output, per channel")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


PICTURES = (
    *(gradient, relu, convolution, im2col, rotated, pooling, softmax, descent, multiplications),
)


def main(names: list[str]) -> None:
    mpl.use("agg")
    FOLDER.mkdir(exist_ok=True)
    for picture in PICTURES:
        if not names or picture.__name__ in names:
            with plt.rc_context({"font.size": 10, "axes.titlesize": 11}):
                figure = picture()
                figure.savefig(FOLDER / f"{picture.__name__}.png", dpi=90, bbox_inches="tight")
                plt.close(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
