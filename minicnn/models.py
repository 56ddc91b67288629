"""Sequential: layers in a row, under Keras's calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, inputs, summary
from minicnn.callbacks import Callback, History
from minicnn.callbacks import checked as checked_callbacks
from minicnn.console import say
from minicnn.engine.blas import single_threaded_blas
from minicnn.keras2 import MOVED, RENAMED, Keras2Methods
from minicnn.layers.base import Layer
from minicnn.layers.regularization import OutputPenalty
from minicnn.outputs import Output
from minicnn.progress import checked_verbose
from minicnn.savable import Savable
from minicnn.saving.files import (
    clone_model,
    load_model,
    model_from_json,
    save_model,
)
from minicnn.subclasses import OF_OTHER_MODELS, of_the_user
from minicnn.symbolic import NO_GRAPH, Symbolic
from minicnn.training import loop
from minicnn.training.feeds import ArrayFeed, Feed
from minicnn.training.finite import expect_finite
from minicnn.training.given import Sizes, feed_of, feeds_of_fit

Array = NDArray[Any]

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]


class Model(Keras2Methods, Savable):
    """What `Sequential` derives from, as in Keras. There is no other kind of model.

    Raises TypeError where an object or a subclass of it is made.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Model:
            raise TypeError(f"Model: expected Sequential, received inputs and outputs. {NO_GRAPH}")
        return super().__new__(cls)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if of_the_user(cls) and not issubclass(cls, Sequential):
            raise TypeError(
                f"{cls.__name__}: expected a class derived from Sequential, received one derived "
                f"from Model. {NO_GRAPH}"
            )


class Sequential(Model):
    """A stack of layers, each taking what the one before it gives.

    Parameters
    ----------
    layers : list of Layer, optional
        As if each were given to `add` in turn.
    name : str, optional

    Attributes
    ----------
    flat_params, flat_grads : ndarray of shape (parameters,)
        All parameters as one vector, and the gradient of the loss at the last training step. Each
        `layer.params[key]` and `layer.grads[key]` is a view into them.
    optimizer, loss, history
        Set by `compile` and `fit`.
    stop_training : bool
        A callback sets it to end `fit` after the current batch.
    steps_taken : int
        Steps of training so far, whatever the optimizer: the place in the streams of dropout.

    Examples
    --------
    >>> from minicnn.layers import Dense
    >>> model = Sequential([Dense(3, activation="relu", input_shape=(4,)), Dense(2)])
    >>> model.count_params()       # 4*3 + 3 and 3*2 + 2
    23
    >>> model.predict(np.zeros((5, 4)), verbose=0).shape
    (5, 2)
    """

    def __init__(
        self,
        layers: Iterable[Layer] | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name)
        if layers is not None and not isinstance(layers, (list, tuple)):
            raise TypeError(
                f"Sequential: expected a list of layers, received {checks.shown(layers)}"
            )
        self.add_all(list(layers or ()))
        if not checks.boolean(trainable, "trainable", "Sequential"):
            self.trainable = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse methods that other libraries' `fit` calls, and that this one would not."""
        super().__init_subclass__(**kwargs)
        for name, instead in OF_OTHER_MODELS.items():
            if name in vars(cls):
                raise TypeError(
                    f"{cls.__name__}: expected no method {name}, since fit, evaluate and predict "
                    f"would not call it. {instead}"
                )

    def summary(
        self,
        line_length: int | None = None,
        *,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
    ) -> None:
        """Print a table of the layers, their output shapes and their parameters.

        Parameters
        ----------
        line_length : int, optional
            Columns, 1 to 10,000; as wide as the terminal, at most 88, if not given.
        print_fn : callable, optional
            Receives the text instead of standard output, which gets plain characters where it
            cannot write the table's.
        expand_nested : bool
            The layers of models inside this one as rows, too.
        show_trainable : bool
            One more column: Y for layers whose parameters are trained, N for frozen ones.
        """
        if line_length is not None:
            line_length = checks.integer(
                line_length, "line_length", "summary", minimum=1, maximum=summary.WIDEST_ASKED
            )
        if print_fn is not None and not callable(print_fn):
            raise TypeError(
                "summary: expected print_fn to be a function of a text, received "
                f"{checks.shown(print_fn)}"
            )
        expand_nested = checks.boolean(expand_nested, "expand_nested", "summary")
        show_trainable = checks.boolean(show_trainable, "show_trainable", "summary")
        rows, counts = summary.described(self, expand_nested, show_trainable)
        lines = [f'Model: "{self.name}"', summary.table(rows, line_length), *counts]
        (print_fn or say)("\n".join(lines))

    def _repr_html_(self) -> str:
        return summary.page(self)

    # -- one walk through the layers --------------------------------------------------------------

    def forward(self, x: Array, training: bool = False) -> Array:
        """Output for one batch x: every layer's `forward`, first to last."""
        training = checks.boolean(training, "training", self.who)
        self._penalties = {}
        for layer in self.leaves:
            x = layer.forward(x, training)
            if layer.activity_regularizer is not None:
                penalty = self._penalties[layer] = OutputPenalty(layer)
                x = penalty.forward(x)
                layer.activity_penalty = penalty.penalty
        return x

    def backward(self, dy: Array) -> Array:
        """Gradient of x for the last `forward`: every layer's `backward`, last to first.

        Fills `flat_grads`, and with it every `layer.grads`.
        """
        for layer in reversed(self.leaves):
            if layer in self._penalties:
                dy = self._penalties[layer].backward(dy)
            dy = layer.backward(dy)
        self.store.collect_gradients()
        return dy

    def __call__(self, x: Any, training: bool = False) -> Output:
        """Output for one batch x, as `forward`, after the checks that `predict` makes.

        It is an array that has `numpy()`, too.
        """
        if isinstance(x, Symbolic):
            raise TypeError(f"{self.who}: expected x to be an array, received {x!r}. {NO_GRAPH}")
        training = checks.boolean(training, "training", "Sequential()")
        data = self.checked_data(x, "Sequential()")
        self.build_for(data)
        (batch,) = data.batches(len(data))
        with single_threaded_blas(), np.errstate(all="ignore"):  # what overflows is found below
            y = self.forward(batch.all_inputs(self.input_shape[1:]), training)
        expect_finite(self, batch, y, "Sequential()")
        return y.view(Output)

    # -- training ---------------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: list[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | list[int] = 1,
        **keras: Any,
    ) -> History:
        """Train for some epochs; called again, it goes on from where it stopped.

        Parameters
        ----------
        x : array of shape (N, ...), or what gives batches
            Inputs of any real type; each batch is cast to the model's float type. Images without
            their channel axis are accepted where the model has one channel. A `numpy.memmap` is
            read batch by batch.
            Or (x, y) or (x, y, sample_weight) batch by batch, of any sizes: a generator or another
            iterator, a `minicnn.utils.PyDataset`, or what gives an iterator every time, such as a
            DataLoader or a tf.data.Dataset. A thread makes the next batches while one is used.
            With a PyDataset, `shuffle` changes the order of the batches; with others it does
            nothing. `batch_size` does nothing, and y and sample_weight are not given.
        y : array of shape (N,) or (N, ...)
            Targets, as the loss takes them.
        batch_size : int, optional
            Samples a step, 32 if not given; the last batch of an epoch may be shorter.
        epochs : int
            Number of the last epoch; with `initial_epoch` 0, how many there are.
        verbose : 0, 1, 2 or "auto"
            Silent, a progress bar, one line an epoch. "auto" is 1. Where standard output is no
            terminal, 1 prints one line an epoch too.
        callbacks : list of Callback
        validation_split : float in (0, 1)
            Part of the samples, from the end, that is kept back for validation.
        validation_data : (x, y), (x, y, sample_weight), or what gives batches
            Judged after each epoch; takes precedence over `validation_split`.
        shuffle : bool
            New order in every epoch.
        class_weight : dict of int to float
            Factor on the loss of each class's samples; validation goes without it. Not beside an
            iterator.
        sample_weight : array of shape (N,)
            Factor on the loss of each sample; `validation_split` divides it too.
        initial_epoch : int
            Number of the first epoch.
        steps_per_epoch : int, optional
            Batches of an epoch; the next epoch goes on behind them. Not given: all there are. No
            more are asked for. Where the data end sooner there is a warning; arrays and what gives
            a new iterator then begin anew, and after an iterator's end training ends.
        validation_steps : int, optional
            Batches of a validation: the first ones of arrays and of what can be given again, the
            next ones of an iterator.
        validation_batch_size : int, optional
            As `batch_size` if not given.
        validation_freq : int or list of int
            Validate after every so many epochs, or after those of these numbers, from 1.

        Returns
        -------
        History
            `.history` holds one figure an epoch for "loss", each metric, and the same with "val_".

        Raises
        ------
        TypeError, ValueError
            For arguments that do not fit, or before `compile`; nothing is changed then.
        FloatingPointError
            If the loss or the gradient becomes NaN or infinite; names the layer and the step. The
            weights are those of the last whole step, as they are after KeyboardInterrupt, or after
            an error in a batch or of what gives it. Callbacks see that loss first; if one sets
            `stop_training`, fit ends without an error.
        """
        checks.expect_defaults(keras, {}, "fit()", RENAMED)
        self.expect_compiled("fit")
        sizes = Sizes.checked("fit", batch_size=batch_size, steps_per_epoch=steps_per_epoch)
        validation_sizes = Sizes.checked(
            "fit", validation_batch_size=validation_batch_size, validation_steps=validation_steps
        )
        epochs = checks.integer(epochs, "epochs", "fit", minimum=0, maximum=2**62)
        first = checks.integer(initial_epoch, "initial_epoch", "fit", minimum=0, maximum=2**62)
        shuffle = checks.boolean(shuffle, "shuffle", "fit")
        every = _frequency(validation_freq)
        hooks = checked_callbacks(callbacks, "fit")
        level = checked_verbose(verbose, "fit")
        self._ready("fit")
        split = 0.0 if inputs.is_zero(validation_split) else inputs.share(validation_split)
        feed, validation = feeds_of_fit(
            self,
            x,
            (y, sample_weight, class_weight),
            validation_data,
            split,
            sizes=sizes,
            validation_sizes=Sizes(
                validation_sizes.batch_size or sizes.batch_size, validation_sizes.steps
            ),
            shuffle=shuffle,
        )
        self.build_for_training(feed.data)
        with self._fitted_alone():
            return loop.fit(
                self,
                feed,
                validation,
                epochs=range(first, epochs),
                verbose=level,
                callbacks=hooks,
                validation_freq=every,
            )

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: list[Callback] | None = None,
        return_dict: bool = False,
        **keras: Any,
    ) -> Any:
        """Loss and metrics over all samples, or `steps` batches, without training.

        Takes what `fit` takes.

        Returns
        -------
        list of float
            [loss, *metrics]; a bare float without metrics; a dict by name with `return_dict=True`.

        Raises
        ------
        TypeError, ValueError
            As `fit`.
        FloatingPointError
            If the outputs are NaN or infinite; names the layer.
        """
        checks.expect_defaults(keras, {}, "evaluate()", MOVED)
        return_dict = checks.boolean(return_dict, "return_dict", "evaluate")
        self.expect_compiled("evaluate")
        sizes = Sizes.checked("evaluate", batch_size=batch_size, steps=steps)
        hooks = checked_callbacks(callbacks, "evaluate")
        level = checked_verbose(verbose, "evaluate")
        self._ready("evaluate")
        feed = feed_of(self, x, "evaluate", y, sample_weight, sizes=sizes)
        self.build_for(feed.data)
        self._announce(hooks, feed, level)
        logs = loop.evaluate(self, feed, verbose=level, callbacks=hooks, who="evaluate")
        return dict(sorted(logs.items())) if return_dict else _in_order(logs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: list[Callback] | None = None,
        **keras: Any,
    ) -> Array:
        """The model's output for every sample, in their order, or for `steps` batches.

        x is an array, or gives batches: x alone, (x,), or what `fit` takes, whose targets are left
        alone.

        Returns
        -------
        ndarray of shape (N, ...) in the model's float type

        Raises
        ------
        TypeError, ValueError
            For inputs that do not fit.
        FloatingPointError
            If the outputs are NaN or infinite; names the layer.
        """
        checks.expect_defaults(keras, {}, "predict()", MOVED)
        sizes = Sizes.checked("predict", batch_size=batch_size, steps=steps)
        hooks = checked_callbacks(callbacks, "predict")
        level = checked_verbose(verbose, "predict")
        self._expect_layers("predict")
        if hooks or inputs.gives_batches(x):  # an error comes before anything of the user's runs
            self._prepare()  # else with the network that predicts
        feed = feed_of(self, x, "predict", sizes=sizes)
        self.build_for(feed.data)
        self._announce(hooks, feed, level)
        return loop.predict(self, feed, verbose=level, callbacks=hooks)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step on one batch; loss and metrics of this batch, before the step, as `evaluate`.

        Raises as `fit`.
        """
        self.expect_compiled("train_on_batch")
        return_dict = checks.boolean(return_dict, "return_dict", "train_on_batch")
        data = self.checked_data(x, "train_on_batch", y, sample_weight, class_weight)
        data = inputs.weighted(self, data, class_weight, "train_on_batch")
        self.build_for_training(data)
        runner = self.runner(training=True)
        with single_threaded_blas():
            values = runner.step(self, inputs.Batch(data, np.arange(len(data))))
        means = runner.means()
        means.add(values)
        logs = means.logs()
        means.publish(self.metrics)
        return dict(sorted(logs.items())) if return_dict else _in_order(logs)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics of one batch, without training, as `evaluate` of this batch alone.

        Raises as `evaluate`.
        """
        self.expect_compiled("test_on_batch")
        return_dict = checks.boolean(return_dict, "return_dict", "test_on_batch")
        data = self.checked_data(x, "test_on_batch", y, sample_weight)
        self.build_for(data)
        logs = loop.evaluate(self, ArrayFeed(data, len(data)), who="test_on_batch")
        return dict(sorted(logs.items())) if return_dict else _in_order(logs)

    def predict_on_batch(self, x: Any) -> Array:
        """The model's output for one batch, as `predict` without its progress.

        Raises as `predict`.
        """
        self._expect_layers("predict_on_batch")
        data = inputs.checked(self, x, "predict_on_batch")
        self.build_for(data)
        return loop.predict(self, ArrayFeed(data, len(data)), who="predict_on_batch")

    @property
    def metrics_names(self) -> list[str]:
        """Names of the figures that `evaluate` lists, in their order: "loss", then the metrics.

        Raises ValueError before the model is compiled and built.
        """
        self.expect_compiled("metrics_names")
        self.expect_built("metrics_names")
        return ["loss", *(metric.name for metric in self.chosen_metrics(self.output_shape))]

    # -- arguments --------------------------------------------------------------------------------

    def _announce(self, hooks: list[Callback], feed: Feed, level: int) -> None:
        for hook in hooks:
            hook.set_model(self)
            hook.set_params({"verbose": level, "epochs": 1, "steps": feed.steps})

    def _expect_layers(self, who: str) -> None:
        if not self._items:
            raise ValueError(f"{who}: {self.who} has no layers; add some first")

    def _ready(self, who: str) -> None:
        self._expect_layers(who)
        self._prepare()

    def checked_data(self, x: Any, who: str, *targets: Any) -> inputs.Data:
        """The arguments of a call as `Data`; raises for a model without layers, too."""
        self._ready(who)
        return inputs.checked(self, x, who, *targets)


def _frequency(value: Any) -> int | list[int]:
    """The `validation_freq` argument."""
    if isinstance(value, (list, tuple)):
        every = "each number of validation_freq"
        return [checks.integer(one, every, "fit", minimum=1) for one in value]
    return checks.integer(value, "validation_freq", "fit", minimum=1)


def _in_order(logs: dict[str, float]) -> Any:
    values = list(logs.values())
    return values[0] if len(values) == 1 else values
