"""Augmentation: each image looks a little different in each step of training.

A network that has seen a shirt from the left and from the right, higher and lower, learns what
makes it a shirt. The layers act in `fit` alone, and let everything pass in `evaluate` and
`predict`; called by themselves, `layer(image)`, they act as well.

What they draw for an image is a hash of seed, step and the image's number in the batch, so that no
thread or order of work can change it (`layers/randomness.py`).
"""

from __future__ import annotations

from minicnn.layers.augmentation.color import RandomBrightness, RandomContrast
from minicnn.layers.augmentation.crop import RandomCrop
from minicnn.layers.augmentation.erasing import RandomErasing
from minicnn.layers.augmentation.geometry import (
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
)

__all__ = [
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
]
