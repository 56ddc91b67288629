"""A picture that moves."""

from __future__ import annotations

import re
import tempfile
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn import checks
from minicnn.plotting.sheet import SCENES, Sheet
from minicnn.saving import atomic

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation

MOST_FRAMES = 400
SIGNS = {  # of the buttons, by their names in Font Awesome
    "minus": "-",
    "fast-backward": "|&lt;",
    "step-backward": "&lt;",
    "play fa-flip-horizontal": "&#9664;",
    "pause": "&#8214;",
    "play": "&#9654;",
    "step-forward": "&gt;",
    "fast-forward": "&gt;|",
    "plus": "+",
}
DOTS = 100  # an inch, of a file


def animate(figure: Any, path: Any = None, *, seconds: float = 0.8) -> FuncAnimation:
    """Set a picture of this module in motion, and write it to a file.

    `draw_convolution` and `draw_pooling` slide their windows, `draw_activation` goes from cell to
    cell, `draw_volume` from filter to filter, `receptive_field` from layer to layer. A notebook
    shows what is returned, with buttons to stop it and to go step by step.

    Parameters
    ----------
    figure : matplotlib Figure
        As one of these functions returned it; its letters and sizes stay.
    path : str or path that ends in .gif or .html, optional
        The file to write: a GIF made by Pillow, or a page with the same buttons that needs no
        other file. One that is there is replaced; its folder has to be there.
    seconds : float
        That a frame is shown, 0.02 to 60.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        Keep a reference while it plays on a screen; ``animation.to_jshtml()`` is the page's text.

    Raises
    ------
    ValueError
        A figure that nothing moves in, or of more than 400 frames; a path that does not fit;
        `seconds` out of range.
    TypeError
        `figure` no figure, `path` no path, `seconds` no number.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from minicnn.plotting import draw_pooling
    >>> figure = draw_pooling(np.arange(16).reshape(4, 4))
    >>> page = animate(figure).to_jshtml()
    >>> plt.close(figure)
    """
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

    who = "animate"
    if not isinstance(figure, Figure):
        raise TypeError(
            f"{who}: expected figure to be what draw_convolution or its kin returned, received "
            f"{checks.shown(figure)}"
        )
    seconds = checks.real(seconds, "seconds", who, low=0.02, high=60)
    target = None
    if path is not None:
        more = " For a still: figure.savefig(path)"
        target = checks.new_file(path, who, (".gif", ".html"), "'conv.gif'", more)
    scene = SCENES.get(figure)
    if scene is None:
        raise ValueError(
            f"{who}: expected a figure of draw_convolution, draw_pooling, draw_activation, "
            "draw_volume or receptive_field, received another, in which nothing moves"
        )
    if scene.frames > MOST_FRAMES:
        raise ValueError(
            f"{who}: expected a figure of at most {MOST_FRAMES} frames, received one of "
            f"{scene.frames:,}. Draw a part of the image, or use larger strides"
        )

    class Animation(FuncAnimation):
        def to_jshtml(self, *args: Any, **kwargs: Any) -> str:
            return _without_requests(super().to_jshtml(*args, **kwargs))

        def _repr_html_(self) -> str:  # matplotlib's own does nothing unless its settings ask
            return self.to_jshtml()

    sheet = Sheet(figure, scene)
    for axis in figure.axes[:-1]:  # the still, or another animation's sheet
        axis.remove()

    def show(k: int) -> list[Any]:
        sheet.show(k, growing=True)
        return []

    moving = Animation(figure, show, frames=scene.frames, interval=1000 * seconds, blit=False)
    if target is not None:
        _write(moving, target, seconds)
    return moving


def _write(moving: FuncAnimation, target: Path, seconds: float) -> None:
    from matplotlib.animation import PillowWriter

    if target.suffix.lower() == ".gif":
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "picture.gif"  # a killed process leaves no half picture
            # the writer cuts milliseconds off: 1000 / (1 / 0.03) is a little less than 30
            writer = PillowWriter(fps=1 / (seconds + 1e-6))  # type: ignore[arg-type]
            moving.save(part, writer, dpi=DOTS)
            atomic.write(target, part.read_bytes())
    else:
        title = f"<!DOCTYPE html>\n<meta charset='utf-8'>\n<title>{escape(target.stem)}</title>\n"
        atomic.write(target, (title + moving.to_jshtml()).encode())


def _without_requests(page: str) -> str:
    """matplotlib's page, whose buttons fetch their signs from a server, with letters for signs."""
    page = re.sub(r"<link[^>]*font-awesome[^>]*>", "", page)
    return re.sub(r'<i class="fa fa-([^"]*)"></i>', lambda found: SIGNS.get(found[1], "?"), page)
