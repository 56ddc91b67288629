"""Are the engine's own gradients right: those of float32, fused stages and shards?

Differences need float64, in which no fused stage runs. So they confirm the gradient of the layers,
to which that of a step of `fit`, on the same batch and in the model's own float type, is then held.

How much float32 may round is measured, not guessed: the layers are walked in float64 with noise on
all that they hand on to each other, up and down, and on what they keep: at most `NOISE` of the
largest number, some ten times what products summed in float32 are off. The engine may differ by
twice what that makes of a gradient, and by `TOLERANCE` of its largest number in any case.

Near a kink, rounding may close a ReLU or move an argmax, which changes a gradient as much as a
mistake would. Noise does that, too: a sample whose dx it makes jump is left out, with weight 0, and
if something is wrong, it has to be wrong on several inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.random import Generator

from minicnn.engine.blas import single_threaded_blas
from minicnn.engine.lanes import Lane, alone, backward_in_phases, forward_in_phases
from minicnn.gradcheck.copies import move_apart, unchanged
from minicnn.gradcheck.differences import multiple
from minicnn.gradcheck.result import CheckResult, Mistake, TensorCheck
from minicnn.gradcheck.subjects import Gradients, ModelSubject, as_type, gradients, named_gradients
from minicnn.inputs import Data
from minicnn.layers.base import Array, Layer
from minicnn.layers.contents import OF_ONE_PASS, layers_inside
from minicnn.training.step import Runner

NOISE = 4e-6
TOLERANCE = 1e-4  # a tenth of the thousandth that is to be found
JUMP = 100 * NOISE  # of a sample's largest dx
WALKS = 5  # with noise
DRAWS = 4  # inputs that are tried
FEWEST = 0.2  # part of the samples that has to be left
ROUNDING = 2.0**-23


def check_engine(subject: ModelSubject, dy: Array, names: list[str], rng: Generator) -> CheckResult:
    """The gradients of <dy, losses> by these parameters, which are right in `subject`; problems, of
    the kind "engine", say which step is wrong.
    """
    engine = _Engine(subject, dy[: len(subject.x)], rng)
    why = "not compared: rounding changes most samples' too much"
    result = CheckResult(f"{engine.title}, {why}", ())
    for draw in range(DRAWS):
        with unchanged(*subject.tensors.values()):
            if draw:
                move_apart(subject.x, rng)
            for tensor in subject.tensors.values():
                tensor[...] = tensor.astype(subject.dtype)
            engine.model.flat_params[...] = subject.model.flat_params
            steady, shaken = engine.shake()
            if steady.mean() >= (1 if engine.mixes and draw < DRAWS - 1 else FEWEST):
                result = engine.compare(steady, shaken, names)
                if result.ok:
                    break
    return result


class _Engine:
    """The engine's way through a model, beside that of `subject`, on the same numbers."""

    def __init__(self, subject: ModelSubject, dy: Array, rng: Generator) -> None:
        self.subject, self.dy, self.rng = subject, dy, rng
        self.model = as_type(subject.model, subject.dtype)
        self.runner = Runner(self.model, subject.given, [], True)
        self.mixes = any(layer.mixes_samples for layer in subject.layers)
        kind = "fused stages" if self.runner.network.plan.fuses else "layers one by one"
        self.title = f"the engine's own gradients, {subject.dtype}, {kind}"

    def shake(self) -> tuple[Array, list[Gradients]]:
        """Which samples' dx is steady under noise, and the gradients of these under noise."""
        n, steady = len(self.dy), np.ones(len(self.dy), bool)
        while True:
            weights = self.dy * (steady | self.mixes)  # where a layer mixes them, none is left out
            # the gradient by logits is a difference of numbers as large as the weights
            size = float(np.abs(weights).max()) if self.subject.loss.from_logits else 0.0
            dx = self.subject.walk_back(weights)["x"].reshape(n, -1)
            layers = with_noise(self.subject.layers, self.rng, size)
            shaken = [self.subject.walk_back(weights, layers) for _ in range(WALKS)]
            jumps = [np.abs(one["x"].reshape(n, -1) - dx).max(axis=1) for one in shaken]
            still = steady & (np.max(jumps, axis=0) <= JUMP * np.abs(dx).max(axis=1))
            if self.mixes or (still == steady).all() or still.mean() < FEWEST:
                return still, shaken
            steady = still

    def compare(self, steady: Array, shaken: list[Gradients], names: list[str]) -> CheckResult:
        """Rows for these parameters, and the problems, with the gradients that noise gives."""
        dy, subject = self.dy * (steady | self.mixes), self.subject
        expected = subject.backward(dy)
        with single_threaded_blas():
            x = subject.x.astype(subject.dtype)
            found = gradients(self.runner, self.model, x, subject.y_true, dy)
        rows = []
        for name in names:
            right, of_noise = expected[name], _spread(shaken, expected, name)
            said = _differs(found[name], right, of_noise)
            size = max(float(np.abs(right).max(initial=0)), of_noise / TOLERANCE) or 1.0
            error = float(np.abs(found[name] - right).max(initial=0)) / size
            of = name, right.shape, error if np.isfinite(error) else np.inf, TOLERANCE, right.size
            reason = said and f"the engine's gradient is {said}"
            rows.append(TensorCheck(*of, kinks=0, by_products=False, reason=reason))
        title = self.title
        if not steady.all():
            title += f", {steady.sum()} of {len(dy)} samples (the others lie near kinks)"
        wrong = list(self._wrong_loss())
        if wrong or not all(row.ok for row in rows):
            wrong += self._wrong_steps()
            wrong = wrong or [
                "each step and the loss are right by themselves: look at how batches are gathered "
                "and cut into shards, and how the gradients of the shards are summed"
            ]
        return CheckResult(title, tuple(rows), tuple(Mistake("engine", text) for text in wrong))

    def _wrong_steps(self) -> Iterator[str]:
        """Steps that differ from their layers, on the last shard of the batch."""
        subject, plan = self.subject, self.runner.network.plan
        shard = self.runner.network.shards(len(subject.x))[-1]
        inputs = [x[shard] for x in subject.outputs()]
        lane = Lane(plan, None)
        lane.begin(len(subject.x))
        for entry, stage in zip(plan.entries, lane.stages):
            x = inputs[entry.layers[0]].astype(subject.dtype)
            dy = self.rng.normal(size=inputs[entry.layers[-1] + 1].shape).astype(subject.dtype)
            stage.seek(0, shard.start)
            with single_threaded_blas(), np.errstate(all="ignore"):
                found = {"y": np.array(alone(forward_in_phases([stage], x)))}
                dx = alone(backward_in_phases([stage], dy))
            found |= {} if dx is None else {"dx": dx}
            found |= named_gradients([lane.layers[k] for k in entry.layers])

            layers = [subject.layers[k] for k in entry.layers]
            expected, *shaken = (
                subject.passes(one, shard.start, x.astype(float), dy.astype(float))
                for one in (layers, *[with_noise(layers, self.rng)] * WALKS)
            )
            off = [
                f"{name if name in ('y', 'dx') else 'd' + name.rpartition('/')[2]} is {said}"
                for name, array in found.items()
                if (said := _differs(array, expected[name], _spread(shaken, expected, name)))
            ]
            if off:
                what = " + ".join(plan.layers[k].who for k in entry.layers)
                if entry.kind is not None:
                    what = f"the fused stage {entry.kind.__name__}, for {what},"
                yield f"{what} is wrong by itself, held to float64: its {', its '.join(off)}"

    def _wrong_loss(self) -> Iterator[str]:
        """The mean loss of the batch, without weights, and its gradient, of the same logits."""
        subject, n = self.subject, len(self.dy)
        (batch,) = Data(subject.x, subject.y_true).batches(n)
        y_pred = subject.outputs()[-1].astype(subject.dtype)
        losses, dy = self.runner.loss_backward(batch, slice(None), y_pred)
        given = subject.y_true, y_pred.astype(np.float64)
        rounding = 8 * ROUNDING * max(1.0, float(np.abs(y_pred).max()))
        value = _differs(losses, subject.loss.forward(*given), rounding)
        gradient = _differs(dy, subject.loss.backward(*given) / n, rounding / n)
        name = "the fused loss" if self.runner.single_pass_loss else "the loss"
        name += f", {type(subject.loss).__name__},"
        for what, said in {"value": value, "gradient": gradient}.items():
            if said:
                yield f"{name} is wrong by itself: its {what} is {said}"


def with_noise(layers: list[Layer], rng: Generator, size: float = 0.0) -> list[Any]:
    """`layers` with noise before, between and after them; `size` goes to what comes last."""
    noisy: list[Any] = [Noise(rng)]
    for layer in layers:
        noisy += [layer, Noise(rng, layer)]
    noisy[-1].size = size
    return noisy


class Noise:
    """Stands between two layers: what one hands to the other is off as float32 may round it.

    So is what the layer before has kept for its backward. The dy that comes back may be a
    difference of numbers of that `size`.
    """

    name = ""

    def __init__(self, rng: Generator, before: Layer | None = None) -> None:
        self._rng, self._before, self.size = rng, before, 0.0
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array, training: bool) -> Array:
        for one in layers_inside(self._before):
            for name in OF_ONE_PASS:
                setattr(one, name, self._rounded(getattr(one, name)))
        return self._disturbed(x, 0.0)

    def backward(self, dy: Array) -> Array:
        return self._disturbed(dy, self.size)

    def _disturbed(self, array: Array, size: float) -> Array:
        """What is 0, since a ReLU is closed or a cell dropped, is 0 in any float type."""
        width = max(NOISE * float(np.abs(array).max(initial=0)), 8 * ROUNDING * size)
        noise = self._rng.uniform(-width, width, array.shape)
        return np.asarray(np.where(array == 0, 0, array + noise))

    def _rounded(self, cache: Any) -> Any:
        """As in float32, which leaves no digits of 1 - y where y is saturated."""
        if type(cache) is tuple:
            return tuple(self._rounded(part) for part in cache)
        if not isinstance(cache, np.ndarray) or cache.dtype.kind != "f":
            return cache
        return cache * (1 + self._rng.uniform(-2 * ROUNDING, 2 * ROUNDING, cache.shape))


def _spread(shaken: list[Gradients], expected: Gradients, name: str) -> float:
    """Twice the median of what noise changes in that gradient: a rare jump does not count."""
    gaps = [np.abs(one[name] - expected[name]).max(initial=0) for one in shaken]
    return 2 * float(np.median(gaps))


def _differs(found: Array, expected: Array, rounding: float) -> str:
    """How the two differ by more than rounding, in words; empty if they do not."""
    if found.shape != expected.shape:
        return f"of shape {found.shape} instead of {expected.shape}"
    allowed = max(TOLERANCE * float(np.abs(expected).max(initial=0)), rounding)
    gap = np.abs(found - expected)
    off = ~(gap <= allowed)  # NaN is off
    if not off.any():
        return ""
    if np.isfinite(factor := multiple(found.reshape(-1), expected.reshape(-1), allowed)):
        return f"{factor:.6g} times the right one"
    worst = np.unravel_index(np.where(off, np.nan_to_num(gap, nan=np.inf), 0).argmax(), gap.shape)
    values = f"{float(found[worst]):.6g} instead of {float(expected[worst]):.6g}"
    place = list(map(int, worst))
    return f"off in {off.sum()} of {off.size} numbers, the most at {place}: {values}"
