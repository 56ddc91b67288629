"""The bar and the figures: what is left of them on terminals of every width."""

from __future__ import annotations

import contextlib
import os
import re
import struct
import subprocess
import sys

import pytest
from counts import and_slow, draws
from hypothesis import given
from hypothesis import strategies as st

from minicnn.console import columns
from minicnn.progress import figures, lines

LOGS = {"accuracy": 0.78125, "loss": 0.61234, "val_accuracy": 0.85125, "val_loss": 0.41234}
FIGURES = ["accuracy: 0.7812", "loss: 0.6123", "val_accuracy: 0.8512", "val_loss: 0.4123"]


# -- one line, or more ----------------------------------------------------------------------------


def final(width, logs=LOGS):
    return lines(375, 375, ["12s", "31ms/step"], logs, width)


def test_the_end_of_an_epoch_at_every_width():
    """The bar gives way first, then the pace, the steps and the time; the figures never do."""
    tail = " - " + " - ".join(FIGURES)
    bar = "375/375 " + 20 * "━" + " 12s 31ms/step" + tail
    assert final(200) == final(len(bar)) == [bar]
    assert final(len(bar) - 1) == [bar.replace(20 * "━", 19 * "━")]
    assert final(len(bar) - 15) == [bar.replace(20 * "━", 5 * "━")]
    assert final(len(bar) - 16) == ["375/375 12s 31ms/step" + tail]
    assert final(90) == final(87) == ["375/375 12s" + tail]
    assert final(80) == final(79) == ["12s" + tail]
    assert final(78) == final(73) == [" - ".join(FIGURES)]
    assert final(72) == [
        "375/375 12s 31ms/step - accuracy: 0.7812 - loss: 0.6123",
        "val_accuracy: 0.8512 - val_loss: 0.4123",
    ]
    assert final(39) == [
        "375/375 12s 31ms/step",
        "accuracy: 0.7812 - loss: 0.6123",
        "val_accuracy: 0.8512 - val_loss: 0.4123",
    ]
    assert final(10) == ["375/375 12s 31ms/step", *FIGURES]


def test_without_figures():
    assert lines(3, 4, ["2s left"], {}, 80) == ["3/4 " + 15 * "━" + 5 * " " + " 2s left"]
    assert lines(3, 4, ["2s left"], {}, 11) == ["3/4 2s left"]
    assert lines(3, 4, ["2s left"], {}, 7) == ["2s left"]


@pytest.mark.parametrize("done", range(9))
def test_the_bar_is_as_long_as_what_is_done(done):
    (line,) = lines(done, 8, ["1s left"], {}, 80)
    assert line.count("━") == 20 * done // 8
    assert line.index("1s left") == len("8/8 ") + 20 + 1


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@draws(300)
@given(
    st.dictionaries(names, st.floats(), max_size=7),
    st.integers(1, 200),
    st.integers(1, 10**6),
    st.sampled_from([["9s left"], ["12s", "31ms/step"]]),
)
def test_figures_stay_whole(logs, width, total, times):
    """Nothing is left out, and only what is too long by itself is wider than the terminal."""
    found = lines(total // 2, total, times, logs, width)
    whole = [figures({name: logs[name]}).removeprefix(" - ") for name in sorted(logs)]
    assert " - ".join(found).endswith(" - ".join(whole))
    if len(found) == 1 and (logs or width > 60):
        assert columns(found[0]) <= width
    for line in found:
        assert columns(line) <= width or line in (*whole, f"{total // 2}/{total} {' '.join(times)}")


# -- on a terminal --------------------------------------------------------------------------------

FIT = """
import fcntl, struct, sys, termios, time
import numpy as np
from minicnn import Sequential
from minicnn.callbacks import Callback
from minicnn.layers import Dense
from minicnn.metrics import MeanAbsoluteError
from minicnn.utils import set_random_seed

class Resize(Callback):
    "Another width in the middle of the epoch; slow enough that the bar is drawn."
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.06)
        if batch == 2 and len(sys.argv) > 1:
            size = struct.pack("HHHH", 24, int(sys.argv[1]), 0, 0)
            fcntl.ioctl(1, termios.TIOCSWINSZ, size)

set_random_seed(1)
model = Sequential([Dense(2, "softmax", input_shape=(3,))])
metrics = ["accuracy", MeanAbsoluteError(name=sys.argv[2])] if len(sys.argv) > 2 else ["accuracy"]
loss = "categorical_crossentropy" if len(sys.argv) > 2 else "sparse_categorical_crossentropy"
model.compile("sgd", loss, metrics=metrics)
x, y = np.ones((60, 3)), np.eye(2)[[0] * 60] if len(sys.argv) > 2 else np.zeros(60)
model.fit(x, y, batch_size=5, epochs=2, validation_split=0.5, callbacks=[Resize()])
"""


def seen(width, *arguments, code=FIT, **environment):
    """What stands on a terminal after `code`, line by line, and every line that ever stood there.

    A carriage return takes the cursor back, so that later characters cover those before.
    """
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    # standard error elsewhere: a note about the compiling of kernels is not what is tested here
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=side,
        stderr=subprocess.PIPE,
        env={**env, **environment},
    ) as process:
        os.close(side)
        parts = []
        with contextlib.suppress(OSError):  # the other side is closed
            while part := os.read(main, 4096):
                parts.append(part)
        errors = process.stderr.read().decode()
    os.close(main)
    assert process.returncode == 0, errors
    text = b"".join(parts).decode().replace("\r\n", "\n")
    stands, ever = [], []
    for line in text.split("\n"):
        shown = ""
        for drawn in line.split("\r"):
            shown = drawn + shown[len(drawn) :]
            ever.append(shown.rstrip())
        stands.append(shown.rstrip())
    return stands, [line for line in ever if line]


NUMBER = r"\d+\.\d{4}(e[+-]\d\d)?"
EPOCH = rf"accuracy: {NUMBER} - loss: {NUMBER} - val_accuracy: {NUMBER} - val_loss: {NUMBER}"


@pytest.mark.in_ci
@pytest.mark.parametrize("encoding", and_slow(["ascii"], ["utf-8"]))
def test_eighty_columns(encoding):
    stands, ever = seen(80, PYTHONIOENCODING=encoding)
    assert [stands[0], stands[2], stands[4:]] == ["Epoch 1/2", "Epoch 2/2", [""]]
    for line in (stands[1], stands[3]):
        assert re.fullmatch(rf"(\d+s - )?{EPOCH}", line)
    cell = "━" if encoding == "utf-8" else "="
    running = rf"\d/6 {cell}* +\d+s left - accuracy: {NUMBER} - loss: {NUMBER}"
    assert any(re.fullmatch(running, line) for line in ever)
    assert max(map(len, ever)) <= 80


@pytest.mark.in_ci
def test_wide_enough_for_everything():
    stands, _ = seen(140)
    assert re.fullmatch(rf"6/6 ━{{20}} \d+s \d+[mu]?s/step - {EPOCH}", stands[1])


@pytest.mark.in_ci
def test_forty_columns_and_a_long_name():
    name = "the_mean_of_the_absolute_differences"
    stands, ever = seen(40, 40, name)
    assert stands[0] == "Epoch 1/2"
    assert re.match(r"6/6 \d+s \d+[mu]?s/step", stands[1])
    assert stands.count("Epoch 2/2") == 1
    text = " - ".join(stands[1 : stands.index("Epoch 2/2")])
    values = [f"{key}: {NUMBER}" for key in ("accuracy", "loss", name)]
    assert re.fullmatch(rf".* - {' - '.join(values + ['val_' + v for v in values])}", text)
    long = [line for line in ever if len(line) > 40]
    assert all(re.fullmatch(rf"(val_)?{name}: {NUMBER}", line) for line in long)


@pytest.mark.parametrize(("before", "after"), and_slow([(140, 40)], [(40, 140)]))
@pytest.mark.in_ci
def test_a_window_that_is_resized(before, after):
    stands, ever = seen(before, after)
    end = stands.index("Epoch 2/2")
    assert re.fullmatch(rf".*{EPOCH}", " - ".join(stands[1:end]))
    assert ("━" in stands[1]) == (after == 140)
    second = ever[ever.index("Epoch 2/2") :]
    assert max(map(len, second)) <= after
    assert any("━" in line for line in second) == (after == 140)


OTHERS = """
import numpy as np
from tqdm import tqdm
from minicnn import Sequential
from minicnn.layers import Dense
model = Sequential([Dense(1, input_shape=(3,))])
model.compile("sgd", "mse")
import sys
for rate in tqdm(range(2), desc="outer", file=sys.stdout, ncols=60):
    model.fit(np.ones((60, 3)), np.ones(60), epochs=1)
"""


@pytest.mark.in_ci
def test_inside_a_bar_of_the_users():
    stands, _ = seen(80, code=OTHERS)
    inner = [
        line for line in stands if re.fullmatch(rf"2/2 ━+ \d+s \S+/step - loss: {NUMBER}", line)
    ]
    assert len(inner) == 2
    assert any(line.startswith("outer: 100%") for line in stands)


INTERRUPTED = """
import sys
import numpy as np
from minicnn import Sequential
from minicnn.callbacks import Callback
from minicnn.layers import Dense
class Stop(Callback):
    def set_model(self, model):
        setattr(self, sys.argv[2], self.stop)
    def stop(self, batch, logs=None):
        if batch == 1 or sys.argv[2] == "on_epoch_end":
            raise RuntimeError
model = Sequential([Dense(1, input_shape=(3,))])
model.compile("sgd", "mse")
data = (np.ones((160, 3)), np.ones(160))[: 1 if sys.argv[1] == "predict" else 2]
stop = Stop()
stop.set_model(None)
try:
    getattr(model, sys.argv[1])(*data, callbacks=[stop])
except RuntimeError:
    print("after the error")
"""


@pytest.mark.parametrize(
    ("call", "hook"),
    [
        ("fit", "on_train_batch_end"),
        pytest.param("fit", "on_epoch_end", marks=pytest.mark.slow),
        pytest.param("evaluate", "on_test_batch_end", marks=pytest.mark.slow),
        ("predict", "on_predict_batch_end"),
    ],
)
@pytest.mark.in_ci
def test_what_is_printed_after_an_error_begins_a_new_line(call, hook):
    stands, _ = seen(80, call, hook, code=INTERRUPTED)
    assert re.match(r"\d/5", stands[0])
    assert stands[1] == "after the error"
