"""The rows of the table: what is measured, against whom, and what is wanted.

Each row has a function that takes the `Bench` and returns a dict:

    values     name -> one value a round, in the row's unit
    ratios     minicnn's value over the best peer's, a round each; where there is something to
               compare with
    settings   name -> what was chosen for it
    missing    name -> why it is not there
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.networks import MODELS, WORKLOADS
from benchmarks.processes import inside, run
from benchmarks.rounds import BATCH, Contest, alternate, median, ratios

Result = dict[str, Any]
TRAINERS = ("minicnn", "keras", "torch", "torch_last", "torch_compile")
PREDICTORS = (*TRAINERS, "onnxruntime")


@dataclass
class Options:
    """How thorough a run is."""

    rounds: int = 5
    budget: float = 2.0  # seconds of one measurement, at least
    quick: bool = False
    threads: int = 2
    peers: tuple[str, ...] = PREDICTORS[1:]
    source: str | None = None  # where the data is, as for examples/fashion_mnist.py --data


@dataclass
class Bench:
    """What the rows share: the options, the data, and the contest that is being held."""

    options: Options
    data: Path
    scratch: Path
    synthetic: bool
    say: Callable[[str], None] = print
    versions: dict[str, str] = field(default_factory=dict)
    agreed: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    _contest: Contest | None = None
    _model: str = ""
    _warm: set[str] = field(default_factory=set)

    def contest(self, model: str) -> Contest:
        """All frameworks on this model; the ones on the model before are sent home."""
        if self._contest is None or self._model != model:
            self.dismiss()
            self.say(f"{model} model: starting the frameworks")
            o = self.options
            self._contest = Contest(
                o.peers, WORKLOADS[model], self.data, o.threads, self.scratch, o.budget, self.say
            )
            self._model = model
            self.versions |= self._contest.versions
            self.agreed[model] = self._contest.agreed
        return self._contest

    def dismiss(self) -> None:
        if self._contest is not None:
            self._contest.close()
        self._contest, self._model = None, ""

    @property
    def kernels(self) -> str:
        """A folder for compiled kernels that this run alone uses."""
        return str(self.scratch / "kernels")

    def warm(self, what: str, call: Callable[[], Any]) -> None:
        """`call` once in a run, for what is made at the first time and kept on disk."""
        if what not in self._warm:
            call()
            self._warm.add(what)


@dataclass(frozen=True)
class Row:
    """A row of the table.

    `goal` is one of: ("ratio >=", x), ("ratio <=", x), ("value <=", x), ("more <=", x); the last
    one looks at minicnn's second value minus its first.
    """

    key: str
    title: str
    unit: str
    goal: tuple[str, float]
    measure: Callable[[Bench], Result]

    def figure(self, result: Result) -> float | None:
        """The number that the goal is about; None where it could not be measured."""
        kind = self.goal[0]
        if kind.startswith("ratio"):
            return median(result["ratios"]) if result.get("ratios") else None
        if kind.startswith("more"):
            values = [median(v) for v in result["values"].values() if v]
            return values[1] - values[0] if len(values) == 2 else None
        ours = result["values"].get("minicnn")
        return median(ours) if ours else None

    def met(self, result: Result) -> bool | None:
        figure = self.figure(result)
        if figure is None:
            return None
        return figure >= self.goal[1] if self.goal[0].endswith(">=") else figure <= self.goal[1]


# -- rates ----------------------------------------------------------------------------------------


def throughput(model: str, work: str, batch: int = BATCH) -> Callable[[Bench], Result]:
    def measure(bench: Bench) -> Result:
        contest, quick = bench.contest(model), bench.options.quick
        names = TRAINERS if work == "train" else PREDICTORS
        contest.choose(work, names, tune=not quick)
        if work == "train":  # a whole number of steps, and of 8 steps
            images = 12288 if model == "tutorial" and not quick else 2048
        else:
            images = 1024 if quick else 8192
        values = contest.race(work, names, images, bench.options.rounds, batch)
        return _contested(contest, work, values, more_is_better=True)

    return measure


def _contested(contest: Contest, work: str, values: dict, *, more_is_better: bool) -> Result:
    return {
        "values": values,
        "ratios": ratios(values, more_is_better=more_is_better),
        "settings": {name: contest.settings[name, work] for name in values},
        "missing": dict(contest.missing),
    }


def epoch(bench: Bench) -> Result:
    """One epoch of the tutorial with its validation; only Keras, whose time is the one to beat."""
    contest = bench.contest("tutorial")
    names = ("minicnn", "keras")
    contest.choose("train", names, tune=not bench.options.quick)
    measures = {}
    for name in names:
        if (name, "train") in contest.settings:
            question = {"setting": contest.settings[name, "train"], "batch": BATCH}
            worker = contest.workers[name]
            measures[name] = lambda worker=worker, q=question: worker.ask("epoch", **q)
    values = alternate(
        measures,
        min(3, bench.options.rounds),
        lambda name, error: contest.drop(name, "train", error),
        warm_up=True,
    )
    return _contested(contest, "train", values, more_is_better=False)


def threads(model: str) -> Callable[[Bench], Result]:
    def measure(bench: Bench) -> Result:
        contest, n = bench.contest(model), bench.options.threads
        contest.choose("train", ["minicnn"])
        images = 12288 if model == "tutorial" and not bench.options.quick else 2048
        measures = {
            f"{k} thread{'s' * (k > 1)}": contest.measurement(
                "minicnn", "train", {}, images, bench.options.budget, threads=k
            )
            for k in dict.fromkeys((n, 1))
        }
        products = {f"{k} products": partial(machine.sgemm, k) for k in dict.fromkeys((n, 1))}
        values = alternate(
            measures | products,  # in the same rounds: what the machine gains at the best
            bench.options.rounds,
            lambda _, error: contest.drop("minicnn", "train", error),
        )
        both, *alone = [values.pop(name) for name in products]
        contest.workers["minicnn"].ask(
            "train", setting={}, images=BATCH, batch=BATCH, epochs=1, threads=n
        )
        several, *one = values.values()
        result = {"values": values, "ratios": [a / b for a, b in zip(several, *one)] if one else []}
        if alone:
            gain = f"{median([a / b for a, b in zip(both, *alone)]):.2f}x"
            name = f"the machine's own gain from {n} threads"
            result["settings"] = {name: {"matrix product": gain}}
        return result

    return measure


# -- processes ------------------------------------------------------------------------------------


def import_time(bench: Bench) -> Result:
    bench.dismiss()
    packages = {"minicnn": "minicnn", "keras": "keras", "torch": "torch"}
    measures = {
        name: lambda package=package: inside("import", package)["seconds"]
        for name, package in packages.items()
        if name == "minicnn" or name in bench.options.peers
    }
    return _measured(measures, min(3, bench.options.rounds))


def first_step(model: str, cache: str) -> Callable[[Bench], Result]:
    def measure(bench: Bench) -> Result:
        bench.dismiss()

        def fresh() -> float:
            with tempfile.TemporaryDirectory(dir=bench.scratch) as empty:
                return inside("first-step", "minicnn", model, NUMBA_CACHE_DIR=empty)["seconds"]

        def warm(name: str) -> float:
            return inside("first-step", name, model, NUMBA_CACHE_DIR=bench.kernels)["seconds"]

        if cache == "fresh":
            return _measured({"minicnn": fresh}, 1 if bench.options.quick else 2, warm_up=False)
        names = ["minicnn", *(["keras"] if "keras" in bench.options.peers else [])]
        return _measured(
            {name: lambda n=name: warm(n) for name in names}, min(3, bench.options.rounds)
        )

    return measure


def whole_process(model: str, figure: str) -> Callable[[Bench], Result]:
    """Time ("seconds") or peak memory ("mb") of examples/fashion_mnist.py and its Keras twin.

    Both figures come from the same processes, which are run once.
    """

    def measure(bench: Bench) -> Result:
        if bench.options.quick and model == "deeper":
            return {"values": {"minicnn": []}, "missing": {"minicnn": "left out by --quick"}}
        store = bench.scratch / f"whole-{model}.json"
        if not store.exists():
            store.write_text(_whole_processes(bench, model))
        stored = json.loads(store.read_text())
        values = {name: [one[figure] for one in runs] for name, runs in stored["runs"].items()}
        return {
            "values": values,
            "ratios": ratios(values, more_is_better=False),
            "settings": {"minicnn": stored["note"]},
            "missing": stored["missing"],
        }

    return measure


def _whole_processes(bench: Bench, model: str) -> str:
    bench.dismiss()
    o = bench.options
    deeper = model == "deeper"
    epochs = 1 if deeper or o.quick else 2
    common = ["--model", model, "--epochs", str(epochs), "--output", str(bench.scratch / "out")]
    source = ["--data", "synthetic" if bench.synthetic else o.source] if _given(bench) else []
    commands = {"minicnn": ["examples/fashion_mnist.py", *common, *source]}
    missing: dict[str, str] = {}
    if "keras" in o.peers and not o.quick:
        commands["keras"] = ["benchmarks/keras_tutorial.py", *common]

    def once(name: str) -> dict[str, float]:
        bench.say(f"  the {model} run of {name}")
        finished = run(
            commands[name], NUMBA_CACHE_DIR=bench.kernels, KERAS_HOME=str(bench.data / "keras")
        )
        return {"seconds": finished.seconds, "mb": finished.peak_mb}

    bench.warm("kernels", lambda: _warm_kernels(bench))
    rounds = 1 if deeper or o.quick else min(3, o.rounds)
    runs = alternate(
        {name: lambda name=name: once(name) for name in commands}, rounds, _noting(missing)
    )
    note = {"epochs": epochs}
    if bench.synthetic:
        note["data"] = "drawn by minicnn's process, read by Keras's"
    return json.dumps({"runs": runs, "missing": missing, "note": note})


def _given(bench: Bench) -> bool:
    return bench.synthetic or bench.options.source is not None


def _warm_kernels(bench: Bench) -> None:
    for model in MODELS:
        inside("first-step", "minicnn", model, NUMBA_CACHE_DIR=bench.kernels)
    # pictures, reports, and the prediction's kernels
    source = "synthetic" if bench.synthetic else bench.options.source
    arguments = ["--epochs", "1", "--batch-size", "512", "--output", str(bench.scratch / "out")]
    if not bench.options.quick:
        run(
            ["examples/fashion_mnist.py", *arguments, *(["--data", source] if source else [])],
            NUMBA_CACHE_DIR=bench.kernels,
        )


def predict_memory(dtype: str) -> Callable[[Bench], Result]:
    def measure(bench: Bench) -> Result:
        bench.dismiss()
        sizes = (1000, 6000) if bench.options.quick else (10_000, 60_000)
        missing: dict[str, str] = {}
        values: dict[str, list[float]] = {f"{n:,} images": [] for n in sizes}
        if not os.path.exists("/proc/self/clear_refs"):
            return {"values": {}, "missing": {"minicnn": "the peak can be taken on Linux only"}}
        for n in sizes:
            for _ in range(min(3, bench.options.rounds)):
                answer = inside(
                    "predict-memory", "tutorial", str(n), dtype, NUMBA_CACHE_DIR=bench.kernels
                )
                values[f"{n:,} images"].append(answer["mb"])
        return {"values": values, "missing": missing}

    return measure


def _noting(missing: dict[str, str]) -> Callable[[str, Exception], None]:
    """What `alternate` does with a peer that fails: it is noted in `missing`."""

    def drop(name: str, error: Exception) -> None:
        if name == "minicnn":
            raise error
        missing[name] = str(error)

    return drop


def _measured(
    measures: dict[str, Callable[[], float]], rounds: int, *, warm_up: bool = True
) -> Result:
    """Rounds over the `measures`; a peer that fails is left out and listed."""
    missing: dict[str, str] = {}
    values = alternate(measures, rounds, _noting(missing), warm_up=warm_up)
    return {
        "values": values,
        "ratios": ratios(values, more_is_better=False),
        "missing": missing,
    }


# -- the table ------------------------------------------------------------------------------------

ROWS = [
    Row(
        "train_tutorial",
        "training, tutorial model, batch 128",
        "images/s",
        ("ratio >=", 6.0),
        throughput("tutorial", "train"),
    ),
    Row(
        "epoch_tutorial",
        "an epoch of the tutorial, with validation",
        "s",
        ("ratio <=", 1.0),
        epoch,
    ),
    Row(
        "threads_tutorial",
        "2 threads against 1, training the tutorial model",
        "images/s",
        ("ratio >=", 1.8),
        threads("tutorial"),
    ),
    Row(
        "predict_tutorial",
        "predict, tutorial model",
        "images/s",
        ("ratio >=", 1.2),
        throughput("tutorial", "predict"),
    ),
    Row(
        "train_deeper",
        "training, deeper model, batch 128",
        "images/s",
        ("ratio >=", 1.5),
        throughput("deeper", "train"),
    ),
    Row(
        "threads_deeper",
        "2 threads against 1, training the deeper model",
        "images/s",
        ("ratio >=", 1.8),
        threads("deeper"),
    ),
    Row(
        "predict_deeper",
        "predict, deeper model",
        "images/s",
        ("ratio >=", 0.9),
        throughput("deeper", "predict"),
    ),
    Row("import", "import", "s", ("value <=", 1.0), import_time),
    Row(
        "first_step_fresh",
        "first training step in a fresh environment, tutorial model",
        "s",
        ("value <=", 15.0),
        first_step("tutorial", "fresh"),
    ),
    Row(
        "first_step_fresh_deeper",
        "first training step in a fresh environment, deeper model",
        "s",
        ("value <=", 15.0),
        first_step("deeper", "fresh"),
    ),
    Row(
        "first_step_warm",
        "first training step with a warm cache, tutorial model",
        "s",
        ("value <=", 1.0),
        first_step("tutorial", "warm"),
    ),
    Row(
        "first_step_warm_deeper",
        "first training step with a warm cache, deeper model",
        "s",
        ("value <=", 1.0),
        first_step("deeper", "warm"),
    ),
    Row(
        "process_tutorial",
        "the tutorial as a whole process, warm",
        "s",
        ("ratio <=", 0.25),
        whole_process("tutorial", "seconds"),
    ),
    Row(
        "memory_tutorial",
        "peak resident memory of that process",
        "MB",
        ("value <=", 350.0),
        whole_process("tutorial", "mb"),
    ),
    Row(
        "memory_deeper",
        "peak resident memory, deeper model",
        "MB",
        ("value <=", 600.0),
        whole_process("deeper", "mb"),
    ),
    Row(
        "predict_memory",
        "memory of predict above input and output, float32",
        "MB",
        ("more <=", 5.0),
        predict_memory("float32"),
    ),
    Row(
        "predict_memory_uint8",
        "memory of predict above input and output, uint8",
        "MB",
        ("more <=", 5.0),
        predict_memory("uint8"),
    ),
]
MAIN = [row.key for row in ROWS]
SMALL_BATCH = 32


def _workload(name: str) -> list[Row]:
    """The rows of a network: training with two sizes of batches, and predicting."""
    train, predict = ("ratio >=", 1.2), ("ratio >=", 1.0)
    title = f"training, {name}, batch"
    small = throughput(name, "train", SMALL_BATCH)
    return [
        Row(f"train: {name}", f"{title} {BATCH}", "images/s", train, throughput(name, "train")),
        Row(f"train {SMALL_BATCH}: {name}", f"{title} {SMALL_BATCH}", "images/s", train, small),
        Row(
            f"predict: {name}", f"predict, {name}", "images/s", predict, throughput(name, "predict")
        ),
    ]


WORKLOAD_ROWS = [row for name in WORKLOADS for row in _workload(name)]
ROWS += WORKLOAD_ROWS
GROUPS = {"main": MAIN, "workloads": [row.key for row in WORKLOAD_ROWS]}
BY_KEY = {row.key: row for row in ROWS}
