"""The benchmark: its checks and its page, without any peer and without judging a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # the benchmark is no part of the package
    sys.path.insert(0, str(ROOT))

from benchmarks import (  # noqa: E402
    against,
    agreement,
    networks,
    processes,
    profile_step,
    report,
    rounds,
    rows,
    worker,
)
from benchmarks.frameworks import minicnn_  # noqa: E402
from benchmarks.networks import DEEPER, MODELS, TUTORIAL  # noqa: E402

SMALL = {"tutorial": {**TUTORIAL, "filters": 4, "size": 12}, "deeper": {**DEEPER, "filters": 2}}


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    command = [sys.executable, "-m", "benchmarks.data", folder, "--images", "800"]
    subprocess.run([*command, "--source", "synthetic"], cwd=ROOT, check=True)
    return folder


# -- models and transposes ------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "parameters"), [("tutorial", 173_738), ("deeper", 467_818)])
def test_models_are_those_of_the_tutorial(kind, parameters):
    network = minicnn_.build(MODELS[kind])
    assert network.count_params() == parameters
    shapes = [(None, *shape) for shape in networks.shapes_of(MODELS[kind])]
    assert network.input_shape == shapes[0]
    given = shapes[0]
    for layer, shape in zip(network.layers, shapes[1:]):
        given = layer.output_shape(given)
        assert given == shape


@pytest.mark.parametrize("name", networks.WORKLOADS)
def test_shapes_of_a_workload_are_its_layers(name):
    model = networks.WORKLOADS[name]
    network = minicnn_.build(model)
    given = network.input_shape
    for layer, shape in zip(network.layers, networks.shapes_of(model)[1:], strict=True):
        given = layer.output_shape(given)
        assert given[1:] == shape


@pytest.mark.in_ci
def test_an_autoencoder_is_the_same_one_in_pytorch():
    torch_ = pytest.importorskip("benchmarks.frameworks.torch_", reason="PyTorch is not installed")
    model = {"kind": "autoencoder", "size": 8}
    x = np.random.default_rng(0).random((24, 8, 8, 1)).astype(np.float32)
    ours, theirs = minicnn_.MiniCNN(2), torch_.Torch(2, "channels_last")
    ours.load(model, None)
    theirs.load(model, ours.weights)
    answers = [
        {
            "predictions": one.predicting(x, {"batch": 24})(),
            "losses": one.first_losses(x, x, 8, 3, {}),
        }
        for one in (ours, theirs)
    ]
    assert answers[0]["predictions"].shape == x.shape
    agreement.compare("PyTorch", answers[1], answers[0])
    theirs.training(x, x, 8, 1, {})()


def test_flops_are_those_of_the_products():
    assert sum(networks.flops_of(TUTORIAL)) == 2 * (26 * 26 * 32 * 9 + 5408 * 32 + 32 * 10)


def walk_channels_first(x, weights, model, flatten_last=False):
    """Probabilities of a network in PyTorch's layout, spelled out in NumPy."""
    arrays = iter(weights)
    y = x.transpose(0, 3, 1, 2).astype(float)
    steps = networks.without_dropout(networks.layers_of(model))
    for place, step in enumerate(steps):
        if step[0] == "conv":
            W, b = next(arrays), next(arrays)
            if step[2] == "same":
                y = np.pad(y, ((0, 0), (0, 0), (1, 1), (1, 1)))
            views = np.lib.stride_tricks.sliding_window_view(y, (3, 3), axis=(2, 3))
            y = np.maximum(np.einsum("nchwij,fcij->nfhw", views, W) + b[:, None, None], 0)
        elif step[0] == "pool":
            N, C, H, width = y.shape
            y = y[:, :, : H // 2 * 2, : width // 2 * 2]
            y = y.reshape(N, C, H // 2, 2, width // 2, 2).max((3, 5))
        elif step[0] == "flatten":
            y = (y.transpose(0, 2, 3, 1) if flatten_last else y).reshape(len(y), -1)
        else:
            y = y @ next(arrays).T + next(arrays)
            if place < len(steps) - 1:
                y = np.maximum(y, 0)
    e = np.exp(y - y.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.fixture(params=["tutorial", "deeper"])
def case(request):
    """A model with weights that are no symmetric ones, images, and minicnn's predictions."""
    model = SMALL[request.param]
    network = minicnn_.build(model)
    rng = np.random.default_rng(3)
    weights = [w + rng.normal(0, 0.1, w.shape) for w in network.get_weights()]
    network.set_weights(weights)
    x = rng.random((16, model["size"], model["size"], 1)).astype(np.float32)
    return model, weights, x, {"predictions": network.predict(x, verbose=0)}


@pytest.mark.parametrize("flatten_last", [False, True])
def test_transposed_weights_agree(case, flatten_last):
    model, weights, x, reference = case
    arrays = networks.channels_first(weights, model, flatten_last=flatten_last)
    answers = {"predictions": walk_channels_first(x, arrays, model, flatten_last)}
    assert agreement.compare("twin", answers, reference)["predictions"] < 1e-5


@pytest.mark.parametrize("mistake", ["flatten order", "flipped kernel", "swapped rows and columns"])
def test_agreement_fails_on_wrong_transposes(case, mistake):
    model, weights, x, reference = case
    arrays = networks.channels_first(weights, model, flatten_last=mistake == "flatten order")
    if mistake == "flipped kernel":
        arrays[0] = arrays[0][:, :, ::-1, ::-1]
    if mistake == "swapped rows and columns":
        arrays[0] = arrays[0].transpose(0, 1, 3, 2)
    answers = {"predictions": walk_channels_first(x, arrays, model)}
    with pytest.raises(agreement.DisagreementError, match=r"twin.*predictions"):
        agreement.compare("twin", answers, reference)


@pytest.mark.parametrize(
    ("losses", "message"),
    [([2.0, 1.5 * 1.003], "0.003"), ([2.0, np.nan], "nan"), ([2.0], "shape")],
)
def test_agreement_fails_on_wrong_losses(losses, message):
    reference = {"losses": [2.0, 1.5]}
    with pytest.raises(agreement.DisagreementError, match=message):
        agreement.compare("twin", {"losses": losses}, reference)
    assert agreement.compare("twin", {"losses": [2.0, 1.5005]}, reference)["losses"] < 1e-3


@pytest.mark.slow
def test_contest_refuses_a_framework_with_other_weights(data, tmp_path):
    """A second minicnn, under another name, that has lost its weights."""
    with rounds.Contest([], TUTORIAL, data, 1, tmp_path, 0.01, str) as contest:
        contest.choose("predict", ["minicnn"], tune=False)
        twin = worker.Worker("minicnn", data, 1)
        contest.workers["keras"] = twin
        twin.ask("load", model=TUTORIAL, weights=str(tmp_path / "weights.npz"))
        contest.choose("predict", ["keras"], tune=False)
        assert contest.agreed["keras"]["predictions"] == 0
        weights = minicnn_.build(TUTORIAL).get_weights()
        np.savez(tmp_path / "others.npz", *[w + 0.01 for w in weights])
        twin.ask("load", model=TUTORIAL, weights=str(tmp_path / "others.npz"))
        for work in ("predict", "train"):
            with pytest.raises(agreement.DisagreementError):
                contest.check("keras", work, {"batch": 256})


# -- measuring ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_rows_run_on_minicnn_alone(data, tmp_path):
    options = rows.Options(rounds=2, budget=0.01, quick=True, threads=2, peers=())
    bench = rows.Bench(options, data, tmp_path, True, say=str)
    results = {}
    try:
        for key in ("train_tutorial", "epoch_tutorial", "threads_tutorial", "predict_deeper"):
            results[key] = rows.BY_KEY[key].measure(bench)
    finally:
        bench.dismiss()
    assert all(len(v) == 2 and min(v) > 0 for r in results.values() for v in r["values"].values())
    assert rows.BY_KEY["train_tutorial"].met(results["train_tutorial"]) is None  # no peer
    assert set(results["threads_tutorial"]["values"]) == {"2 threads", "1 thread"}
    (gain,) = results["threads_tutorial"]["settings"].values()
    assert gain["matrix product"].endswith("x")
    assert {"minicnn", "numpy", "numba"} <= set(bench.versions)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["first_step_warm", "predict_memory", "import"])
def test_process_rows_run_on_minicnn_alone(key, tmp_path):
    options = rows.Options(rounds=1, quick=True, threads=1, peers=())
    result = rows.BY_KEY[key].measure(rows.Bench(options, tmp_path, tmp_path, True, say=str))
    assert all(values for values in result["values"].values())


@pytest.mark.in_ci
def test_worker_says_what_failed(data):
    with worker.Worker("minicnn", data, 1) as one:
        with pytest.raises(worker.WorkerError, match="kind"):
            one.ask("load", model={**TUTORIAL, "kind": "other"})
        one.ask("load", model=TUTORIAL)  # and goes on
    with pytest.raises(worker.WorkerError, match="KeyError"):
        worker.Worker("no such framework", data, 1)


def test_process_says_what_failed():
    with pytest.raises(processes.ProcessError, match="ended with 3"):
        processes.run(["-c", "raise SystemExit(3)"])
    finished = processes.run(["-c", "print('fine')"])
    assert finished.output == "fine\n"
    assert finished.peak_mb > 1


def test_order_turns():
    orders = [rounds.order(list("abc"), turn) for turn in range(6)]
    assert [o[0] for o in orders] == ["a", "c", "b", "a", "c", "b"]
    assert all(sorted(o) == list("abc") for o in orders)


def test_ratio_is_taken_within_the_round():
    values = {"minicnn": [10.0, 20.0, 30.0], "a": [5.0, 1.0, 3.0], "b": [1.0, 10.0, 30.0]}
    assert rounds.ratios(values, more_is_better=True) == [2.0, 2.0, 1.0]
    assert rounds.ratios(values, more_is_better=False) == [10.0, 20.0, 10.0]
    assert rounds.ratios({"minicnn": [1.0]}, more_is_better=True) == []


# -- pages ----------------------------------------------------------------------------------------


def stored_run(**changes):
    run = {
        "date": "2026-01-02T03:04:05",
        "commit": "abc",
        "command": "python -m benchmarks",
        "machine": {
            "processor": "P", "cores used": 2, "cores": 2, "memory GB": 8, "system": "Linux",
            "python": "3.11", "load before": 0.0,
        },
        "limits": {"1": {"gflops": 100.0, "gbytes": 10.0}},
        "versions": {"minicnn": "0.1"},
        "data": "Fashion-MNIST",
        "minutes": 1.0,
        "agreement": {"tutorial": {"minicnn": {"losses": 0.0}, "keras": {"losses": 1e-6}}},
        "rows": {
            "train_tutorial": {
                "values": {"minicnn": [6000.0, 9000.0, 8000.0], "keras": [1000.0, 1000.0, 1000.0]},
                "ratios": [6.0, 9.0, 8.0],
                "settings": {"keras": {"xla": True}},
                "missing": {"torch": "not installed"},
            },
            "import": {"values": {"minicnn": [1.5], "keras": [4.0]}, "ratios": [0.4]},
            "threads_deeper": {
                "values": {"2 threads": [18.0], "1 thread": [10.0]}, "ratios": [1.8]
            },
            "predict_memory": {"values": {"10,000 images": [7.0], "60,000 images": [54.0]}},
            "memory_deeper": {"values": {"minicnn": []}, "missing": {"minicnn": "left out"}},
        },
        "curves": {
            "batch": {"label": "batch size", "x": [8, 32], "series": {"keras": [1.0, None]}}
        },
    }  # fmt: skip
    return {**run, **changes}


def line_of(text, start):
    return next(line for line in text.splitlines() if line.startswith(f"| {start}"))


def test_page_shows_a_run():
    text = report.page([stored_run()])
    line = line_of(text, "training, tutorial model")
    assert "| 8,000 (6,000 - 9,000) images/s | 1,000 (1,000 - 1,000) images/s |" in line
    assert line.endswith("| 8.00x | at least 6x | yes |")
    assert line_of(text, "import").endswith("| 1.50 s | at most 1 s | **no** |")
    assert line_of(text, "2 threads against 1, training the deeper").endswith("| yes |")
    assert line_of(text, "memory of predict").endswith("| +47 MB | flat: at most +5 MB | **no** |")
    assert line_of(text, "peak resident memory, deeper").endswith("| - | at most 600 MB |  |")
    assert "Not there: PyTorch: not installed" in text
    assert "Keras/TensorFlow xla yes" in text
    assert line_of(text, "Keras/TensorFlow, s for 1,000") == (
        "| Keras/TensorFlow, s for 1,000 images | 1 | - |"
    )


def test_runs_are_added_up(tmp_path):
    for day in (1, 2, 3):
        report.store(stored_run(date=f"2026-01-0{day}T00:00:00", commit=f"c{day}"), tmp_path)
    text = report.write(tmp_path).read_text()
    assert len(report.stored(tmp_path)) == 3
    history = text.split("## Every run")[1]
    assert line_of(history, "training, tutorial").count("8.00x yes") == 3
    assert "| c1 | c2 | c3 |" in history
    with pytest.raises(ValueError, match="no stored runs"):
        report.page([])


def test_the_last_complete_run_is_shown():
    every = {row.key: {"values": {"minicnn": [1.0]}} for row in rows.ROWS}
    complete = stored_run(rows=every, date="2026-01-01T00:00:00")
    text = report.page([complete, stored_run()])
    assert "## The last complete run: 2026-01-01 00:00:00" in text


def test_stored_numbers_are_short(tmp_path):
    path = report.store(stored_run(minutes=1.23456789), tmp_path)
    assert json.loads(path.read_text())["minutes"] == 1.2346


def test_curves_are_drawn(tmp_path):
    from benchmarks import curves

    (name,) = curves.draw(stored_run()["curves"], tmp_path)
    assert 0 < (tmp_path / name).stat().st_size < 100_000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tutorial", "deeper"])
def test_profile_takes_a_step_apart(name, tmp_path, monkeypatch):
    monkeypatch.setattr(profile_step.machine, "sgemm", lambda threads: 100.0)
    results = profile_step.measure([name], repeats=1, threads=1, megabytes=1)
    engine, layers = results["models"][name]["ways"].values()
    first, *others = networks.flops_of(MODELS[name])
    assert sum(piece.flop for piece in layers) == profile_step.BATCH * 3 * (first + sum(others))
    # the gradient of the images is not needed
    assert sum(piece.flop for piece in engine) == profile_step.BATCH * (2 * first + 3 * sum(others))
    text = profile_step.page(results, 1)
    assert "| optimizer |" in text
    assert "| add up, optimizer |" in text
    assert ("transform, scatter" in text) == (name == "deeper")
    assert f"## {name}\n" in text


def test_a_race_against_an_earlier_commit_takes_ratios_within_rounds():
    asked = []

    class Timed:
        def __init__(self, name, seconds):
            self.name, self.seconds = name, iter(seconds)

        def ask(self, do, **question):
            asked.append((self.name, do))
            return next(self.seconds)

    pair = {"now": Timed("now", [9, 1, 2, 4]), "then": Timed("then", [9, 2, 1, 6])}
    assert against.race(pair, "tutorial", "train", 3) == [2, 0.5, 1.5]
    assert [name for name, _ in asked[2:]] == ["now", "then", "then", "now", "now", "then"]
    assert {model for model, _ in against.RACES} == set(MODELS)
