"""The training loop without everything that makes it fast or safe: read this one first.

    y_pred   = the layers' forward, first to last
    loss     = mean of the samples' losses, and the penalties of regularizers
    gradient = the layers' backward, last to first, from dL/dy_pred / B, and the penalties'
    w        = the optimizer's step along the gradient, then held to the constraints

`model.fit` does the same on several threads, takes back a step that fails, and calls callbacks. On
one shard (a batch of at most 8) and with `jit_compile=False` its weights are equal to the last bit
(`tests/test_plain_loop.py`), save that behind a softmax `fit` computes the loss from the logits.

Which array is which:

    layer.params["W"]        a view into model.flat_params, the one vector of all parameters
    layer.grads["W"]         a view into model.flat_grads, in the same order; backward fills it
    a worker's params["W"]   in `fit`: the very same view, which all workers read
    a worker's grads["W"]    in `fit`: a view into the worker's own vector; the sum of the workers'
                             vectors becomes model.flat_grads, and the optimizer reads that
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def fit(model: Any, x: Array, y: Array, batch_size: int = 32, epochs: int = 1) -> list[float]:
    """Train a built and compiled model; returns the mean loss of each epoch.

    >>> from minicnn import Sequential
    >>> from minicnn.layers import Dense
    >>> from minicnn.optimizers import SGD
    >>> x = np.linspace(-1, 1, 16, dtype="float32").reshape(16, 1)
    >>> model = Sequential([Dense(1, input_shape=(1,), kernel_initializer="zeros")])
    >>> model.compile(SGD(0.2), "mse")
    >>> first, *_, last = fit(model, x, 3 * x, batch_size=4, epochs=30)
    >>> last < first / 10
    True
    """
    history = []
    parts = model.trainable_parts
    paths = model.store.paths(parts)
    penalized, constrained = (model.store.ruled(t, parts) for t in ("regularizers", "constraints"))
    for _ in range(epochs):
        order, losses = model.rng.permutation(len(x)), []
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            for layer in model.leaves:
                layer.seek(model.steps_taken, 0)  # dropout has other masks in each step
            y_pred = model.forward(x[rows], training=True)
            penalty = sum(model.losses)
            losses.extend(model.loss.forward(y[rows], y_pred) + penalty)
            dy = model.loss.backward(y[rows], y_pred) / y_pred.dtype.type(len(rows))
            model.backward(dy)  # fills flat_grads
            for one in penalized:
                one.add_gradient(model.flat_params, model.flat_grads)
            model.optimizer.update(model.flat_params, model.flat_grads, parts, paths)
            for one in constrained:
                one.constrain(model.flat_params)
            model.steps_taken += 1
        history.append(float(np.mean(losses)))
    model.optimizer.finalize(model.flat_params, parts)
    return history
