"""The TensorBoard callback: what stands in its files afterwards."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("tensorboard", reason="tensorboard is not installed")

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from minicnn import Input, Sequential
from minicnn.callbacks import LambdaCallback, TensorBoard
from minicnn.layers import Dense

X, Y = np.linspace(-1, 1, 32).reshape(16, 2), np.arange(16) % 2


def model():
    made = Sequential([Input((2,)), Dense(2, activation="softmax")])
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return made


def scalars(folder):
    """tag -> {step: value} of all files in the folder."""
    found = {}
    for path in sorted(folder.glob("events*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.tensor.float_val[0]
    return found


def fitted(folder, validation=True, **kwargs):
    data = {"validation_data": (X[:8], Y[:8])} if validation else {}
    callbacks = [TensorBoard(folder, **kwargs)]
    return model().fit(X, Y, batch_size=4, epochs=3, verbose=0, callbacks=callbacks, **data)


def test_figures_of_the_epochs(tmp_path):
    history = fitted(tmp_path / "logs").history
    train, validation = scalars(tmp_path / "logs/train"), scalars(tmp_path / "logs/validation")
    assert set(train) == {"epoch_loss", "epoch_accuracy", "epoch_learning_rate"}
    of_evaluations = {"evaluation_loss_vs_iterations", "evaluation_accuracy_vs_iterations"}
    assert set(validation) == {"epoch_loss", "epoch_accuracy", *of_evaluations}
    for name in ("loss", "accuracy"):
        for found, key in ((train, name), (validation, f"val_{name}")):
            assert list(found[f"epoch_{name}"]) == [0, 1, 2]
            np.testing.assert_allclose(list(found[f"epoch_{name}"].values()), history[key], 1e-6)
    assert train["epoch_learning_rate"] == pytest.approx(dict.fromkeys(range(3), 0.001))
    assert list(validation["evaluation_loss_vs_iterations"]) == [4, 8, 12]


@pytest.mark.parametrize(
    ("update_freq", "steps"), [("batch", range(1, 13)), (5, [5, 10]), ("epoch", None)]
)
def test_figures_of_batches(tmp_path, update_freq, steps):
    fitted(tmp_path, validation=False, update_freq=update_freq, write_steps_per_second=True)
    train = scalars(tmp_path / "train")
    assert not (tmp_path / "validation").exists()
    assert train["epoch_steps_per_second"].keys() == {0, 1, 2}
    names = {"batch_loss", "batch_accuracy", "batch_steps_per_second"}
    if steps is None:
        assert not names & set(train)
        return
    assert names <= set(train)
    assert list(train["batch_loss"]) == list(steps)
    assert min(train["batch_steps_per_second"].values()) > 0


def test_evaluate_by_itself(tmp_path):
    made = model()
    loss, _ = made.evaluate(X, Y, verbose=0, callbacks=[TensorBoard(tmp_path)])
    found = scalars(tmp_path / "validation")
    assert found["evaluation_loss_vs_iterations"] == pytest.approx({0: loss})
    assert not (tmp_path / "train").exists()


def test_the_curves_grow_while_it_trains_and_a_second_fit_adds_to_them(tmp_path):
    seen = []
    board = TensorBoard(tmp_path)
    look = LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(
            len(scalars(tmp_path / "train").get("epoch_loss", {}))
        )
    )
    made = model()
    made.fit(X, Y, epochs=2, verbose=0, callbacks=[board, look])
    made.fit(X, Y, epochs=4, initial_epoch=2, verbose=0, callbacks=[board, look])
    assert seen == [1, 2, 3, 4]
    assert not board._writers


def test_after_an_error_the_next_fit_begins_anew(tmp_path):
    def fail(batch, logs):
        raise RuntimeError("stop")

    board, made = TensorBoard(tmp_path, update_freq="batch"), model()
    with pytest.raises(RuntimeError, match="stop"):
        made.fit(X, Y, verbose=0, callbacks=[board, LambdaCallback(on_train_batch_end=fail)])
    made.fit(X, Y, verbose=0, batch_size=8, callbacks=[board])
    assert list(scalars(tmp_path / "train")["epoch_loss"]) == [0]
    assert not board._writers


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"log_dir": 3}, TypeError, "expected log_dir to be a path, received 3"),
        ({"update_freq": "step"}, ValueError, "update_freq"),
        ({"update_freq": 0}, ValueError, "update_freq"),
        ({"histogram_freq": 1}, ValueError, "histogram_freq"),
        ({"write_images": True}, ValueError, "write_images"),
        ({"profile_batch": (1, 2)}, ValueError, "profile_batch"),
        ({"logdir": "logs"}, TypeError, "log_dir"),
    ],
)
def test_arguments_that_are_none(kwargs, error, words):
    with pytest.raises(error, match=words):
        TensorBoard(**kwargs)


def test_a_folder_that_cannot_be_written_ends_fit_before_it_trains(tmp_path):
    (tmp_path / "logs").write_text("a file")
    before = (made := model()).get_weights()
    with pytest.raises(OSError, match="logs"):
        made.fit(X, Y, verbose=0, callbacks=[TensorBoard(tmp_path / "logs")])
    for old, now in zip(before, made.get_weights()):
        np.testing.assert_array_equal(old, now)


def test_without_the_package_the_error_says_what_to_install():
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'tensorboard' else find(name, *more)\n"
        "from minicnn.callbacks import TensorBoard; TensorBoard()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert "pip install 'minicnn[tensorboard]'" in done.stderr
