"""Verdicts on inputs, units, gradients and steps, and the thresholds that they rest on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.diagnosis.classes import Classes
from minicnn.diagnosis.measure import STEPS, Kernel, Steps, Units, Walk, equal_units
from minicnn.diagnosis.result import Fact, Problem
from minicnn.models import Sequential

Array = NDArray[Any]

# Initializers expect inputs whose root mean square is about 1: standardized ones have 1, pixels
# from 0 to 1 have 0.1 to 0.7, pixels from 0 to 255 some 100.
LARGE_INPUTS = 10.0
SMALL_INPUTS = 0.02  # of the largest: pixels divided by 255 twice reach 0.004
# Times log(classes), and 0.5. He's and Glorot's weights mostly stay below 1.5 times; behind a batch
# normalization, one of 150 healthy models of four classes reached 2.4 times.
FIRST_LOSS = 3.0
# Of a layer's units. Where samples are much alike, up to half of the units answer to none of them
# from the start and the others learn well: small healthy layers were seen with 10 of 16.
DEAD = 0.8
SATURATED = 0.5  # of a layer's outputs: a trained unit may be sure of itself for many samples
# Lowest layer's to the largest, root mean squares: ten sigmoids in a row make (1/4)^10 = 1e-6;
# healthy networks of that depth stay above 1e-3.
VANISHING = 1e-5
EXPLODING = 100.0  # norm of the whole gradient; 0.1 to 10 where inputs and weights are in scale
# Norm of an update by that of the weights. About 1e-3 is usual; at 0.5 two steps replace a layer.
LARGE_UPDATE = 0.5
SMALL_UPDATE = 5e-5  # 20,000 steps to move by the size of the weights
GROWN = 2.0  # times the first loss, or that of guessing, in steps on one and the same batch
HARDLY_FALLEN = 0.01  # of the first loss, in ten steps on one and the same batch
ROUNDING = 1e-3  # of sums of probabilities; float32 and many classes stay far below
NOT_LEARNED = 0.5  # of log(classes): below, small steps may be what the end of training needs


def inputs_fact(x: Array) -> Fact:
    low, high = x.min(), x.max()
    mean, deviation = x.mean(dtype=np.float64), x.std(dtype=np.float64)
    return Fact(
        "inputs",
        f"Inputs: {len(x)} samples of shape {x.shape[1:]}, from {low:.3g} to {high:.3g}, mean "
        f"{mean:.3g}, standard deviation {deviation:.3g}.",
    )


def judged(
    model: Sequential,
    walked: Walk,
    steps: Steps,
    classes: Classes | None,
    spread: float | None,
    *,
    trained: bool,
) -> Iterator[Fact | Problem]:
    """Facts and problems; `spread` is that of a regression's targets.

    What follows from a problem that was named is not held against the training again.
    """
    yield from _step_facts(model, walked, steps, classes, trained)
    wrong_inputs = list(_inputs(walked, steps, classes, trained))
    yield from wrong_inputs
    broken = [*_outputs(model, walked.outputs), *_equal(model), *_units(walked.units)]
    yield from broken
    if steps.failed and not wrong_inputs:
        yield Problem(
            "not_finite",
            f"training a copy ended after {len(steps.losses)} steps: {steps.failed}",
            "Numbers have grown beyond what the float type holds.",
            "A learning rate ten times smaller, clipnorm=1.0 in the optimizer, he_normal or "
            "glorot_uniform weights.",
        )
    if wrong_inputs or not steps.losses:
        return
    first = steps.losses[0]
    cross = "crossentropy" in str(getattr(model.loss, "name", ""))
    guess = classes.log if classes is not None and cross else None
    large = guess is not None and not (trained or broken) and first > FIRST_LOSS * guess + 0.5
    limit = EXPLODING * (spread or 1.0)
    exploding = steps.norm > limit
    if exploding:
        worst = max(steps.kernels, key=lambda one: one.gradient, default=None)
        yield Problem(
            "exploding_gradients",
            f"the norm of the gradient is {steps.norm:.3g}"
            + (f", most of it in {worst.layer} ({worst.gradient:.3g})" if worst else "")
            + "; 0.1 to 10 are usual",
            "Each layer makes the gradient larger on its way back, so one step throws the weights "
            "far away.",
            "he_normal or glorot_uniform weights, batch normalization, clipnorm=1.0 in the "
            "optimizer.",
            () if worst is None else (worst.layer,),
        )
    if large:
        yield Problem(
            "first_loss_too_large",
            f"the loss before training is {first:.3g}; a model that knows nothing should have "
            f"about log({classes.count if classes else 0}) = {guess:.3g}",
            "The first outputs are large and wrong: the weights of the layers, the last one above "
            "all, are too large.",
            "The default initializers (glorot_uniform, or he_normal before ReLU); batch "
            "normalization.",
        )
    if not broken and not exploding:
        yield from _vanishing(steps.kernels)
    if trained or not (exploding or large):
        yield from _rate(model, steps, guess, broken=bool(broken))


def _step_facts(
    model: Sequential, walked: Walk, steps: Steps, classes: Classes | None, trained: bool
) -> Iterator[Fact]:
    if steps.losses:
        when = f"after {model.optimizer.iterations} steps" if trained else "before training"
        beside = "" if classes is None else f"; log({classes.count}) is {classes.log:.3g}"
        yield Fact("first_loss", f"Loss {when}: {steps.losses[0]:.3g}{beside}.")
    for one in walked.units:
        if one.kind == "relu":
            yield Fact("units", f"{one.layer}: {one.dead} of {len(one.largest)} ReLUs are dead.")
        else:
            yield Fact("units", f"{one.layer}: {one.share_saturated:.0%} of {one.kind} saturated.")
    for each in steps.kernels:
        yield Fact(
            "gradients",
            f"{each.layer}: gradient {each.gradient:.2g}, weights {each.weight:.2g} (norms); a "
            f"step changes the weights by {each.ratio:.2g} of their size.",
        )


def _inputs(
    walked: Walk, steps: Steps, classes: Classes | None, trained: bool
) -> Iterator[Problem]:
    x = walked.first
    if x is None or walked.normalized or not x.size:
        return
    size, largest = float(np.sqrt(np.mean(x**2))), float(np.abs(x).max())
    if size > LARGE_INPUTS:
        said = ""
        if steps.losses and not trained:
            said = f"; the first loss is {steps.losses[0]:.3g}"
            said += f" where log({classes.count}) = {classes.log:.3g} is due" if classes else ""
        yield Problem(
            "inputs_not_scaled",
            f"what reaches the first layer with weights goes up to {largest:.3g}, root mean square "
            f"{size:.3g}{said}",
            "Weights are initialized for inputs of about 1. Larger ones make the first outputs, "
            "the first loss and the first gradients larger by as much, and the first steps throw "
            "the weights far away.",
            "x / 255 for pixels (or a Rescaling(1 / 255) layer first), else (x - mean) / std (or "
            "a Normalization layer, adapted).",
        )
    elif largest < SMALL_INPUTS:
        yield Problem(
            "inputs_too_small",
            f"what reaches the first layer with weights goes up to {largest:.3g} only",
            "Inputs were scaled twice, or not as the model expects: beside its biases it hardly "
            "sees them, and learns slowly.",
            "Scale once: pixels to 0 ... 1, other inputs to mean 0 and standard deviation 1. Look "
            "for x / 255 in the program and a Rescaling layer in the model.",
        )


def _outputs(model: Sequential, outputs: Array) -> Iterator[Problem]:
    """Outputs that a cross-entropy takes for probabilities, and that are none."""
    loss: Any = model.loss
    if loss.from_logits is not False or "crossentropy" not in loss.name or not outputs.size:
        return
    low, high = float(outputs.min()), float(outputs.max())
    sums = outputs.sum(axis=loss.axis) if loss.joint else np.ones(1)
    off = float(np.abs(sums - 1).max())
    if low >= 0 and high <= 1 + ROUNDING and off <= ROUNDING:
        return
    sums_said = f", in sums of {sums.min():.3g} to {sums.max():.3g}" if loss.joint else ""
    yield Problem(
        "outputs_not_probabilities",
        f"outputs from {low:.3g} to {high:.3g}{sums_said}, and {loss.name} takes probabilities",
        "The loss of such outputs is clipped and divided until it means little: the model learns "
        "slowly, or not at all.",
        f"activation={loss.activation!r} in the last layer, or from_logits=True in the loss.",
    )


def _equal(model: Sequential) -> Iterator[Problem]:
    if names := equal_units(model):
        yield Problem(
            "units_identical",
            f"all units of {', '.join(names)} have the same weights",
            "They compute the same and get the same gradient, so they stay the same: each layer "
            "is as good as one unit, and with zeros nothing moves at all.",
            "A random initializer: the default glorot_uniform, or he_normal before ReLU. Zeros "
            "are for biases.",
            tuple(names),
        )


def _units(units: list[Units]) -> Iterator[Problem]:
    dead = [one for one in units if one.dead > DEAD * len(one.largest)]
    if dead:
        counts = ", ".join(f"{one.layer} ({one.dead} of {len(one.largest)})" for one in dead)
        yield Problem(
            "dead_relus",
            f"ReLUs that are 0 for every sample: {counts}",
            "A dead ReLU passes no gradient back, so its weights do not change any more. A step "
            "that was too long pushes biases far below 0.",
            "A smaller learning rate, he_normal weights and zero biases, LeakyReLU, or batch "
            "normalization before the ReLU. Begin anew: dead units do not come back.",
            tuple(one.layer for one in dead),
        )
    saturated = [one for one in units if one.chunks and one.share_saturated > SATURATED]
    if saturated:
        shares = ", ".join(f"{one.layer} ({one.share_saturated:.0%})" for one in saturated)
        yield Problem(
            "saturated_units",
            f"{', '.join(sorted({one.kind for one in saturated}))} at its ends, where its slope is "
            f"gone: {shares} of the outputs",
            "Almost no gradient gets through a flat piece of the curve, so the layers below learn "
            "next to nothing.",
            "glorot_uniform weights, scaled inputs, a smaller learning rate, batch normalization "
            "before the activation, or ReLU.",
            tuple(one.layer for one in saturated),
        )


def _vanishing(kernels: list[Kernel]) -> Iterator[Problem]:
    largest = max((one.rms for one in kernels), default=0.0)
    small = [one for one in kernels if one.rms < VANISHING * largest]
    if small:
        sizes = ", ".join(f"{one.layer} ({one.rms:.1g})" for one in small)
        yield Problem(
            "vanishing_gradients",
            f"root mean square of the gradient by a weight: {sizes}; the largest of a layer is "
            f"{largest:.1g}",
            "Each layer makes the gradient smaller on its way back, and the first layers learn "
            "next to nothing.",
            "ReLU in the place of sigmoid and tanh, he_normal weights, batch normalization, "
            "fewer layers.",
            tuple(one.layer for one in small),
        )


def _rate(
    model: Sequential, steps: Steps, guess: float | None, *, broken: bool
) -> Iterator[Problem]:
    losses, ratios = steps.losses, [one.ratio for one in steps.kernels if one.weight]
    rate = model.optimizer.learning_rate
    first, peak = losses[0], max(losses)
    grown = peak > GROWN * max(first, guess or 0.0)
    if grown or (ratios and np.median(ratios) > LARGE_UPDATE):
        yield Problem(
            "learning_rate_too_large",
            f"at a learning rate of {rate:.2g}, {len(losses)} steps on one batch took its loss "
            f"from {first:.3g} to {peak:.3g} at its peak; one step changes the weights by "
            f"{max(ratios, default=0):.2g} of their size",
            "The steps jump over the valley instead of descending into it.",
            "A learning rate three to ten times smaller; minicnn.tuning.find_learning_rate "
            "suggests one.",
        )
        return
    scheduled = not isinstance(vars(model.optimizer).get("learning_rate"), float)
    small = bool(ratios) and max(ratios) < SMALL_UPDATE
    still = first - min(losses) < HARDLY_FALLEN * abs(first)
    unlearned = guess is not None and first > NOT_LEARNED * guess
    if small and still and unlearned and not scheduled and not broken and len(losses) == STEPS:
        yield Problem(
            "learning_rate_too_small",
            f"at a learning rate of {rate:.2g} a step changes the weights by at most "
            f"{max(ratios):.1g} of their size; {STEPS} steps on one batch took its loss from "
            f"{first:.4g} to {min(losses):.4g}",
            "About a thousandth is usual. At this rate learning takes far too many epochs.",
            "A learning rate ten to a hundred times larger; minicnn.tuning.find_learning_rate "
            "suggests one.",
        )
