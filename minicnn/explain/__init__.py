"""One image's way through a model, forward and back, as a page to click through.

    minicnn.explain(model, x, y)      # writes explain.html

    python -m minicnn.explain         # the tutorial's model; --help lists the options

`minicnn.explain` is this package and can be called: Python puts a package in the place of a
function of its name as soon as anything imports the package, so the package is made to do what the
function does. `minicnn.explain.explain` is the function itself.

    api.py         explain: what it accepts, and the file
    collect.py     one pass through the layers: what goes in and out of each, in both directions
    attention.py   saliency and Grad-CAM
    stages.py      which view a layer gets, and what that view has to know
    lessons.py     formulas of the docstrings, and where they stand
    choose.py      which units are kept where the page would become too large
    page.py        numbers, texts and the files of web/ put into one HTML file
    web/           template, style, and a script for each view
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from minicnn.explain.api import explain

__all__ = ["explain"]


class _CallablePackage(ModuleType):
    def __call__(
        self,
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
        """As `minicnn.explain.explain`, which says what each argument is."""
        return explain(
            model,
            x,
            y,
            path,
            image=image,
            training=training,
            class_names=class_names,
            megabytes=megabytes,
        )


sys.modules[__name__].__class__ = _CallablePackage
