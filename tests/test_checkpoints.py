"""ModelCheckpoint and BackupAndRestore: files, and runs that go on where they were killed."""

from __future__ import annotations

import collections
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
from counts import and_slow

from minicnn import Sequential
from minicnn.callbacks import (
    BackupAndRestore,
    Callback,
    CSVLogger,
    EarlyStopping,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    RandomFlip,
    RandomTranslation,
)
from minicnn.models import load_model
from minicnn.optimizers import SGD, Adam, AdamW, schedules
from minicnn.saving import archive
from minicnn.saving.errors import SavedFileError
from minicnn.utils import set_random_seed

X = np.random.default_rng(1).uniform(0, 1, (44, 6, 6, 1)).astype("float32")
Y = np.arange(44) % 3
EPOCHS, BATCHES = 4, 5  # of 10 samples
OPTIMIZERS = {
    "adam": lambda: Adam(0.01),
    "schedule": lambda: SGD(schedules.CosineDecay(0.1, 20), momentum=0.9),
    "function": lambda: SGD(lambda: 0.05, momentum=0.9),
    "accumulation": lambda: AdamW(0.01, gradient_accumulation_steps=3, use_ema=True),
}


class Killed(Exception):
    pass


class KillAt(Callback):
    """Ends the run before a batch, or at the end of an epoch."""

    def __init__(self, epoch, batch=None):
        self.at = epoch, batch

    def get_state(self):
        return {}

    def on_train_batch_begin(self, batch, logs=None):
        if (self.model.steps_taken // BATCHES, batch) == self.at:
            raise Killed

    def on_epoch_end(self, epoch, logs=None):
        if (epoch, None) == self.at:
            raise Killed


def made(optimizer="adam", jit_compile="auto", dtype=None):
    set_random_seed(3)
    model = Sequential(
        [
            Input((6, 6, 1), dtype=dtype),
            RandomFlip("horizontal"),
            RandomTranslation(0.2, 0.2),
            Conv2D(4, 3, use_bias=False),
            BatchNormalization(),
            Dropout(0.3),
            Flatten(),
            Dense(3, "softmax"),
        ]
    )
    model.compile(
        OPTIMIZERS[optimizer](),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=jit_compile,
    )
    return model


def trained(model, callbacks, epochs=EPOCHS, x=X, **given):
    return model.fit(
        x, Y[: len(x)], batch_size=10, epochs=epochs, verbose=0, callbacks=callbacks,
        validation_data=(X[:20], Y[:20]), **given,
    )  # fmt: skip


def expect_same(model, history, other, others_history):
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert history.history == others_history.history
    assert history.epoch == others_history.epoch
    for slot, vector in model.optimizer.state.items():
        np.testing.assert_array_equal(vector, other.optimizer.state[slot])
    assert model.optimizer.iterations == other.optimizer.iterations
    trained(model, [], epochs=1)
    trained(other, [], epochs=1)
    for ours, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


# -- BackupAndRestore -----------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("jit_compile", ["auto", False])
@pytest.mark.parametrize(
    ("save_freq", "at"),
    and_slow([(7, (3, 1))], [("epoch", (2, None)), (1, (1, 3))], "in_ci")
    + and_slow([], [("epoch", (0, 2)), ("epoch", (3, 4)), (3, (2, 0))]),
)
def test_a_run_goes_on_bit_for_bit(optimizer, jit_compile, save_freq, at, tmp_path):
    whole = made(optimizer, jit_compile)
    history = trained(whole, [KillAt(9)])
    with pytest.raises(Killed):
        trained(made(optimizer, jit_compile), [BackupAndRestore(tmp_path, save_freq), KillAt(*at)])
    again = made(optimizer, jit_compile)
    resumed = trained(again, [BackupAndRestore(tmp_path, save_freq), KillAt(9)])
    expect_same(again, resumed, whole, history)
    assert not tmp_path.exists()  # nothing is left of a run that has come to its end


def test_float64_goes_on_bit_for_bit(tmp_path):
    whole = made(dtype="float64")
    history = trained(whole, [KillAt(9)])
    with pytest.raises(Killed):
        trained(made(dtype="float64"), [BackupAndRestore(tmp_path, 2), KillAt(2, 3)])
    again = made(dtype="float64")
    resumed = trained(again, [BackupAndRestore(tmp_path, 2), KillAt(9)])
    expect_same(again, resumed, whole, history)


def test_a_run_that_is_killed_again_and_again(tmp_path):
    whole = made()
    history = trained(whole, [KillAt(9)])
    for batch in range(BATCHES):
        with pytest.raises(Killed):
            trained(made(), [BackupAndRestore(tmp_path, 2), KillAt(2, batch)])
    again = made()
    expect_same(again, trained(again, [BackupAndRestore(tmp_path, 2), KillAt(9)]), whole, history)


def test_other_callbacks_go_on_too(tmp_path):
    def callbacks(name, at):
        backup = BackupAndRestore(tmp_path / name / "backup", 3)
        return [
            ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=0.5),
            EarlyStopping("val_loss", patience=9, restore_best_weights=True),
            ModelCheckpoint(tmp_path / name / "best.keras", save_best_only=True),
            CSVLogger(tmp_path / name / "log.csv"),
            KillAt(*at),
            backup,
        ]

    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = made()
    history = trained(whole, callbacks("whole", (9,)))
    with pytest.raises(Killed):
        trained(made(), callbacks("cut", (2, 4)))
    again = made()
    resumed = trained(again, callbacks("cut", (9,)))
    assert len(set(resumed.history["learning_rate"])) > 1
    logs = [(tmp_path / name / "log.csv").read_bytes() for name in ("whole", "cut")]
    assert logs[0] == logs[1]
    best = [load_model(tmp_path / name / "best.keras").get_weights() for name in ("whole", "cut")]
    for ours, theirs in zip(*best):
        np.testing.assert_array_equal(ours, theirs)
    expect_same(again, resumed, whole, history)


class AtTheEnd(Callback):
    def on_train_end(self, logs=None):
        self.logs = dict(logs)

    def get_state(self):
        return {}


def test_a_run_that_had_ended_gives_its_history_and_its_last_figures_again(tmp_path):
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    first, again = AtTheEnd(), AtTheEnd()
    history = trained(made(), [first, backup])
    assert trained(made(), [again, backup]).history == history.history
    assert again.logs == first.logs
    assert again.logs == {name: values[-1] for name, values in history.history.items()}


@pytest.mark.parametrize("at", and_slow([(1, 2)], [((0, 0),), ((0, 3),), ((3, None),)], "in_ci"))
@pytest.mark.parametrize("save_freq", ["epoch", 3])
def test_a_file_of_figures_that_goes_on_has_each_row_once(save_freq, at, tmp_path):
    for name in ("whole", "cut"):
        (tmp_path / f"{name}.csv").write_text("epoch,loss\r\n0,1.5\r\n")  # of a fit before

    def callbacks(name, at):
        backup = BackupAndRestore(tmp_path / name, save_freq)
        return [CSVLogger(tmp_path / f"{name}.csv", append=True), KillAt(*at), backup]

    trained(made(), callbacks("whole", (9,)))
    for _ in range(3):
        with pytest.raises(Killed):
            trained(made(), callbacks("cut", at))
    trained(made(), callbacks("cut", (9,)))
    rows = [(tmp_path / f"{name}.csv").read_bytes() for name in ("whole", "cut")]
    assert rows[0] == rows[1]
    assert rows[0].count(b"\r\n") == 2 + EPOCHS


class KilledAfterItsRow(Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise Killed


def test_a_row_that_no_backup_knows_of_is_written_once(tmp_path):
    log = tmp_path / "log.csv"
    callbacks = [CSVLogger(log, append=True), BackupAndRestore(tmp_path / "backup")]
    with pytest.raises(Killed):
        trained(made(), [*callbacks, KilledAfterItsRow()])
    assert log.read_bytes().count(b"\r\n0,") == 1
    with pytest.raises(Killed):
        trained(made(), [*callbacks, KilledAfterItsRow()])
    assert log.read_bytes().count(b"\r\n0,") == 1


class KilledInValidation(Callback):
    def on_test_batch_end(self, batch, logs=None):
        if batch == 1 and self.model.steps_taken == 2 * BATCHES:
            raise Killed


@pytest.mark.parametrize("save_freq", ["epoch", 2, BATCHES])
def test_a_run_that_was_killed_while_it_was_validated(save_freq, tmp_path):
    whole = made()
    history = trained(whole, [KillAt(9)])
    with pytest.raises(Killed):
        trained(made(), [BackupAndRestore(tmp_path, save_freq), KilledInValidation()])

    class KilledNoMore(KilledInValidation):
        def on_test_batch_end(self, batch, logs=None):
            pass

    KilledNoMore.__name__ = KilledInValidation.__name__  # the callbacks have to be the same
    again = made()
    resumed = trained(again, [BackupAndRestore(tmp_path, save_freq), KilledNoMore()])
    expect_same(again, resumed, whole, history)


def test_other_settings_of_the_optimizer_are_said(tmp_path):
    def run(rate, **given):
        model = made()
        model.compile(SGD(rate, **given), "sparse_categorical_crossentropy")
        trained(model, [BackupAndRestore(tmp_path, delete_checkpoint=False)], epochs=1)
        return model.optimizer

    run(0.25)
    with pytest.warns(UserWarning, match=r"learning_rate=0.25.*learning_rate=0.5.*backup, 0.25;"):
        assert run(0.5).learning_rate == 0.25
    with pytest.warns(UserWarning, match="weight_decay=0.5"):
        assert run(0.25, weight_decay=0.5).weight_decay == 0.5
    run(0.25)  # the settings of the backup: no warning


def test_a_rate_that_is_a_function_is_named_in_the_backup_alone(tmp_path):
    def rate():
        return 0.1

    model = made()
    model.compile(SGD(rate), "sparse_categorical_crossentropy")
    trained(model, [BackupAndRestore(tmp_path, delete_checkpoint=False)], epochs=1)
    with pytest.raises(SavedFileError, match="'rate' is not known"):
        load_model(tmp_path / "latest.keras")
    loaded = load_model(tmp_path / "latest.keras", custom_objects={"rate": rate})
    assert loaded.optimizer.learning_rate == 0.1
    with pytest.raises(TypeError, match="learning_rate"):
        model.save(tmp_path / "model.keras")


def test_a_run_that_a_callback_had_stopped_stays_stopped(tmp_path):
    class Stop(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    history = trained(made(), [Stop(), backup])
    assert history.epoch == [0, 1]
    assert trained(made(), [Stop(), backup]).epoch == [0, 1]


def test_the_backup_is_a_model_that_can_be_loaded(tmp_path):
    model = made()
    trained(model, [BackupAndRestore(tmp_path, delete_checkpoint=False)])
    assert [file.name for file in tmp_path.iterdir()] == ["latest.keras"]
    loaded = load_model(tmp_path / "latest.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_more_epochs_go_on_from_a_finished_run(tmp_path):
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    trained(made(), [backup], epochs=2)
    again = made()
    history = trained(again, [backup], epochs=EPOCHS)
    whole = made()
    expect_same(again, history, whole, trained(whole, [KillAt(9)]))


def test_a_damaged_backup(tmp_path):
    with pytest.raises(Killed):
        trained(made(), [BackupAndRestore(tmp_path, 2, double_checkpoint=True), KillAt(3, 1)])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["latest.keras", "previous.keras"]
    latest = tmp_path / "latest.keras"
    latest.write_bytes(latest.read_bytes()[:-100])
    whole, again = made(), made()
    history = trained(whole, [KillAt(9)])
    resumed = trained(again, [BackupAndRestore(tmp_path, 2, double_checkpoint=True), KillAt(9)])
    expect_same(again, resumed, whole, history)


def test_a_state_that_was_changed_behind_right_checksums(tmp_path):
    with pytest.raises(Killed):
        trained(made(), [BackupAndRestore(tmp_path, 2), KillAt(1, 3)])
    latest, draw = tmp_path / "latest.keras", random.Random(4)
    good = latest.read_bytes()
    refused = 0
    for _ in range(60):
        members = {name: bytes(part) for name, part in archive.unpacked(good).items()}
        state = bytearray(members[archive.RUN])
        for _ in range(draw.randint(1, 3)):
            state[draw.randrange(len(state))] = draw.choice(b'0123456789{}[]",:aelnrstu')
        members[archive.RUN] = bytes(state)
        private = json.loads(members.pop(archive.PRIVATE))
        private["sha256"] = archive.sha256(members)
        members[archive.PRIVATE] = json.dumps(private).encode()
        latest.write_bytes(archive.packed(members))
        model = made()
        before = model.get_weights()
        try:
            backup = BackupAndRestore(tmp_path, 2, delete_checkpoint=False)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what the optimizer was then
                trained(model, [backup, KillAt(9)], epochs=2)
        except ValueError:
            refused += 1
            for now, then in zip(model.get_weights(), before, strict=True):
                np.testing.assert_array_equal(now, then)
    assert refused > 20  # others are numbers that could have been saved


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (b"[" * 10**5 + b"]" * 10**5, "levels deep"),
        (b"[" + b"[]," * 10**6 + b"1]", "lists and dicts"),
        (b'{"array of": "O", "shape": [1], "bits": ""}', "damaged"),
        (b'{"array of": "f8", "shape": [1125899906842624], "bits": ""}', "damaged"),
        (b'{"kind": "deque", "items": [], "most": -1}', "damaged"),
        (b"[]", "damaged"),
    ],
)
def test_hostile_states(state, message, tmp_path):
    with pytest.raises(Killed):
        trained(made(), [BackupAndRestore(tmp_path), KillAt(1, 3)])
    latest = tmp_path / "latest.keras"
    members = {name: bytes(part) for name, part in archive.unpacked(latest.read_bytes()).items()}
    members[archive.RUN] = state
    private = json.loads(members.pop(archive.PRIVATE))
    private["sha256"] = archive.sha256(members)
    members[archive.PRIVATE] = json.dumps(private).encode()
    latest.write_bytes(archive.packed(members))
    with pytest.raises(SavedFileError, match=message):
        trained(made(), [BackupAndRestore(tmp_path), KillAt(9)])


def test_a_state_of_too_many_parts_is_refused_when_it_is_written(tmp_path):
    class Collects(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.all = [[]] * 200_000

    with pytest.raises(ValueError, match="fit: the states of callbacks cannot be kept"):
        trained(made(), [Collects(), BackupAndRestore(tmp_path)], epochs=1)


def test_a_folder_that_another_run_clears(tmp_path):
    class Removes(Callback):
        def on_train_batch_end(self, batch, logs=None):
            for file in tmp_path.glob("*"):
                file.unlink()
            if tmp_path.exists():
                tmp_path.rmdir()

    backup = BackupAndRestore(tmp_path, double_checkpoint=True)
    assert trained(made(), [Removes(), backup], epochs=3).epoch == [0, 1, 2]


def test_a_backup_that_does_not_fit_is_refused_and_nothing_changes(tmp_path):
    backup = BackupAndRestore(tmp_path, delete_checkpoint=False)
    trained(made(), [backup], epochs=1)
    for model, given, error, message in (
        (made(), {"x": X[:30]}, ValueError, "with samples=44, received samples=30"),
        (made(), {"callbacks": [backup, KillAt(9)]}, ValueError, "the callbacks of the run that"),
        (made("accumulation"), {}, SavedFileError, "of another optimizer"),
        (Sequential([Input((6, 6, 1)), Flatten(), Dense(3)]), {}, SavedFileError, "other layers"),
    ):
        if model.loss is None:
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        before = model.get_weights()
        with pytest.raises(error, match=message):
            trained(model, **{"callbacks": [backup], **given})
        for now, then in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(now, then)


def test_a_folder_with_files_of_the_user_stays(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    trained(made(), [BackupAndRestore(tmp_path)], epochs=1)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_attributes_of_a_callback_come_back_as_what_they_were(tmp_path):
    class Keeps(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.seen = (*getattr(self, "seen", ()), epoch)
            self.by_epoch = {**getattr(self, "by_epoch", {}), epoch: np.float32(epoch)}
            self.last = collections.deque(getattr(self, "last", ()), 2)
            self.last.append(epoch)
            self.all = {*getattr(self, "all", ()), epoch}
            self.lock = threading.Lock()  # is left out

        def on_epoch_end(self, epoch, logs=None):
            logs["rate"] = self.by_epoch[epoch]

    with pytest.raises(Killed):
        trained(made(), [Keeps(), KillAt(3, 0), BackupAndRestore(tmp_path)])
    one = Keeps()
    history = trained(made(), [one, KillAt(9), BackupAndRestore(tmp_path)])
    assert one.seen == (0, 1, 2, 3)
    assert one.by_epoch == {0: 0, 1: 1, 2: 2, 3: 3}
    assert type(one.by_epoch[0]) is np.float32
    assert one.last == collections.deque([2, 3], 2)
    assert one.all == {0, 1, 2, 3}
    assert [type(value) for value in history.history["rate"]] == [np.float32] * 4


def test_a_state_that_cannot_be_written_says_what_to_define(tmp_path):
    class Odd(Callback):
        def get_state(self):
            return {"what": object()}

    with pytest.raises(TypeError, match="Define get_state and set_state"):
        trained(made(), [Odd(), BackupAndRestore(tmp_path)])


PROGRAM = """
import sys, numpy as np
sys.path.insert(0, {tests!r})
from minicnn.callbacks import BackupAndRestore
from test_checkpoints import made, trained
print("begun", flush=True)
model = made("accumulation")
history = trained(model, [BackupAndRestore(sys.argv[1], 1)], epochs=30)
np.savez(sys.argv[2], *model.get_weights(), losses=history.history["loss"])
"""


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.in_ci
def test_killed_processes(kills, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(tests=os.path.dirname(__file__)))
    command = [sys.executable, program, tmp_path / "backup", tmp_path / "weights.npz"]
    draw = random.Random(5)
    done = 0
    while done < kills:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "begun\n"
            deadline = time.monotonic() + draw.uniform(0.1, 1.5)
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            done += 1
            if process.wait() == 0:
                break
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    whole = made("accumulation")
    history = trained(whole, [KillAt(99)], epochs=30)
    with np.load(tmp_path / "weights.npz") as found:
        assert found["losses"].tolist() == history.history["loss"]
        for k, weights in enumerate(whole.get_weights()):
            np.testing.assert_array_equal(found[f"arr_{k}"], weights)


# -- ModelCheckpoint ------------------------------------------------------------------------------


def test_names_of_files(tmp_path):
    path = tmp_path / "made" / "{epoch:02d}-{val_loss:.2f}.keras"
    history = trained(made(), [ModelCheckpoint(path)], epochs=2).history["val_loss"]
    names = sorted(file.name for file in path.parent.iterdir())
    assert names == [f"{k:02d}-{value:.2f}.keras" for k, value in enumerate(history, 1)]
    with pytest.raises(KeyError, match="among epoch, accuracy, loss, val_accuracy, val_loss"):
        trained(made(), [ModelCheckpoint(tmp_path / "{mae}.keras")])


@pytest.mark.parametrize("figure", ["epoch", "batch", "self", 3])
def test_figures_of_a_callback_do_not_disturb_the_names(figure, tmp_path):
    class Adds(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs[figure] = 7.0

    trained(made(), [Adds(), ModelCheckpoint(tmp_path / "{epoch}.keras")], epochs=2)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["1.keras", "2.keras"]


@pytest.mark.parametrize("name", ["{}", "{loss[0]}", "{loss.a}", "{loss:d}", "{loss", "{0}"])
def test_names_of_files_that_cannot_be_filled_in(name, tmp_path):
    with pytest.raises(KeyError, match="ModelCheckpoint: expected the names in filepath"):
        trained(made(), [ModelCheckpoint(tmp_path / f"{name}.keras")], epochs=1)


PATHS = {
    "ModelCheckpoint": lambda path: ModelCheckpoint(path),
    "BackupAndRestore": lambda path: BackupAndRestore(path),
    "CSVLogger": lambda path: CSVLogger(path),
    "save": lambda path: made().save(path),
    "load_model": lambda path: load_model(path),
    "export": lambda path: made().export(path),
}


@pytest.mark.parametrize("call", PATHS)
@pytest.mark.parametrize("path", [3, None, ["a.keras"], 1.5, object()])
def test_what_is_no_path(path, call):
    with pytest.raises(TypeError, match=f"{call}: expected (filepath|backup_dir|filename) to be a"):
        PATHS[call](path)


@pytest.mark.parametrize("call", PATHS)
@pytest.mark.parametrize("path", ["", "a\0b.keras", "a\ud800.keras"])
def test_paths_that_no_file_can_have(path, call):
    with pytest.raises(ValueError, match=f"{call}: expected .* received '.*', which no file"):
        PATHS[call](path)


def test_the_home_folder_in_a_path(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    callbacks = [
        ModelCheckpoint("~/made/{epoch}.keras"),
        CSVLogger("~/log.csv"),
        BackupAndRestore("~/backup", delete_checkpoint=False),
    ]
    trained(made(), callbacks, epochs=1)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert names == ["backup/latest.keras", "log.csv", "made/1.keras"]


def test_every_so_many_batches_through_the_epochs(tmp_path):
    trained(made(), [ModelCheckpoint(tmp_path / "{epoch}-{batch}.keras", save_freq=3)], epochs=2)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["1-3.keras", "2-1.keras", "2-4.keras"]


def test_the_best_of_some_batches(tmp_path):
    best = ModelCheckpoint(tmp_path / "b.keras", "loss", save_best_only=True, save_freq=2)
    trained(made(), [best], epochs=1)
    assert (tmp_path / "b.keras").exists()
    assert best.best > 0


def test_weights_only(tmp_path):
    model = made()
    path = tmp_path / "w.weights.h5"
    trained(model, [ModelCheckpoint(path, save_weights_only=True)], epochs=1)
    other = made()
    other.load_weights(path)
    for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_best_epoch_is_kept(tmp_path, capsys):
    path = tmp_path / "best.keras"
    best = ModelCheckpoint(path, "val_accuracy", verbose=1, save_best_only=True)
    history = trained(made(), [best])
    accuracy = load_model(path).evaluate(X[:20], Y[:20], verbose=0)[1]
    assert accuracy == pytest.approx(max(history.history["val_accuracy"]))
    assert "Epoch 1: val_accuracy improved to" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"filepath": "a.h5"}, ValueError, "expected filepath to end in '.keras', received 'a.h5'"),
        (
            {"filepath": "a.keras", "save_weights_only": True},
            ValueError,
            "with save_weights_only=True expected filepath to end in '.weights.h5'",
        ),
        ({"filepath": "a.keras", "save_freq": "batch"}, ValueError, "to be 'epoch' or a number"),
        ({"filepath": "a.keras", "save_freq": 0}, ValueError, "save_freq to be an integer >= 1"),
    ],
)
def test_arguments_that_do_not_fit(given, error, message):
    with pytest.raises(error, match=message):
        ModelCheckpoint(**given)
