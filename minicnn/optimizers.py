"""How the gradient moves the parameters. All parameters of a model are one flat vector w.

Letters: w parameters, g gradient, t steps so far (1 at the first), lr learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.copies import Copied
from minicnn.settings import Configured, Setting, restored
from minicnn.subclasses import refuse_vain_methods

Array = NDArray[Any]

ALL = (slice(None),)

_share = partial(checks.real, low=0, high=1, open_high=True)
_positive = partial(checks.real, low=0, open_low=True)

# what a subclass may define, and the names of methods that `fit` does not call
CALLED = ("step", "begin", "check")
ELSEWHERE = dict.fromkeys(("update", "update_step", "apply", "apply_gradients"), ("step",))


def _slots(state: Any, name: str, who: str) -> dict[str, Array]:
    good = isinstance(state, dict) and all(
        isinstance(slot, str)
        and isinstance(vector, np.ndarray)
        and not isinstance(vector, np.ma.MaskedArray)
        and vector.ndim == 1
        and vector.dtype.kind == "f"
        for slot, vector in state.items()
    )
    if not good:
        raise TypeError(
            f"{who}: expected {name} to be a dict of vectors by the names of the slots, received "
            f"{checks.shown(state)}"
        )
    return cast("dict[str, Array]", state)


class Optimizer(Copied, Configured):
    """Base class. An optimizer of your own names its `slots` and defines `step`.

    Attributes
    ----------
    learning_rate : float
        May be set between steps.
    iterations : int
        Steps taken.
    state : dict of str to ndarray
        One vector as long as w for each name in `slots`; empty before the first step.
    name : str
        The class's in lower case, unless another is given.
    """

    slots: tuple[str, ...] = ()
    learning_rate = Setting(partial(checks.real, low=0))
    name = Setting(checks.text)
    iterations = Setting(partial(checks.integer, minimum=0, maximum=2**62))
    state = Setting(_slots)
    ignored = {
        "clipnorm": (None,),
        "clipvalue": (None,),
        "ema_momentum": (0.99,),
        "ema_overwrite_frequency": (None,),
        "global_clipnorm": (None,),
        "gradient_accumulation_steps": (None,),
        "loss_scale_factor": (None,),
        "use_ema": (False,),
        "weight_decay": (None,),
    }
    instead = {  # of what Keras's optimizers once took
        "lr": "Write learning_rate",
        "decay": "Lower optimizer.learning_rate in a callback's on_epoch_begin, say",
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_vain_methods(cls, Optimizer, CALLED, ELSEWHERE)

    def __init__(
        self, learning_rate: float = 0.01, *, name: str | None = None, **keras: Any
    ) -> None:
        self._refuse_unknown(keras)
        self.learning_rate = learning_rate
        self.name = type(self).__name__.lower() if name is None else name
        self.iterations = 0
        self.state = {}

    def update(self, w: Array, g: Array, parts: Sequence[slice] = ALL) -> None:
        """One step on the vector `w` in place, along `g`; only its `parts` move, if given.

        Raises TypeError or ValueError if w and g are no float vectors of one length, or if the
        optimizer has served a vector of another length.
        """
        for name, vector in (("w", w), ("g", g)):
            if not isinstance(vector, np.ndarray) or vector.dtype.kind != "f":
                kind = vector.dtype if isinstance(vector, np.ndarray) else type(vector).__name__
                raise TypeError(
                    f"{type(self).__name__}: expected {name} to be an array of float32 or float64, "
                    f"received {kind}. Convert it first: np.asarray({name}, dtype='float32')"
                )
            checks.numeric(vector, name, type(self).__name__)  # no masked numbers
        if g.shape != w.shape:
            raise ValueError(
                f"{type(self).__name__}: expected g of w's shape {w.shape}, received {g.shape}"
            )
        if not isinstance(parts, (list, tuple)) or not all(isinstance(p, slice) for p in parts):
            raise TypeError(
                f"{type(self).__name__}: expected parts to be a list of slices, received "
                f"{checks.shown(parts)}"
            )
        self.begin(w)
        for part in parts:
            self.step(w[part], g[part], *(self.state[slot][part] for slot in self.slots))

    def begin(self, w: Array) -> None:
        """Count a step on the vector `w`; the first one makes the slots.

        Raises ValueError if the optimizer has served a vector of another length.
        """
        self.check(w)
        for slot in self.slots:
            if slot not in self.state:
                self.state[slot] = np.zeros_like(w)
        self.iterations += 1

    def check(self, w: Array) -> None:
        """Raise ValueError if the optimizer has served a vector of another length."""
        _slots(self.state, "state", type(self).__name__)
        for vector in self.state.values():
            if vector.shape != w.shape:
                raise ValueError(
                    f"{type(self).__name__}: expected {vector.size} parameters, as in its steps so "
                    f"far (see its state), received {w.size}. Give each model an optimizer of its "
                    "own"
                )

    def resize(self, size: int) -> None:
        """The vector w has become longer or shorter at its end; slots follow, with zeros."""
        for slot, vector in self.state.items():
            kept = vector[:size]
            self.state[slot] = np.concatenate([kept, np.zeros(size - kept.size, vector.dtype)])

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        """Change `w` and the slots in place for step number `self.iterations`."""
        raise NotImplementedError(f"{type(self).__name__} has to define step(w, g, *slots)")


def _decay(value: Any, name: str, who: str) -> float:
    if value is None:  # Keras's error
        raise ValueError(f"{who}: expected {name} to be a number of at least 0, received None")
    return checks.real(value, name, who, low=0)


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum where asked for.

    Step
        v = momentum * v - lr * g
        w = w + v                           plain
        w = w + momentum * v - lr * g       Nesterov

    Why: momentum sums the gradients of the past with fading weight, so that steps which agree grow
    and opposite ones cancel. Nesterov takes the step that the new v is about to take.

    Source: Polyak, 1964; Nesterov, 1983; this form: Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013.

    Parameters
    ----------
    learning_rate : float >= 0
    momentum : float in [0, 1]
    nesterov : bool

    Examples
    --------
    >>> w = np.array([1.0])
    >>> SGD(learning_rate=0.1).update(w, np.array([2.0]))
    >>> w
    array([0.8])
    """

    momentum = Setting(partial(checks.real, low=0, high=1))
    nesterov = Setting(checks.boolean)

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **keras: Any,
    ) -> None:
        super().__init__(learning_rate, **keras)
        self.momentum = momentum
        self.nesterov = nesterov

    @property
    def slots(self) -> tuple[str, ...]:
        """The sum v, as soon as there is momentum; a subclass may set others."""
        own: tuple[str, ...] | None = vars(self).get("slots")
        if own is None:
            return ("v",) if self.momentum or "v" in self.state else ()
        return own

    @slots.setter
    def slots(self, names: tuple[str, ...]) -> None:
        vars(self)["slots"] = names

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        lr = self.learning_rate
        if not slots:
            w -= lr * g
            return
        (v,) = slots
        v *= self.momentum
        v -= lr * g
        w += self.momentum * v - lr * g if self.nesterov else v


class RMSprop(Optimizer):
    """Steps divided by the recent size of the gradient, each parameter for itself.

    Step
        v = rho * v + (1 - rho) * g^2
        w = w - lr * g / sqrt(v + epsilon)

    Why: a parameter whose gradient is always large takes smaller steps, and the other way round.

    Source: Tieleman and Hinton, "Lecture 6.5: rmsprop", 2012; epsilon inside the root as in Keras.

    Parameters
    ----------
    learning_rate : float >= 0
    rho : float in [0, 1)
    epsilon : float > 0

    Examples
    --------
    >>> w = np.array([1.0])
    >>> RMSprop(learning_rate=0.1, rho=0.75, epsilon=1e-12).update(w, np.array([2.0]))
    >>> w.round(6)      # v = 1, so the step is 0.1 * 2 / 1
    array([0.8])
    """

    slots = ("v",)
    rho = Setting(_share)
    epsilon = Setting(_positive)
    ignored = {"centered": (False,), "momentum": (0.0,)}

    def __init__(
        self,
        learning_rate: float = 0.001,
        rho: float = 0.9,
        *,
        epsilon: float = 1e-7,
        **keras: Any,
    ) -> None:
        super().__init__(learning_rate, **keras)
        self.rho = rho
        self.epsilon = epsilon

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        (v,) = slots
        v *= self.rho
        v += (1 - self.rho) * g * g
        w -= self.learning_rate * g / np.sqrt(v + self.epsilon)


class Adam(Optimizer):
    """Momentum divided by the recent size of the gradient, both corrected for their cold start.

    Step
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g^2
        alpha = lr * sqrt(1 - beta_2^t) / (1 - beta_1^t)
        w = w - alpha * m / (sqrt(v) + epsilon)

    Why: m and v start at 0 and are too small at first by the factors 1 - beta^t; alpha makes up for
    both. epsilon is what the paper calls epsilon hat: outside of that correction, as in Keras.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, section 2.

    Parameters
    ----------
    learning_rate : float >= 0
    beta_1, beta_2 : float in [0, 1)
    epsilon : float > 0

    Examples
    --------
    Whatever the size of the gradient, the first step is lr long.

    >>> w = np.array([1.0, 1.0])
    >>> Adam(learning_rate=0.1).update(w, np.array([0.02, -3000.0]))
    >>> w.round(3)
    array([0.9, 1.1])
    """

    slots = ("m", "v")
    beta_1 = Setting(_share)
    beta_2 = Setting(_share)
    epsilon = Setting(_positive)
    ignored = {"amsgrad": (False,)}

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **keras: Any,
    ) -> None:
        super().__init__(learning_rate, **keras)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def alpha(self) -> float:
        """The learning rate of step t, corrected for the cold start."""
        t = self.iterations
        return self.learning_rate * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        m, v = slots
        m += (1 - self.beta_1) * (g - m)
        v += (1 - self.beta_2) * (g * g - v)
        w -= self.alpha() * m / (np.sqrt(v) + self.epsilon)


class AdamW(Adam):
    """Adam, with weights that decay by themselves.

    Step
        w = w - lr * weight_decay * w
        then Adam's

    Why: a penalty on large weights that is added to the loss goes through Adam's division by the
    gradient's size, so that it hardly reaches the weights with large gradients. Taken from the
    weights directly, it shrinks all of them at the same rate.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2; the
    decay is multiplied by lr, as in Keras.

    Parameters
    ----------
    learning_rate : float >= 0
    weight_decay : float >= 0
    beta_1, beta_2 : float in [0, 1)
    epsilon : float > 0

    Examples
    --------
    >>> w = np.array([1.0, 0.0])
    >>> AdamW(learning_rate=0.1, weight_decay=0.5).update(w, np.array([2.0, 2.0]))
    >>> w.round(3)      # 1 - 0.1 * 0.5 * 1, then Adam's first step of 0.1
    array([ 0.85, -0.1 ])
    """

    weight_decay = Setting(_decay)

    def __init__(
        self,
        learning_rate: float = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **keras: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **keras)
        self.weight_decay = weight_decay

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        w -= self.learning_rate * self.weight_decay * w
        super().step(w, g, *slots)


KNOWN: dict[str, type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": SGD}


def get(identifier: Any, who: str = "optimizers") -> Optimizer:
    """The optimizer of that name (in any case), class or object.

    {"class_name": ..., "config": ...} stands for the object that it describes.

    Raises ValueError for an unknown name (the message lists the known ones), TypeError for
    anything else.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return identifier()
    if isinstance(identifier, dict):
        return restored(identifier, KNOWN.values(), "optimizer", who)
    return checks.lookup(identifier, KNOWN, "optimizer", who)()
