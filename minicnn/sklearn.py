"""A model as a scikit-learn classifier: for pipelines, cross-validation and searches.

    from minicnn.sklearn import SequentialClassifier

    def network(units=64):
        return [Conv2D(8, 3, activation="relu"), MaxPooling2D(), Flatten(), Dense(units, "relu")]

    images = SequentialClassifier(network, image_shape=(28, 28, 1), epochs=5, random_state=0)
    GridSearchCV(images, {"model__units": [32, 64], "optimizer": ["adam", "rmsprop"]}).fit(X, y)

Needs scikit-learn: pip install 'minicnn[sklearn]'.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.layers import Dense, Flatten, Input, InputLayer, Layer
from minicnn.models import Sequential

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state, column_or_1d
    from sklearn.utils.class_weight import compute_class_weight
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_array, check_is_fitted
except ImportError as error:
    raise ImportError(
        "minicnn.sklearn needs scikit-learn 1.3 or newer: pip install 'minicnn[sklearn]'"
    ) from error

Array = NDArray[Any]
WHO = "SequentialClassifier"
PREFIX = "model__"  # of parameters that are arguments of the function `model`


class SequentialClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that builds, compiles and fits a `Sequential` for each `fit`.

    Parameters
    ----------
    model : function, list of layers or Sequential, optional
        What stands between the input and the last layer; Flatten, where it is missing, and
        Dense(number of classes, "softmax") are added. A function is called anew in every `fit`; one
        with an argument `n_classes` gets their number and returns the whole model, the softmax at
        its end. Layers and models are copied, their weights drawn anew. Dense(64, "relu") if not
        given.
    image_shape : (H, W, C), optional
        Each row of X becomes an image of this shape. Without it X has two axes.
    optimizer : str or Optimizer
        Copied for every `fit`.
    epochs : int
    batch_size : int
    validation_split : float
        As for `Sequential.fit`.
    class_weight : dict of label to factor, "balanced" or None
    callbacks : list of Callback, optional
        Copied for every `fit`.
    model_kwargs : dict, optional
        Arguments of the function `model`. In `set_params` and in searches `model__units` stands for
        its key "units".
    random_state : int, RandomState or None
        Of first weights, order of samples, dropout and augmentation: an int makes every `fit` the
        same.
    dtype : "float32", "float64" or None
        Of layers that have none. None: that of the others, else that of X for rows, as in
        scikit-learn's networks, and float32 for images.
    warm_start : bool
        `fit` goes on with the weights and the optimizer of the last one.
    verbose : 0, 1, 2 or "auto"

    Attributes
    ----------
    classes_ : ndarray of the labels, sorted
    model_ : Sequential
        The fitted model.
    history_ : dict
        Figures of the epochs, as `History.history`.
    n_features_in_ : int

    Raises
    ------
    ValueError, TypeError
        By `fit`, for data and arguments that do not fit, as scikit-learn's estimators do.
    sklearn.exceptions.NotFittedError
        By `predict` before `fit`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = SequentialClassifier(epochs=60, random_state=0).fit(X, y)
    >>> classifier.score(X, y) > 0.9
    True
    """

    classes_: Array
    model_: Sequential
    history_: dict[str, list[float]]
    n_features_in_: int

    def __init__(
        self,
        model: Callable[..., Any] | Sequence[Layer] | Sequential | None = None,
        *,
        image_shape: tuple[int, int, int] | None = None,
        optimizer: Any = "adam",
        epochs: int = 50,
        batch_size: int = 32,
        validation_split: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        callbacks: list[Any] | None = None,
        model_kwargs: dict[str, Any] | None = None,
        random_state: Any = None,
        dtype: Any = None,
        warm_start: bool = False,
        verbose: int | str = 0,
    ) -> None:
        self.model = model  # kept as they are, and checked by fit: scikit-learn's rule
        self.image_shape = image_shape
        self.optimizer = optimizer
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_split = validation_split
        self.class_weight = class_weight
        self.callbacks = callbacks
        self.model_kwargs = model_kwargs
        self.random_state = random_state
        self.dtype = dtype
        self.warm_start = warm_start
        self.verbose = verbose

    def set_params(self, **params: Any) -> SequentialClassifier:
        """Set parameters; `model__x` is the argument x of the function `model`."""
        own = {name: value for name, value in params.items() if not name.startswith(PREFIX)}
        of_model = {
            name.removeprefix(PREFIX): value for name, value in params.items() if name not in own
        }
        super().set_params(**own)
        if of_model:
            self.model_kwargs = {**(self.model_kwargs or {}), **of_model}
        return self

    def fit(self, X: Any, y: Any, **kwargs: Any) -> SequentialClassifier:
        """Fit a model to X (N, features), with `image_shape` also (N, ...), and labels y (N,).

        `kwargs` go to `Sequential.fit`: sample_weight, validation_data, shuffle ...
        """
        if y is None:
            raise ValueError(
                f"{WHO} requires y to be passed, but the target y is None: expected labels"
            )
        x = self._checked(X, reset=True)
        labels = column_or_1d(y, warn=True)
        if len(labels) != len(x):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: {len(x)} in X, "
                f"{len(labels)} in y"
            )
        check_classification_targets(labels)
        classes, targets = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"{WHO}.fit: expected labels of at least 2 classes, received one class: {classes}"
            )
        goes_on = self.warm_start and hasattr(self, "model_")
        if goes_on and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"{WHO}.fit: expected the classes of the last fit, {self.classes_}, to go on with "
                f"warm_start=True, received {classes}"
            )
        network = self.model_ if goes_on else self._made(x, len(classes))
        history = network.fit(
            x,
            targets,
            batch_size=self.batch_size,
            epochs=self.epochs,
            verbose=self.verbose,
            callbacks=copy.deepcopy(self.callbacks),
            validation_split=self.validation_split,
            class_weight=self._factors(classes, labels),
            **kwargs,
        )
        self.classes_, self.model_, self.history_ = classes, network, history.history
        return self

    def predict_proba(self, X: Any) -> Array:
        """Probabilities (N, classes), in the order of `classes_`."""
        check_is_fitted(self)
        scores = self.model_.predict(self._checked(X, reset=False), verbose=0).astype(np.float64)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))

    def predict(self, X: Any) -> Array:
        """The most probable label of each sample."""
        places = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[places])

    # -- parts of fit -----------------------------------------------------------------------------

    def _checked(self, X: Any, *, reset: bool) -> Array:
        """X in the form that the model takes; scikit-learn's checks and messages."""
        if reset is False:
            check_is_fitted(self)
        several = self.image_shape is not None
        kinds = (np.float64, np.float32, np.uint8)
        x = check_array(X, dtype=kinds, allow_nd=several, estimator=self, input_name="X")
        self._check_feature_names(X, reset=reset) if hasattr(self, "_check_feature_names") else None
        features = math.prod(x.shape[1:])
        if reset:
            self.n_features_in_ = features
        elif features != self.n_features_in_:
            raise ValueError(
                f"X has {features} features, but {WHO} is expecting {self.n_features_in_} features "
                "as input"
            )
        if self.image_shape is None:
            return np.asarray(x)
        shape = checks.shape(self.image_shape, "image_shape", WHO)
        if math.prod(shape) != features:
            raise ValueError(
                f"{WHO}: expected X of {math.prod(shape)} features, for images of image_shape="
                f"{shape}, received {features} features"
            )
        return np.asarray(x).reshape(len(x), *shape)

    def _made(self, x: Array, classes: int) -> Sequential:
        """A new model for samples such as those of x, compiled."""
        whole, given = False, self.model
        if callable(given) and not isinstance(given, (Layer, Sequential)):
            kwargs = dict(self.model_kwargs or {})
            whole = "n_classes" in inspect.signature(given).parameters
            given = given(**kwargs, **({"n_classes": classes} if whole else {}))
        elif self.model_kwargs:
            raise ValueError(
                f"{WHO}: expected model to be a function beside model_kwargs, received "
                f"{checks.shown(given)}"
            )
        if given is None:
            given = [Dense(64, activation="relu")]
        dtype = self.dtype or next(_dtypes(given), None)
        if dtype is None and self.image_shape is None:
            dtype = x.dtype
        network = Sequential()
        network.rng = np.random.default_rng(
            check_random_state(self.random_state).randint(2**31 - 1)
        )
        layers = _unbuilt(given, dtype)
        if not layers or not isinstance(layers[0], InputLayer):
            layers.insert(0, Input(x.shape[1:], dtype=dtype))
        for layer in layers:
            network.add(layer)
        if not whole:
            if len(network.output_shape) > 2:
                network.add(Flatten(dtype=dtype))
            network.add(Dense(classes, activation="softmax", dtype=dtype))
        if network.output_shape != (None, classes):
            raise ValueError(
                f"{WHO}: expected model to give {classes} outputs, one for each class, received "
                f"the output shape {network.output_shape}"
            )
        network.compile(
            copy.deepcopy(self.optimizer), "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        return network

    def _factors(self, classes: Array, labels: Array) -> dict[int, float] | None:
        """`class_weight` by the numbers of the classes."""
        if self.class_weight is None:
            return None
        weights = compute_class_weight(self.class_weight, classes=classes, y=labels)
        return {number: float(weight) for number, weight in enumerate(weights)}


def _parts(given: Any) -> Sequence[Any]:
    layers = given.layers if isinstance(given, Sequential) else given
    if not isinstance(layers, (list, tuple)):
        raise TypeError(
            f"{WHO}: expected model to be a function, a list of layers or a Sequential, received "
            f"{checks.shown(given)}"
        )
    return layers


def _dtypes(given: Any) -> Iterator[Any]:
    """Those that layers have, inner ones too."""
    for part in _parts(given):
        if isinstance(part, Sequential):
            yield from _dtypes(part)
        elif part.dtype is not None:
            yield part.dtype


def _unbuilt(given: Any, dtype: Any) -> list[Any]:
    """Copies of the layers, without weights; those without a dtype get this one."""
    copies: list[Any] = []
    for part in _parts(given):
        if isinstance(part, Sequential):
            copies.append(Sequential(_unbuilt(part, dtype), name=part.name))
        else:
            own = {"dtype": dtype} if part.dtype is None and dtype is not None else {}
            copies.append(type(part).from_config({**part.get_config(), **own}))
    return copies
