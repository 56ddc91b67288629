"""What the package prints gets onto every stream, and looks right on it."""

from __future__ import annotations

import ast
import io
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from counts import and_slow
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn import Sequential, console
from minicnn.callbacks import Callback
from minicnn.console import columns, encodable, one_line
from minicnn.datasets import fashion_mnist
from minicnn.gradcheck import __main__ as gradcheck
from minicnn.gradcheck import check_layer
from minicnn.layers import Dense
from minicnn.metrics import MeanAbsoluteError
from minicnn.training import loop

X, Y = np.linspace(0, 1, 60).reshape(20, 3), np.ones((20, 1))


class Bare:
    """A writer of a user's own: it has `write` and nothing else."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class Silent(Bare):
    """Says nothing about what it can write, or that it does not know, and can write ASCII alone."""

    def write(self, text):
        super().write(text.encode("ascii").decode())


class Undecided(Silent):
    encoding = None


class Unfounded(Silent):
    """Passes on what it gets to a second stream, but tells of the first."""

    encoding = "utf-8"


class Unknown(Silent):
    encoding = "no codec of Python"
    errors = "no handler of Python"


class Nameless(Silent):
    encoding = 3


class Terminal(io.TextIOWrapper):
    def isatty(self):
        return True


def encoded(encoding, errors="strict", kind=io.TextIOWrapper):
    return lambda: kind(io.BytesIO(), encoding, errors, newline="\n")


def written(stream):
    if isinstance(stream, io.TextIOWrapper):
        stream.flush()
        return stream.buffer.getvalue().decode(stream.encoding)
    return stream.getvalue() if isinstance(stream, io.StringIO) else stream.text


STREAMS = {
    "ascii": encoded("ascii"),
    "latin-1": encoded("latin-1"),
    "cp1252": encoded("cp1252"),
    "cp437": encoded("cp437"),
    "shift_jis": encoded("shift_jis"),
    "utf-8": encoded("utf-8"),
    "utf-16": encoded("utf-16"),
    "ascii, replace": encoded("ascii", "replace"),
    "cp1252, ignore": encoded("cp1252", "ignore"),
    "ascii, backslashreplace": encoded("ascii", "backslashreplace"),
    "a terminal in ascii": encoded("ascii", kind=Terminal),
    "a terminal in cp1252": encoded("cp1252", kind=Terminal),
    "a terminal in utf-8": encoded("utf-8", kind=Terminal),
    "StringIO": io.StringIO,
    **{kind.__name__: kind for kind in (Bare, Silent, Undecided, Unfounded, Unknown, Nameless)},
}

NAMES = [
    "dense",
    "modèle_Été",
    "свёртка",
    "卷积",
    "sad \udc80 surrogate",
    "zwei\nZeilen",
    "{bar} %s",
]


def named(name):
    model = Sequential([Dense(1, input_shape=(3,), name=name)], name=name)
    model.compile("sgd", "mse", metrics=[MeanAbsoluteError(name=name)])
    return model


@pytest.mark.parametrize("name", and_slow(NAMES[::3], sorted({*NAMES} - {*NAMES[::3]}), "in_ci"))
@pytest.mark.parametrize("make", STREAMS.values(), ids=STREAMS.keys())
def test_a_whole_session(monkeypatch, make, name):
    """Table, bars, lines and notes, with names that the stream may not be able to write."""
    out, err = make(), make()
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    model = named(name)
    model.summary()
    model.summary(show_trainable=True, line_length=40)
    model.fit(X, Y, epochs=2, validation_split=0.5)
    model.fit(X, Y, epochs=2, verbose=2)
    model.evaluate(X, Y)
    model.predict(X)
    monkeypatch.setattr(loop, "_noted", False)
    loop._note_whole_numbers(np.full((1, 2, 2), 200))
    console.note(name)
    text = written(out)
    for words in ("Layer (type)", "Total params: 4", "Epoch 2/2", " - loss: "):
        assert words in text
    notes = written(err).replace("minicnn: compil", "")  # where kernels were not on disk
    assert notes.count("minicnn: ") == 2


@pytest.mark.parametrize("stream", [None, "no stdout"])
def test_where_there_is_no_stream_nothing_is_printed(monkeypatch, capsys, stream):
    """Under pythonw both are None; `print(file=None)` would go to standard output."""
    monkeypatch.setattr(sys, "stderr", None)
    if stream is None:
        monkeypatch.setattr(sys, "stdout", None)
    console.note("nothing of this")
    if stream is None:
        model = named("dense")
        model.summary()
        model.fit(X, Y, epochs=2)
        model.predict(X)
    assert capsys.readouterr() == ("", "")


PLAIN = """\
Model: "modele"
+====================+===============+=========+
| Layer (type)       | Output Shape  | Param # |
+====================+===============+=========+
| ????_e (Dense)     | (None, 3)     |      12 |
+--------------------+---------------+---------+
| a_rather_long_nam~ | (None, 2)     |       8 |
| (Dense)            |               |         |
+--------------------+---------------+---------+
 Total params: 20 (80.00 B)
 Trainable params: 20 (80.00 B)
 Non-trainable params: 0 (0.00 B)
"""


def two_layers():
    names = "卷积_é", "a_rather_long_name_of_a_layer"
    return Sequential(
        [Dense(3, input_shape=(3,), name=names[0]), Dense(2, name=names[1])], name="modèle"
    )


def test_the_table_in_plain_characters(monkeypatch):
    monkeypatch.setattr("minicnn.layers.names._names", Counter())
    stream = encoded("ascii")()
    monkeypatch.setattr(sys, "stdout", stream)
    two_layers().summary(line_length=48)
    assert written(stream) == PLAIN


@pytest.mark.parametrize("errors", ["strict", "replace", "ignore", "backslashreplace"])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437", "shift_jis", "utf-8"])
def test_a_table_stays_a_table(monkeypatch, encoding, errors):
    """A frame is never made of question marks or of two styles, and its lines end in one column."""
    stream = encoded(encoding, errors)()
    monkeypatch.setattr(sys, "stdout", stream)
    two_layers().summary(line_length=60)
    text = written(stream)
    if encoding == "utf-8":
        assert "━" in text
        assert "a_rather_long_name_of_a…" in text
    else:
        assert not set(text) & set("━┃┏│└─…")
    lines = text.splitlines()[1:9]
    for line in lines:
        assert line[0] + line[-1] in ("┏┓", "┃┃", "┡┩", "││", "├┤", "└┘", "++", "||")
    if errors != "backslashreplace":
        assert len({columns(line) for line in lines}) == 1


def test_print_fn_gets_the_full_text(monkeypatch):
    monkeypatch.setattr(sys, "stdout", encoded("ascii")())
    texts = []
    two_layers().summary(print_fn=texts.append)
    assert 'Model: "modèle"' in texts[0]
    assert "卷积_é (Dense)" in texts[0]
    assert "┡━━━" in texts[0]
    assert written(sys.stdout) == ""


class Notes(Callback):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def on_epoch_end(self, epoch, logs=None):
        logs["note"] = self.value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("naïve", "note: naive"),
        ("two\nlines\tand a tab", "note: two lines and a tab"),
        (np.eye(2), "note: [[1. 0.]  [0. 1.]]"),
        (10**400, "note: inf"),
        (-(10**400), "note: -inf"),
        (None, "note: None"),
    ],
)
@pytest.mark.parametrize("kind", [io.TextIOWrapper, Terminal])
def test_what_a_callback_noted_is_printed_in_one_line(monkeypatch, kind, value, text):
    stream = encoded("ascii", kind=kind)()
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(sys, "stdout", stream)
    named("dense").fit(X, Y, callbacks=[Notes(value)])
    assert written(stream).endswith(f" - {text}\n")


def test_the_gradient_checkers_table(monkeypatch):
    class Case:
        kind, label = "layer", "卷积"

        def run(self, seed):
            return check_layer(Dense(2, name="卷积"), (3, 2))

    monkeypatch.setattr(gradcheck, "cases", lambda count: [Case()])
    stream = encoded("ascii")()
    monkeypatch.setattr(sys, "stdout", stream)
    assert gradcheck.main([]) == 0
    assert "layer    ????" in written(stream)


# -- the fallback itself --------------------------------------------------------------------------

ENCODINGS = ["ascii", "latin-1", "cp1252", "cp437", "shift_jis", "gb2312", "koi8-r", "utf-8"]


@given(st.text(), st.sampled_from(ENCODINGS))
def test_any_text_in_any_encoding(text, encoding):
    """It can be written, stays as wide, and is left alone where all of it can be written."""
    plain = encodable(text, encoding)
    plain.encode(encoding)
    assert columns(plain) == columns(text)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        assert plain != text
    else:
        assert plain == text


def test_the_nearest_characters():
    assert encodable("été, Ångström, ½, ﬁ, “a”", "ascii") == "ete, Angstrom, ?, ?, ?a?"
    assert encodable("été, свёртка", "koi8-r") == "ete, свёртка"
    assert encodable("Ł ź ─", "cp1252") == "? z -"
    assert encodable("\udc80", "utf-8") == "?"
    assert encodable("━┃", "cp437") == "=|"
    assert encodable("─│", "cp437") == "─│"  # alone it could draw these
    assert encodable("─┃", "cp437") == "-|"  # but not half of a frame


def test_the_streams_own_way_of_writing_characters_that_it_has_not():
    assert encodable("é ━", "ascii", "backslashreplace") == "é ="
    assert encodable("\udc80 ━", "ascii", "surrogateescape") == "\udc80 ="
    assert encodable("é ━", "ascii", "replace") == encodable("é ━", "ascii", "ignore") == "e ="


def test_columns():
    assert [columns(text) for text in ("", "abc", "été", "é", "卷积", "ｶ", "Ａ")] == [
        *(0, 3, 3, 1, 4, 1, 2)
    ]
    assert columns("zero\u200bwidth") == 9


def test_one_line():
    assert one_line("a\nb\tc\x1bd\u2028e") == "a b c d e"
    assert one_line("свёртка 卷积\u00a0é") == "свёртка 卷积\u00a0é"


def test_a_users_bar_is_cleared_for_what_is_printed_above_it():
    """tqdm asks whether two streams are the same one."""
    assert console.Output(sys.stdout) == sys.stdout
    assert console.Output(sys.stdout) == console.Output(sys.stdout)
    assert console.Output(sys.stdout) != console.Output(sys.stderr)
    assert len({console.Output(sys.stdout), console.Output(sys.stdout)}) == 1


# operations.py: signs in a picture, which matplotlib's own font has
DRAWING = {"console.py", "summary.py", "progress.py", "operations.py"}


@pytest.mark.parametrize(
    "path", sorted(Path(minicnn.__file__).parent.rglob("*.py")), ids=lambda path: path.stem
)
def test_all_other_text_of_the_package_is_ascii(path):
    """Messages and results that the caller prints have no way round what his stream can write."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    docstrings = {
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    texts = [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if id(node) not in docstrings and not node.value.isascii()
    ]
    assert texts == [] or path.name in DRAWING


def test_the_package_prints_in_one_place():
    for path in Path(minicnn.__file__).parent.rglob("*.py"):
        calls = [
            node.lineno
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ]
        assert calls == [], path


class Full(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")

    def isatty(self):
        raise OSError("no device")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [None, closed(), Full()])
def test_a_note_that_no_stream_takes_is_no_error(stream, monkeypatch, capfd):
    monkeypatch.setattr(sys, "stderr", stream)
    console.note("lost")
    assert not console.Output(sys.stderr).isatty()
    monkeypatch.undo()
    assert capfd.readouterr() == ("", "")  # nor does it go to standard output instead


def test_what_the_data_set_says_gets_through_an_ascii_stream(tmp_path, monkeypatch):
    """The folder that lacks the files is named, whatever it is called."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(fashion_mnist, "MIRRORS", ())
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Bücher").mkdir()
    with pytest.raises(fashion_mnist.DatasetUnavailable):
        fashion_mnist.load_data(tmp_path / "Bücher")
    assert "Bucher (path) lacks" in stream.buffer.getvalue().decode("ascii")
