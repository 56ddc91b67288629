"""Live oracle: what PyTorch computes for the same weights, and what we do. (F2)

PyTorch means other things by some of the same words; each translation in `cases/` says which.
"""

from __future__ import annotations

import numpy as np
import pytest
from cases import Draw
from cases.layers import LAYERS, axes_of
from cases.losses import LOSSES as ALL_LOSSES
from cases.losses import examples, pair
from cases.optimizers import OPTIMIZERS
from counts import draws
from hypothesis import given
from hypothesis import strategies as st
from strategies import SEEDS, cases, error, every_kind, networks, within

from minicnn.layers import BatchNormalization
from minicnn.optimizers import SGD

torch = pytest.importorskip("torch", reason="PyTorch, the live oracle, is not installed")
F = torch.nn.functional
torch.set_num_threads(1)  # on work this small its threads only wait
# oneDNN's convolutions in 2.13 are wrong in float32 for some strides, (1, 4) of a 5x3 image with
# three channels a group: another result than PyTorch's own kernels and than its float64
torch.backends.mkldnn.enabled = False

LOSSES = examples()
LIMITS = {"float64": (1e-12, 1e-11), "float32": (1e-5, 3e-5)}  # forward, backward
either_type = st.sampled_from(sorted(LIMITS))


def tensor(array, *, learned=True):
    return torch.tensor(array, requires_grad=learned)


# -- layers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", every_kind, ids=lambda kind: kind.__name__)
@given(st.data(), either_type)
def test_layer(kind, data, dtype):
    """(F2) y, dx and the gradient of every parameter."""
    case = data.draw(cases(kind, "normal", "spaced"))
    layer, x = case.layer(dtype), case.x(dtype)
    params = {key: tensor(array) for key, array in layer.params.items()}
    given_x = tensor(x)
    their_y = LAYERS[kind].torch(torch, layer, params, given_x, case.training)
    y = case.forward(layer, x)
    forward, backward = LIMITS[dtype]
    assert y.shape == tuple(their_y.shape)
    within(forward, f"F2 {kind.__name__} {dtype}", error(y, their_y.detach(), 1.0))

    dy = case.dy(y)
    their_y.backward(torch.tensor(dy))
    dx = layer.backward(dy)
    largest = max(1.0, float(np.abs(x).max()))  # of the summands of dW
    within(backward, f"F2 {kind.__name__} {dtype} backward", error(dx, given_x.grad, 1.0))
    for key, array in layer.grads.items():
        off = error(array, params[key].grad, largest)
        within(backward, f"F2 {kind.__name__} {dtype} backward", off)


@given(cases(BatchNormalization))
def test_running_statistics(case):
    """Theirs take the variance with m - 1 below the line, ours with m."""
    layer, x = case.layer(), case.x()
    before = {key: array.copy() for key, array in layer.state.items()}
    mean, var = (
        tensor(before[f"moving_{key}"].ravel(), learned=False) for key in ("mean", "variance")
    )
    axes = axes_of(layer, x.shape)
    rows = torch.tensor(np.moveaxis(x, axes, range(-len(axes), 0)).reshape(-1, len(mean)))
    new, m = 1 - layer.momentum, len(rows)
    F.batch_norm(rows, mean, var, training=True, momentum=new, eps=layer.epsilon)
    layer.forward(x, training=True)
    kept = layer.momentum * before["moving_variance"].ravel()
    biased = kept + (var.numpy() - kept) * (m - 1) / m
    within(1e-12, "F2 moving_mean", error(layer.state["moving_mean"].ravel(), mean, 1.0))
    within(1e-12, "F2 moving_variance", error(layer.state["moving_variance"].ravel(), biased, 1.0))


# -- losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
@given(
    st.integers(1, 6),
    st.sampled_from([(), (1,), (3,)]),
    st.integers(1, 8),
    SEEDS,
    either_type,
    st.sampled_from([1.0, 30.0, 1e4]),
)
def test_loss(name, n, inner, classes, seed, dtype, scale):
    """(F2) the value of each sample and its gradient; logits of any size."""
    loss, rng = LOSSES[name], np.random.default_rng(seed)
    if ALL_LOSSES[type(loss)].targets != "numbers" and not loss.from_logits:
        classes += 1  # the probability of a single class is 1, which is clipped
    y, y_pred = pair(rng, loss, (n, *inner, classes))
    y_pred = (scale * y_pred if loss.from_logits else y_pred).astype(dtype)
    y = y.astype(dtype) if y.dtype.kind == "f" else y
    given_pred = tensor(y_pred)
    rows = given_pred.reshape(-1, classes)
    their_y = torch.tensor(y.reshape(-1, *y.shape[y_pred.ndim - 1 :]))
    values = ALL_LOSSES[type(loss)].torch(torch, loss, their_y, rows).reshape(n, -1).mean(dim=1)
    values.sum().backward()
    forward, backward = LIMITS[dtype]
    within(forward, f"F2 {name} {dtype}", error(loss.forward(y, y_pred), values.detach(), 1.0))
    off = error(loss.backward(y, y_pred), given_pred.grad, 1.0)
    within(backward, f"F2 {name} {dtype} backward", off)
    assert loss(y, y_pred) == pytest.approx(values.mean().item(), rel=forward, abs=forward)


# -- optimizers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.__name__)
@draws(300)
@given(st.integers(1, 10), SEEDS)
def test_optimizer(kind, steps, seed):
    """(F2) the parameters after each step."""
    ours, rng = kind(**OPTIMIZERS[kind].draw(Draw(seed))), np.random.default_rng(seed)
    w = rng.standard_normal(5)
    gradients = rng.choice([-1, 1], (steps, 5)) * rng.uniform(0.1, 2, (steps, 5))
    theirs = OPTIMIZERS[kind].torch(torch, ours, tensor(w.copy()), torch.tensor(gradients))
    for g, their_w in zip(gradients, theirs, strict=True):
        ours.update(w, g)
        within(1e-11, f"F2 {kind.__name__}", error(w, their_w, 1.0))


# -- whole networks -------------------------------------------------------------------------------


@draws(60)
@given(networks, st.integers(2, 40), either_type)
def test_network(network, n, dtype):
    """Loss, outputs and gradients of a step of training, shards and all, against autograd."""
    model = network.model(dtype)
    x, y = network.batch(n)
    x = x.astype(dtype)
    model.compile(SGD(0.0), network.loss)
    plain = network.model(dtype, logits=True)
    params = [{key: tensor(array) for key, array in layer.params.items()} for layer in plain.layers]
    z = torch.tensor(x)
    for layer, their_params in zip(plain.layers, params):
        z = LAYERS[type(layer)].torch(torch, layer, their_params, z, True)
    if network.loss == "mse":
        their_loss = F.mse_loss(z, torch.tensor(y.astype(dtype)))
    else:
        their_y = torch.tensor(y if y.ndim == 1 else y.astype(dtype))
        their_loss = F.cross_entropy(z, their_y)
    their_loss.backward()
    truth = np.concatenate([p.grad.numpy().ravel() for table in params for p in table.values()])

    loss = model.train_on_batch(x, y)
    forward, backward = LIMITS[dtype]
    within(forward, f"F2 networks {dtype}", error(loss, their_loss.item(), 1.0))
    off = error(model.flat_grads, truth, 1.0)
    within(backward, f"F2 networks {dtype} backward", off)
