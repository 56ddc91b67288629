"""Which parts of the image the chosen class depends on: saliency and Grad-CAM.

saliency   |ds/dx|, the largest over the channels: how much the score s moves with each pixel
Grad-CAM   max(sum over c of alpha_c A_c, 0),   alpha_c = mean over i, j of ds/dA[i,j,c],
           with A the output of the last convolution

s is the score before a softmax or sigmoid, if the model ends in one: behind it, a class that is
nearly certain has a slope of nearly 0.

Source: Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks", 2013; Selvaraju et
al., "Grad-CAM: visual explanations from deep networks via gradient-based localization", 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass
class Attention:
    """Both maps of the class `chosen`; `why_not` where there is none.

    Attributes
    ----------
    saliency : ndarray of shape (H, W) or None
    cam : ndarray of shape (H_out, W_out) or None
        Of the layer `cam_layer`.
    of_score : bool
        Whether s is the score before an activation.
    """

    chosen: int | None = None
    of_score: bool = False
    saliency: Array | None = None
    cam: Array | None = None
    cam_layer: str = ""
    why_not: str = ""


def class_of(output: Array) -> int:
    """The class with the largest output; 0 where there is one output."""
    return int(np.argmax(output))


def saliency(dx: Array) -> Array:
    """(H, W) of ds/dx (H, W, C)."""
    largest: Array = np.abs(dx).max(axis=-1)
    return largest


def grad_cam(A: Array, dA: Array) -> Array:
    """(H_out, W_out) of the convolution's output A and ds/dA, both (H_out, W_out, C)."""
    alpha = dA.mean(axis=(0, 1))
    cam: Array = np.maximum((A * alpha).sum(axis=-1), 0)
    return cam
