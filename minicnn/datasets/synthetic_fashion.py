"""Ten classes of clothes drawn from geometry and randomness: Fashion-MNIST's understudy.

For tests and for machines with neither data nor network: the same shapes, dtypes and classes as
Fashion-MNIST, any number of images, nothing to download. How an image is made:

1. Every pixel gets garment coordinates: `u` to the right and `v` downwards, about -1 to 1 over the
   picture, moved, scaled, turned, sheared and bent a little, differently for every image.
2. A shape is a signed distance over (u, v): negative inside, positive outside. `strip`, `ellipse`,
   `box` and comparisons with a broken line (`profile`) give the distances; the greater of two is
   that to their `overlap`. Symmetric garments use |u|, so one sleeve or leg draws both.
3. A `Sketch` lays the shapes on top of each other: `paint` covers, `seam` darkens along an outline.
   `fabric` gives the cloth its brightness, stripes, checks, prints, gradients and wrinkles.
4. Sensor noise, and rounding to uint8.

`garments.py` has one function per class, which says what the garment is made of, and `sketch.py`
the drawing. All of it works on a block of images at once: a per-image number is a column of shape
(n, 1), a picture a row of 784 pixels.

>>> (x_train, y_train), (x_test, y_test) = load_data(n_train=50, n_test=20, seed=1)
>>> x_train.shape, x_train.dtype, y_test.shape
((50, 28, 28), dtype('uint8'), (20,))
>>> np.bincount(y_train).tolist()
[5, 5, 5, 5, 5, 5, 5, 5, 5, 5]
"""

from __future__ import annotations

import numpy as np

from minicnn import checks
from minicnn.datasets.fashion_mnist import CLASS_NAMES
from minicnn.datasets.garments import GARMENTS
from minicnn.datasets.sketch import SIDE, Images, Sketch

__all__ = ["CLASS_NAMES", "load_data"]

BLOCK = 128  # images drawn at once: small enough that the arrays of a block stay in the cache


def load_data(
    n_train: int = 60000, n_test: int = 10000, seed: int = 0
) -> tuple[tuple[Images, Images], tuple[Images, Images]]:
    """`(x_train, y_train), (x_test, y_test)`, as Keras's `fashion_mnist.load_data` returns them.

    Images are uint8 (n, 28, 28), labels uint8 (n,), the ten classes equally often (counts differ
    by at most one) in shuffled order. The same arguments give the same arrays, bit for bit (another
    release of NumPy may draw others); the training set depends on `n_train` and `seed` alone, the
    test set on `n_test` and `seed` alone. NumPy's global random state is neither read nor changed.
    """
    who = "synthetic_fashion.load_data"
    n_train = checks.size(n_train, "n_train", who)
    n_test = checks.size(n_test, "n_test", who)
    seed = checks.integer(seed, "seed", who, minimum=0)
    train, test = np.random.SeedSequence(seed).spawn(2)
    return _draw(n_train, train), _draw(n_test, test)


def _draw(n: int, seed: np.random.SeedSequence) -> tuple[Images, Images]:
    """`n` images and their labels."""
    rng = np.random.default_rng(seed)
    first = rng.permutation(len(GARMENTS))  # which classes get one more, where n % 10 != 0
    y = first[np.arange(n) % len(GARMENTS)].astype(np.uint8)
    rng.shuffle(y)
    x = np.empty((n, SIDE, SIDE), dtype=np.uint8)
    for label, garment in enumerate(GARMENTS):
        where = np.flatnonzero(y == label)
        for start in range(0, len(where), BLOCK):
            block = where[start : start + BLOCK]
            sketch = Sketch(rng, len(block))
            garment(sketch)
            x[block] = sketch.develop()
    return x, y
