"""The numbers of a pass, its texts and the scripts of web/ in one HTML file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import string
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.explain.choose import chosen, is_by_channels, share_that_fits
from minicnn.explain.collect import Walk
from minicnn.explain.lessons import lesson, source
from minicnn.explain.stages import Stage, stages_of

Array = NDArray[Any]

SCRIPTS = (
    "data.js",
    "dom.js",
    "grid.js",
    "panel.js",
    "convolution.js",
    "dense.js",
    "pooling.js",
    "cells.js",
    "normalization.js",
    "softmax.js",
    "generic.js",
    "overview.js",
    "page.js",
)


class Arrays:
    """Arrays as base64 of their float32 bytes, equal ones once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._known: dict[bytes, int] = {}

    def add(self, array: Array, keep: list[int] | None = None) -> dict[str, Any]:
        """What the page finds the array by; `keep` are the channels that it has, if not all."""
        array = np.atleast_1d(array)  # a sample may be a single number
        with np.errstate(all="ignore"):  # a float64 beyond float32 becomes inf
            raw = np.ascontiguousarray(array, "<f4").tobytes()
        digest = hashlib.sha256(raw).digest()
        if digest not in self._known:
            self._known[digest] = len(self.texts)
            self.texts.append(base64.b64encode(raw).decode())
        entry: dict[str, Any] = {"data": self._known[digest], "shape": list(array.shape)}
        return entry if keep is None else {**entry, "keep": keep}


def page(model: Any, walk: Walk, loss: Any, class_names: list[str] | None, limit: float) -> str:
    """The HTML, of about `limit` bytes at most."""
    web = files("minicnn.explain") / "web"
    style = (web / "style.css").read_text(encoding="utf-8")
    scripts = [(web / name).read_text(encoding="utf-8") for name in SCRIPTS]
    stages = stages_of(walk)
    texts = sum(map(len, scripts)) + len(style) + 4000 * len(stages)
    share = share_that_fits(stages, limit - texts)
    arrays = Arrays()
    content = {
        "model": _facts(model, walk, loss, class_names, share),
        "attention": _attention(walk, arrays),
        "stages": _described(stages, share, arrays),
        "arrays": arrays.texts,
    }
    # "<" could end the script that holds it: a layer may have any name
    data = json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    template = string.Template((web / "template.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=html.escape(f"{model.name}, explained"),
        style=style,
        data=data,
        scripts="\n".join(f"<script>\n{script}</script>" for script in scripts),
    )


def _facts(
    model: Any, walk: Walk, loss: Any, class_names: list[str] | None, share: float
) -> dict[str, Any]:
    return {
        "name": model.name,
        "parameters": int(model.count_params()),
        "training": walk.training,
        "N": walk.N,
        "run": walk.run,
        "image": walk.image,
        "step": int(walk.step),
        "share": share,
        "backward": walk.loss is not None,
        "loss": walk.loss if walk.loss is not None and np.isfinite(walk.loss) else None,
        "loss_name": None if loss is None else loss.name,
        "label": _label(walk.target, loss),
        "class_names": class_names,
        "float64": model.dtype == np.float64,
    }


def _label(target: Any, loss: Any) -> int | None:
    """The right class, where the targets are classes."""
    if target is None or not loss.joint or np.ndim(target) > 1:
        return None
    return int(target) if np.ndim(target) == 0 else int(np.argmax(target))


def _attention(walk: Walk, arrays: Arrays) -> dict[str, Any]:
    found = walk.attention
    maps = {
        name: None if values is None or not np.isfinite(values).all() else arrays.add(values)
        for name, values in (("saliency", found.saliency), ("cam", found.cam))
    }
    return {
        **maps,
        "class": found.chosen,
        "of_score": found.of_score,
        "cam_layer": found.cam_layer,
        "why_not": found.why_not,
    }


def _described(stages: list[Stage], share: float, arrays: Arrays) -> list[dict[str, Any]]:
    return [
        _stage(stage, ours, theirs, arrays)
        for stage, (ours, theirs) in zip(stages, chosen(stages, share))
    ]


def _stage(stage: Stage, ours: list[int], theirs: list[int], arrays: Arrays) -> dict[str, Any]:
    """`ours` are the channels of x that are kept, `theirs` those of y."""

    def of(array: Array | None, channels: list[int]) -> dict[str, Any] | None:
        if array is None:
            return None
        every = len(channels) == array.shape[-1]
        return arrays.add(array if every else array[..., channels], None if every else channels)

    x_letter, y_letter = stage.letters
    C_in, C_out = stage.x.shape[-1], stage.y.shape[-1]
    others = {}
    for name, array in stage.arrays.items():
        if is_by_channels(stage, name):
            entry = of(_rows_of_group(stage, array, ours, theirs), theirs)
            groups = stage.settings.get("groups", 1)
            if len(ours) < C_in and groups == 1 and entry is not None:
                entry["keep_in"] = ours
            others[name] = entry
        elif array.shape[-1:] == (C_out,) and stage.view != "generic":
            others[name] = of(array, theirs)
        else:
            others[name] = arrays.add(array)
    return {
        "name": stage.name,
        "class": type(stage.layer).__name__,
        "view": stage.view,
        "letters": [x_letter, y_letter],
        "shapes": [list(stage.x.shape), list(stage.y.shape)],
        "x": of(stage.x, ours),
        "y": of(stage.y, theirs),
        "dx": of(stage.dx, ours),
        "dy": of(stage.dy, theirs),
        "others": others,
        "settings": stage.settings,
        "notes": stage.notes,
        "lesson": lesson(type(stage.layer)),
        "source": source(type(stage.layer)),
    }


def _rows_of_group(stage: Stage, W: Array, ours: list[int], theirs: list[int]) -> Array:
    """The kernel without the rows of input channels that are not kept.

    With groups its rows are places in a group, and all of them stay.
    """
    if stage.settings.get("groups", 1) > 1 or len(ours) == W.shape[-2]:
        return W
    return W[..., ours, :]
