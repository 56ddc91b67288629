"""Weights of a model from and to an nn.Sequential of the same layers in PyTorch.

    from_torch(model, network.state_dict())
    network.load_state_dict({k: torch.from_numpy(v) for k, v in to_torch(model).items()})

The numbers are the same, in another order. Images are (N, H, W, C) here and (N, C, H, W) there:

    layer                    here                          there
    Conv2D                   (K_h, K_w, C_in, C_out)       (C_out, C_in, K_h, K_w)
    DepthwiseConv2D          (K_h, K_w, C, M)              (C * M, 1, K_h, K_w), groups=C
    SeparableConv2D          the last two of these         two Conv2d, the first without a bias
    Conv2DTranspose          (K_h, K_w, C_out, C_in)       (C_in, C_out, K_h, K_w)
    Dense                    (in, units)                   (units, in)
    Dense on images          (in, units)                   (units, in, 1, 1), a Conv2d
    BatchNormalization       gamma, beta                   weight, bias
                             moving_mean, moving_variance  running_mean, running_var
    LayerNormalization       gamma, beta                   weight, bias
    GroupNormalization       gamma, beta                   weight, bias
    RMSNormalization         scale                         weight
    PReLU                    alpha                         weight

The trap is the Dense behind Flatten. A row of an image is read cell by cell here, with all channels
of a cell side by side, and channel by channel there. Each row of the kernel belongs to one number
of that row, so the kernel's rows have to be put into the other order, too; all shapes would fit
without it, and every prediction be wrong. The same holds for what has numbers for each place in the
row on its way (BatchNormalization, PReLU), and for the columns of a Dense whose row is made an
image by Reshape ((H, W, C) here, nn.Unflatten(1, (C, H, W)) there).

Settings are no part of a state_dict. Those that change predictions have other defaults there:
BatchNormalization, LayerNormalization and GroupNormalization have epsilon=1e-3 here and eps=1e-5
there, LeakyReLU 0.3 and 0.01.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn import layers as known
from minicnn.export.layers import EXPORTERS
from minicnn.export.orders import flattened
from minicnn.items import shapes_along
from minicnn.layers.base import Layer, Shape
from minicnn.layers.normalizing import axes_of
from minicnn.stack import Item, Stack

Array = NDArray[Any]

CHANNELS_FIRST = (0, 3, 1, 2)
COUNTER = "num_batches_tracked"  # of steps; neither side computes with it


@dataclass(frozen=True)
class Entry:
    """One array of a state_dict, and where its numbers are here.

    Attributes
    ----------
    layer : Layer
    module, name : str
        "3", "weight".
    key : str or None
        Of the layer's array; None where there is none, and the numbers are `there` for good.
    there : callable(array) -> array
        From the order here to that of PyTorch.
    back : callable(array) -> array
        The way back.
    values : ndarray
        The layer's array, or what stands for it.
    """

    layer: Layer
    module: str
    name: str
    key: str | None
    there: Callable[[Array], Array]
    back: Callable[[Array], Array]
    values: Array

    @property
    def array(self) -> Array:
        """A copy in PyTorch's order."""
        return np.array(self.there(self.values), order="C")


def to_torch(model: Stack, like: Mapping[str, Any] | None = None) -> dict[str, Array]:
    """All weights of a built model under the names that they have in PyTorch's nn.Sequential.

    Parameters
    ----------
    model : Sequential
        Built. A model inside it is an nn.Sequential inside the other.
    like : state_dict, optional
        Of the network that the weights are for: its names are taken, by position. Without it each
        layer is one module, as is an activation inside a layer, and SeparableConv2D is two; modules
        are counted from 0, which gives "0.weight".

    Returns
    -------
    dict of str to ndarray
        Copies in the model's float type: `{k: torch.from_numpy(v) for k, v in result.items()}` is
        what `load_state_dict` takes.

    Raises
    ------
    TypeError, ValueError
        For a model that is not built, for layers that PyTorch has no module for, and where `like`
        has other modules or shapes.
    """
    _expect_built(model, "to_torch")
    entries = list(_entries(model, "to_torch"))
    found = {(one.module, one.name): one.array for one in entries}
    if like is None:
        return {f"{module}.{name}": array for (module, name), array in found.items()}
    names = {
        (one.module, one.name): key for one, key, _ in _paired(entries, like, "to_torch", "like")
    }
    return {names[place]: array for place, array in found.items() if place in names}


def from_torch(model: Stack, state_dict: Mapping[str, Any]) -> None:
    """Set all weights of a built model from those of PyTorch's nn.Sequential of the same layers.

    Modules that have parameters and layers that have some are paired by position, so other modules
    in between do not matter. The head of this file says what becomes of which array, and which
    settings have to agree.

    Parameters
    ----------
    model : Sequential
        Built.
    state_dict : mapping of str to tensor or array
        `network.state_dict()`.

    Raises
    ------
    TypeError, ValueError
        For a model that is not built, layers that PyTorch has no module for, another number of
        modules, and arrays of other names, shapes or types. The model is then unchanged.
    """
    _expect_built(model, "from_torch")
    entries = list(_entries(model, "from_torch"))
    values: dict[tuple[int, str], Array] = {}
    for one, key, given in _paired(entries, state_dict, "from_torch", "state_dict"):
        name = f"state_dict[{key!r}]"
        if one.key is None:
            if not np.array_equal(given, one.array):
                raise ValueError(
                    f"from_torch: expected {name} to be {one.array.flat[0]:g} throughout, since "
                    f"{one.layer.who} has no array for it, received other numbers. Give it "
                    "center=True and scale=True"
                )
            continue
        checks.finite(given, name, "from_torch", dtype=one.values.dtype)
        values[id(one.layer), one.key] = one.back(given)
    model.set_weights(
        [
            values.get((id(layer), key), array)
            for layer in model.leaves
            for key, array in layer.arrays().items()
        ]
    )


def _expect_built(model: Any, who: str) -> None:
    if not isinstance(model, Stack):
        raise TypeError(
            f"{who}: expected model to be a Sequential of minicnn, received {checks.shown(model)}"
        )
    model.expect_built(who)
    model.gather()


# -- pairs ----------------------------------------------------------------------------------------


def _paired(
    entries: list[Entry], state_dict: Any, who: str, argument: str
) -> Iterator[tuple[Entry, str, Array]]:
    """Each entry with its name and its array in the state_dict, once all of them fit."""
    modules = _modules(state_dict, who, argument)
    ours: dict[str, list[Entry]] = {}
    for one in entries:
        ours.setdefault(one.module, []).append(one)
    if len(ours) != len(modules):
        here = ", ".join(one[0].layer.who for one in ours.values()) or "none"
        raise ValueError(
            f"{who}: expected {argument} to have {len(ours)} modules with parameters, one for each "
            f"of {here} (two for SeparableConv2D), received {len(modules)}: "
            f"{', '.join(map(repr, modules)) or 'none'}"
        )
    pairs = []
    for wanted, (module, given) in zip(ours.values(), modules.items()):
        prefix = f"{module}." if module else ""
        names = {one.name for one in wanted if one.key is not None}
        spare = {one.name for one in wanted} | {COUNTER}
        layer = wanted[0].layer
        if not names <= given.keys() <= spare:
            raise ValueError(
                f"{who}: expected {argument} to have {', '.join(sorted(names))} of module "
                f"{module!r}, which stands for {layer.who}, received "
                f"{', '.join(sorted(given))}. Use the same bias, affine and order of layers"
            )
        for one in wanted:
            if one.name not in given:
                continue
            key = f"{prefix}{one.name}"
            array, name = one.array, f"{argument}[{key!r}]"
            if one.name != COUNTER:
                array = _array(given[one.name], name, who)
            if array.shape != one.array.shape:
                raise ValueError(
                    f"{who}: expected {name} of shape {one.array.shape}, which is "
                    f"{layer.who}'s {one.key or one.name} of shape {one.values.shape} here, "
                    f"received {array.shape}"
                )
            pairs.append((one, key, array))
    yield from pairs


def _modules(state_dict: Any, who: str, argument: str) -> dict[str, dict[str, Any]]:
    """The arrays of each module by their names, in the order of the modules."""
    if not isinstance(state_dict, Mapping):
        way_out = ". Write network.state_dict()" if hasattr(state_dict, "state_dict") else ""
        raise TypeError(
            f"{who}: expected {argument} to be a state_dict, a dict of names and tensors or "
            f"arrays, received {type(state_dict).__name__}{way_out}"
        )
    modules: dict[str, dict[str, Any]] = {}
    for key, value in state_dict.items():
        module, _, name = checks.text(key, f"each name of {argument}", who).rpartition(".")
        modules.setdefault(module, {})[name] = value
    if all(part.isdecimal() for module in modules for part in module.split(".")):
        # of an nn.Sequential: a file may have them in the order of the alphabet, 10 before 2
        numbers = {module: [int(part) for part in module.split(".")] for module in modules}
        modules = {module: modules[module] for module in sorted(modules, key=numbers.__getitem__)}
    return modules


def _array(value: Any, name: str, who: str) -> Array:
    if hasattr(value, "detach"):
        try:
            value = value.detach().cpu().numpy()
        except TypeError as error:  # bfloat16, which NumPy does not have
            raise TypeError(
                f"{who}: expected {name} to be a tensor of float32 or float64, received one that "
                f"NumPy cannot hold: {error}. Write tensor.float()"
            ) from error
    return checks.numeric(value, name, who)


# -- what a layer is there ------------------------------------------------------------------------


def _entries(model: Stack, who: str) -> Iterator[Entry]:
    """All arrays of the state_dict, in its order."""
    walked = list(_with_modules(model.layers))
    shape, rows = model.input_shape, None
    for place, (layer, module) in enumerate(walked):
        if type(layer) not in EXPORTERS and not isinstance(layer, known.ActivationLayer):
            raise TypeError(
                f"{who}: expected layers of minicnn.layers, received {layer.who}, of which it is "
                "not known what it is in PyTorch. Take the others: Sequential(model.layers[:k])"
            )
        (_, y_shape) = shapes_along([layer], shape)
        behind = _rows_behind(layer, shape, rows, walked[place + 1 :], y_shape, who)
        yield from _arrays(layer, module, shape, rows, behind, who)
        shape, rows = y_shape, behind


def _with_modules(items: list[Item], prefix: str = "") -> Iterator[tuple[Layer, str]]:
    """Each layer that computes, and the name of its module."""
    number = 0
    for item in items:
        module = f"{prefix}{number}"
        number += 1
        if isinstance(item, Stack):
            yield from _with_modules(item.layers, f"{module}.")
            continue
        yield item, module
        number += isinstance(item, known.SeparableConv2D)
        inside = None if isinstance(item, known.Activation) else getattr(item, "activation", None)
        number += inside is not None and type(inside) is not known.Linear


def _rows_behind(
    layer: Layer,
    shape: Shape,
    rows: Array | None,
    above: list[tuple[Layer, str]],
    y_shape: Shape,
    who: str,
) -> Array | None:
    """Number k of a row there is number result[k] of the row that leaves the layer here."""
    if isinstance(layer, known.Dense) and len(y_shape) == 2:
        return _rows_wanted(above, y_shape)
    if isinstance(layer, (known.Flatten, known.Reshape)) and y_shape != shape:
        if len(y_shape) == 2:
            return _rows_of_images(shape) if len(shape) > 2 else rows
        if len(shape) == 2:
            if not _same(rows, _rows_of_images(y_shape)):
                raise _otherwise(layer, shape, who)
        elif 4 in (len(shape), len(y_shape)):
            raise _otherwise(layer, shape, who)
        return None
    if rows is not None and len(y_shape) != 2:
        raise _otherwise(layer, shape, who)
    return rows if len(y_shape) == len(shape) == 2 else None


def _rows_wanted(above: list[tuple[Layer, str]], shape: Shape) -> Array | None:
    """The order in which a row has to leave a Dense, by the layers behind it."""
    for layer, _ in above:
        (_, y_shape) = shapes_along([layer], shape)
        if isinstance(layer, known.Dense):
            return None
        if len(y_shape) != 2:
            return _rows_of_images(y_shape) if isinstance(layer, known.Reshape) else None
    return None


def _rows_of_images(shape: Shape) -> Array | None:
    return flattened(shape[1:], CHANNELS_FIRST) if len(shape) == 4 else None


def _same(a: Array | None, b: Array | None) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


def _otherwise(layer: Layer, shape: Shape, who: str) -> ValueError:
    return ValueError(
        f"{who}: expected only Flatten, and Reshape of what a Dense gives, to make rows of images "
        f"and images of rows, received {layer.who} on {shape}, which puts the numbers into another "
        "order in PyTorch, where channels come first"
    )


def _arrays(
    layer: Any, module: str, shape: Shape, rows: Array | None, behind: Array | None, who: str
) -> Iterator[Entry]:
    """The arrays of one layer's module, or of its two."""
    held = layer.arrays()

    def entry(name: str, key: str, there: Any, back: Any, part: str = module) -> Entry:
        return Entry(layer, part, name, key, there, back, held[key])

    def vector(name: str, key: str, order: Array | None = None) -> Entry:
        """One number for each channel or each number of a row."""
        if order is None or held[key].size == 1:
            return entry(name, key, np.ravel, lambda a: a.reshape(held[key].shape))
        return entry(name, key, lambda a: a[order], lambda a: a[np.argsort(order)])

    if isinstance(layer, (known.Conv2D, known.Conv2DTranspose)):
        # (K_h, K_w, C_in / groups, C_out), or (K_h, K_w, C_out, C_in): the last axis comes first
        yield entry("weight", "W", lambda a: a.transpose(3, 2, 0, 1), _kernel_back)
    elif isinstance(layer, known.DepthwiseConv2D):
        yield entry("weight", "W", _depthwise, lambda a: _depthwise_back(a, held["W"].shape))
    elif isinstance(layer, known.SeparableConv2D):
        D = held["depthwise_kernel"].shape
        yield entry("weight", "depthwise_kernel", _depthwise, lambda a: _depthwise_back(a, D))
        first, _, number = module.rpartition(".")
        module = f"{first}.{int(number) + 1}" if first else str(int(number) + 1)
        P = "pointwise_kernel"
        yield entry("weight", P, lambda a: a.transpose(3, 2, 0, 1), _kernel_back, module)
    elif isinstance(layer, known.Dense):
        yield _dense_weight(layer, module, shape, rows, behind)
    elif isinstance(layer, known.RMSNormalization):
        yield _scaled(layer, module, "weight", "scale", shape, rows, who)
        return
    elif isinstance(layer, known.LayerNormalization):
        yield from _both(
            layer, module, [_scaled(layer, module, *one, shape, rows, who) for one in _of(held)]
        )
        return
    elif isinstance(layer, (known.BatchNormalization, known.GroupNormalization)):
        _expect_channels(layer, shape, rows, who)
        yield from _both(layer, module, [vector(*one, rows) for one in _of(held)])
        if isinstance(layer, known.BatchNormalization):
            yield vector("running_mean", "moving_mean", rows)
            yield vector("running_var", "moving_variance", rows)
            yield _fixed(layer, module, COUNTER, np.zeros((), np.int64))
        return
    elif isinstance(layer, known.PReLU):
        alpha = held["alpha"]
        if alpha.size not in (1, alpha.shape[-1]):
            raise ValueError(
                f"{who}: expected one alpha, or one for each channel, as nn.PReLU has them, "
                f"received {layer.who} with alpha of shape {alpha.shape}. Write shared_axes="
                f"{list(range(1, alpha.ndim))}"
            )
        yield vector("weight", "alpha", rows)
    elif held:
        raise ValueError(
            f"{who}: expected layers that PyTorch has a module for, received {layer.who}, whose "
            f"{', '.join(held)} it has no place for. Take the others: Sequential(model.layers[1:]) "
            "shares their weights"
        )
    if "b" in held:
        order = behind if isinstance(layer, known.Dense) else None
        bias = vector("bias", "b", order)
        yield Entry(layer, module, "bias", "b", bias.there, bias.back, held["b"])


def _kernel_back(array: Array) -> Array:
    return array.transpose(2, 3, 1, 0)


def _depthwise(W: Array) -> Array:
    K_h, K_w, C, M = W.shape
    return W.transpose(2, 3, 0, 1).reshape(C * M, 1, K_h, K_w)


def _depthwise_back(array: Array, shape: tuple[int, ...]) -> Array:
    K_h, K_w, C, M = shape
    return array.reshape(C, M, K_h, K_w).transpose(2, 3, 0, 1)


def _dense_weight(
    layer: Layer, module: str, shape: Shape, rows: Array | None, behind: Array | None
) -> Entry:
    W = layer.arrays()["W"]
    n_in, units = W.shape
    into = np.arange(n_in) if rows is None else rows
    out = np.arange(units) if behind is None else behind
    wide = (1, 1) if len(shape) == 4 else ()

    def there(a: Array) -> Array:
        return a[np.ix_(into, out)].T.reshape(units, n_in, *wide)

    def back(a: Array) -> Array:
        return a.reshape(units, n_in).T[np.ix_(np.argsort(into), np.argsort(out))]

    return Entry(layer, module, "weight", "W", there, back, W)


def _of(held: dict[str, Array]) -> list[tuple[str, str]]:
    """Those of gamma and beta that there are, with their names in PyTorch."""
    return [pair for pair in (("weight", "gamma"), ("bias", "beta")) if pair[1] in held]


def _both(layer: Any, module: str, entries: list[Entry]) -> list[Entry]:
    """Weight and bias, of which PyTorch has both or none: ones and zeros for the one not here."""
    if len(entries) != 1:
        return entries
    (only,) = entries
    if only.name == "weight":
        return [only, _fixed(layer, module, "bias", np.zeros_like(only.array))]
    return [_fixed(layer, module, "weight", np.ones_like(only.array)), only]


def _fixed(layer: Layer, module: str, name: str, values: Array) -> Entry:
    return Entry(layer, module, name, None, np.asarray, np.asarray, values)


def _scaled(
    layer: Any, module: str, name: str, key: str, shape: Shape, rows: Array | None, who: str
) -> Entry:
    """Gamma or beta of the axes of a sample: those of images have the channels first there."""
    values = layer.arrays()[key]
    if len(shape) == 4:
        axes = axes_of(layer.axis, shape, layer.who)
        if axes in ((1, 3), (2, 3)):
            raise ValueError(
                f"{who}: expected axes that lie beside each other in PyTorch, too, received "
                f"{layer.who} with axis={layer.axis}"
            )
        if axes == (1, 2, 3):
            first, last = (2, 0, 1), (1, 2, 0)
            return Entry(
                layer,
                module,
                name,
                key,
                lambda a: a.transpose(first),
                lambda a: a.transpose(last),
                values,
            )
    elif rows is not None:
        places = np.argsort(rows)
        return Entry(layer, module, name, key, lambda a: a[rows], lambda a: a[places], values)
    return Entry(layer, module, name, key, np.asarray, np.asarray, values)


def _expect_channels(layer: Any, shape: Shape, rows: Array | None, who: str) -> None:
    """Raise ValueError unless the layer's channels are those that its module has in PyTorch."""
    if layer.axes_in(shape) != (len(shape) - 1,):
        raise ValueError(
            f"{who}: expected the last axis to be that of the channels, received {layer.who} with "
            f"axis={layer.axis}"
        )
    if isinstance(layer, known.GroupNormalization) and rows is not None:
        raise ValueError(
            f"{who}: expected GroupNormalization on channels, received {layer.who} behind Flatten, "
            "where PyTorch's groups hold other numbers"
        )
