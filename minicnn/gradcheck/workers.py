"""Do the replicas of a layer disturb each other?

`fit` runs a batch in pieces, on several threads, each with replicas of the layers. These share
`params` and `state`; where they share anything else that a forward keeps for its backward, one
worker uses what another has left there. `layers/contents.py` rules that out for all that a layer
holds, but not for class attributes, global variables, or a `replica` that is overridden.

Threads collide by chance. So two replicas take turns in one thread first: forward a, forward b,
backward a, backward b has to give what two whole passes give. Then threads are run, which also
collide within a pass.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.gradcheck.copies import Passes
from minicnn.layers.base import Array, Layer
from minicnn.layers.contents import PLAIN, layers_inside, walk
from minicnn.subclasses import of_the_user

THREADS, ROUNDS = 4, 4
SWITCH = 1e-6  # seconds between switches from thread to thread
HOW = (
    "Keep what forward saves for backward in self._cache, or in attributes that forward sets: "
    "workers share params and state, and nothing else"
)


def shared_state(layer: Layer, x: Array, *, training: bool, rng: np.random.Generator) -> str:
    """What the replicas of `layer` share or do not share by mistake; empty if all is well."""
    replica = layer.replica()
    for kind in ("params", "state"):
        for key, array in getattr(layer, kind).items():
            if getattr(replica, kind).get(key) is not array:
                return (
                    f"{layer.who}: its replica() does not share {kind}[{checks.shown(key)}] with "
                    "it, so workers would go on with old values. Begin replica with "
                    "super().replica(), or leave it out"
                )
    workers = [_Worker(layer, _moved(x, k), training, rng) for k in range(THREADS)]
    if _first_error(*(worker.alone for worker in workers)):
        return ""  # it may not take other inputs than x
    a, b = workers[:2]
    for last in ((a.backward, b.backward), (b.backward, a.backward)):
        replicas = a.begin(), b.begin()
        wrong = _first_error(a.forward, b.forward, *last) or a.difference() or b.difference()
        if wrong:
            before = _in_reach(replicas)
            _first_error(b.forward, a.forward, a.backward)  # b's was the last before
            changed = [k for k, now in _in_reach(replicas).items() if before.get(k) != now]
            what = ", ".join(changed) or "what they write to"
            return f"{layer.who}: two replicas take turns, and {wrong}. They share {what}. {HOW}"
    if wrong := _in_threads(workers):
        wrong = f"replicas run in threads at the same time, and {wrong}"
        return f"{layer.who}: {wrong}. They share what they write to. {HOW}"
    return ""


def _moved(x: Array, k: int) -> Array:
    """Inputs for worker `k`: the samples in another order, one of them twice."""
    rows = (k + np.arange(len(x))) % len(x)
    rows[-1] = rows[0]
    other = x[rows]
    return other if k == 0 or not np.array_equal(other, x) else x * 0.9**k


class _Worker:
    """A replica of a layer, and the x and dy for its passes."""

    def __init__(self, layer: Layer, x: Array, training: bool, rng: np.random.Generator) -> None:
        self.layer, self.training, self.x, self._rng = layer, training, x, rng
        self._dy = np.zeros(0)

    def begin(self) -> Layer:
        """A new replica, which writes its gradients into arrays that it is given, as in `fit`."""
        self._replica = self.layer.replica()
        self._replica.grads.update({k: np.zeros_like(p) for k, p in self._replica.params.items()})
        for one in layers_inside(self._replica) if self.layer.mixes_samples else ():
            one.state = {k: np.array(a) for k, a in one.state.items()}  # a batch has one worker
        self._passes = Passes(self._replica, self.training)
        self._found: dict[str, Any] = {}
        return self._replica

    def forward(self) -> None:
        self._found["y"] = self._passes.forward(self.x.copy())

    def backward(self) -> None:
        if self._dy.shape != np.shape(self._found["y"]):
            self._dy = self._rng.normal(size=np.shape(self._found["y"]))
        self._found["dx"] = self._passes.backward(self._dy.copy())
        self._found |= {f"grads[{k!r}]": g for k, g in self._replica.grads.items()}

    def alone(self) -> None:
        """A pass with no other in between; its results are what all later ones have to give."""
        self.begin()
        self.forward()
        self.backward()
        self._expected = {name: np.array(value) for name, value in self._found.items()}

    def difference(self) -> str:
        """Which result differs from that pass, in words; empty if none does."""
        for name, right in self._expected.items():
            if right.dtype.kind not in "fiu":
                continue  # a backward that gives nothing, which has been found by now
            given, finite = np.asarray(self._found[name]), right[np.isfinite(right)]
            close = {"rtol": 1e-9, "atol": 1e-12 * float(np.abs(finite).max(initial=0))}
            if given.shape != right.shape or not np.allclose(given, right, equal_nan=True, **close):
                return f"{name} is another than in a pass by itself"
        return ""


def _first_error(*turns: Callable[[], Any]) -> str:
    """What the first of these turns that fails says."""
    try:
        for turn in turns:
            turn()
    except Exception as error:  # backward may not find what forward has left
        return f"{type(error).__name__} is raised: {error}"
    return ""


_switching = threading.Lock()


def _in_threads(workers: list[_Worker]) -> str:
    """What is wrong after passes at the same time, of threads that are switched very often."""
    start = threading.Barrier(len(workers))

    def work(worker: _Worker) -> str:
        with contextlib.suppress(threading.BrokenBarrierError), np.errstate(all="ignore"):
            start.wait()
            for _ in range(ROUNDS):
                turns = worker.begin, worker.forward, worker.backward
                if wrong := _first_error(*turns) or worker.difference():
                    return wrong
        return ""

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(workers)) as pool:
        if _switching.acquire(blocking=False):  # unless another check is doing so already
            stack.callback(_switching.release)
            stack.callback(sys.setswitchinterval, sys.getswitchinterval())
            sys.setswitchinterval(SWITCH)
        try:
            running = [pool.submit(work, worker) for worker in workers]
        except RuntimeError:  # the system gives no more threads
            start.abort()
            return ""
        return next((wrong for each in running if (wrong := each.result())), "")


def _in_reach(replicas: Iterable[Layer]) -> dict[str, list[Any]]:
    """What both replicas reach, by name: of each part which object it is, and an array's bits; of
    a number or a word what it says.
    """
    found: dict[str, Any] = {}
    a, b = (layers_inside(replica) for replica in replicas)
    for one, other in zip(a, b):
        which = "" if one is a[0] else f" of {one.who}"
        for name, value in vars(one).items():
            if value is vars(other).get(name):
                found[f"the attribute {name}{which}"] = value
        found |= _of_the_class(type(one))
    seen: dict[str, list[Any]] = {name: [] for name in found}
    for name, value in found.items():
        for *_, part in walk([value]):
            bits = part.tobytes() if isinstance(part, np.ndarray) else None
            seen[name].append(part if isinstance(part, PLAIN) else (id(part), bits))
    return seen


def _of_the_class(cls: type) -> Iterator[tuple[str, Any]]:
    """The attributes of a user's class, and the variables that its functions use."""
    for base in (one for one in cls.__mro__ if of_the_user(one) and one is not object):
        for name, value in vars(base).items():
            function = inspect.unwrap(value) if callable(value) else None
            if not inspect.isfunction(function):
                yield f"the class attribute {base.__name__}.{name}", value
                continue
            named = function.__code__.co_names
            used = {k: v for k, v in function.__globals__.items() if k in named}
            used |= inspect.getclosurevars(function).nonlocals
            for variable, held in used.items():
                yield f"the variable {variable}", held
            for variable, parameter in inspect.signature(function).parameters.items():
                if parameter.default is not parameter.empty:
                    yield f"the default value of {variable} in {name}", parameter.default
