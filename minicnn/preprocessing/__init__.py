"""Keras's older ways to prepare pictures."""

from minicnn.preprocessing import image
from minicnn.utils import image_dataset_from_directory

__all__ = ["image", "image_dataset_from_directory"]
