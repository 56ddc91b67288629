"""The items of a stack, layers and models that serve as layers: opened, checked, rolled back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minicnn import checks
from minicnn.layers import contents
from minicnn.layers.base import Layer, Shape
from minicnn.layers.changes import note_change
from minicnn.layers.input import InputLayer
from minicnn.layers.subclassing import checked_init
from minicnn.subclasses import of_the_user
from minicnn.weights import HasWeights

if TYPE_CHECKING:
    from minicnn.stack import Item, Stack


def leaves_of(items: list[Item]) -> list[Layer]:
    """The layers that compute: the items, with nested models opened."""
    return [leaf for item in items for leaf in ([item] if isinstance(item, Layer) else item.leaves)]


def stacks_of(item: Item) -> list[Stack]:
    """The model `item` and all models inside it; none of a layer."""
    if isinstance(item, Layer):
        return []
    return [item, *(stack for inner in item.layers for stack in stacks_of(inner))]


def shapes_along(leaves: list[Layer], input_shape: Shape) -> list[Shape]:
    """Input shape of each layer, and the output shape of the last one."""
    shapes = [input_shape]
    for layer in leaves:
        shapes.append(tuple(layer.output_shape(shapes[-1])))
    return shapes


def fits(leaves: list[Layer], input_shape: Shape) -> bool:
    """Whether the layers take inputs of that shape."""
    try:
        shapes_along(leaves, input_shape)
    except (TypeError, ValueError):
        return False
    return True


def checked_items(layers: list[Any], stack: Stack) -> tuple[InputLayer | None, list[Item]]:
    """The `Input` among layers that are to be added, and the others.

    Raises ValueError for what is no layer, or has no place on top of `stack`.
    """
    for layer in layers:
        if not isinstance(layer, HasWeights):
            raise ValueError(f"{stack.who}: {not_a_layer(layer)}")
        if isinstance(layer, Layer):
            checked_init(layer)
    given = [layer for layer in layers if isinstance(layer, InputLayer)]
    first = stack.declared_input is None and not stack.layers
    if given and not (first and len(given) == 1 and layers[0] is given[0]):
        raise ValueError(f"{stack.who}: expected Input to come first and once")
    items = [layer for layer in layers if not isinstance(layer, InputLayer)]
    expect_new(items, stack)
    return (given[0] if given else None), items


def expect_new(items: list[Item], stack: Stack) -> None:
    """Raise ValueError unless all `items` have names and layers that `stack` has not yet."""
    names = {other.name for other in stack.layers}
    here = set(map(id, stack.leaves))
    for item in items:
        if item.name in names:
            raise ValueError(
                f"{stack.who}: expected all layers to have unique names, received a second "
                f"'{item.name}'"
            )
        if item is stack or stack in stacks_of(item):
            raise ValueError(f"{stack.who}: expected a layer or another model, received itself")
        leaves = leaves_of([item])
        if not leaves:
            raise ValueError(
                f"{stack.who}: expected layer to be a model with layers, received {item!r}"
            )
        for leaf in leaves:
            if id(leaf) in here:
                raise ValueError(
                    f"{stack.who}: expected each layer once, received {leaf.who} a second time, "
                    f"inside {item.who}. Layers may be shared between models, not within one"
                )
        names.add(item.name)
        here.update(map(id, leaves))


def not_a_layer(given: Any) -> str:
    """What to say where a layer belongs."""
    package = type(given).__module__.partition(".")[0]
    if isinstance(given, type):
        way_out = f"That is the class: make an object of it, {given.__name__}(...)"
    elif hasattr(given, "call") and of_the_user(type(given)):
        way_out = (
            f"That is {type(given).__name__} of the package {checks.shown(package)}: import it "
            "from minicnn.layers"
        )
    else:
        way_out = "Own layers have to subclass minicnn.layers.Layer"
    return f"expected a layer such as Dense(10), received {checks.shown(given)}. {way_out}"


@contextlib.contextmanager
def unchanged_on_error(stack: Stack, items: list[Item]) -> Iterator[None]:
    """Whatever is raised within, Ctrl-C too, leaves the stack and `items` unchanged."""
    inside = contents.layers_inside(leaves_of(items))
    stacks = [stack, *(inner for item in items for inner in stacks_of(item))]
    held = [part for one in stacks for part in (vars(one), vars(one.store))]
    held += [part for one in inside for part in (vars(one), one.params, one.grads, one.state)]
    before = [dict(part) for part in held]
    random = [(one.rng.bit_generator, one.rng.bit_generator.state) for one in stacks]
    try:
        yield
    except BaseException:
        for part, content in zip(held, before):
            part.clear()
            part.update(content)
        note_change()
        for bits, state in random:
            bits.state = state
        raise
