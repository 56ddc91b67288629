"""What a notebook shows of models, plans and checks, the bar in it, and the tutorial as one."""

from __future__ import annotations

import io
import re
import sys
import time
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from minicnn import Sequential, progress
from minicnn.console import Output
from minicnn.gradcheck import check_layer, check_model
from minicnn.layers import Conv2D, Dense, Flatten, Layer
from minicnn.progress import Progress


class Tables(HTMLParser):
    """The cells of each table, the other texts, and whether every tag is closed."""

    def __init__(self, page):
        super().__init__()
        self.tables, self.texts, self.open = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open[-1] in ("td", "th"):
            self.tables[-1][-1].append(text)
        else:
            self.texts.append(text)


def model():
    layers = [Conv2D(2, 3, input_shape=(8, 8, 1), name="a<b>&c"), Flatten(name="flat")]
    return Sequential([*layers, Dense(3, activation="softmax", name="top")], name="<i>it</i>")


def test_a_model_is_shown_as_its_summary(capsys):
    net = model()
    net.summary(line_length=100)
    printed = capsys.readouterr().out
    shown = Tables(net._repr_html_())
    (table,) = shown.tables
    assert table == [
        ["Layer (type)", "Output Shape", "Param #"],
        ["a<b>&c (Conv2D)", "(None, 6, 6, 2)", "20"],
        ["flat (Flatten)", "(None, 72)", "0"],
        ["top (Dense)", "(None, 3)", "219"],
    ]
    assert shown.texts[0] == 'Model: "<i>it</i>"'
    assert all(cell in printed for row in table for cell in row)
    assert printed.endswith("\n" + shown.texts[1] + "\n")


def test_models_that_are_not_built_are_shown(capsys):
    assert Tables(Sequential()._repr_html_()).tables == [
        [["Layer (type)", "Output Shape", "Param #"]]
    ]
    shown = Tables(Sequential([Dense(3, name="top")])._repr_html_())
    assert shown.tables[0][1] == ["top (Dense)", "?", "0 (unbuilt)"]


def test_a_plan_is_shown_as_a_table():
    plan = model().plan()
    (table,) = Tables(plan._repr_html_()).tables
    assert table[0] == ["Layers", "Stage", "Why"]
    lines = str(plan).splitlines()
    assert len(lines) == len(table) - 1 == 2
    for line, row in zip(lines, table[1:], strict=True):
        assert re.split(r"\s{2,}|(?<=Stage) ", line, maxsplit=2) == row


class Doubled(Layer):
    def forward(self, x, training=False):
        self._cache = x = self._input(x)
        return x * x

    def backward(self, dy):
        dy, x = self._recall(dy)
        return dy * x  # its factor 2 is missing


def test_the_result_of_a_check_is_shown_with_its_mistake():
    result = check_layer(Doubled(name="a<b"), np.ones((2, 3)) + np.eye(2, 3))
    assert not result.ok
    shown = Tables(result._repr_html_())
    assert shown.tables[0][0][0] == "parameter"
    assert shown.tables[0][1][-1] == "FAILED"
    text = "\n".join(shown.texts)
    assert shown.texts[0].endswith("FAILED")
    for line in str(result).splitlines():
        assert line in text or not line.startswith(("x:", "    likely"))
    assert "likely mistake" in text


def test_the_result_for_a_model_is_shown_with_that_of_the_engine():
    net = model()
    net.compile("sgd", "sparse_categorical_crossentropy")
    result = check_model(net, np.random.default_rng(0).random((2, 8, 8, 1)), [0, 2])
    shown = Tables(result._repr_html_())
    assert len(shown.tables) == 2
    assert [row[0] for row in shown.tables[1]] == [
        "parameter",
        *[row.name for row in result.engine.rows],
    ]
    assert shown.texts[1].startswith("the engine's own gradients")


# -- the bar --------------------------------------------------------------------------------------


class OutStream(io.StringIO):
    """As a notebook's kernel has it: no terminal."""

    __module__ = "ipykernel.iostream"


def worked_through(stream, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream)
    with Progress(2, 1, "Epoch 1/1") as bar:
        bar.start -= 10  # seconds ago
        for k in range(2):
            time.sleep(0.06)  # the bar is drawn twenty times a second at most
            bar.step({"loss": 0.5 - k / 8})
        bar.end({"loss": 0.25})


def test_a_notebook_without_widgets_gets_a_bar_of_text(monkeypatch):
    stream = OutStream()
    assert Output(stream).of_notebook()
    worked_through(stream, monkeypatch)
    text = stream.getvalue()
    assert text.startswith("Epoch 1/1\n\r0/2\r1/2 ━━━━━━━━━━           10s left - loss: 0.5000")
    last = text.splitlines()[-1]
    assert re.fullmatch(r"2/2 ━{20} 10s 5s/step - loss: 0\.2500", last)
    assert "\x1b" not in text


def test_a_notebook_with_widgets_gets_its_own_bar(monkeypatch):
    seen = []

    class Widget:
        def __init__(self, **given):
            assert given["bar_format"] == "{desc}{bar}{postfix}"
            assert given["ncols"] is None  # a widget would take it for pixels
            assert given["total"] == 2

        def set_description_str(self, text, refresh):
            seen.append(text)

        def set_postfix_str(self, text, refresh):
            seen.append(text)

        def update(self, steps):
            seen.append(steps)

        def close(self):
            seen.append("closed")

        def write(self, text, file):
            file.write(f"{text}\n")

    monkeypatch.setattr(progress, "_bars", lambda out: (Widget, True))
    stream = OutStream()
    worked_through(stream, monkeypatch)
    first, second = "10s left - loss: 0.5000", "0s left - loss: 0.3750"
    assert seen == ["1/2", first, 1, "2/2", second, 1, "closed"]
    assert stream.getvalue().splitlines()[0] == "Epoch 1/1"
    assert stream.getvalue().splitlines()[-1].endswith("10s 5s/step - loss: 0.2500")


@pytest.mark.parametrize("stream", [io.StringIO(), None, SimpleNamespace(write=lambda text: None)])
def test_other_streams_are_no_notebook(stream, monkeypatch):
    assert not Output(stream).of_notebook()
    worked_through(stream, monkeypatch)
    if isinstance(stream, io.StringIO):  # the line of a log, as before
        assert stream.getvalue() == "Epoch 1/1 - 2/2 - 10s - 5s/step - loss: 0.2500\n"


# -- the tutorial's notebook ----------------------------------------------------------------------


def test_the_notebook_is_what_the_script_gives(tmp_path):
    pytest.importorskip("jupytext", reason="notebooks need jupytext")
    from tools import example_notebook as tool

    made = tool.write(tool.notebook(), tmp_path / "made.ipynb")
    assert made.read_text() == tool.NOTEBOOK.read_text(), (
        "examples/fashion_mnist.py has changed: make its notebook anew by "
        "python -m tools.example_notebook"
    )


def test_the_notebook_has_the_tutorials_sections():
    pytest.importorskip("jupytext", reason="notebooks need jupytext")
    from tools import example_notebook as tool

    cells = tool.notebook().cells
    headings = [cell.source for cell in cells if cell.source.startswith("## ")]
    script = tool.SCRIPT.read_text()
    assert headings == [f"## {text}" for text in re.findall(r"    # (\d\. .*)", script)]
    assert len(headings) == 8
    assert not any(cell.get("outputs") for cell in cells)


@pytest.mark.slow
def test_the_notebook_runs():
    pytest.importorskip("ipykernel", reason="running notebooks needs ipykernel")
    from tools import example_notebook as tool

    outputs = [o for cell in tool.run_on_few_images().cells for o in cell.get("outputs", ())]
    text = "".join(output.get("text", "") for output in outputs)
    assert "Training data shape: (600, 28, 28)" in text
    assert "Test accuracy: 0." in text
    assert "Close the pictures" not in text
    assert sum("image/png" in output.get("data", ()) for output in outputs) == 4
