"""What `compile` chose, and what is built from it: plans, networks and the runner of steps."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from minicnn import checks, losses, optimizers
from minicnn import metrics as known_metrics
from minicnn.callbacks import History
from minicnn.engine.logits import before_activation
from minicnn.engine.plan import Plan, as_layers, lower
from minicnn.engine.shards import ShardedNetwork
from minicnn.inputs import Data
from minicnn.items import unchanged_on_error
from minicnn.layers import contents
from minicnn.layers.base import Layer, Shape
from minicnn.layers.regularization import OutputPenalty, with_penalties
from minicnn.losses import chosen as chosen_losses
from minicnn.metrics import Metric
from minicnn.settings import Setting
from minicnn.stack import Stack, serve, served_by
from minicnn.training.step import Runner, in_two_threads

T = TypeVar("T")

# arguments of Keras's compile that have no effect here, with the values they may have
IGNORED: dict[str, tuple[Any, ...]] = {
    "auto_scale_loss": (True, False),
    "run_eagerly": (False, True),
}

_building = threading.RLock()
_in_fit: weakref.WeakSet[Compiled] = weakref.WeakSet()


def _auto_or_flag(value: Any, name: str, who: str) -> bool | str:
    if not isinstance(value, (bool, str)) or value not in ("auto", True, False):
        raise ValueError(
            f"{who}: expected {name} to be 'auto', True or False, received {checks.shown(value)}"
        )
    return value


class Compiled(Stack):
    """A stack of layers with an optimizer, a loss and metrics."""

    jit_compile = Setting(_auto_or_flag)

    def __init__(self, name: str | None) -> None:
        super().__init__(name)
        self.loss: losses.Loss | None = None
        self.jit_compile = "auto"
        self.given_metrics: list[Any] = []
        self.given_weighted_metrics: list[Any] = []
        self._loss_mean = known_metrics.Mean("loss")
        self.loss_weight = 1.0
        self.compiled = False
        self._in_fit = (0, 0)  # process and thread that fit runs in
        self.history: History | None = None
        self.stop_training = self.stop_evaluating = self.stop_predicting = False
        self.steps_taken = 0
        self._penalties: dict[Layer, OutputPenalty] = {}  # on outputs of the last forward

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("loss", "optimizer", "jit_compile"):  # what `fit` has chosen its way by
            self.expect_at_rest(name)
        super().__setattr__(name, value)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        **keras: Any,
    ) -> None:
        """Choose how the model is trained. The weights are kept; a new optimizer starts afresh.

        Parameters
        ----------
        optimizer : str or Optimizer
            "adam", "rmsprop", "sgd", or an object such as Adam(learning_rate=0.001).
        loss : str, Loss or function of minicnn.losses
            "sparse_categorical_crossentropy", "binary_crossentropy", "mse" and so on; or a list, or
            a dict by the output, of this one. `losses.Function` makes one of your own function.
        loss_weights : float, optional
            Factor on the loss, or a list of this one factor.
        metrics : list of str, Metric or callable
            "accuracy" and the like; a callable takes (y_true, y_pred) and gives a value a sample.
            A dict or a list of lists by the output will do as well.
        weighted_metrics : list
            The same, but with the weights of samples and classes.
        steps_per_execution : int
            Changes nothing: a step costs no call into another runtime, and callbacks hear of each.
        jit_compile : "auto", True or False
            Run fused stages where there are some (`plan()` shows which), or, with False, walk
            through the layers one by one. The results agree within rounding.

        Raises
        ------
        TypeError, ValueError
            For unknown names (the message lists the known ones) and other types. The model then
            keeps what it was compiled with.
        """
        checks.size(steps_per_execution, "steps_per_execution", "compile()")
        keras = {"run_eagerly": run_eagerly, **keras}
        checks.expect_defaults(keras, IGNORED, "compile()")
        loss_weight = _loss_weight(loss_weights)
        chosen = _of_the_output(metrics, "metrics")
        weighted = _of_the_output(weighted_metrics, "weighted_metrics")
        without, loss = loss is None, _one_loss(loss)
        self.expect_at_rest("compile")
        new_optimizer = optimizers.get(optimizer, "compile")
        if "iterations" not in vars(new_optimizer):
            raise TypeError(
                f"compile: expected the __init__ of {type(new_optimizer).__name__} to call "
                "Optimizer's. Begin it with: super().__init__(learning_rate)"
            )
        if isinstance(loss, str) and loss.lower() in chosen_losses.NAMES:
            loss = chosen_losses.Crossentropy()
        new_loss = None if without else losses.get(loss, "compile")
        if new_loss is not None and new_loss.reduction in (None, "none"):
            raise ValueError(
                f"compile: expected the reduction of {new_loss.name} to make one number of the "
                f"losses, received {new_loss.reduction!r}. Use 'sum_over_batch_size' or 'sum'"
            )
        for metric in (*chosen, *weighted):
            known_metrics.check(metric, "compile")
        jit_compile = _auto_or_flag(jit_compile, "jit_compile", "compile")
        if new_loss is not None and new_loss.from_logits and self._ends_in(new_loss.activation):
            ending = new_loss.activation
            warnings.warn(
                f"compile: {new_loss.name} with from_logits=True, but the model ends in {ending}, "
                "whose outputs are probabilities. The loss is computed from the logits before the "
                f"{ending}. Leave out from_logits=True, or the {ending}",
                UserWarning,
                stacklevel=2,
            )
        one_output = self.built and self.output_shape[-1] == 1
        of_classes = new_loss is not None and new_loss.activation == "softmax"
        if new_loss is not None and of_classes and new_loss.from_logits is not None and one_output:
            warnings.warn(
                f"compile: {new_loss.name} with one output, which is then always the right class: "
                "the loss is 0 and nothing is learned. Give the last layer one unit for each class",
                UserWarning,
                stacklevel=2,
            )
        self.optimizer, self.loss = new_optimizer, new_loss
        self.given_metrics, self.given_weighted_metrics = chosen, weighted
        self._loss_mean = known_metrics.Mean("loss")
        self.jit_compile, self.loss_weight = jit_compile, loss_weight
        self._trainable_parts = self.store.parts(self.leaves) if self.built else None
        self.compiled = True
        self._kept = {}

    def plan(self) -> Plan:
        """How the model is run: which layers are fused into one step, and why others are not.

        `print(model.plan())` shows it. Raises ValueError before the model is built.
        """
        self.expect_built("plan")
        ends = "softmax" if self.loss is None else self.loss.activation
        return self.plan_of(before_activation(with_penalties(self.leaves), ends)[0])

    def plan_of(self, layers: list[Layer], *, training: bool = True) -> Plan:
        """The plan for `layers`, these or these without their softmax."""
        if not self.jit_compile:
            return as_layers(layers, "compiled with jit_compile=False")
        return lower(layers, self.input_shape[1:], self.dtype, training=training)

    def runner(self, *, training: bool, arrays: bool = True) -> Runner:
        """The runner of this model's steps; raises ValueError if it was compiled without a loss.

        With `arrays=False`, changes inside arrays that layers keep as settings are not looked for:
        comparing large arrays takes time.
        """
        if self.loss is None:
            raise ValueError(f"{self.who}: compile it with a loss first")
        loss = self.loss
        return self._keep(
            "train" if training else "test",
            lambda: Runner(self, loss, self.chosen_metrics(self.output_shape), training),
            arrays=arrays,
        )

    def network(self) -> tuple[ShardedNetwork, bool]:
        """What predicts: the network up to the logits, and whether softmax stands behind it."""

        def make() -> tuple[ShardedNetwork, bool]:
            layers, ends_in_softmax = before_activation(self.leaves)
            plan = self.plan_of(layers, training=False)
            return ShardedNetwork(plan, self.dtype, training=False), ends_in_softmax

        return self._keep("predict", make)

    def _keep(self, use: str, make: Callable[[], T], *, arrays: bool = True) -> T:
        """What `make` returns, cached until a setting changes; brings the vectors up to date."""
        self._prepare()
        chosen = (self.loss, self.optimizer, self.jit_compile)
        before, made = self._kept.get(use, (None, None))
        if (
            before is None
            or before.chosen != chosen
            or before.changed(self.leaves, arrays=arrays, made_of=self.store.made_of)
        ):
            made = make()
            self._kept[use] = contents.Settings(chosen, self.leaves), made
        return made

    def chosen_metrics(self, output_shape: Shape, loss: losses.Loss | None = None) -> list[Metric]:
        """The metrics that `compile` asked for, for outputs of that shape; weighted ones last.

        `loss` is what the model's comes to with some targets, if they are there already.
        """
        loss = loss or self.loss
        if loss is None:
            raise ValueError(f"{self.who}: compile it with a loss first")
        before, made = self._kept.get("metrics", (None, None))
        if made is None or before != (loss, output_shape):
            chosen, weighted = (
                [known_metrics.get(m, loss, output_shape) for m in given]
                for given in (self.given_metrics, self.given_weighted_metrics)
            )
            made = known_metrics.distinct(chosen, weighted)
            self._kept["metrics"] = (loss, output_shape), made
        return made

    @property
    def metrics(self) -> list[Metric]:
        """The mean of the loss, and the metrics once the model is built.

        `result()` gives the figures of the last epoch, or of the last evaluate or batch.
        """
        if self.loss is None:
            return []
        return [self._loss_mean, *(self.chosen_metrics(self.output_shape) if self.built else [])]

    def reset_metrics(self) -> None:
        """Forget these figures."""
        for metric in self.metrics:
            metric.reset_state()

    @property
    def unweighted_metrics(self) -> int:
        """How many of `chosen_metrics`, from the first on, take no weights."""
        return len(self.given_metrics)

    def _ends_in(self, activation: str) -> bool:
        return bool(self.leaves) and before_activation(self.leaves, activation)[1]

    # -- ready for a call --------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Bring the vectors up to date before the model computes.

        Raises TypeError or ValueError where a parameter was replaced by something unusable.
        """
        if "train" in self._kept:
            self._kept["train"][1].after_fork()
        self.gather()

    def build_for(self, data: Data) -> None:
        """Build the model for `data`, unless it is built, and settle which loss it has."""
        if not self.built:
            with _building:  # the first calls may come from several threads at once
                if not self.built:
                    self.build((None, *(self.sample_shape or data.x.shape[1:])))
        if data.loss is not None and data.loss is not self.loss:
            self.loss = data.loss

    def build_for_training(self, data: Data) -> None:
        """Make model and optimizer ready for training on `data`."""
        other, optimizer = served_by(self.optimizer), self.optimizer
        moved = optimizer.iterations or optimizer.waiting or optimizer.state
        if moved and other is not None and other is not self:  # not where its first step failed
            raise ValueError(
                f"{checks.shown(self.optimizer)} has taken steps with {other.who}, and keeps what "
                "it learned of them. Give each model its own optimizer"
            )
        with unchanged_on_error(self, self._items) if not self.built else contextlib.nullcontext():
            self.build_for(data)
            self.optimizer.check(self.store.params)
        serve(self.optimizer, self)
        if self._trainable_parts is None:
            self._trainable_parts = self.store.parts(self.leaves)

    def _fitting(self) -> tuple[int, int]:
        """Process and thread that fit runs in; (0, 0) outside of fit and in a forked child."""
        process, thread = vars(self).get("_in_fit", (0, 0))
        return (process, thread) if process == os.getpid() else (0, 0)

    def expect_at_rest(self, what: str, *, but_for_hooks: bool = False) -> None:
        here = (os.getpid(), threading.get_ident())
        if self._fitting() not in ((0, 0), here if but_for_hooks else (0, 0)):
            raise ValueError(
                f"{what}: expected {self.who} to be at rest, but it is being fitted. End fit "
                "first: a callback sets model.stop_training = True"
            )

    def expect_compiled(self, what: str) -> None:
        """Raise ValueError before `compile` with a loss, TypeError for what cannot be a choice."""
        if not self.compiled or self.loss is None:
            raise ValueError(
                f"{what}: expected a compiled model. Call compile(optimizer=..., loss=...) first"
            )
        kinds = {"loss": losses.Loss, "optimizer": optimizers.Optimizer}
        for name, kind in kinds.items():
            if not isinstance(value := getattr(self, name), kind):
                raise TypeError(
                    f"{what}: expected model.{name} to be a {kind.__name__}, received "
                    f"{checks.shown(value)}. Choose it with compile({name}={checks.shown(value)})"
                )

    @contextlib.contextmanager
    def _fitted_alone(self) -> Iterator[None]:
        """Inside, `fit` runs. Raises RuntimeError if another thread fits these layers."""
        here = (os.getpid(), threading.get_ident())
        outer = self._fitting()
        mine = {id(leaf) for leaf in self.leaves}
        if outer not in ((0, 0), here):
            raise RuntimeError(f"fit: {in_two_threads(self)}")
        self._in_fit = here  # set before looking at the others: a fork may hold a lock
        _in_fit.add(self)
        try:
            elsewhere = [one for one in list(_in_fit) if one._fitting() not in ((0, 0), here)]
            for other, leaf in ((one, leaf) for one in elsewhere for leaf in one.leaves):
                if id(leaf) in mine:
                    raise RuntimeError(
                        f"fit: {self.who} shares {leaf.who} with {other.who}, which is being "
                        "trained by another thread. Train them one after the other"
                    )
            yield
        finally:
            self._in_fit = outer
            if outer == (0, 0):
                _in_fit.discard(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_in_fit": (0, 0), "_penalties": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.history is not None:
            self.history.set_model(self)


def _loss_weight(loss_weights: Any) -> float:
    """The `loss_weights` argument: the one factor of a model with one output."""
    if loss_weights is None:
        return 1.0
    if isinstance(loss_weights, (list, tuple)):
        if len(loss_weights) != 1 or isinstance(loss_weights[0], str) or callable(loss_weights[0]):
            raise ValueError(
                "compile: expected loss_weights to be one factor, received "
                f"{checks.shown(loss_weights)}. Metrics have a name: metrics=[...]"
            )
        (loss_weights,) = loss_weights
    return checks.real(loss_weights, "loss_weights", "compile", low=0)


def _of_the_output(given: Any, name: str) -> list[Any]:
    """A list of metrics, out of Keras's forms for several outputs: nested, or a dict."""
    if given is None:
        return []
    if isinstance(given, dict):
        if len(given) > 1:
            raise ValueError(
                f"compile: expected {name} of one output, received those of "
                f"{', '.join(map(str, given))}"
            )
        given = next(iter(given.values()), [])
        given = given if isinstance(given, (list, tuple)) else [given]
    if not isinstance(given, (list, tuple)):
        raise TypeError(
            f"compile: expected {name} to be a list, received {checks.shown(given)}. "
            f"Write {name}={checks.shown([given])}"
        )
    nested = [one if isinstance(one, (list, tuple)) else [one] for one in given]
    return [metric for one in nested for metric in one]


def _one_loss(given: Any) -> Any:
    """The `loss` argument, out of Keras's forms for several outputs: a list or a dict of one."""
    is_config = isinstance(given, dict) and "class_name" in given
    if is_config or not isinstance(given, (list, tuple, dict)):
        return given
    if len(given) != 1:
        raise ValueError(
            "compile: expected loss to be a single one, since the model has one output, received "
            f"{len(given)}"
        )
    return given[0] if not isinstance(given, dict) else next(iter(given.values()))
