"""A trained model, what a refused call has to leave unchanged, and the check of both."""

from contextlib import contextmanager

import numpy as np
import pytest

from minicnn import Sequential
from minicnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, Layer, MaxPooling2D
from minicnn.utils import set_random_seed

rng = np.random.default_rng(70)
X = rng.random((20, 8, 8))
Y = rng.integers(0, 3, 20)
ONE_HOT = np.eye(3)[Y]
SPARSE = "sparse_categorical_crossentropy"


def trained(loss=SPARSE, **options):
    """A model after some training: every part that an error could change has moved."""
    set_random_seed(4)
    model = Sequential(
        [
            Conv2D(4, 3, activation="relu", input_shape=(8, 8, 1)),
            BatchNormalization(),
            MaxPooling2D(2),
            Dropout(0.2),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", loss, **{"metrics": ["accuracy"], **options})
    model.fit(X, Y if loss == SPARSE else ONE_HOT, batch_size=7, verbose=0)
    return model


def life_of(model):
    """All that a refused call has to leave unchanged."""
    arrays = {f"{layer.name}/{k}": a for layer in model.leaves for k, a in layer.arrays().items()}
    arrays |= {f"optimizer/{slot}": vector for slot, vector in model.optimizer.state.items()}
    arrays |= {"params": model.flat_params, "gradients": model.flat_grads}
    return {
        **{name: (id(array), array.tobytes()) for name, array in arrays.items()},
        "layers": [(layer.name, layer.built, layer.trainable) for layer in model.layers],
        "shapes": (model.built, model._input_shape, model._output_shapes),
        "compiled": (model.compiled, model.loss, model.optimizer, list(model.given_metrics)),
        "optimizer": (model.optimizer.iterations, model.optimizer.learning_rate),
        "history": (model.history, model.history and str(model.history.history)),
        "random": str(model.rng.bit_generator.state),
        "stop_training": model.stop_training,
    }


@contextmanager
def refused(error, *words, model=None):
    """Wants an error of that class with all of these words, and `model` to stay as it is."""
    before = None if model is None else life_of(model)
    with pytest.raises(error) as caught:
        yield caught
    assert caught.type in (TypeError, ValueError), (
        "a subclass would have to be caught by its own name"
    )
    for word in words:
        assert word in str(caught.value)
    if model is not None:
        after = life_of(model)
        assert after.keys() == before.keys()
        for what, value in before.items():
            assert after[what] == value, f"the refused call has changed the model's {what}"


def with_one(array, place, value):
    array = np.array(array, np.float64)
    array[place] = value
    return array


class NoAnswer:
    """Refuses to be compared, to be true or false, to be written out and to be an array."""

    __hash__ = None

    def fail(self, *args):
        raise RuntimeError("no")

    __eq__ = __bool__ = __repr__ = __array__ = __len__ = __iter__ = fail


ROWS, LABELS = rng.standard_normal((64, 4)), rng.integers(0, 3, 64)


def life_after(model):
    """As `life_of`, without what belongs to one object alone or to the failed step's gradient."""
    life = life_of(model)
    for key in ("gradients", "history", "compiled", "layers", "random"):
        del life[key]
    return {k: v[1] if isinstance(v, tuple) and len(v) == 2 else v for k, v in life.items()}


class Own(Layer):
    """Does right, unless told to do one thing wrong."""

    def __init__(self, y=lambda y: y, dx=lambda dx: dx, units=None, **kwargs):
        super().__init__(**kwargs)
        self.y, self.dx, self.units = y, dx, units

    def output_shape(self, input_shape):
        return (*input_shape[:-1], self.units or input_shape[-1])

    def forward(self, x, training=False):
        x = self._input(x)
        self._cache = ()
        return self.y(x)

    def backward(self, dy):
        dy, _ = self._recall(dy)
        return self.dx(dy)
