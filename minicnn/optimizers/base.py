"""What all optimizers share: the settings, the order of a step, the count, the slots.

All parameters of a model are one flat vector w.

Letters: w parameters, g gradient, t steps so far (1 at the first), lr learning rate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.copies import Copied
from minicnn.kernels.memory import aligned
from minicnn.layers.names import unique_name
from minicnn.optimizers.rate import Rate
from minicnn.settings import Configured, Setting, arguments
from minicnn.subclasses import refuse_vain_methods
from minicnn.weights import Weight

Array = NDArray[Any]

ALL = (slice(None),)

share = partial(checks.real, low=0, high=1, open_high=True)
positive = partial(checks.real, low=0, open_low=True)

# what a subclass may define, and the names of methods that `fit` does not call
CALLED = ("step", "begin", "check")
ELSEWHERE = dict.fromkeys(("update", "update_step", "apply", "apply_gradients"), ("step",))

AVERAGE, ACCUMULATOR = "average", "accumulator"  # vectors beside the slots
WEIGHTS = None  # w, where vectors have names: a user's slot may have any text for its own
NOTHING = {  # the settings below where they ask for nothing: `repr` leaves them out
    "weight_decay": None,
    "clipnorm": None,
    "clipvalue": None,
    "global_clipnorm": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "gradient_accumulation_steps": None,
    "decay": 0.0,
}


class from_settings:
    """`slots` that follow from the settings; what a subclass or an object sets takes its place."""

    def __init__(self, names: Callable[[Any], tuple[str, ...]]) -> None:
        self.names = names
        self.__doc__ = names.__doc__

    def __get__(self, thing: Any, owner: type) -> Any:
        return self if thing is None else self.names(thing)


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


def _or_none(value: Any, name: str, who: str) -> float | None:
    return None if value is None else checks.real(value, name, who, low=0)


def _every(value: Any, name: str, who: str, *, minimum: int) -> int | None:
    if value is None:
        return None
    return checks.integer(value, name, who, minimum=minimum, wrong_type=ValueError)


class Optimizer(Copied, Configured):
    """Base class. An optimizer of your own names its `slots` and defines `step`.

    Parameters
    ----------
    learning_rate : float >= 0, LearningRateSchedule, or a function without arguments
    weight_decay : float >= 0, optional
        Before each step w becomes w - lr * weight_decay * w; see `exclude_from_weight_decay`.
    clipnorm, global_clipnorm : float >= 0, optional
        The largest norm of the gradient of each parameter, or of all of them together; a longer one
        is shortened. 0 is no limit.
    clipvalue : float >= 0, optional
        The largest size of each number of the gradient. At most one of the three may be given.
    use_ema : bool
        Keep a running mean of w, average = ema_momentum * average + (1 - ema_momentum) * w after
        each step, which becomes w at the end of `fit`.
    ema_momentum : float in [0, 1]
    ema_overwrite_frequency : int >= 1, optional
        Makes the mean w after every so many steps, too.
    gradient_accumulation_steps : int >= 2, optional
        Sum up so many gradients, then take one step along their mean.
    decay : float >= 0
        Keras 2's: the rate of step t, from 0 on, is learning_rate / (1 + decay * t). New code takes
        one of `minicnn.optimizers.schedules`.
    lr : float, optional
        `learning_rate`, by Keras 2's name.

    Attributes
    ----------
    learning_rate, lr : float
        The rate now, also where a schedule gives it. May be set between steps. As in Keras 2, it is
        the one that `decay` starts from.
    iterations : int
        Steps taken.
    waiting : int
        Gradients that have been summed up since the last step.
    state : dict of str to ndarray
        One vector as long as w for each name in `slots`; empty before the first step. With
        `use_ema` and `gradient_accumulation_steps` "average" and "accumulator", too.
    name : str
        Keras's automatic one, "adam", then "adam_1", unless another is given.
    """

    slots: tuple[str, ...] = ()
    learning_rate = Rate()
    weight_decay = Setting(_or_none)
    clipnorm = Setting(_or_none)
    clipvalue = Setting(_or_none)
    global_clipnorm = Setting(_or_none)
    use_ema = Setting(checks.boolean)
    ema_momentum = Setting(partial(checks.real, low=0, high=1))
    ema_overwrite_frequency = Setting(partial(_every, minimum=1))
    decay = Setting(partial(checks.real, low=0))
    gradient_accumulation_steps = Setting(partial(_every, minimum=2))
    name = Setting(checks.text, none=lambda optimizer: unique_name(type(optimizer).__name__))
    iterations = Setting(partial(checks.integer, minimum=0, maximum=2**62))
    waiting = Setting(partial(checks.integer, minimum=0, maximum=2**62))
    state = Setting(_slots)
    ignored = {"loss_scale_factor": (None,)}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_vain_methods(cls, Optimizer, CALLED, ELSEWHERE)

    def __init__(
        self,
        learning_rate: Any = 0.01,
        *,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        gradient_accumulation_steps: int | None = None,
        decay: float = 0.0,
        lr: Any = None,
        name: str | None = None,
        **keras: Any,
    ) -> None:
        self._refuse_unknown(keras)
        if lr is not None:
            default = arguments(type(self))["learning_rate"].default
            if not (isinstance(learning_rate, float) and learning_rate == default):
                raise ValueError(
                    f"{type(self).__name__}: expected learning_rate or lr, received both. Leave "
                    "out lr"
                )
        self._rate: float | None = None  # of the step that is being taken
        self._due = True  # whether it moves w: not while gradients are summed up
        self._moving: list[Array] = []  # the slots of the step
        self.excluded: tuple[list[str], str] = [], ""  # paths, and a pattern of names
        if lr is None:
            self.learning_rate = learning_rate
        else:
            self.lr = lr
        self.decay = decay
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.name = name
        self.iterations = 0
        self.waiting = 0
        self.state = {}
        self.expect_consistent()

    def __repr__(self) -> str:
        # without the name, a number of which counts the optimizers of the process
        shown = {name: getattr(self, name, given) for name, given in NOTHING.items()}
        plain = [name for name, one in shown.items() if one == NOTHING[name]]
        return self._written(without=["name", *plain])

    def get_config(self) -> dict[str, Any]:
        """The settings; `decay`, which Keras's configs lack, only where there is one."""
        config = super().get_config()
        return config if self.decay else {k: v for k, v in config.items() if k != "decay"}

    @property
    def lr(self) -> float:
        """`learning_rate`, by Keras 2's name."""
        return self.learning_rate

    @lr.setter
    def lr(self, value: Any) -> None:
        self.learning_rate = value

    # -- a step -----------------------------------------------------------------------------------

    def update(
        self, w: Array, g: Array, parts: Sequence[slice] = ALL, names: Sequence[str] | None = None
    ) -> None:
        """One step on the vector `w` in place, along `g`; only its `parts` move, if given.

        Each part counts as one parameter for `clipnorm`, and for `exclude_from_weight_decay` by
        its name ("dense/kernel"), if `names` are given.

        Raises TypeError or ValueError if w and g are no float vectors of one length, or if the
        optimizer has served a vector of another length.
        """
        self._expect_vectors(w, g)
        who = type(self).__name__
        if not isinstance(parts, (list, tuple)) or not all(isinstance(p, slice) for p in parts):
            raise TypeError(
                f"{who}: expected parts to be a list of slices, received {checks.shown(parts)}"
            )
        names = [""] * len(parts) if names is None else checks.texts(names, "names", who)
        if len(names) != len(parts):
            raise ValueError(
                f"{who}: expected as many names as parts, {len(parts)}, received {len(names)}"
            )
        self.begin(w)
        try:
            factors = self.factors([self.norm(g, p) for p in parts] if self.limits_norms else [])
            for k, (part, name) in enumerate(zip(parts, names)):
                self.move(w, g, part, factors[k] if factors else 1.0, self.decays(name))
        finally:
            self.end()

    def move(
        self,
        w: Array,
        g: Array,
        part: slice,
        factor: float = 1.0,
        decays: bool = True,
        step: Callable[..., None] | None = None,
    ) -> None:
        """What a step does, in its order, to one part of the vectors.

        `factor` is what the norm of its gradient asks for (`factors`), `decays` whether its weights
        decay, and `step` a function in the place of the method, which does the same faster.
        """
        w_part, g_part = w[part], self.gathered(g, part)
        if not self._due:
            self.state[ACCUMULATOR][part] += g_part
        else:
            if factor != 1:  # clipnorm, global_clipnorm
                g_part = g_part * w.dtype.type(factor)
            if self.clipvalue:
                g_part = np.clip(g_part, -self.clipvalue, self.clipvalue)
            if self.weight_decay and decays:
                w_part -= w.dtype.type(self.learning_rate * self.weight_decay) * w_part
            (step or self.step)(w_part, g_part, *[vector[part] for vector in self._moving])
            if self.gradient_accumulation_steps:
                self.state[ACCUMULATOR][part] = 0
        if self.use_ema:
            self._average(w_part, self.state[AVERAGE][part])

    def changed_by_move(self, w: Array) -> dict[str | None, Array]:
        """The vectors, by name, that `move` itself changes, before or after `step`."""
        changed: dict[str | None, Array] = {
            k: self.state[k] for k in (AVERAGE, ACCUMULATOR) if k in self.state
        }
        if self.weight_decay or self.use_ema:
            changed[WEIGHTS] = w
        return changed

    def step(self, w: Array, g: Array, *slots: Array) -> None:
        """Change `w` and the slots in place for step number `self.iterations`."""
        raise NotImplementedError(f"{type(self).__name__} has to define step(w, g, *slots)")

    def begin(self, w: Array) -> None:
        """Count a step on the vector `w`; the first one makes the slots.

        Raises ValueError if the optimizer has served a vector of another length.
        """
        self.check(w)
        rate = float(self.learning_rate)  # before the count: a schedule's step 0 is the first
        if self.decay:
            rate /= 1 + self.decay * self.iterations
        for slot in self.vector_names():
            if slot not in self.state:
                self.state[slot] = self.first_vector(slot, w)
        several = self.gradient_accumulation_steps
        due = not several or self.waiting + 1 >= several
        # past the checks of settings, which take longer than the step of a small model
        vars(self).update(
            _rate=rate,
            _due=due,
            _moving=[self.state[slot] for slot in self.slots],
            iterations=self.iterations + due,
            waiting=0 if due else self.waiting + 1,
        )

    def end(self) -> None:
        """The step is over: `learning_rate` is that of the next one."""
        vars(self).update(_rate=None, _moving=[])

    def check(self, w: Array) -> None:
        """Raise ValueError if the optimizer has served a vector of another length."""
        for vector in self.state.values():
            if type(vector) is np.ndarray and (vector.shape, vector.dtype) == (w.shape, w.dtype):
                continue
            _slots(self.state, "state", type(self).__name__)
            if vector.shape != w.shape:
                raise ValueError(
                    f"{type(self).__name__}: expected {vector.size} parameters, as in its steps so "
                    f"far (see its state), received {w.size}. Give each model its own "
                    "optimizer"
                )

    # -- the gradient -----------------------------------------------------------------------------

    @property
    def limits_norms(self) -> bool:
        """Whether the step that has begun needs the norm of each parameter's gradient."""
        return self._due and bool(self.clipnorm or self.global_clipnorm)

    def gathered(self, g: Array, part: slice) -> Array:
        """That part of g; where gradients are summed up and a step is due, of their mean."""
        n = self.gradient_accumulation_steps
        if not n or not self._due:
            return g[part]
        mean: Array = (g[part] + self.state[ACCUMULATOR][part]) / g.dtype.type(n)
        return mean

    def norm(self, g: Array, part: slice) -> float:
        """The length of that part of the gradient."""
        own = self.gathered(g, part)
        norm = float(np.sqrt(np.square(own).sum()))
        if norm == np.inf:  # its square is, at least
            largest = float(np.abs(own).max())
            norm = largest * float(np.sqrt(np.square(own / largest).sum()))
        return norm

    def factors(self, norms: list[float]) -> list[float]:
        """What to multiply the gradient of each parameter with, by all their norms."""
        if self.clipnorm:
            return [self.clipnorm / max(norm, self.clipnorm) for norm in norms]
        if self.global_clipnorm:
            norm = float(np.sqrt(sum(norm**2 for norm in norms)))
            return [self.global_clipnorm / max(norm, self.global_clipnorm)] * len(norms)
        return [1.0] * len(norms)

    # -- the weights ------------------------------------------------------------------------------

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Leave out parameters from `weight_decay`; has to be called before the first step.

        Parameters
        ----------
        var_list : list of Weight, optional
            As `layer.weights` and `model.weights` list them.
        var_names : list of str, optional
            Patterns (of `re`), as in Keras; a parameter is left out if one of them is found in its
            name ("bias"), to which the name of its layer does not belong.

        Raises TypeError or ValueError for other arguments, or after a step.
        """
        who = "exclude_from_weight_decay"
        if self.iterations or self.waiting or self.state:
            raise ValueError(f"{who}: expected {self!r} to have taken no step yet")
        weights = checks.listed([] if var_list is None else var_list, "var_list", who)
        if not all(isinstance(weight, Weight) for weight in weights):
            raise TypeError(
                f"{who}: expected var_list to be a list of weights, as model.weights lists them, "
                f"received {checks.shown(var_list)}"
            )
        patterns = checks.texts([] if var_names is None else var_names, "var_names", who)
        try:
            pattern = "|".join(f"(?:{one})" for one in patterns)
            re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"{who}: expected var_names to be patterns of re, received "
                f"{checks.shown(patterns)}: {error}"
            ) from error
        self.excluded = [weight.path for weight in weights], pattern

    @property
    def excludes(self) -> bool:
        """Whether some weights do not decay."""
        return bool(self.weight_decay and any(self.excluded))

    def decays(self, path: str) -> bool:
        """Whether the weights of the parameter of that path ("dense/kernel") decay."""
        paths, pattern = self.excluded
        if pattern and re.search(pattern, path.rpartition("/")[2]):
            return False
        return not any(f"/{path}".endswith(f"/{one}") or one.endswith(f"/{path}") for one in paths)

    def finalize(self, w: Array, parts: Sequence[slice] = ALL) -> None:
        """The end of `fit`: with `use_ema`, w becomes the mean of what it was."""
        if self.use_ema and AVERAGE in self.state:
            for part in parts:
                w[part] = self.state[AVERAGE][part]

    def _average(self, w: Array, average: Array) -> None:
        before = self.iterations - self._due  # steps before this one
        momentum = average.dtype.type(self.ema_momentum if before else 0)
        average *= momentum
        average += (1 - momentum) * w
        every = self.ema_overwrite_frequency
        if every and (before + 1) % every == 0:
            w[...] = average

    # -- vectors ----------------------------------------------------------------------------------

    def vector_names(self) -> list[str]:
        """The names of all that `state` is to hold."""
        names = [*self.slots]
        if self.use_ema:
            names.append(AVERAGE)
        if self.gradient_accumulation_steps:
            names.append(ACCUMULATOR)
        return names

    def first_vector(self, slot: str, w: Array) -> Array:
        """A vector of `state` before the first step."""
        vector = aligned(w.shape, w.dtype)
        vector[...] = w if slot == AVERAGE else 0
        return vector

    def resize(self, w: Array) -> None:
        """The vector w has become longer or shorter at its end; slots follow, new at the end."""
        for slot, vector in self.state.items():
            kept = vector[: w.size]
            self.state[slot] = np.concatenate([kept, self.first_vector(slot, w[kept.size :])])

    def _expect_vectors(self, w: Array, g: Array) -> None:
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

    def expect_consistent(self) -> None:
        """Raise ValueError if more than one limit on the gradient is set."""
        limits = ("clipnorm", "clipvalue", "global_clipnorm")
        given = {name: value for name in limits if (value := getattr(self, name)) is not None}
        if len(given) > 1:
            received = ", ".join(f"{name}={value}" for name, value in given.items())
            raise ValueError(
                f"{type(self).__name__}: expected at most one of clipnorm, clipvalue and "
                f"global_clipnorm, received {received}"
            )
