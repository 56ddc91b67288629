"""What Keras 2 had as `keras.utils.np_utils`."""

from minicnn.utils import normalize, to_categorical

__all__ = ["normalize", "to_categorical"]
